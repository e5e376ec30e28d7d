"""Which build is used: subprocesses, since the choice is made once, at import."""

import os
import subprocess
import sys

import pytest

from gaussmix._core import dispatch, reference

REPORT = """
import sys
from gaussmix._core import dispatch
loaded = sorted(name for name in sys.modules if name.startswith("gaussmix._core.kernels_"))
print(dispatch.active().name, *loaded)
"""


def run(code: str, isa: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, dispatch.ENVIRONMENT_VARIABLE: isa}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def report(isa: str) -> list[str]:
    """Name of the active build, then the compiled modules that were imported."""
    result = run(REPORT, isa)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def modules(name: str) -> list[str]:
    return [f"gaussmix._core.kernels_{name}_{precision}" for precision in ("f32", "f64")]


def test_the_variable_chooses_a_build_and_no_other_is_imported(compiled_isa: str) -> None:
    # importing another build could already fault on a CPU that lacks its instructions
    assert report(compiled_isa) == [compiled_isa, *modules(compiled_isa)]


def test_the_reference_imports_no_compiled_kernels() -> None:
    assert report("reference") == ["reference"]


def test_without_the_variable_the_fastest_build_is_chosen(compiled: tuple[str, ...]) -> None:
    assert report("") == [compiled[-1], *modules(compiled[-1])]


def test_an_unknown_name_is_an_error_that_names_the_variable_and_the_choices() -> None:
    result = run("from gaussmix import GaussianMixture", "avx9000")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ValueError: GAUSSMIX_ISA must be one of baseline, v3, v4, reference, got 'avx9000'"
    )


def assert_no_import_without(module: str, isa: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from gaussmix import KMeans"
    result = run(code, isa)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError")
    assert module in last


def test_a_chosen_build_that_does_not_import_is_an_error(compiled_isa: str) -> None:
    assert_no_import_without(modules(compiled_isa)[1], compiled_isa)


def test_a_default_build_that_does_not_import_is_an_error(compiled: tuple[str, ...]) -> None:
    assert_no_import_without(modules(compiled[-1])[0], "")


def test_a_build_the_cpu_does_not_support_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "built", lambda: ("baseline", "v3", "v4"))
    monkeypatch.setattr(dispatch, "available", lambda: ("baseline", "v3"))
    with pytest.raises(ValueError, match=r"'v4' does not run on this CPU.*baseline, v3$"):
        dispatch.load.__wrapped__("v4")


def test_a_build_that_was_not_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "built", lambda: ("baseline",))
    with pytest.raises(ValueError, match=r"'v3' was not built; this installation has baseline$"):
        dispatch.load.__wrapped__("v3")


@pytest.mark.usefixtures("compiled")
def test_only_builds_the_cpu_supports_are_available(monkeypatch: pytest.MonkeyPatch) -> None:
    from gaussmix._core import cpu

    monkeypatch.setattr(cpu, "supported", lambda: ("baseline",))
    assert dispatch.available.__wrapped__() == ("baseline",)


def test_using_switches_builds_and_comes_back_even_after_an_error() -> None:
    before = dispatch.active()
    with dispatch.using("reference") as build:
        assert dispatch.active() is build
        assert build.float32 is reference
    assert dispatch.active() is before
    with pytest.raises(KeyError), dispatch.using("reference"):
        raise KeyError
    assert dispatch.active() is before
