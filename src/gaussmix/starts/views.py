"""The rows in coordinates in which groups may show."""

from collections.abc import Callable

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.subsample import Sample
from gaussmix.kmeans.seeding import distinct_rows
from gaussmix.model.structures import TIED
from gaussmix.starts.budget import Work, eigenvectors_cost
from gaussmix.starts.emem import matrix_within, n_nearest

RIDGE = 1e-9  # part of a feature's variance that is added to it: a matrix of all is then definite
SMALLEST = 1e-8  # singular values of the standardised rows are taken as no smaller than this
SMALLEST_UNIT = 1e-140  # its square is a normal number

NEIGHBOUR_ROWS, NEIGHBOUR_ROUNDS = 64, 3
"""Fewer than in `gaussmix.starts.emem`: it may not cost half of all there is to spend."""


class Views:
    """A sample in several coordinates, in units of about the largest. Each is made when asked for.

    - 'raw': centred. 'std': standardised. 'svd': mclust's scaling, between that and 'white'.
    - 'white': uncorrelated, of unit variance.
    - 'near': of unit covariance among neighbours (Art, Gnanadesikan & Kettenring, 1982).
      'shrunk': the same, far rows drawn in.
    - 't-low n', 't-high n', 'f-low n', 'f-high n': n invariant coordinates (Tyler, Critchley,
      Duembgen & Oja, 2009). They are principal directions of the whitened rows, weighted by 1/r^2
      (t) or r^2 (f), r being the distance from the mean; low are those of least variance, high
      those of most. Whatever linear map the features go through, they are the same.

    All but 'raw' are the same whatever the features' units.

    Parameters
    ----------
    sample : Sample
    random_state : RandomState
    work : Work
        What the views cost is added to it.
    wide : bool
        Nothing is computed that needs a matrix of all pairs of features: 'raw' and 'std' alone are
        to be asked for.
    """

    def __init__(
        self, sample: Sample, random_state: np.random.RandomState, work: Work, *, wide: bool
    ) -> None:
        self.sample, self.random_state, self.work = sample, random_state, work
        rows, weights = sample.rows.astype(np.float64, copy=False), sample.weights
        self.share: FloatArray = weights / weights.sum()
        self.mean: FloatArray = self.share @ rows
        self.rows: FloatArray = rows - self.mean
        self.unit = self._power_of_two()
        self.rows /= self.unit
        weighted = self.rows if sample.weight is None else self.rows * self.share[:, None]
        factor = 1.0 if sample.weight is not None else 1 / len(rows)
        if wide:
            covariance, variances = np.zeros((0, 0)), np.einsum("ij,ij->j", weighted, self.rows)
        else:
            covariance = weighted.T @ self.rows
            variances = covariance.diagonal()
        self.covariance: FloatArray = covariance * factor
        self.variances: FloatArray = variances * factor
        self.spread: FloatArray = np.where(self.variances > 0, self.variances, 1.0)
        if not wide:
            self.covariance.flat[:: len(self.mean) + 1] += RIDGE * self.spread
        self._made: dict[str, FloatArray] = {}
        each = 0.003 + (0 if wide else 2e-4 * len(self.mean))
        work.add(90 + 0.025 * len(rows) + rows.size * each)

    def _power_of_two(self) -> float:
        """Return about how far rows lie from 0, so that division by it is exact."""
        largest = float(np.abs(self.rows).max())
        if not SMALLEST_UNIT < largest < 1 / SMALLEST_UNIT:
            return 1.0
        return float(2.0 ** (np.frexp(largest)[1] - 1))

    def __getitem__(self, name: str) -> FloatArray:
        if name in ("white", "near"):
            return self._once(
                name, lambda: self.rows @ self.factor(name), 15 + self.rows.size * 0.002
            )
        self.work.add(15 + self.rows.size * 0.002)
        return self._view(name)

    def metric(self, name: str) -> FloatArray:
        """Return the covariance that 'white' or 'near' makes the unit matrix."""
        return self.covariance if name == "white" else self._once("metric", self._near, 0)

    def factor(self, name: str) -> FloatArray:
        """Return what centred rows are multiplied by for 'white' or 'near'."""
        return self._once(f"factor {name}", lambda: TIED.precision_factors(self.metric(name)), 15)

    def _once(self, name: str, make: Callable[[], FloatArray], cost: float) -> FloatArray:
        if name not in self._made:
            self._made[name] = make()
            self.work.add(cost)
        return self._made[name]

    def _view(self, name: str) -> FloatArray:
        if name == "raw":
            return self.rows
        if name == "std":
            return self.rows / np.sqrt(self.spread)
        if name == "svd":
            return self._square_root_scaled()
        if name == "shrunk":
            squares = squared_lengths(self["near"])
            return self["near"] / np.sqrt(1 + squares / max(np.median(squares), 1e-300))[:, None]
        kind, end, n_directions = name[0], name[2], int(name[-1])
        n_features = len(self.mean)
        cost = 70 + self.rows.size * (0.006 + 2e-4 * n_features) + eigenvectors_cost(n_features)
        along = self._once(f"along {kind}", lambda: self._invariant(kind), cost)
        return along[:, :n_directions] if end == "l" else along[:, -n_directions:]

    def _square_root_scaled(self) -> FloatArray:
        """Return U S^(1/2), U S V' being the standardised rows: see `methods.scaled_rows`."""
        scale = 1 / np.sqrt(self.spread)
        values, directions = np.linalg.eigh(scale[:, None] * self.covariance * scale)
        self.work.add(70 + eigenvectors_cost(len(scale)))
        scaled: FloatArray = directions * np.maximum(values, SMALLEST**2) ** -0.25
        return self.rows @ (scaled * scale[:, None])

    def _invariant(self, kind: str) -> FloatArray:
        white = self["white"]
        squares = self._once("squares", lambda: squared_lengths(white), white.size * 0.001)
        squares = np.maximum(squares, 1e-6 * white.shape[1])
        weight = self.share * (squares if kind == "f" else 1 / squares)
        directions: FloatArray = np.linalg.eigh((white * weight[:, None]).T @ white)[1]
        return white @ directions

    def _near(self) -> FloatArray:
        """Return the covariance within groups, as `emem.within_groups` does, from fewer rows."""
        m, d = min(len(self.rows), NEIGHBOUR_ROWS), len(self.mean)
        drawn = distinct_rows(len(self.rows), m, self.sample.weight, self.random_state)
        within = matrix_within(self.rows[drawn], self.covariance, NEIGHBOUR_ROUNDS)
        self.work.add(NEIGHBOUR_ROUNDS * (60 + m * m * 0.012 + m * n_nearest(m, d) * d * 0.01))
        return within


def squared_lengths(rows: FloatArray) -> FloatArray:
    """Return |x|^2 of every row."""
    squares: FloatArray = np.einsum("ij,ij->i", rows, rows)
    return squares
