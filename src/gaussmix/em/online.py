"""Online EM: parameters that follow a stream of batches, and remember the rows that are gone."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics
from gaussmix.validation import check_real


class Seen(NamedTuple):
    """How much of a stream has been read."""

    n_samples: int = 0
    weight: float = 0.0

    def after(self, batch: Statistics) -> "Seen":
        """Return what has been read with a batch more."""
        return Seen(self.n_samples + batch.n_samples, self.weight + batch.weight)


class Pace(NamedTuple):
    """How fast a stream is followed: see `step_size`."""

    learning_decay: float
    half_life: float | None


def check_pace(learning_decay: object, half_life: object) -> Pace:
    """Return a pace whose step sizes have an infinite sum, and squares of a finite one."""
    decay = check_real("learning_decay", learning_decay, 0.5, strict=True)
    if decay > 1:
        raise ParameterError(
            f"learning_decay must be greater than 0.5 and at most 1, got {learning_decay!r}"
        )
    if half_life is None:
        return Pace(decay, None)
    return Pace(decay, check_real("half_life", half_life, 0, strict=True))


def online_step(
    parameters: Parameters, batch: Statistics, seen: Seen, pace: Pace, reg_covar: float
) -> tuple[Parameters, tuple[int, ...]]:
    r"""Take one step of online EM (Cappé & Moulines, 2009).

    Let s be the averages over rows that parameters maximise. With the step size g_t and the E-step
    of the batch under the present parameters,

        s_t = (1 - g_t) s_(t-1) + g_t s(X_t; parameters_(t-1))
        parameters_t = M(s_t)

    Only the parameters are kept: s_(t-1) is what they say of the rows before (`remembered`), about
    their own means. So nothing is subtracted that is large beside a component's spread, even where
    the stream has drifted. The sum is taken on the scale of w_t / g_t rows. The parameters then
    rest on so many.

    Parameters
    ----------
    parameters : Parameters
        Those before the batch.
    batch : Statistics
        The batch's, collected under these parameters.
    seen : Seen
        What was read before the batch. If nothing, the parameters count for nothing but the
        E-step, and the result is that of EM on the batch alone.
    pace : Pace
    reg_covar : float
        As in `m_step`, and the same at every step.

    Returns
    -------
    parameters : Parameters
    collapsed : tuple of int
        As `m_step`.

    References
    ----------
    Cappé & Moulines (2009), On-line expectation-maximization algorithm for latent data models,
    Journal of the Royal Statistical Society B 71, 593-613.
    """
    now = seen.after(batch)
    rest = batch.weight * (1 / step_size(batch.weight, seen.weight, pace) - 1)
    total = batch + remembered(parameters, rest, reg_covar) if rest > 0 else batch
    n_rows = max(1, round(total.weight / now.weight * now.n_samples))
    return m_step(replace(total, n_samples=n_rows), reg_covar, parameters)


def step_size(weight: float, before: float, pace: Pace) -> float:
    r"""Return how much of the averages a batch of weight w replaces, in (0, 1].

    The step of the n-th row is n^(-learning_decay). Steps of single rows leave, of what was there,
    the product of one minus each. Let W be the weight of all rows so far. What is left is

        1 - g = exp(-integral from W - w to W of n^(-learning_decay) dn)

    or 2^(-w / half_life) if that is less. So it does not matter how a stream is cut into batches.
    The one exception is the batch in which the half-life takes over. A decay of 1 gives w / W, the
    exact running average, and no step is smaller.
    """
    if before == 0:
        return 1.0
    part = weight / (before + weight)
    slowness = 1 - pace.learning_decay
    log_kept = np.log1p(-part)
    if slowness > 0:
        log_kept = (before + weight) ** slowness * np.expm1(slowness * log_kept) / slowness
    if pace.half_life is not None:
        log_kept = min(log_kept, -math.log(2) * float(weight) / pace.half_life)
    return max(part, float(-np.expm1(log_kept)))


def remembered(parameters: Parameters, weight: float, reg_covar: float) -> Statistics:
    """Return the statistics of so much weight that lead to the parameters: `m_step` turned round.

    They are about the parameters' own means. No row and no likelihood is counted.
    """
    structure, n_features = parameters.structure, parameters.n_features
    n_k: FloatArray = weight * parameters.weights
    spread = parameters.covariances - reg_covar * structure.identity(n_features)
    second = structure.remembered(spread, n_k, weight, n_features)
    blank = Statistics.zeros(structure, parameters.means)
    return replace(blank, n_k=n_k, second=second, weight=weight)
