"""Fixtures that several test files share: every build that runs here, and a little data."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix.bench import machine, race
from gaussmix.bench.cases import Answer

# The same examples in every run, so that a failure can be seen again.
with suppress(ImportError):  # wheels are tested with pytest alone
    from hypothesis import settings

    settings.register_profile("same", derandomize=True, deadline=None)
    settings.load_profile("same")

# A source tree that was never compiled has no build_info and runs on the reference alone.
COMPILED = dispatch.available() if find_spec("gaussmix._core.build_info") else ()


@pytest.fixture
def compiled() -> tuple[str, ...]:
    """Names of the compiled builds that run here, slowest first."""
    if not COMPILED:
        pytest.skip("never compiled")
    return COMPILED


each_build = [pytest.param(name, marks=pytest.mark.kernels) for name in COMPILED]


@pytest.fixture(params=each_build)
def compiled_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test on every compiled build."""
    with dispatch.using(request.param) as build:
        yield build.name


@pytest.fixture(params=[*each_build, "reference"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test on every compiled build and on the reference."""
    with dispatch.using(request.param) as build:
        yield build.name


@pytest.fixture
def blobs() -> NDArray[np.float64]:
    """3000 rows of three round, well-separated groups of equal size: (3000, 3)."""
    rng = np.random.default_rng(42)
    centers = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 4.0], [0.0, 9.0, -4.0]])
    return rng.permutation(np.repeat(centers, 1000, axis=0) + rng.normal(size=(3000, 3)))


@pytest.fixture
def quick_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the benchmark measures of a machine is known: its ceilings, and 0.1 s an iteration."""

    def timed(runner: race.Race, n_iter: int) -> tuple[float, Answer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return 0.1 * n_iter, runner._run(n_iter)

    monkeypatch.setattr(race.Race, "_timed", timed)
    monkeypatch.setattr(race, "REST", 0.0)
    monkeypatch.setattr(machine, "gemm_rate", lambda dtype="float64": 10.0)
    monkeypatch.setattr(machine, "triad_rate", lambda n_threads: 10.0)
    monkeypatch.setattr(machine, "exp_rate", lambda: 0.5)
