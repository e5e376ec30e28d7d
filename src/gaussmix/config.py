"""What this installation was built with, and what it runs on here."""

import os
from types import ModuleType
from typing import Any

NOT_BUILT = "not built"  # the reference, run from a source tree


def version() -> str:
    """Version of the library, or "not built" in a source tree without a build."""
    info = _build_info()
    return NOT_BUILT if info is None else str(info.VERSION)


def config() -> dict[str, Any]:
    """Say how the library was built and what it uses on this machine.

    Returns
    -------
    dict
        ``version``; ``compiler`` and ``flags`` (per instruction set) of the build; ``openmp``,
        whether it can use threads; ``isa_built``, ``isa_usable`` and ``isa``, the instruction sets
        compiled, those this CPU supports, and the one in use, with ``isa_reason``; ``threads`` and
        ``threads_reason``, how many a large pass runs on, and why that many.
    """
    from gaussmix._core import dispatch, threads  # not for the version alone, which takes no time

    info = _build_info()
    n_threads = threads.resolve()
    return {
        "version": version(),
        "compiler": NOT_BUILT if info is None else info.COMPILER,
        "flags": {} if info is None else dict(info.FLAGS),
        "openmp": info is not None and info.OPENMP,
        "isa_built": () if info is None else dispatch.built(),
        "isa_usable": () if info is None else dispatch.available(),
        "isa": dispatch.active().name,
        "isa_reason": _isa_reason(),
        "threads": n_threads.number,
        "threads_reason": n_threads.reason,
    }


def show_config() -> None:
    """Print `config()` as a table.

    Examples
    --------
    >>> import gaussmix
    >>> gaussmix.show_config()
    gaussmix     ...
    compiler     ...
    ISA chosen   ...
    threads      ...
    """
    for name, value in _lines(config()):
        print(f"{name:12} {value}")


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    flags = [(f"flags {isa}", text) for isa, text in found["flags"].items()]
    return [
        ("gaussmix", found["version"]),
        ("compiler", found["compiler"]),
        *flags,
        ("OpenMP", "yes" if found["openmp"] else "no"),
        ("ISA built", " ".join(found["isa_built"]) or "none"),
        ("ISA usable", " ".join(found["isa_usable"]) or "none"),
        ("ISA chosen", f"{found['isa']} ({found['isa_reason']})"),
        ("threads", f"{found['threads']} ({found['threads_reason']})"),
    ]


def _isa_reason() -> str:
    from gaussmix._core import dispatch

    wanted = os.environ.get(dispatch.ENVIRONMENT_VARIABLE)
    if wanted == dispatch.active().name:
        return f"{dispatch.ENVIRONMENT_VARIABLE}={wanted}"
    return "the best that this CPU supports"


def _build_info() -> ModuleType | None:
    try:
        from gaussmix._core import build_info
    except ImportError:
        return None
    info: ModuleType = build_info
    return info
