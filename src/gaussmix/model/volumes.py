r"""Volumes and shapes of the covariance families: one volume with many shapes, and the reverse.

Everything here is given n_k (K,) and the scatter S_k of every component. It minimises the deviance

    sum_k n_k log|covariance_k| + tr(S_k inv(covariance_k))

Write n for the sum of n_k, and D for the number of features.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix._core.density import EPS
from gaussmix._core.types import FloatArray
from gaussmix.model.stacks import cholesky, diagonals, geometric_means

MAX_NEWTON = 100
"""Steps of Newton's method where it has to converge: 5 to 15 are usual."""

LAST_STEP = 1e-10
"""A Newton step that gains less than this part of n, by its model, is the last. The next would gain
about the square of it."""

SUFFICIENT = 1e-4  # part of the gain that the gradient promises, which a step has to reach


def with_equal_volume(variances: FloatArray, n_k: FloatArray) -> FloatArray:
    """Return diagonal covariances (K, D) of one volume and any shapes, from diagonal scatter.

    With B_k the scatter, they are lambda B_k / |B_k|^(1/D), lambda = sum_k |B_k|^(1/D) / n.
    """
    volumes = geometric_means(variances)
    return np.asarray(variances * ((volumes.sum() / n_k.sum()) / volumes)[:, None])


def matrices_with_equal_volume(scatter: FloatArray, n_k: FloatArray) -> FloatArray:
    """Return covariances (K, D, D) of one volume, from any scatter, as `with_equal_volume`."""
    volumes = geometric_means(diagonals(cholesky(scatter)) ** 2)
    scale = (volumes.sum() / n_k.sum()) / volumes
    return np.asarray(scatter * scale[:, None, None])


def with_common_shape(variances: FloatArray, n_k: FloatArray) -> FloatArray:
    """Return diagonal covariances (K, D) of one shape and any volumes, from diagonal scatter."""
    log_inverse = _log_inverse_volumes(_DiagonalShape(variances), n_k, variances.shape[1])
    scale = np.exp(log_inverse)
    shared = (scale @ variances) / n_k.sum()
    return np.asarray(shared / scale[:, None])


def matrices_with_common_shape(scatter: FloatArray, n_k: FloatArray) -> FloatArray:
    """Return covariances lambda_k C (K, D, D), from any scatter."""
    log_inverse = _log_inverse_volumes(_MatrixShape(scatter), n_k, scatter.shape[-1])
    scale = np.exp(log_inverse)
    shared = np.tensordot(scale, scatter, axes=1) / n_k.sum()
    return np.asarray(shared / scale[:, None, None])


class _Shares(NamedTuple):
    """What a point of `_log_inverse_volumes` looks like."""

    log_det: float
    """log|M|."""
    traces: FloatArray  # (K,), of the components' parts of the identity, inv(M) exp(t_k) S_k
    centred: FloatArray  # (K, F), those parts less their mean eigenvalue times the identity


SharesAt: TypeAlias = Callable[[FloatArray], _Shares]
"""Shares at t (K,)."""


class _DiagonalShape:
    """Shares where scatter is diagonal (K, D)."""

    def __init__(self, scatter: FloatArray) -> None:
        self._scatter = scatter

    def __call__(self, log_inverse: FloatArray) -> _Shares:
        scaled = np.exp(log_inverse)[:, None] * self._scatter
        total = scaled.sum(axis=0)
        parts = scaled / total
        traces = parts.sum(axis=1)
        return _Shares(float(np.log(total).sum()), traces, parts - traces[:, None] / parts.shape[1])


class _MatrixShape:
    """Shares where scatter is any (K, D, D)."""

    def __init__(self, scatter: FloatArray) -> None:
        self._scatter = scatter

    def __call__(self, log_inverse: FloatArray) -> _Shares:
        """Return shares in axes that make M the identity."""
        n_features = self._scatter.shape[-1]
        scale = np.exp(log_inverse)
        lower = cholesky(np.tensordot(scale, self._scatter, axes=1)[None])[0]
        whiten = np.linalg.inv(lower)
        parts = scale[:, None, None] * (whiten @ self._scatter @ whiten.T)
        on_diagonal = diagonals(parts)
        traces = on_diagonal.sum(axis=1)
        on_diagonal -= traces[:, None] / n_features
        log_det = 2 * float(np.log(lower.diagonal()).sum())
        return _Shares(log_det, traces, parts.reshape(len(scale), -1))


def _log_inverse_volumes(shares: SharesAt, n_k: FloatArray, n_features: int) -> FloatArray:
    r"""Return t_k = -log(lambda_k) (K,), of the best volumes where the shape is common.

    The best shape is C = M / n, with M = sum_k exp(t_k) S_k. What is left of the deviance,

        n log|M| - D sum_k n_k t_k

    is convex in t, so that Newton's method finds the one minimum. Let P_k be the parts of the
    identity, P_k = exp(t_k) M^(-1/2) S_k M^(-1/2). The gradient is n tr(P_k) - D n_k. The Hessian
    is n (tr(P_k) [k = l] - tr(P_k P_l)), which leaves the common scale free. Subtracting the mean
    eigenvalue from every P_k fixes it.

    Celeux & Govaert (1995) iterate between the volumes and the shape. For diagonal scatter this is
    the scaling of a matrix to given sums of rows and columns, and theirs is the iteration of
    Sinkhorn (1967, American Mathematical Monthly 74, 402-405).
    """
    search = _Search(shares, n_k, n_features)
    point = -_log_relative_volumes(shares, n_k, n_features)
    here = shares(point)
    for _ in range(MAX_NEWTON):
        step, gain = search.newton_step(here)
        if not gain > LAST_STEP * search.weight:
            return point + step if np.isfinite(gain) else np.full_like(point, np.nan)
        point, here = search.along(point, here, step, gain)
    return point


def _log_relative_volumes(shares: SharesAt, n_k: FloatArray, n_features: int) -> FloatArray:
    """Return logarithms of the volumes in the pooled shape, tr(inv(W) S_k) n / (n_k D)."""
    traces = shares(np.zeros_like(n_k)).traces
    return np.asarray(np.log(traces * n_k.sum() / (n_k * n_features)))


class _Search(NamedTuple):
    """Newton's method for `_log_inverse_volumes`."""

    shares: SharesAt
    n_k: FloatArray
    n_features: int

    @property
    def weight(self) -> float:
        return float(self.n_k.sum())

    def newton_step(self, here: _Shares) -> tuple[FloatArray, float]:
        """Return the step, and what it gains by its model; both NaN where there is none."""
        gradient = self.weight * here.traces - self.n_features * self.n_k
        units = np.sqrt(self.weight * here.traces)  # make the Hessian's diagonal about 1
        parts = here.centred * (np.sqrt(self.weight) / units)[:, None]
        try:
            step = -_solve_less_outer(parts, gradient / units) / units
        except np.linalg.LinAlgError:
            step = np.full_like(gradient, np.nan)
        return step, -float(gradient @ step)

    def along(
        self, point: FloatArray, here: _Shares, step: FloatArray, gain: float
    ) -> tuple[FloatArray, _Shares]:
        """Halve the step until the deviance falls by a part of what the gradient promises."""
        slope = self.n_features * float(self.n_k @ step)
        length = 1.0
        while length > EPS:
            there = self.shares(point + length * step)
            change = self.weight * (there.log_det - here.log_det) - length * slope
            if change <= -SUFFICIENT * length * gain:
                return point + length * step, there
            length /= 2
        return point, here


def _solve_less_outer(parts: FloatArray, right: FloatArray) -> FloatArray:
    """Solve (I - B B') x = right for B (K, F), by the smaller of K and F equations."""
    n_components, n_parts = parts.shape
    if n_components <= n_parts:
        return np.asarray(np.linalg.solve(np.eye(n_components) - parts @ parts.T, right))
    inner = np.eye(n_parts) - parts.T @ parts
    return np.asarray(right + parts @ np.linalg.solve(inner, parts.T @ right))
