"""How a Bayesian mixture is fitted: its settings and its prior, checked, and what it climbs."""

from functools import partial
from typing import Any

from gaussmix._core.density import STRUCTURES
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import PRIOR_TYPES, Beliefs
from gaussmix.bayes.stored import restored
from gaussmix.data.base import Data
from gaussmix.em.acceleration import strategy_of
from gaussmix.em.variational import EvidenceBound, PosteriorChart
from gaussmix.errors import ParameterError
from gaussmix.estimators.fitting import YOUNGER, Problem, opening_of
from gaussmix.estimators.settings import Settings, shared_settings
from gaussmix.validation import check_boolean, check_choice, check_real

ALGORITHMS = ("em", "incremental")

LEAST = 1e-300  # the bound has the reciprocals of what the prior is given, and sums of them


def bayesian_settings_of(model: Any) -> Settings:
    """Return the parameters of a Bayesian mixture's constructor; raises ParameterError."""
    check_choice("covariance_type", model.covariance_type, STRUCTURES)
    algorithm = check_choice("algorithm", model.algorithm, ALGORITHMS)
    if check_boolean("sort_components", model.sort_components) and algorithm == "incremental":
        raise ParameterError(
            "algorithm='incremental' and sort_components=True do not go together: statistics of "
            "blocks are of components in one order. Give one"
        )
    beliefs_of(model)
    return shared_settings(model, model.reg_covar)._replace(algorithm=algorithm)


def beliefs_of(model: Any) -> Beliefs:
    """Return what a Bayesian mixture's constructor says of the prior; raises ParameterError."""
    kind = "weight_concentration_prior_type"
    return Beliefs(
        check_choice(kind, getattr(model, kind), PRIOR_TYPES),
        _positive(model, "weight_concentration_prior"),
        _positive(model, "mean_precision_prior"),
        model.mean_prior,
        _positive(model, "degrees_of_freedom_prior"),
        model.covariance_prior,
    )


def evidence(data: Data, settings: Settings, prior: Posterior, sort: bool) -> Problem:
    """Return the problem of the largest evidence lower bound.

    `accelerate` works on what the bound is for a row: jumps are judged there.
    """
    objective = EvidenceBound(data, prior, settings.reg_covar, sort)
    process = prior.concentration.ndim == 2

    return Problem(
        objective,
        begin=objective.begin,
        strategy=lambda: strategy_of(
            settings.accelerate,
            settings.reg_covar * data.weight,
            settings.tol / data.weight,
            partial(PosteriorChart, prior),
        ),
        opening=opening_of(objective, settings),
        restore=lambda mixture, read: restored(mixture, process, read),
        value="evidence lower bound",
        younger={**YOUNGER, "algorithm": "em"},
    )


def _positive(model: Any, name: str) -> float | None:
    value = getattr(model, name)
    if value is None:
        return None
    number = check_real(name, value, 0, strict=True)
    if number < LEAST:
        raise ParameterError(f"{name} must be at least {LEAST:g}, got {value!r}")
    return number
