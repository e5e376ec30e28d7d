"""What the benchmark's figures are measured on: the machine, what it can do at most, its memory.

The ceilings are NumPy's: a matrix product for arithmetic, the triad of STREAM (McCalpin, 1995) for
the memory's rate, and its exponential.
"""

import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.config import config

GEMM_SIZE = 2048
TRIAD_SIZE = 1 << 23  # elements of each of three arrays, 64 MB: more than caches hold
TRIAD_CHUNK = 1 << 14  # elements between two steps of a triad, which then stay in a cache
EXP_SIZE = 1 << 10
DTYPES = ("float64", "float32")


class Ceilings(NamedTuple):
    """The most that NumPy gets out of this machine on so many threads."""

    threads: int
    gemm: dict[str, float]
    """GFLOP/s of a large matrix product, by precision."""
    memory: float
    """GB/s of a triad, read and written."""
    exp: float
    """Exponentials in 1e9/s, float64, on one thread."""


def ceilings(n_threads: int) -> Ceilings:
    """Measure the ceilings; the caller holds BLAS to as many threads."""
    gemm = {dtype: gemm_rate(dtype) for dtype in DTYPES}
    return Ceilings(n_threads, gemm, triad_rate(n_threads), exp_rate())


def better(first: Ceilings, second: Ceilings) -> Ceilings:
    """Return the higher of each two figures, for a machine whose speed changes meanwhile."""
    gemm = {dtype: max(rate, second.gemm[dtype]) for dtype, rate in first.gemm.items()}
    memory, exp = max(first.memory, second.memory), max(first.exp, second.exp)
    return Ceilings(first.threads, gemm, memory, exp)


def gemm_rate(dtype: str = "float64", size: int = GEMM_SIZE, repeats: int = 2) -> float:
    """Measure the GFLOP/s of numpy's product of two square matrices, the best of some."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    return 2e-9 * size**3 / best_seconds(lambda: a @ a, repeats)


def triad_rate(n_threads: int, size: int = TRIAD_SIZE, repeats: int = 5) -> float:
    """Measure the GB/s of a = b + 3 c, counted as STREAM does: two arrays read, one written."""
    arrays = [np.full((n_threads, size // n_threads), value) for value in (0.0, 1.0, 2.0)]
    parts = list(zip(*arrays, strict=True))
    with ThreadPoolExecutor(n_threads) as pool:
        seconds = best_seconds(lambda: list(pool.map(_triad, parts)), repeats)
    return 1e-9 * sum(array.nbytes for array in arrays) / seconds


def _triad(arrays: tuple[NDArray[np.float64], ...]) -> None:
    for start in range(0, len(arrays[0]), TRIAD_CHUNK):
        a, b, c = (array[start : start + TRIAD_CHUNK] for array in arrays)
        np.multiply(c, 3.0, out=a)
        np.add(a, b, out=a)


def exp_rate(size: int = EXP_SIZE, repeats: int = 40_000) -> float:
    """Measure how many exponentials numpy takes of cached doubles, in 1e9/s, on one thread."""
    x = np.linspace(-30.0, 0.0, size)
    out = np.empty_like(x)
    return 1e-9 * size / best_seconds(lambda: np.exp(x, out=out), repeats)


def best_seconds(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the best of some calls; one more comes first, to wake the threads."""
    times = []
    for _ in range(1 + repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times[1:])


def about(libraries: dict[str, str]) -> dict[str, str]:
    """Tell what the figures are measured on and with; `libraries` are names and versions."""
    found = config()
    versions = [f"{name} {number}" for name, number in libraries.items() if number]
    return {
        "CPU": f"{_cpu_name()}, {os.cpu_count()} in all, {found['threads']} threads used",
        "gaussmix": f"{found['version']}, {found['isa']}, {found['compiler']}",
        "Python": ", ".join([platform.python_version(), *versions]),
    }


def reached(found: Ceilings) -> str:
    """Put the ceilings into words."""
    gemm = ", ".join(f"{dtype} {rate:.0f}" for dtype, rate in found.gemm.items())
    return (
        f"gemm {gemm} GFLOP/s (numpy, {GEMM_SIZE} x {GEMM_SIZE}), memory {found.memory:.0f} GB/s "
        f"(triad), exp {found.exp:.2f}e9/s a thread (numpy)"
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def reset_peak() -> int | None:
    """Set the peak of this process's memory to what it has now, and return that, on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _memory("VmRSS")
    except (OSError, KeyError):
        return None


def peak() -> int:
    """Return the bytes that this process has had at most since `reset_peak`."""
    return _memory("VmHWM")


def lifetime_peak() -> int | None:
    """Return the bytes that this process has had at most; None where it cannot be asked."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = dict(line.split(":", 1) for line in lines)[field].split()[0]
    return 1024 * int(kilobytes)
