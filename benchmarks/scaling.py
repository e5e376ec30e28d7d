"""What a fit on Dask costs beyond its passes: prints the figures of docs/distributed.md.

It measures, on workers that are processes of this machine, what a task, a message and an EM
iteration take, with one worker and with two; then it simulates an iteration on more of them with
the constants it found, beside the formula of the docs.
"""

import heapq
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import InMemory
from gaussmix.data.partitions import FAN_IN
from gaussmix.distributed import DaskData, data
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import StatisticsPass

D, K = 16, 32
PARTS_ROWS = (25_000, 250_000)
N_PARTS = 16
REPEATS = 7
ENOUGH = 4.0  # seconds


class Constants(NamedTuple):
    """Seconds that an iteration pays besides its passes, and bytes per second."""

    fixed: float  # an iteration of hardly any tasks
    task: float  # each task more: the scheduler's and the client's work
    transfer: float  # a message, beside its bytes
    bandwidth: float  # a message's bytes


class NothingPass:
    """Takes no time, and sends a number of bytes there and back."""

    def __init__(self, ballast: FloatArray, n_threads: int | None) -> None:
        self.ballast = ballast

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        pass

    def result(self) -> FloatArray:
        return self.ballast


@contextmanager
def cluster(n_workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as workers,
        Client(workers) as client,
    ):
        yield client


def parts(n_parts: int, n_rows: int, n_features: int) -> Any:
    """Partitions in the workers' memory."""
    import dask.array as da
    from distributed import wait

    random = da.random.default_rng(0)
    X = random.normal(size=(n_parts * n_rows, n_features), chunks=(n_rows, n_features)).persist()
    wait(X)
    return data(X)


def seconds(function: Callable[[], object]) -> float:
    """The shortest of several times, of which there are fewer where one is long."""
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < ENOUGH:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def nothing(rows: DaskData, n_values: int = 1) -> float:
    ballast = np.zeros(n_values)
    return seconds(lambda: rows.total(partial(NothingPass, ballast)))


def measured_constants() -> Constants:
    """Fit straight lines to iterations of more tasks, and of larger messages."""
    n_parts = [2, 8, 32, 128]
    n_bytes = np.array([8e3, 8e5, 4e6, 16e6])
    with cluster(2):
        tasks = [nothing(parts(n, 8, 2)) for n in n_parts]
        pair = parts(2, 8, 2)
        messages = [nothing(pair, int(n / 8)) for n in n_bytes]
    per_task, fixed = np.polyfit([n_tasks(n) for n in n_parts], tasks, 1)
    # the parameters go from the client to a worker and on to the other, a result from worker to
    # worker, and the sum to the client
    per_byte, _ = np.polyfit(n_bytes, messages, 1)
    print("| tasks | an iteration of empty passes |")
    print("|--:|--:|")
    for n, time_taken in zip(n_parts, tasks, strict=True):
        print(f"| {n_tasks(n)} | {time_taken * 1e3:.0f} ms |")
    print("\n| parameters and statistics | an iteration of two empty passes |")
    print("|--:|--:|")
    for size, time_taken in zip(n_bytes, messages, strict=True):
        print(f"| {size / 1e6:g} MB | {time_taken * 1e3:.0f} ms |")
    # round trips of some 2 ms, by which workers and scheduler collect messages, are in `fixed`
    return Constants(float(fixed), float(per_task), 0.005, 4 / float(per_byte))


def n_tasks(n_parts: int) -> int:
    """Passes, and the sums of the tree over them."""
    total = n_parts
    while n_parts > 1:
        n_parts = -(-n_parts // FAN_IN)
        total += n_parts
    return total


def parameters() -> Parameters:
    means = np.random.default_rng(1).normal(size=(K, D))
    weights, covariances = np.full(K, 1 / K), np.stack([np.eye(D)] * K)
    return Parameters.from_covariances("full", weights, means, covariances)


def print_scaling(part_rows: int, constants: Constants) -> None:
    """Time the pass of an EM iteration in memory and on one and two workers."""
    make = partial(StatisticsPass, parameters())
    X = np.random.default_rng(0).normal(size=(N_PARTS * part_rows, D))
    times = {}
    for n_threads in (1, 2):
        rows = InMemory(X, None, n_threads)
        times[f"in memory, threads: {n_threads}"] = seconds(partial(rows.total, make))
    del X, rows
    one, two = times.values()
    overhead = constants.fixed + constants.task * n_tasks(N_PARTS)
    for n_workers in (1, 2):
        with cluster(n_workers):
            there = parts(N_PARTS, part_rows, D)
            times[f"on Dask, workers: {n_workers}"] = seconds(partial(there.total, make))
    print(f"\nN = {N_PARTS * part_rows:,}, D = {D}, K = {K}, full, in {N_PARTS} partitions\n")
    print("| a pass | seconds | gain | expected |")
    print("|---|--:|--:|--:|")
    for (name, taken), alone in zip(times.items(), (one, two, one, two), strict=True):
        expected = f"{alone + overhead:.3f}" if "Dask" in name else ""
        print(f"| {name} | {taken:.3f} | {one / taken:.2f} | {expected} |")


def message_bytes(n_components: int, n_features: int) -> int:
    """Statistics of full covariances: counts, first and second moments, and the shift."""
    return 8 * n_components * (1 + 2 * n_features + n_features**2)


def formula(work: float, n_workers: int, per_worker: int, n_bytes: int, c: Constants) -> float:
    """The model of the docs."""
    n_parts = n_workers * per_worker
    message = c.transfer + n_bytes / c.bandwidth
    levels = math.ceil(math.log(n_parts, FAN_IN)) if n_parts > 1 else 0
    spread = math.ceil(math.log2(n_workers)) if n_workers > 1 else 0
    local = levels - math.ceil(math.log(n_workers, FAN_IN)) if n_workers > 1 else levels
    remote = (levels - local) * (FAN_IN - 1)
    busy = max(work / n_workers, c.task * n_tasks(n_parts))
    return c.fixed + busy + (spread + remote) * message


def simulated(work: float, n_workers: int, per_worker: int, n_bytes: int, c: Constants) -> float:
    """Play an iteration through, task by task.

    Workers do a task at a time. The scheduler handles tasks that end one after the other. A sum is
    made by the worker of its first result, which fetches those of others one after the other.
    Parameters reach twice as many workers with every message's time.
    """
    n_parts = n_workers * per_worker
    message = c.transfer + n_bytes / c.bandwidth
    free = [message * math.ceil(math.log2(w + 1)) for w in range(n_workers)]
    scheduler, ready = 0.0, [0.0] * n_parts
    owner = [i // per_worker for i in range(n_parts)]
    ends: list[tuple[float, int]] = []
    for i, worker in enumerate(owner):
        free[worker] += work / n_parts
        heapq.heappush(ends, (free[worker], i))
    while ends:
        end, i = heapq.heappop(ends)
        scheduler = max(scheduler, end) + c.task
        ready[i] = scheduler
    while len(ready) > 1:
        sums, owners = [], []
        for start in range(0, len(ready), FAN_IN):
            group = owner[start : start + FAN_IN]
            fetched = sum(worker != group[0] for worker in group)
            begin = max(*ready[start : start + FAN_IN], free[group[0]])
            free[group[0]] = begin + fetched * message
            sums.append(free[group[0]])
            owners.append(group[0])
        order = np.argsort(sums, kind="stable")
        for i in order:
            scheduler = max(scheduler, sums[i]) + c.task
            sums[i] = scheduler
        ready, owner = sums, owners
    return c.fixed + ready[0]


def print_simulation(constants: Constants, works: Sequence[float], shape: tuple[int, int]) -> None:
    n_components, n_features = shape
    n_bytes = message_bytes(n_components, n_features)
    workers = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    print(
        f"\nK = {n_components}, D = {n_features}: {n_bytes / 1e6:.3g} MB, 2 partitions a worker\n"
    )
    print(f"| one worker's pass | {' | '.join(str(n) for n in workers)} |")
    print(f"|--:|{'--:|' * len(workers)}")
    for work in works:
        for name, model in (("simulated", simulated), ("formula", formula)):
            taken = [model(work, n, 2, n_bytes, constants) for n in workers]
            print(f"| {work:g} s, {name} | {' | '.join(f'{t:.3g}' for t in taken)} |")


def main() -> None:
    constants = measured_constants()
    print(
        f"\nfixed {constants.fixed * 1e3:.0f} ms, a task {constants.task * 1e3:.1f} ms, "
        f"bandwidth {constants.bandwidth / 1e6:.0f} MB/s"
    )
    for part_rows in PARTS_ROWS:
        print_scaling(part_rows, constants)
    for shape in ((16, 8), (32, 64), (256, 128)):
        print_simulation(constants, (10, 1000), shape)


if __name__ == "__main__":
    main()
