"""What a case would take if it did nothing but what cannot be left out, at the machine's rates.

Three things cannot: the products of E-step and M-step, at the rate of a large matrix product; an
exponential for each row and component; and reading the rows once. What a pass takes beyond their
sum goes into loading operands, maxima, divisions, logarithms and sums over lanes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gaussmix.bench.cases import (
    EM,
    FROM_FILES,
    KMEANS,
    KMEANS_PASSES,
    PREDICT,
    PREDICT_PROBA,
    SCORE_SAMPLES,
    Case,
)
from gaussmix.bench.machine import Ceilings
from gaussmix.model.covariance import structure_of
from gaussmix.model.statistics import n_terms


class Bound(NamedTuple):
    """Seconds that each part of a case takes at least."""

    products: float
    exponentials: float
    memory: float

    @property
    def total(self) -> float:
        """Seconds of all parts, one after the other."""
        return sum(self)

    @property
    def binding(self) -> str:
        """The part that takes longest."""
        return max(zip(self, self._fields, strict=True))[1]

    def __str__(self) -> str:
        parts = zip(self._fields, self, strict=True)
        return " + ".join(f"{name} {milliseconds(seconds)}" for name, seconds in parts if seconds)


class Work(NamedTuple):
    """What a case cannot do without."""

    flops: float
    exponentials: float
    numbers: float
    """Numbers that are read and written."""


def bound(case: Case, ceilings: Ceilings, exp_rate: float) -> Bound | None:
    """Return what a case takes at least, None if it is more than passes over the rows.

    Parameters
    ----------
    case : Case
    ceilings : Ceilings
        What the machine does at most, on as many threads as the case ran on.
    exp_rate : float
        Exponentials in 1e9/s of float64 on one thread; of float32 it takes twice as many.
    """
    if case.task not in WORK:
        return None
    work = WORK[case.task](case)
    itemsize = np.dtype(case.dtype).itemsize
    lanes = 8 // itemsize
    return Bound(
        1e-9 * work.flops / ceilings.gemm[case.dtype],
        1e-9 * work.exponentials / (lanes * exp_rate * ceilings.threads),
        1e-9 * work.numbers * itemsize / ceilings.memory,
    )


def milliseconds(seconds: float) -> str:
    """Put a time into words."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _step(case: Case) -> float:
    """Operations of an E-step alone, or of an M-step."""
    return (
        2.0
        * case.n_samples
        * case.n_components
        * n_terms(structure_of(case.structure), case.n_features)
    )


def _em(case: Case) -> Work:
    n, d, k = case.shape
    return Work(2 * _step(case), n * k, n * d)


def _prediction(numbers_out: Callable[[int], int], exponentials: bool) -> Callable[[Case], Work]:
    def work(case: Case) -> Work:
        n, d, k = case.shape
        return Work(_step(case), n * k * exponentials, n * (d + numbers_out(k)))

    return work


def _kmeans(case: Case) -> Work:
    """Distances as a product of rows and centers; sums of rows are no arithmetic to speak of."""
    n, d, k = case.shape
    return Work(2.0 * KMEANS_PASSES * n * d * k, 0, KMEANS_PASSES * n * d)


WORK: dict[str, Callable[[Case], Work]] = {
    EM: _em,
    FROM_FILES: _em,
    PREDICT: _prediction(lambda _: 1, exponentials=False),
    PREDICT_PROBA: _prediction(lambda k: k, exponentials=True),
    SCORE_SAMPLES: _prediction(lambda _: 1, exponentials=True),
    KMEANS: _kmeans,
}
