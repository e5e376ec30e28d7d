"""Verification finds nothing wrong with good kernels, and finds what is wrong with bad ones."""

from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core import reference
from gaussmix._core.density import Density
from gaussmix._core.dispatch import Build
from gaussmix._core.types import FloatArray, Rows
from gaussmix.cli import verification
from gaussmix.cli.kernel_cases import KernelCase, all_cases, make_kernel_problem
from gaussmix.cli.main import main
from gaussmix.cli.verification import VERIFIED, table, verify

CASES = [
    KernelCase(structure, dtype, kind, 257, 3, 3, kind != "round", 1)
    for structure in ("full", "tied", "diag", "spherical")
    for dtype in ("float32", "float64")
    for kind in ("round", "elongated", "offset")
]


def broken(name: str, spoil: Callable[..., None]) -> Build:
    """The reference with one kernel that spoils what it wrote; `spoil` is given its arguments."""

    def kernel(X: Rows, *arguments: Any) -> Any:
        result = getattr(reference, name)(X, *arguments)
        spoil(*arguments)
        return result

    module = SimpleNamespace(**{kernel: getattr(reference, kernel) for kernel in VERIFIED})
    setattr(module, name, kernel)
    return Build("broken", module, module)


def failures(build: Build, cases: list[KernelCase] = CASES) -> set[str]:
    return {result.kernel for result in verify([build], cases) if not result.passed}


def test_reference_agrees_with_itself() -> None:
    results = verify([Build("reference", reference, reference)], CASES)
    assert len(results) == len(VERIFIED) * 2
    assert all(result.passed for result in results)
    assert all(result.error == 0 for result in results if result.dtype == "float64")


def test_every_compiled_build_passes() -> None:
    results = verify(cases=CASES)
    assert {result.build for result in results} == {
        build.name for build in verification.compiled_builds()
    }
    assert [result for result in results if not result.passed] == []


def test_sizes_meet_pairwise() -> None:
    cases = all_cases()
    for a, b in combinations(range(len(KernelCase._fields)), 2):
        pairs = {(case[a], case[b]) for case in cases}
        assert len(pairs) == len({p[0] for p in pairs}) * len({p[1] for p in pairs})


def test_problems_repeat_and_keep_their_precision() -> None:
    for case in CASES[:6]:
        first, second = make_kernel_problem(case), make_kernel_problem(case)
        assert first.X.dtype == case.dtype
        np.testing.assert_array_equal(first.X, second.X)


def test_offset_data_are_far_from_the_origin() -> None:
    X = make_kernel_problem(KernelCase("full", "float64", "offset", 255, 3, 3, False, 1)).X
    assert np.abs(X.mean(axis=0)).min() > 9e5
    assert X.std(axis=0).max() < 100


def add(factor: float) -> Callable[..., None]:
    def spoil(density: Density, out: Rows, *_: object) -> None:
        out[-1] *= 1 + factor

    return spoil


@pytest.mark.parametrize("name", ["log_density", "log_likelihood", "responsibilities"])
def test_small_errors_of_one_row_are_found(name: str) -> None:
    float64 = [case for case in CASES if case.dtype == "float64"]
    assert failures(broken(name, add(1e-10)), float64) == {name}
    assert failures(broken(name, add(np.nan))) == {name}


def test_wrong_labels_are_found() -> None:
    def spoil(density: Density, labels: NDArray[np.int32], best: Rows | None, *_: object) -> None:
        labels[0] = (labels[0] + 1) % len(density.means)

    assert failures(broken("assign", spoil)) == {"assign"}


def test_labels_out_of_range_are_found() -> None:
    def spoil(
        weight: FloatArray | None,
        density: Density,
        labels: NDArray[np.int32],
        n_k: FloatArray,
        first: FloatArray,
        totals: FloatArray,
        n_threads: int = 1,
    ) -> None:
        labels[3] = len(density.means)

    found = failures(broken("accumulate_hard", spoil))
    assert found == {"accumulate_hard", "lloyd"}  # whose passes are compared with plain ones


@pytest.mark.parametrize("index", range(4))
def test_wrong_sums_are_found(index: int) -> None:
    def spoil(weight: FloatArray | None, density: Density, *sums_and_threads: Any) -> None:
        sums_and_threads[index][...] *= 1.001

    assert failures(broken("accumulate", spoil)) == {"accumulate"}


def test_a_wrong_likelihood_is_found() -> None:
    def spoil(weight: FloatArray | None, density: Density, totals: FloatArray, *_: object) -> None:
        totals[0] *= 1.001

    assert failures(broken("accumulate_likelihood", spoil)) == {"accumulate_likelihood"}


def test_a_wrong_mass_is_found() -> None:
    def spoil(*arguments: Any) -> None:
        arguments[-3][-1] *= 1.001

    assert failures(broken("accumulate_cells", spoil)) == {"accumulate_cells"}
    assert failures(broken("weigh_cells", spoil)) == {"weigh_cells"}


@pytest.mark.parametrize("index", [1, 2, 3, 4])
def test_a_last_bit_of_the_passes_of_k_means_is_found(index: int) -> None:
    def spoil(*arguments: Any) -> None:
        array = arguments[index]
        array[-1] = array[-1] ^ 1 if array.dtype == np.int32 else np.nextafter(array[-1], 9e9)

    assert failures(broken("lloyd", spoil)) == {"lloyd"}


def test_table_shows_errors_and_where_they_are() -> None:
    text = table(verify([broken("log_density", add(0.5))], CASES))
    assert "broken" in text
    assert "tolerance" in text
    assert "FAILED log_density (broken, float64)" in text
    assert all(kernel in text for kernel in VERIFIED)


def test_command_fails_above_tolerance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "all_cases", lambda: CASES[:2])
    build = broken("responsibilities", add(0.5))
    monkeypatch.setattr(verification, "compiled_builds", lambda: [build])
    assert main(["verify"]) == 1
    assert "FAILED responsibilities" in capsys.readouterr().out


def test_command_fails_without_compiled_builds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "compiled_builds", list)
    assert main(["verify"]) == 1
    assert "no compiled build" in capsys.readouterr().err


def test_command_succeeds_on_each_build_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "all_cases", lambda: CASES[:4])
    for build in verification.compiled_builds():
        assert main(["verify", "--isa", build.name]) == 0
        assert build.name in capsys.readouterr().out
