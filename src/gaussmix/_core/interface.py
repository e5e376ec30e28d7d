"""The one signature of the kernels, which the reference and every compiled build satisfy."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussmix._core.cells import Cells
from gaussmix._core.conjugate import Conjugate
from gaussmix._core.density import Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows, Structure

# One pass over the rows each, under a density. `em`, `lloyd` and `plus_plus` make many.
KERNELS = (
    "log_density",
    "log_likelihood",
    "responsibilities",
    "assign",
    "accumulate",
    "accumulate_hard",
    "accumulate_likelihood",
)

CELL_KERNELS = ("accumulate_cells", "weigh_cells")
"""One pass each over cells of rows, under the components that their lists name."""


class Kernels(Protocol):
    """A module of kernels. `_core.reference` says what each function computes."""

    BLOCK_ROWS: int
    """Rows at most that are worked on at a time."""

    PANEL_ROWS: int
    """Rows that go side by side through every loop, in vectors."""

    def log_density(self, X: Rows, density: Density, out: Rows, n_threads: int = 1) -> None: ...

    def log_likelihood(
        self,
        X: Rows,
        density: Density,
        out: Rows,
        n_threads: int = 1,
        told: Told | None = None,
    ) -> None: ...

    def responsibilities(
        self,
        X: Rows,
        density: Density,
        out: Rows,
        n_threads: int = 1,
        told: Told | None = None,
    ) -> None: ...

    def assign(
        self,
        X: Rows,
        density: Density,
        labels: NDArray[np.int32],
        best: Rows | None,
        n_threads: int = 1,
        told: Told | None = None,
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
        labels: NDArray[np.int32] | None = None,
        told: Told | None = None,
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

    def accumulate_likelihood(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        density: Density,
        totals: FloatArray,
        n_threads: int = 1,
        told: Told | None = None,
    ) -> None: ...

    def accumulate_cells(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        density: Density,
        cells: Cells,
        n_k: FloatArray,
        first: FloatArray,
        second: FloatArray,
        totals: FloatArray,
        masses: FloatArray,
        labels: NDArray[np.int32] | None,
        n_threads: int = 1,
    ) -> None: ...

    def weigh_cells(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        density: Density,
        cells: Cells,
        totals: FloatArray,
        masses: FloatArray,
        labels: NDArray[np.int32] | None,
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
        tally: NDArray[np.int64] | None = None,
    ) -> tuple[int, bool]: ...

    def em(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        ascent: Any,
        bounds: FloatArray,
        tol: float,
        previous: float,
        n_threads: int = 1,
        labels: NDArray[np.int32] | None = None,
    ) -> tuple[int, bool]: ...

    def em_from_kmeans(
        self,
        view: Rows,
        X: Rows,
        sample_weight: FloatArray | None,
        uniforms: FloatArray,
        n_trials: int,
        max_passes: int,
        threshold: float,
        labels: NDArray[np.int32],
        ascent: Any,
        bounds: FloatArray,
        tol: float,
        n_threads: int = 1,
    ) -> tuple[int, int, bool]: ...

    def plus_plus(
        self,
        X: Rows,
        sample_weight: FloatArray | None,
        uniforms: FloatArray,
        chosen: NDArray[np.int64],
        n_trials: int,
        n_threads: int = 1,
    ) -> None: ...


class Estimates(Protocol):
    """A module for a mixture's parameters. `_core.reference_estimates` says what each part does."""

    def LikelihoodAscent(  # noqa: N802, a class
        self,
        structure: Structure,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
        factors: FloatArray,
        reg_covar: float,
    ) -> Any: ...

    def maximise(
        self,
        structure: Structure,
        shift: FloatArray,
        n_k: FloatArray,
        first: FloatArray,
        second: FloatArray,
        row_weight: float,
        reg_covar: float,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
        factors: FloatArray,
    ) -> bool: ...

    def density_constants(
        self,
        structure: Structure,
        weights: FloatArray,
        means: FloatArray,
        factors: FloatArray,
        dtype: DTypeLike,
        center: FloatArray,
        deviations: FloatArray,
        log_scales: FloatArray,
    ) -> None: ...

    def precision_factors(self, covariances: FloatArray, factors: FloatArray) -> None: ...


class Bayesian(Protocol):
    """A module for variational Bayes. `_core.reference_bayesian` says what each part does."""

    def EvidenceAscent(  # noqa: N802, a class
        self, prior: Conjugate, posterior: Conjugate, reg_covar: float
    ) -> Any: ...

    def maximise_bound(
        self,
        prior: Conjugate,
        shift: FloatArray,
        n_k: FloatArray,
        first: FloatArray,
        second: FloatArray,
        row_weight: float,
        reg_covar: float,
        posterior: Conjugate,
    ) -> bool: ...

    def add_counts(self, prior: Conjugate, counts: FloatArray, posterior: Conjugate) -> bool: ...

    def expected_weights(self, concentration: FloatArray, weights: FloatArray) -> None: ...

    def expected_constants(
        self,
        posterior: Conjugate,
        dtype: DTypeLike,
        center: FloatArray,
        deviations: FloatArray,
        log_scales: FloatArray,
    ) -> None: ...

    def divergence(self, posterior: Conjugate, prior: Conjugate) -> float: ...
