"""How many threads a pass runs on, decided once, in Python, and passed down."""

import os
from functools import cache
from math import ceil
from pathlib import Path
from typing import NamedTuple

PARALLEL_FLOPS = 1e7
"""Below this a pass takes half a millisecond: a second thread gains little of it on a quiet
machine, and where another process holds its core the wait costs several times as much."""

THREADS_PER_CPU = 4
"""More than this for every CPU of the machine gain nothing, and each takes memory."""

_forked = False


class ThreadCount(NamedTuple):
    """A number of threads and, for people, why that many."""

    number: int
    reason: str


def resolve(n_threads: int | None = None) -> ThreadCount:
    """Threads to use: the argument, else OMP_NUM_THREADS, else the CPUs this process may use.

    What is asked for is kept below THREADS_PER_CPU for every CPU of the machine.
    """
    if not _has_openmp():
        return ThreadCount(1, "built without OpenMP")
    if _forked:
        return ThreadCount(1, "child of a fork, where OpenMP must not start threads")
    if n_threads is not None:
        return _at_most(n_threads, "n_threads argument")
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return _at_most(int(wanted), "OMP_NUM_THREADS")
    cpus, quota = _cpus(), _cgroup_quota()
    if quota is not None and quota < cpus:
        return ThreadCount(quota, f"cgroup CPU quota, of {cpus} CPUs")
    return ThreadCount(cpus, "CPUs this process may use")


def for_work(n_threads: int | None, flops: float) -> int:
    """Return the threads for a pass of this many floating-point operations: one when it is small.

    A pass that uses all CPUs gets one thread more. Threads of OpenMP wait busily at the end of a
    loop, for some milliseconds. Beside other processes they take time from the very thread that
    they wait for. With more threads than CPUs they go to sleep after a few microseconds. The thread
    more shares the groups of rows, and changes no bit.
    """
    if flops < PARALLEL_FLOPS:
        return 1
    number = resolve(n_threads).number
    return number + 1 if number > 1 and number >= _cpus() else number


def _at_most(wanted: int, source: str) -> ThreadCount:
    if wanted <= THREADS_PER_CPU:  # to ask for the CPUs takes some 10 us, in every pass
        return ThreadCount(wanted, source)
    most = THREADS_PER_CPU * (os.cpu_count() or 1)
    if wanted <= most:
        return ThreadCount(wanted, source)
    return ThreadCount(most, f"{THREADS_PER_CPU} for each CPU, the most there may be; {source}")


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


@cache
def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """CPUs that the control group grants (version 2, then 1), rounded up; None if unlimited."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return None
    if quota.strip() in ("max", "-1"):
        return None
    return max(1, ceil(int(quota) / int(period)))


@cache
def _has_openmp() -> bool:
    try:
        from gaussmix._core import build_info
    except ImportError:  # the reference, run from a source tree that was never built
        return False
    return build_info.OPENMP


def _mark_forked() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)
