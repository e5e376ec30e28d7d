"""The public names, which are imported when they are first asked for."""

import subprocess
import sys

import pytest

import gaussmix


@pytest.mark.parametrize("name", sorted(gaussmix._HOMES))
def test_every_name_is_what_its_home_has(name: str) -> None:
    home = f"gaussmix.{gaussmix._HOMES[name]}"
    assert getattr(gaussmix, name) is getattr(sys.modules[home], name)
    assert getattr(gaussmix, name).__module__ == home


def test_the_names_are_those_that_are_listed() -> None:
    assert sorted({*gaussmix._HOMES, "__version__"}) == sorted(gaussmix.__all__)
    assert dir(gaussmix) == sorted(gaussmix.__all__)


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'gaussmix' has no attribute 'Mixture'"):
        gaussmix.Mixture  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(AttributeError, match="_Mixture"):
        gaussmix._Mixture  # type: ignore[attr-defined] # noqa: B018


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, gaussmix; gaussmix.__version__; print('numpy' in sys.modules)\n"
        "from gaussmix import *; print(len(load.__doc__) > 0, 'numpy' in sys.modules)\n"
        "import gaussmix as g; print(g.plotting.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "True", "True", "gaussmix.plotting"]
