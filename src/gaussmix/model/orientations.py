r"""The common orientation of the families EVE and VVE, by Newton's method on rotations.

The deviance is that of `gaussmix.model.volumes`. Its minimum has no closed form, and there may be
several local ones.
"""

from typing import NamedTuple

import numpy as np

from gaussmix._core.density import EPS
from gaussmix._core.types import FloatArray
from gaussmix.model.stacks import common_axes, diagonals, variances_along
from gaussmix.model.volumes import LAST_STEP, MAX_NEWTON, SUFFICIENT

WARM_STEPS = 2
"""Steps from the axes of the last EM iteration. EM takes as many iterations with 1, 2 or 4."""

COLD_STARTS = 8
"""Orientations that are improved where none is given. On 120 random sets of scatter, 4 led to a
worse optimum than the best of 24 did on 2 sets, and 8 on none."""

SCREENING_STEPS = 10
"""Steps from each, before the best goes on: 6 chose a worse one on 11 of 140 sets, 10 on 2."""

LARGEST_TURN = 0.7
"""Largest angle of a step, in radians: 45 degrees reach every axis."""

CURVATURE_FLOOR = 1e-2
"""Least curvature by pair of axes, as a part of n, in the preconditioner."""

MAX_CANDIDATES = 16
"""Components whose own axes are tried as the common ones, where no orientation is given."""


def best_axes(
    scatter: FloatArray, n_k: FloatArray, begin: FloatArray | None, equal_volume: bool
) -> FloatArray:
    r"""Return common axes (D, D) of EVE (`equal_volume`) or VVE, never worse than the first ones.

    The steps of Newton's method come from conjugate gradients that stop where curvature is
    negative (Nocedal & Wright, 2006, algorithm 7.1). A step is taken if the deviance falls. From
    the axes of the last EM iteration two steps are enough. The plane rotations of Flury & Gautschi
    (1986, SIAM Journal on Scientific and Statistical Computing 7, 169-184) and the majorisers of
    Browne & McNicholas (2014, Advances in Data Analysis and Classification 8, 217-226) converge
    linearly.

    Parameters
    ----------
    scatter : ndarray of shape (K, D, D)
    n_k : ndarray of shape (K,)
    begin : ndarray of shape (D, D) or None
        Axes to begin with. If there are none the best of several local optima is taken.
    equal_volume : bool
    """
    if begin is not None:
        return _descend(begin, scatter, n_k, equal_volume, WARM_STEPS)[0]
    ends = [
        _descend(axes, scatter, n_k, equal_volume, SCREENING_STEPS)
        for axes in _first_axes(scatter, n_k, equal_volume)
    ]
    best, _ = min(ends, key=lambda end: end[1])
    return _descend(best, scatter, n_k, equal_volume, MAX_NEWTON)[0]


def _first_axes(scatter: FloatArray, n_k: FloatArray, equal_volume: bool) -> list[FloatArray]:
    """Return the best few of the pooled axes, the components' own, and those of all at once."""
    largest = np.argsort(-n_k)[:MAX_CANDIDATES]
    matrices = np.concatenate([scatter.sum(axis=0)[None], scatter[largest]])
    candidates = [*np.linalg.eigh(matrices)[1], common_axes(scatter)]
    values = [
        _value_and_pull(variances_along(q, scatter), n_k, equal_volume)[0] for q in candidates
    ]
    return [candidates[i] for i in np.argsort(values)[:COLD_STARTS]]


class Profile:
    r"""The deviance as a function of the common axes Q, volumes and shapes maximised out.

    Write T_k = Q' S_k Q, which is `scatter`, and d_kj for its diagonal. Without constants the
    deviance is

        VVE: sum_k n_k sum_j log d_kj
        EVE: n D log sum_k prod_j d_kj^(1/D)

    Its derivative by log d_kj is c_k: n_k for VVE, n times the component's part of the sum for EVE.

    Let Q turn to Q exp(Omega), Omega skew. Then d_kj changes by 2 (T_k Omega)_jj and, to second
    order, by (T_k Omega^2)_jj - (Omega T_k Omega)_jj. Let t_kj be the columns of T_k, and let
    column j of Y' be sum_k c_k t_kj / d_kj. By the chain rule the gradient is Y' - Y, and the
    Hessian takes Omega to X - X'. The columns of X are

        X_j = [sum_k c_k / d_kj (T_k - 2 t_kj t_kj' / d_kj) - (Y + Y') / 2] Omega_j

    For EVE sum_k c_k (e_k - e) t_kj / d_kj is added. Here e_k = 2/D sum_j t_kj' Omega_j / d_kj is
    the change of a component's mean log d_kj, and e the mean of the e_k weighted by c_k.

    Parameters
    ----------
    scatter : ndarray of shape (K, D, D)
    n_k : ndarray of shape (K,)
    equal_volume : bool
        EVE, not VVE.
    """

    def __init__(self, scatter: FloatArray, n_k: FloatArray, equal_volume: bool) -> None:
        self._scatter = scatter
        self._n_k = n_k
        self._equal_volume = equal_volume
        self._variances = diagonals(scatter).copy()
        self.value, self._pull = _value_and_pull(self._variances, n_k, equal_volume)

    def turned(self, rotation: FloatArray) -> "Profile":
        """Return the profile at Q times a rotation."""
        return Profile(rotation.T @ self._scatter @ rotation, self._n_k, self._equal_volume)

    def derivatives(self) -> "Derivatives":
        """Return those of first and second order."""
        scatter, variances, pull = self._scatter, self._variances, self._pull
        n_components, n_features = variances.shape
        slopes = scatter / variances[:, None, :]  # columns t_kj / d_kj
        moment = (pull @ slopes.reshape(n_components, -1)).reshape(slopes.shape[1:])
        columns = np.ascontiguousarray(slopes.transpose(2, 1, 0))  # (D, D, K)
        weights = pull[:, None] / variances
        blocks = (weights.T @ scatter.reshape(n_components, -1)).reshape(-1, *moment.shape)
        blocks -= (2 * pull * columns) @ columns.swapaxes(1, 2)
        blocks -= (moment + moment.T) / 2
        found = weights.T @ variances
        curvatures = found + found.T - 2 * pull.sum()
        floor = CURVATURE_FLOOR * self._n_k.sum()
        coupling = None
        if self._equal_volume:
            mean = moment / pull.sum()
            factor = np.sqrt(2 * pull / n_features)[:, None, None]
            coupling = (factor * (slopes - mean)).reshape(n_components, -1)
        return Derivatives(moment - moment.T, blocks, np.maximum(curvatures, floor), coupling)


class Derivatives(NamedTuple):
    """Of a `Profile`, by the turn Omega (D, D), skew."""

    gradient: FloatArray
    """It is 0 where Y is symmetric, the condition of Flury (1984, 2.11)."""
    blocks: FloatArray  # (D, D, D), what each column of Omega is multiplied by
    curvatures: FloatArray
    """Second derivatives by pair of axes (D, D), as they are where all T_k are diagonal."""
    coupling: FloatArray | None
    """Rows (K, D D) whose outer products are EVE's last term."""

    def hessian_times(self, turn: FloatArray) -> FloatArray:
        """Return the Hessian times Omega, skew."""
        rows = (self.blocks @ turn[:, :, None])[:, :, 0]  # -X', since the rows of Omega are
        if self.coupling is not None:
            rows -= (self.coupling @ turn.ravel() @ self.coupling).reshape(turn.shape).T
        return np.asarray(rows - rows.T)


def _value_and_pull(
    variances: FloatArray, n_k: FloatArray, equal_volume: bool
) -> tuple[float, FloatArray]:
    """Return the value and c_k (K,) of a `Profile`."""
    logs = np.log(variances)
    if not equal_volume:
        return float(n_k @ logs.sum(axis=1)), n_k
    means = logs.mean(axis=1)
    largest = means.max()
    volumes = np.exp(means - largest)
    total = volumes.sum()
    weight = n_k.sum()
    value = weight * variances.shape[1] * (largest + np.log(total))
    return float(value), weight * volumes / total


def _descend(
    axes: FloatArray, scatter: FloatArray, n_k: FloatArray, equal_volume: bool, max_steps: int
) -> tuple[FloatArray, float]:
    """Return axes after some Newton steps, and the profile's value there."""
    weight = float(n_k.sum())
    here = Profile(axes.T @ scatter @ axes, n_k, equal_volume)
    for _ in range(max_steps):
        slopes = here.derivatives()
        turn = _newton_turn(slopes, weight)
        gain = -float(np.vdot(slopes.gradient, turn))
        if not gain > EPS**2 * weight:
            break
        rotation, there = _turn_search(here, turn, gain)
        if there is None:
            break
        axes, here = axes @ rotation, there
        if gain < LAST_STEP * weight:
            break
    return _orthonormal(axes), here.value


def _newton_turn(here: Derivatives, weight: float) -> FloatArray:
    """Return an approximate solution Omega of Hessian Omega = -gradient that points downhill."""
    residual = -here.gradient
    turn = np.zeros_like(residual)
    direction = scaled = residual / here.curvatures
    product = first = float(np.vdot(residual, scaled))
    enough = first * min(0.01, np.sqrt(first / weight))  # convergence is of order 3/2
    for _ in range(residual.size):
        if not product > enough:
            break
        image = here.hessian_times(direction)
        curvature = float(np.vdot(direction, image))
        if curvature <= 0:
            return turn if turn.any() else scaled
        length = product / curvature
        turn = turn + length * direction
        residual = residual - length * image
        scaled = residual / here.curvatures
        last, product = product, float(np.vdot(residual, scaled))
        direction = scaled + (product / last) * direction
    return turn


def _turn_search(here: Profile, turn: FloatArray, gain: float) -> tuple[FloatArray, Profile | None]:
    """Halve the turn until the deviance falls. None where only rounding error makes it fall."""
    largest = float(np.abs(turn).max())
    length = min(1.0, LARGEST_TURN / largest)
    slack = 4 * EPS * abs(here.value)
    while length * gain > slack or length == 1.0:
        rotation = _cayley(length * turn)
        there = here.turned(rotation)
        if there.value <= here.value - SUFFICIENT * length * gain + slack:
            return rotation, there
        length /= 2
    return np.eye(len(turn)), None


def _cayley(turn: FloatArray) -> FloatArray:
    """Return the rotation (I - Omega / 2)^-1 (I + Omega / 2), exp(Omega) to second order."""
    identity = np.eye(len(turn))
    return np.asarray(np.linalg.solve(identity - turn / 2, identity + turn / 2), dtype=np.float64)


def _orthonormal(axes: FloatArray) -> FloatArray:
    """Return the nearest orthonormal axes, by a step of Newton and Schulz: turns add rounding."""
    return axes @ (1.5 * np.eye(len(axes)) - 0.5 * (axes.T @ axes))
