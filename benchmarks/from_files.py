"""The benchmark's contenders whose rows are in files, beside the rows in memory."""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix._core.types import Rows
from gaussmix.bench.cases import FROM_FILES, Call, Contender, Prepare, Problem, version_of
from gaussmix.bench.contenders import gaussmix
from gaussmix.data import streamed

MAPPED, NPY, PARQUET = "gaussmix memmap", "gaussmix .npy", "gaussmix Parquet"
READING = "pyarrow reading"

Write = Callable[[Rows, Path], Any]
"""Rows and a folder -> what is given to `fit` in the rows' place."""


def readers() -> list[Contender]:
    """Return gaussmix on rows in memory, first, and in files, and pyarrow that merely reads."""
    entrants = [gaussmix(), _reader(MAPPED, _mapped), _reader(NPY, _npy)]
    if find_spec("pyarrow"):
        alone = Contender(
            READING, version_of("pyarrow"), "", {FROM_FILES: _written(_parquet, _reading)}
        )
        entrants += [_reader(PARQUET, _parquet), alone]
    return entrants


def _reader(name: str, write: Write) -> Contender:
    ours = gaussmix()
    return ours._replace(library=name, tasks={FROM_FILES: _written(write, ours.tasks[FROM_FILES])})


def _written(write: Write, task: Prepare) -> Prepare:
    """The same task on what stands for the rows, which lies in a folder as long as it is run."""

    def prepare(problem: Problem, n_threads: int) -> Call:
        folder = Path(tempfile.mkdtemp(prefix="gaussmix-"))
        try:
            run = _reading_again(task(problem._replace(X=write(problem.X, folder)), n_threads))
        except BaseException:
            shutil.rmtree(folder)
            raise
        weakref.finalize(run, shutil.rmtree, folder)
        return run

    return prepare


def _reading_again(run: Call) -> Call:
    """The same run, in which every pass reads the file, as if it were too large to be held."""

    def again(n_iter: int) -> Any:
        held, streamed.HELD_BYTES = streamed.HELD_BYTES, 0
        try:
            return run(n_iter)
        finally:
            streamed.HELD_BYTES = held

    return again


def _npy(X: Rows, folder: Path) -> Path:
    path = folder / "rows.npy"
    np.save(path, X)
    return path


def _mapped(X: Rows, folder: Path) -> Any:
    return np.load(_npy(X, folder), mmap_mode="r")


def _parquet(X: Rows, folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    path = folder / "rows.parquet"
    columns = {f"x{number}": column for number, column in enumerate(X.T)}
    parquet.write_table(pyarrow.table(columns), path)
    return path


def _reading(problem: Problem, n_threads: int) -> Call:
    import pyarrow
    from pyarrow import parquet

    path = problem.X
    pyarrow.set_cpu_count(n_threads)

    def run(n_iter: int) -> None:
        for _ in range(n_iter):
            parquet.read_table(path)

    return run
