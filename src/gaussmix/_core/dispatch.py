"""Picks the kernels' build for this CPU at import; the environment variable GAUSSMIX_ISA overrides.

A build is imported only after CPU and operating system are known to support it, since even its
module code is compiled for that instruction set. A build that was made but does not import is an
error, never a silent fallback.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, cast

import numpy as np

from gaussmix._core import reference
from gaussmix._core.interface import Bayesian, Estimates, Kernels
from gaussmix._core.types import Rows

ENVIRONMENT_VARIABLE = "GAUSSMIX_ISA"
COMPILED = ("baseline", "v3", "v4")  # slowest first; v3 and v4 are the x86-64 levels
NAMES = (*COMPILED, "reference")


class Build(NamedTuple):
    """The kernels of one instruction set, a module for each precision."""

    name: str
    float32: Kernels
    float64: Kernels

    def kernels(self, dtype: np.dtype[np.floating]) -> Kernels:
        """Its kernels for rows of a precision."""
        return self.float32 if dtype == np.float32 else self.float64


@cache
def built() -> tuple[str, ...]:
    """Names of the builds that were compiled into this installation, slowest first."""
    from gaussmix._core import build_info

    return tuple(name for name in COMPILED if name in build_info.ISA_BUILDS)


@cache
def available() -> tuple[str, ...]:
    """Names of the compiled builds that run on this CPU, slowest first."""
    from gaussmix._core import cpu

    return tuple(name for name in built() if name in cpu.supported())


@cache
def _module(name: str) -> object:
    """Import a module of this room, when it is first asked for."""
    return importlib.import_module(f"gaussmix._core.{name}")


@cache
def load(name: str) -> Build:
    """Import one build, whatever is active; ValueError if it cannot run here."""
    if name == "reference":
        return Build(name, reference, reference)
    if name not in COMPILED:
        raise ValueError(f"{ENVIRONMENT_VARIABLE} must be one of {', '.join(NAMES)}, got {name!r}")
    if name not in built():
        raise ValueError(f"ISA {name!r} was not built; this installation has {', '.join(built())}")
    if name not in available():
        raise ValueError(
            f"ISA {name!r} does not run on this CPU, which supports {', '.join(available())}"
        )
    modules = (_module(f"kernels_{name}_{precision}") for precision in ("f32", "f64"))
    return Build(name, *(cast(Kernels, module) for module in modules))


def _chosen_at_import() -> Build:
    wanted = os.environ.get(ENVIRONMENT_VARIABLE, "")
    return load(wanted or available()[-1])


_active = _chosen_at_import()


def active() -> Build:
    """The build in use."""
    return _active


def kernels(X: Rows) -> Kernels:
    """The active build's kernels for the precision of X."""
    return _active.kernels(X.dtype)


def estimates() -> Estimates:
    """What the active build does with the parameters of a mixture."""
    return cast(Estimates, _of_active("estimates"))


def bayesian() -> Bayesian:
    """What the active build does with distributions over mixtures."""
    return cast(Bayesian, _of_active("bayesian"))


def _of_active(name: str) -> object:
    """What stands beside the active build's kernels."""
    return _module(f"reference_{name}" if _active.name == "reference" else name)


@contextmanager
def using(name: str) -> Iterator[Build]:
    """Run a block of code on another build, for verification and benchmarks (process-wide)."""
    global _active
    previous, _active = _active, load(name)
    try:
        yield _active
    finally:
        _active = previous
