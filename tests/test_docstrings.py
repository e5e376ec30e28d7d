"""The examples of docstrings run as written, and every public function and method has one."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import gaussmix
from gaussmix import distributed
from gaussmix._core import dispatch

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public() -> dict[str, object]:
    """Public functions and methods, by the name of where each is written."""
    found: dict[str, object] = {
        f"gaussmix.distributed.{name}": getattr(distributed, name) for name in ("connect", "fit")
    }
    for name in gaussmix.__all__:
        each = getattr(gaussmix, name)
        if inspect.isroutine(each):
            found[f"{each.__module__}.{name}"] = each
        elif inspect.isclass(each):
            found |= dict(methods(each))
    return found


def methods(cls: type) -> Iterator[tuple[str, object]]:
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            written = inspect.isroutine(value) and owner.__module__.startswith("gaussmix")
            if written and not name.startswith("_"):
                yield f"{owner.__module__}.{owner.__qualname__}.{name}", getattr(owner, name)


def examples() -> Iterator[doctest.DocTest]:
    """All docstrings of the package that have examples, also those of what is not public."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    not_for_this_machine = {
        f"gaussmix._core.kernels_{isa}_{precision}"
        for isa in set(dispatch.built()) - set(dispatch.available())
        for precision in ("f32", "f64")
    }
    for module in pkgutil.walk_packages(gaussmix.__path__, "gaussmix."):
        if module.name.endswith("__main__") or module.name in not_for_this_machine:
            continue
        for test in finder.find(importlib.import_module(module.name)):
            if test.examples:
                yield test


@pytest.mark.parametrize("test", [pytest.param(test, id=test.name) for test in examples()])
def test_examples_print_what_they_say(
    test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    try:
        doctest.DebugRunner(optionflags=OPTIONS).run(test)
    except doctest.UnexpectedException as error:
        if isinstance(error.exc_info[1], ImportError):
            pytest.skip(f"{error.exc_info[1]}")
        raise error.exc_info[1] from None
    except doctest.DocTestFailure as failure:
        line = failure.example.source.strip()
        pytest.fail(f"{test.name}: {line} prints\n{failure.got}, not\n{failure.example.want}")


def test_everything_public_has_an_example() -> None:
    found = public()
    assert "gaussmix.estimators.base_mixture.BaseMixture.predict" in found
    assert "gaussmix.storage.save" in found
    lacking = [name for name, each in found.items() if ">>> " not in (inspect.getdoc(each) or "")]
    assert not lacking, "public, and without an example in the docstring"
