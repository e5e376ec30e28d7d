"""How a mixture is fitted: what it climbs, from which starts, in which runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gaussmix.data.base import Data
from gaussmix.data.told import ToldData
from gaussmix.em.acceleration import MakeChart, strategy_of
from gaussmix.em.checkpoint import Checkpoint, Identity, origin
from gaussmix.em.constrained import Constrained, RuledChart, with_equal_weights
from gaussmix.em.coordinates import Chart
from gaussmix.em.fingerprint import DigestPass, options_of
from gaussmix.em.incremental import SWEEPS_BEFORE_JUMPS, OfRows, sweep
from gaussmix.em.loop import NEVER, Callback, EMState, Objective, Strategy
from gaussmix.em.mixed_precision import single_pays
from gaussmix.em.penalised import objective_for
from gaussmix.em.runs import Opening, Run, Runs, Search
from gaussmix.em.stored import Restore
from gaussmix.em.truncated import climb
from gaussmix.em.verbose import Extent, Printer
from gaussmix.errors import ParameterError
from gaussmix.estimators.settings import Settings
from gaussmix.model.checks import check_matrices, check_means, check_member, check_weights
from gaussmix.model.parameters import Parameters
from gaussmix.starts.methods import Given, initial_parameters, promising
from gaussmix.starts.noisy import noisy
from gaussmix.starts.seeded import seeded
from gaussmix.validation import check_random_state

TOLD_METHODS = ("kmeans", "auto")
NEW_NOISE = 0.05  # weight of noise that a warm start of a mixture without any begins with
WITHOUT_EFFECT = frozenset({"checkpoint", "checkpoint_interval", "n_threads"}) | {
    "half_life",
    "learning_decay",
    "verbose",
    "verbose_interval",
}
"""Parameters that may change while a fit is interrupted: they do not change what it comes to."""

YOUNGER: dict[str, object] = {
    "eigenvalue_ratio": None,
    "fixed": None,
    "missing_values": "error",
    "mixed_precision": False,
    "noise": False,
    "prior": None,
    "weights": None,
}
"""Parameters that the first checkpoints did not have, and the values that change nothing."""


class Origin(NamedTuple):
    """Where a warm start begins, and the objective before."""

    parameters: Parameters
    previous: float


class Problem(NamedTuple):
    """What a fit climbs, and what its runs are: how one model differs from another."""

    objective: Objective
    begin: Callable[[Parameters], Parameters]
    """Turns the mixture that a start finds into the point where a run begins."""
    strategy: Callable[[], Strategy]
    opening: Opening
    restore: Restore
    """Turns a mixture from a checkpoint into a point of a run."""
    value: str
    """What the objective is called."""
    younger: Mapping[str, object] = YOUNGER


def likelihood(data: Data | ToldData, settings: Settings) -> Problem:
    """Return the problem of the largest likelihood, penalised if there is a prior."""
    objective = objective_for(
        data,
        settings.structure,
        settings.n_components,
        reg_covar=settings.reg_covar,
        relative=settings.relative,
        prior=settings.prior,
    )
    chart: MakeChart = Chart
    if settings.rules is not None:
        objective = Constrained.of(objective, settings.rules)
        chart = partial(RuledChart, settings.rules)

    return Problem(
        objective,
        begin=lambda start: start,
        strategy=lambda: strategy_of(settings.accelerate, objective.ridge, settings.tol, chart),
        opening=opening_of(objective, settings),
        restore=lambda mixture, _: mixture,
        value="mean log-likelihood",
    )


def opening_of(objective: OfRows, settings: Settings) -> Opening:
    """Return what opens a run: sweeps over blocks, or passes over lists, if the settings say so."""

    def opening(state: EMState, callback: Callback) -> int:
        if settings.algorithm == "incremental":
            most = settings.max_iter
            most = most if settings.accelerate is None else min(most, SWEEPS_BEFORE_JUMPS)
            sweep(state, objective, max_iter=most, callback=callback)
        elif settings.algorithm == "truncated":
            return climb(state, objective, max_iter=settings.max_iter, callback=callback)
        return NEVER

    return opening


def best_run(
    data: Data | ToldData,
    settings: Settings,
    options: Mapping[str, Any],
    origin_: Origin | None = None,
    problem: Problem | None = None,
) -> Run:
    """Return the run that ends best, of `n_init` starts or from where a warm start begins.

    Parameters
    ----------
    data : Data or ToldData
    settings : Settings
    options : mapping
        The constructor's parameters by name, which tell a checkpoint whose fit it belongs to.
    origin_ : Origin, optional
        Where a warm start begins.
    problem : Problem, optional
        By default that of the largest likelihood.
    """
    previous = -np.inf if origin_ is None else origin_.previous
    climbed = likelihood(data, settings) if problem is None else problem

    def state_at(point: Parameters) -> EMState:
        state = EMState(point, settings.tol, previous, climbed.strategy())
        state.single = settings.mixed_precision and single_pays(data, point)
        return state

    def runs() -> Runs:
        if origin_ is None:
            with search.printer.starting(settings.init_params):
                found = [climbed.begin(start) for start in starts(data, settings)]
        else:
            found = [_continued(origin_.parameters, settings)]
        return tuple(Run(number, state_at(point)) for number, point in enumerate(found))

    search = _search(data, settings, climbed)
    if settings.checkpoint is None:
        return search.best(runs())
    fixed = options_of(options, WITHOUT_EFFECT)
    for name, default in climbed.younger.items():  # files that lack them are as by default
        if name in fixed and fixed[name] == default:
            del fixed[name]
    fixed["warm_start"] = False if origin_ is None else origin(*origin_)
    identity = Identity(
        fixed,
        max_iter_may_grow=settings.algorithm == "em",  # sweeps that it ended would have gone on
        digest=lambda: data.total(DigestPass),
        blank=state_at,
        restore=climbed.restore,
        random_state=settings.random_state,
    )
    with Checkpoint(settings.checkpoint, settings.checkpoint_interval, identity) as checkpoint:
        found = checkpoint.read()
        if found is not None:
            search.printer.say(checkpoint.place(found))
        return search.best(found or runs(), checkpoint.note)


def starts(data: Data | ToldData, settings: Settings) -> Sequence[Parameters]:
    """Return the starts to run to the end. None is dropped of those that are not run at all."""
    random_state = check_random_state(settings.random_state)
    found = [start(data, settings, random_state) for _ in range(settings.n_init)]
    if settings.max_iter == 0 or isinstance(data, ToldData) or settings.noise is not None:
        return found
    return promising(found, data, reg_covar=settings.reg_covar, random_state=random_state)


def start(
    data: Data | ToldData, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return where one run begins."""
    found = _first(data, settings, random_state)
    if settings.log_noise is not None:
        given = _given(settings, data.n_features)
        found = noisy(data, found, settings.log_noise, settings.reg_covar, random_state)
        found = _with_given(found, given)
    return _ruled(found, settings)


def _continued(found: Parameters, settings: Settings) -> Parameters:
    """Return where a warm start begins, with noise if there is to be any, and without if not."""
    if settings.log_noise is None:
        found = found.without_noise()
    else:
        weight = NEW_NOISE if found.noise is None else found.noise.weight
        found = found.with_noise(weight, settings.log_noise)
    return _ruled(found, settings)


def _ruled(found: Parameters, settings: Settings) -> Parameters:
    """Return a start whose weights keep to the rules."""
    rules = settings.rules
    return with_equal_weights(found) if rules is not None and rules.equal else found


def _with_given(found: Parameters, given: Given) -> Parameters:
    """Return a start with noise that has the user's parameters, where there are any."""
    weights, means, precisions = given
    if means is not None:
        found = replace(found, means=means)
    if precisions is not None:
        factors = found.structure.factors_of_precisions(precisions)
        covariances = found.structure.covariances_of_factors(factors)
        found = replace(found, covariances=covariances, precisions_cholesky=factors)
    if weights is not None and found.noise is not None:
        found = replace(found, weights=weights * (1 - found.noise.weight))
    return found


def _first(
    data: Data | ToldData, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return where one run begins, without noise."""
    if isinstance(data, ToldData):
        if settings.init_params not in TOLD_METHODS:
            raise ParameterError(
                f"init_params must be one of {', '.join(TOLD_METHODS)} with labels or row_priors, "
                f"whose rows a start takes first, got {settings.init_params!r}"
            )
        found = seeded(
            data, settings.structure, settings.n_components, settings.reg_covar, random_state
        )
        given = _given(settings, data.n_features)
        if given.weights is not None:
            found = replace(found, weights=given.weights)
        return _with_given(found, given)
    return initial_parameters(
        data,
        structure=settings.structure,
        n_components=settings.n_components,
        method=settings.init_params,
        reg_covar=settings.reg_covar,
        random_state=random_state,
        given=_given(settings, data.n_features),
        tell=print if settings.verbose else None,
        single=settings.mixed_precision,
    )


def _given(settings: Settings, n_features: int) -> Given:
    weights, means, precisions = (
        settings.weights_init,
        settings.means_init,
        settings.precisions_init,
    )
    k, structure = settings.n_components, settings.structure
    # Errors say what scikit-learn's say, and then whose argument it is.
    if precisions is not None:
        with _naming("precisions_init"):
            precisions = check_matrices("precision", precisions, structure, k, n_features)
            check_member("precision", precisions, structure, k, "give these or none")
    with _naming("weights_init"):
        weights = None if weights is None else check_weights(weights, k)
    with _naming("means_init"):
        means = None if means is None else check_means(means, k, n_features)
    return Given(weights, means, precisions)


@contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Let errors end with the name of the argument that they are about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{error}: see {argument}") from None


def _search(data: Data | ToldData, settings: Settings, problem: Problem) -> Search:
    extent = Extent(data.n_samples, settings.max_iter, settings.tol)
    printer = Printer(settings.verbose, settings.verbose_interval, extent, problem.value)
    return Search(problem.objective, settings.max_iter, printer, problem.opening)
