"""The one signature of the kernels, which the reference and every compiled build satisfy."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import Density, FloatArray

Rows = NDArray[np.floating]

# One pass over the rows each, under a density; `lloyd` makes many, under its centres.
KERNELS = (
    "log_density",
    "log_likelihood",
    "responsibilities",
    "assign",
    "accumulate",
    "accumulate_hard",
)


class Kernels(Protocol):
    """A module of kernels. `_core.reference` says what each function computes."""

    def log_density(self, X: Rows, density: Density, out: Rows, n_threads: int = 1) -> None: ...

    def log_likelihood(self, X: Rows, density: Density, out: Rows, n_threads: int = 1) -> None: ...

    def responsibilities(
        self, X: Rows, density: Density, out: Rows, n_threads: int = 1
    ) -> None: ...

    def assign(
        self,
        X: Rows,
        density: Density,
        labels: NDArray[np.int32],
        best: Rows | None,
        n_threads: int = 1,
    ) -> None: ...

    def accumulate(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        density: Density,
        n_k: FloatArray,
        first: FloatArray,
        second: FloatArray,
        totals: FloatArray,
        n_threads: int = 1,
    ) -> None: ...

    def accumulate_hard(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        density: Density,
        labels: NDArray[np.int32] | None,
        n_k: FloatArray,
        first: FloatArray,
        totals: FloatArray,
        n_threads: int = 1,
    ) -> None: ...

    def lloyd(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        centers: FloatArray,
        labels: NDArray[np.int32],
        n_k: FloatArray,
        totals: FloatArray,
        max_iter: int,
        threshold: float,
        n_threads: int = 1,
    ) -> tuple[int, bool]: ...


class Matrices(Protocol):
    """A module for small matrices. `_core.reference` says what each function computes."""

    def precision_factors(self, covariances: FloatArray, factors: FloatArray) -> None: ...
