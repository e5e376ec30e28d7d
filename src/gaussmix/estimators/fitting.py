"""How a mixture is fitted: its settings, checked once, and the runs that they ask for."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import PathLike
from gaussmix.data.base import Data
from gaussmix.em.acceleration import METHODS, strategy_of
from gaussmix.em.checkpoint import Checkpoint, Identity, origin
from gaussmix.em.fingerprint import DigestPass, options_of
from gaussmix.em.incremental import SWEEPS_BEFORE_JUMPS, sweep
from gaussmix.em.loop import Callback, EMState
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.online import Pace, check_pace
from gaussmix.em.runs import Run, Runs, Search
from gaussmix.em.verbose import Extent, Printer
from gaussmix.model.checks import check_matrices, check_means, check_member, check_weights
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.starts.methods import (
    METHOD_NAMES,
    Given,
    initial_parameters,
    promising,
)
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_path,
    check_random_state,
    check_real,
    check_verbose,
)

ALGORITHMS = ("em", "incremental")
MISSING_VALUES = ("error", "marginalize")
WITHOUT_EFFECT = frozenset({"checkpoint", "checkpoint_interval", "n_threads"}) | {
    "half_life",
    "learning_decay",
    "verbose",
    "verbose_interval",
}
"""Parameters that may change while a fit is interrupted: they do not change what it comes to."""


class Settings(NamedTuple):
    """The parameters of a mixture's constructor, checked."""

    n_components: int
    structure: CovarianceStructure
    tol: float
    reg_covar: float
    max_iter: int
    accelerate: str | None
    algorithm: str
    n_init: int
    init_params: str
    weights_init: object
    means_init: object
    precisions_init: object
    random_state: object
    warm_start: bool
    verbose: int
    verbose_interval: int
    n_threads: int | None
    pace: Pace
    missing_values: str
    checkpoint: PathLike | None
    checkpoint_interval: float


class Origin(NamedTuple):
    """Where a warm start begins, and the mean log-likelihood before."""

    parameters: Parameters
    previous: float


def settings_of(model: Any) -> Settings:
    """Return the parameters of a mixture's constructor, as they are now; raises ParameterError."""
    accelerate, checkpoint = model.accelerate, model.checkpoint
    return Settings(
        n_components=check_integer("n_components", model.n_components, 1),
        structure=structure_named(model.covariance_type),
        tol=check_real("tol", model.tol, 0),
        reg_covar=check_real("reg_covar", model.reg_covar, 0),
        max_iter=check_integer("max_iter", model.max_iter, 0),
        accelerate=accelerate and check_choice("accelerate", accelerate, tuple(METHODS)),
        algorithm=check_choice("algorithm", model.algorithm, ALGORITHMS),
        n_init=check_integer("n_init", model.n_init, 1),
        init_params=check_choice("init_params", model.init_params, METHOD_NAMES),
        weights_init=model.weights_init,
        means_init=model.means_init,
        precisions_init=model.precisions_init,
        random_state=model.random_state,
        warm_start=check_boolean("warm_start", model.warm_start),
        verbose=check_verbose(model.verbose),
        verbose_interval=check_integer("verbose_interval", model.verbose_interval, 1),
        n_threads=check_n_threads(model.n_threads),
        pace=check_pace(model.learning_decay, model.half_life),
        missing_values=check_choice("missing_values", model.missing_values, MISSING_VALUES),
        checkpoint=None if checkpoint is None else check_path("checkpoint", checkpoint),
        checkpoint_interval=check_real("checkpoint_interval", model.checkpoint_interval, 0),
    )


def best_run(
    data: Data, settings: Settings, options: Mapping[str, Any], origin_: Origin | None = None
) -> Run:
    """Return the run that ends best, of `n_init` starts or from where a warm start begins.

    Parameters
    ----------
    data : Data
    settings : Settings
    options : mapping
        The constructor's parameters by name, which tell a checkpoint whose fit it belongs to.
    origin_ : Origin, optional
        Where a warm start begins.
    """
    previous = -np.inf if origin_ is None else origin_.previous

    def begin(start: Parameters) -> EMState:
        _, _, tol, reg_covar, _, accelerate, *_ = settings
        return EMState(start, tol, previous, strategy_of(accelerate, reg_covar, tol))

    def runs() -> Runs:
        if origin_ is None:
            with search.printer.starting(settings.init_params):
                found = starts(data, settings)
        else:
            found = [origin_.parameters]
        return tuple(Run(number, begin(start)) for number, start in enumerate(found))

    search = _search(data, settings)
    if settings.checkpoint is None:
        return search.best(runs())
    fixed = options_of(options, WITHOUT_EFFECT)
    if settings.missing_values == "error":  # as in files that do not know of it
        del fixed["missing_values"]
    fixed["warm_start"] = False if origin_ is None else origin(*origin_)
    identity = Identity(
        fixed,
        max_iter_may_grow=settings.algorithm == "em",  # sweeps that it ended would have gone on
        digest=lambda: data.total(DigestPass),
        blank=begin,
        random_state=settings.random_state,
    )
    with Checkpoint(settings.checkpoint, settings.checkpoint_interval, identity) as checkpoint:
        found = checkpoint.read()
        if found is not None:
            search.printer.say(checkpoint.place(found))
        return search.best(found or runs(), checkpoint.note)


def starts(data: Data, settings: Settings) -> Sequence[Parameters]:
    """Return the starts to run to the end. None is dropped of those that are not run at all."""
    random_state = check_random_state(settings.random_state)
    found = [start(data, settings, random_state) for _ in range(settings.n_init)]
    if settings.max_iter == 0:
        return found
    return promising(found, data, reg_covar=settings.reg_covar, random_state=random_state)


def start(data: Data, settings: Settings, random_state: np.random.RandomState) -> Parameters:
    """Return where one run begins."""
    return initial_parameters(
        data,
        structure=settings.structure,
        n_components=settings.n_components,
        method=settings.init_params,
        reg_covar=settings.reg_covar,
        random_state=random_state,
        given=_given(settings, data.n_features),
        tell=print if settings.verbose else None,
    )


def _given(settings: Settings, n_features: int) -> Given:
    weights, means, precisions = (
        settings.weights_init,
        settings.means_init,
        settings.precisions_init,
    )
    k, structure = settings.n_components, settings.structure
    if precisions is not None:
        precisions = check_matrices("precisions_init", precisions, structure, k, n_features)
        check_member("precisions_init", precisions, structure, k, "give these or none")
    return Given(
        None if weights is None else check_weights(weights, k, "weights_init"),
        None if means is None else check_means(means, k, n_features, "means_init"),
        precisions,
    )


def _search(data: Data, settings: Settings) -> Search:
    objective = MaximumLikelihood(data, settings.reg_covar)
    extent = Extent(data.n_samples, settings.max_iter, settings.tol)

    def opening(state: EMState, callback: Callback) -> None:
        if settings.algorithm == "incremental":
            most = settings.max_iter
            most = most if settings.accelerate is None else min(most, SWEEPS_BEFORE_JUMPS)
            sweep(state, objective, max_iter=most, callback=callback)

    return Search(
        objective,
        settings.max_iter,
        Printer(settings.verbose, settings.verbose_interval, extent),
        opening,
    )
