"""How many threads, what they must not change, and how they live with fork, threads and Ctrl-C."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture
from gaussmix._core import dispatch, threads
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect

# Rows enough that passes with four components are big enough to be run on several threads.
N_SAMPLES, N_FEATURES, N_COMPONENTS = 20_000, 5, 4

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
needs_sigint = pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process on Windows")


@pytest.fixture
def with_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_has_openmp", lambda: True)
    monkeypatch.setattr(threads, "_cpus", lambda: 6)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")


@pytest.mark.usefixtures("with_openmp")
def test_the_argument_comes_first() -> None:
    assert threads.resolve(7) == (7, "n_threads argument")


@pytest.mark.usefixtures("with_openmp")
@pytest.mark.parametrize("value", ["5", " 5 ", "5,2"])
def test_then_omp_num_threads(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.resolve() == (5, "OMP_NUM_THREADS")


@pytest.mark.usefixtures("with_openmp")
@pytest.mark.parametrize("value", ["", "0", "-2", "many", "²"])
def test_omp_num_threads_that_is_no_count_is_ignored(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.resolve().number == 3


@pytest.mark.usefixtures("with_openmp")
def test_no_more_than_a_few_threads_for_each_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    most = "4 for each CPU, the most there may be; "
    assert threads.resolve(24) == (24, "n_threads argument")
    assert threads.resolve(25) == threads.resolve(2**31) == (24, most + "n_threads argument")
    monkeypatch.setenv("OMP_NUM_THREADS", "99999999999")
    assert threads.resolve() == (24, most + "OMP_NUM_THREADS")


@pytest.mark.usefixtures("with_openmp")
@pytest.mark.parametrize(("quota", "count"), [(3, 3), (9, 6), (None, 6)])
def test_then_the_smaller_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: int | None, count: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: quota)
    assert threads.resolve().number == count


@pytest.mark.usefixtures("with_openmp")
def test_without_openmp_one_thread_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_has_openmp", lambda: False)
    assert threads.resolve(7) == (1, "built without OpenMP")


@pytest.mark.usefixtures("with_openmp")
def test_small_work_runs_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_cpus", lambda: 8)
    assert threads.for_work(4, 0.5 * threads.PARALLEL_FLOPS) == 1
    assert threads.for_work(4, threads.PARALLEL_FLOPS) == 4


@pytest.mark.usefixtures("with_openmp")
@pytest.mark.parametrize(
    ("n_threads", "cpus", "number"), [(2, 2, 3), (4, 2, 5), (1, 2, 1), (1, 1, 1)]
)
def test_a_pass_on_all_cpus_has_a_thread_more(
    n_threads: int, cpus: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that threads of OpenMP sleep while they wait: beside other work they would spin."""
    monkeypatch.setattr(threads, "_cpus", lambda: cpus)
    assert threads.for_work(n_threads, threads.PARALLEL_FLOPS) == number


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_affinity_is_respected() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert threads._cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", None)],
)
def test_cgroup_version_2(tmp_path: Path, text: str, cpus: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert threads._cgroup_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("250000", 3), ("-1", None)])
def test_cgroup_version_1(tmp_path: Path, quota: str, cpus: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert threads._cgroup_quota(tmp_path) == cpus


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    assert threads._cgroup_quota(tmp_path) is None


def rows(dtype: type[np.floating]) -> NDArray[np.floating]:
    rng = np.random.default_rng(7)
    centers = 3 * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    labels = rng.integers(N_COMPONENTS, size=N_SAMPLES)
    return (centers[labels] + rng.normal(size=(N_SAMPLES, N_FEATURES))).astype(dtype)


def start(structure: Structure) -> Parameters:
    means = np.random.default_rng(3).normal(size=(N_COMPONENTS, N_FEATURES))
    shapes = {
        "full": np.tile(np.eye(N_FEATURES), (N_COMPONENTS, 1, 1)),
        "tied": np.eye(N_FEATURES),
        "diag": np.ones((N_COMPONENTS, N_FEATURES)),
        "spherical": np.ones(N_COMPONENTS),
    }
    weights = np.full(N_COMPONENTS, 1 / N_COMPONENTS)
    return Parameters.from_covariances(structure, weights, means, shapes[structure])


def same_bits(a: Statistics, b: Statistics) -> bool:
    arrays = ("n_k", "first", "second")
    equal = (np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
    return all(equal) and a.log_likelihood == b.log_likelihood and a.weight == b.weight


@pytest.mark.usefixtures("compiled_isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_accumulate_gives_the_same_bits_on_any_number_of_threads(
    structure: Structure, dtype: type[np.floating]
) -> None:
    X, parameters = rows(dtype), start(structure)
    sample_weight = np.random.default_rng(1).uniform(size=N_SAMPLES)
    one = collect(X, sample_weight, parameters, 1)
    for n_threads in (2, 3, 4):
        assert same_bits(collect(X, sample_weight, parameters, n_threads), one)


@pytest.mark.usefixtures("compiled_isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accumulate_hard_gives_the_same_bits_on_any_number_of_threads(
    dtype: type[np.floating],
) -> None:
    X, density = rows(dtype), start("spherical").density()

    def sums(n_threads: int) -> bytes:
        labels = np.empty(N_SAMPLES, np.int32)
        n_k, first, totals = np.zeros(N_COMPONENTS), np.zeros_like(density.means), np.zeros(2)
        dispatch.kernels(X).accumulate_hard(X, None, density, labels, n_k, first, totals, n_threads)
        return b"".join(array.tobytes() for array in (labels, n_k, first, totals))

    assert sums(1) == sums(2) == sums(3) == sums(4)


@pytest.mark.usefixtures("compiled_isa")
def test_a_fit_gives_the_same_bits_on_any_number_of_threads() -> None:
    X = rows(np.float64)

    def fit(n_threads: int) -> GaussianMixture:
        return GaussianMixture(N_COMPONENTS, random_state=0, n_threads=n_threads).fit(X)

    one = fit(1)
    for n_threads in (2, 3, 4):
        assert_same_fit(fit(n_threads), one)


def test_fits_in_several_python_threads_equal_those_in_one() -> None:
    X = rows(np.float64)[:5000]

    def fit(seed: int) -> GaussianMixture:
        return GaussianMixture(N_COMPONENTS, random_state=seed, n_threads=2).fit(X)

    serial = [fit(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        concurrent = list(pool.map(fit, range(6)))
    for one, other in zip(serial, concurrent, strict=True):
        assert_same_fit(one, other)


def assert_same_fit(one: GaussianMixture, other: GaussianMixture) -> None:
    assert np.array_equal(one.means_, other.means_)
    assert np.array_equal(one.covariances_, other.covariances_)
    assert np.array_equal(one.weights_, other.weights_)
    assert one.lower_bound_ == other.lower_bound_


FIT = """
import os, signal, sys
import numpy as np
from gaussmix import GaussianMixture

X = np.random.default_rng(0).normal(size=(20_000, 5))

def fit(seed):
    model = GaussianMixture(4, random_state=seed, n_threads=4, tol=0.1).fit(X)
    return model.lower_bound_
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT + code],
        capture_output=True,
        text=True,
        timeout=120,  # a hang is what this looks for
        check=False,
    )


@needs_fork
def test_a_forked_child_fits_after_its_parent_used_threads() -> None:
    result = run(
        """
before = fit(0)
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that hangs ends itself
    os._exit(0 if fit(0) == before else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), fit(0) == before)
"""
    )
    assert result.stdout.split() == ["0", "True"], result.stderr


@needs_fork
def test_a_pool_of_forked_processes_fits_after_its_parent_used_threads() -> None:
    result = run(
        """
import multiprocessing
if __name__ == "__main__":
    before = [fit(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2, signal.alarm, (60,)) as pool:
        print(pool.map(fit, range(4)) == before)
"""
    )
    assert result.stdout.split() == ["True"], result.stderr


@needs_fork
def test_a_forked_child_says_why_it_has_one_thread() -> None:
    result = run(
        """
from gaussmix._core import threads
threads._has_openmp = lambda: True
if os.fork() == 0:
    print(*threads.resolve(4), flush=True)
    os._exit(0)
os.wait()
"""
    )
    assert result.stdout == "1 child of a fork, where OpenMP must not start threads\n"


def interrupt(code: str) -> subprocess.CompletedProcess[str]:
    """Run code that says "working" and goes on for minutes; interrupt it a second later."""
    # a shell's background jobs ignore SIGINT, and their children inherit that
    prepare = "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FIT + prepare + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, first + output, errors)


@needs_sigint
def test_ctrl_c_ends_a_long_fit() -> None:
    result = interrupt(
        """
try:
    print("working", flush=True)
    GaussianMixture(4, tol=0, max_iter=10**9, init_params="random_from_data").fit(X)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert result.stdout == "working\ninterrupted\n", result.stderr


@needs_sigint
@pytest.mark.slow
def test_ctrl_c_ends_a_single_pass_of_minutes(compiled_isa: str) -> None:
    # zeros that nothing writes to take no memory; all components share every row, so none is cheap
    result = interrupt(
        f"""
from gaussmix._core import dispatch
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect
X = np.zeros((1_000_000, 64), np.float32)
K = 1024
covariances = np.tile(np.eye(64), (K, 1, 1))
theta = Parameters.from_covariances("full", np.full(K, 1 / K), np.zeros((K, 64)), covariances)
with dispatch.using({compiled_isa!r}):
    try:
        print("working", flush=True)
        collect(X, None, theta, 1)
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    assert result.stdout == "working\ninterrupted\n", result.stderr
