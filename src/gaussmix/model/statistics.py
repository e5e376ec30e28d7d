"""Sufficient statistics of a mixture, a commutative monoid: `a + b` describes both data sets."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.cells import Cells
from gaussmix._core.density import Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.model.covariance import AnyStructure, CovarianceStructure, structure_of
from gaussmix.model.gaps import parts
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_mean_within_reach


@dataclass(frozen=True)
class Statistics:
    r"""Weighted moments of soft-assigned rows about a shift, and their log-likelihood.

    With responsibilities r_k, row weights w and d_k = x - shift_k:

    n_k (K,) = sum w r_k; first (K, D) = sum w r_k d_k; second = sum w r_k d_k d_k', full
    (K, D, D), tied (D, D) summed over components, diag (K, D), spherical (K,) summed over
    features. Shifting by the component's present mean keeps all digits wherever the data lie.
    """

    structure: CovarianceStructure
    shift: FloatArray  # (K, D)
    n_k: FloatArray
    first: FloatArray
    second: FloatArray
    log_likelihood: float
    weight: float
    n_samples: int
    n_noise: float = 0.0
    """The noise's part of the weight."""

    @classmethod
    def zeros(cls, structure: AnyStructure, shift: FloatArray) -> Self:
        """Statistics of no rows at all, for a structure or its name."""
        structure = structure_of(structure)
        return cls(structure, shift, *_zeros(structure, shift), 0.0, 0.0, 0)

    @property
    def mean_log_likelihood(self) -> float:
        """Weighted mean log-likelihood of a row."""
        return self.log_likelihood / self.weight

    def about(self, shift: FloatArray) -> "Statistics":
        """The same statistics about another shift (K, D)."""
        step = self.shift - shift  # d about the new shift = d + step
        first = self.first + self.n_k[:, None] * step
        second = self.second + self.structure.change_of_shift(self.n_k, self.first, step)
        return replace(self, shift=shift, first=first, second=second)

    def __add__(self, other: "Statistics") -> "Statistics":
        if not isinstance(other, Statistics):
            return NotImplemented
        if (self.structure, self.shift.shape) != (other.structure, other.shift.shape):
            raise ValueError(
                f"cannot add statistics of structure {self.structure.name!r}, "
                f"shape {self.shift.shape}, and of {other.structure.name!r}, {other.shift.shape}"
            )
        if not np.array_equal(self.shift, other.shift):
            other = other.about(self.shift)
        return Statistics(
            self.structure,
            self.shift,
            self.n_k + other.n_k,
            self.first + other.first,
            self.second + other.second,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
            self.n_samples + other.n_samples,
            self.n_noise + other.n_noise,
        )

    def __radd__(self, other: object) -> "Statistics":
        return self if other == 0 else NotImplemented  # so that sum() works


class StatisticsPass:
    """The pass of an E-step: adds up statistics of rows (N, D) under the parameters.

    Rows are finite C-contiguous float32 or float64 arrays of one dtype, weights (N,) finite
    non-negative float64 or None. Shapes and dtypes are checked here, but values are not: what is
    not finite ends up in the statistics. `gaussmix.validation.check_rows` and
    `check_sample_weight` check all.

    With `gaps` rows may lack values, which are NaN then. The statistics are the expected ones given
    the others: conditional means stand for what is lacking, and their covariances are part of the
    second moments (Ghahramani & Jordan, 1994).

    With `single` rows of float64 are centred, rounded to float32 and gone over as such, block by
    block. It takes some 0.6 of the time. The sums end in float64 as ever.
    """

    def __init__(
        self,
        parameters: Parameters,
        n_threads: int | None = None,
        *,
        gaps: bool = False,
        single: bool = False,
    ) -> None:
        self._parameters = parameters
        self._gaps = gaps
        self._single = single
        self._n_threads = n_threads
        self._density: Density | None = None
        self._shift = parameters.means
        _, *moments = _zeros(parameters.structure, parameters.means)
        n_terms = parameters.n_components + (parameters.noise is not None)
        self._sums = np.zeros(n_terms), moments[0], moments[1]
        self._totals = np.zeros(2)
        self._n_samples = 0

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Add the statistics of the next rows."""
        self._add(rows, weight, None)

    def add_told(self, rows: Rows, weight: FloatArray | None, told: Told) -> None:
        """Add the statistics of the next rows, of which something is told."""
        self._add(rows, weight, told)

    def add_cells(
        self, rows: Rows, weight: FloatArray | None, cells: Cells, labels: Labels | None
    ) -> None:
        """Add the statistics of the next rows under the components that their cells list.

        The most probable of these, for each row, goes to labels (N,) if given.
        """
        density, count = self._begun(rows)
        masses = np.empty(len(cells.components))
        dispatch.active().kernels(self._precision(rows)).accumulate_cells(
            rows, weight, density, cells, *self._sums, self._totals, masses, labels, count
        )
        self._require_reach(rows, weight, density, None)
        self._n_samples += len(rows)

    def _add(self, rows: Rows, weight: FloatArray | None, told: Told | None) -> None:
        density, count = self._begun(rows)
        for place, part, own_density in parts(rows, density):
            own = None if weight is None else weight[place]
            some = None if told is None else told[place]
            dispatch.active().kernels(self._precision(part)).accumulate(
                part, own, own_density, *self._sums, self._totals, count, None, some
            )
        self._require_reach(rows, weight, density, told)
        self._n_samples += len(rows)

    def _begun(self, rows: Rows) -> tuple[Density, int]:
        """Return the constants and the number of threads for the next rows."""
        if self._density is None:
            self._density = self._parameters.density(self._precision(rows), gaps=self._gaps)
            self._shift = self._density.center + self._density.means
        count = threads_for(self._n_threads, rows, self._parameters)
        return self._density, count

    def result(self) -> Statistics:
        """Return the statistics of all rows."""
        log_likelihood, weight = self._totals.tolist()
        structure, n_components = self._parameters.structure, self._parameters.n_components
        n_k, first, second = self._sums
        return Statistics(
            structure,
            self._shift,
            n_k[:n_components],
            first,
            second,
            log_likelihood,
            weight,
            self._n_samples,
            float(n_k[n_components:].sum()),
        )

    def _precision(self, rows: Rows) -> np.dtype[np.floating]:
        """Return what log-densities and moments of a block are computed in."""
        return np.dtype(np.float32) if self._single else rows.dtype

    def _require_reach(
        self, rows: Rows, weight: FloatArray | None, density: Density, told: Told | None
    ) -> None:
        """Raise ValueError if a row that was added is out of reach of every component."""
        require_mean_within_reach(self._totals, rows, weight, density, told)


def _zeros(
    structure: CovarianceStructure, shift: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return n_k, first and second moments of no rows."""
    return np.zeros(len(shift)), np.zeros(shift.shape), np.zeros(structure.shape(*shift.shape))


def collect(
    X: Rows,
    sample_weight: FloatArray | None,
    parameters: Parameters,
    n_threads: int | None = None,
) -> Statistics:
    """Return the statistics of rows that are all in memory: see `StatisticsPass`."""
    running = StatisticsPass(parameters, n_threads)
    running.add(X, sample_weight)
    return running.result()


def collect_labelled(
    X: FloatArray,
    sample_weight: FloatArray | None,
    labels: NDArray[np.int32],
    structure: CovarianceStructure,
    shift: FloatArray,
    n_threads: int | None = None,
) -> Statistics:
    """Return the statistics of rows that belong to one component each, about a shift (K, D).

    Their log-likelihood is 0.
    """
    center = shift[0].copy()
    means = shift - center
    factors = np.ones(structure.shape(*shift.shape))
    density = Density(structure.form, center, means, factors, np.zeros(len(shift)))
    sums, totals = _zeros(structure, shift), np.zeros(2)
    count = threads.for_work(n_threads, flops_of(X, structure, len(shift)))
    dispatch.kernels(X).accumulate(X, sample_weight, density, *sums, totals, count, labels)
    return Statistics(structure, center + means, *sums, 0.0, float(totals[1]), len(X))


def threads_for(n_threads: int | None, X: Rows, parameters: Parameters) -> int:
    """Return the number of threads for a pass over rows and all components."""
    return threads.for_work(n_threads, pass_flops(X, parameters))


def pass_flops(X: Rows, parameters: Parameters) -> float:
    """Floating-point operations of one pass: 4 N K F, F the terms per row and component."""
    return flops_of(X, parameters.structure, parameters.n_components)


def flops_of(X: Rows, structure: CovarianceStructure, n_components: int) -> float:
    """The same for components of a structure."""
    return 4.0 * len(X) * n_components * n_terms(structure, int(X.shape[1]))


def n_terms(structure: CovarianceStructure, n_features: int) -> int:
    """F, the terms of a row and a component: one, the features, and the products it has."""
    return 1 + n_features + structure.n_products(n_features)
