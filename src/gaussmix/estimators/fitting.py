"""How a mixture is fitted: its settings, checked once, and the runs that they ask for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, PathLike
from gaussmix.data.base import Data
from gaussmix.data.box import box_around
from gaussmix.data.told import Classes, ToldData
from gaussmix.em.acceleration import MakeChart, check_acceleration, strategy_of
from gaussmix.em.checkpoint import Checkpoint, Identity, origin
from gaussmix.em.constrained import (
    NAMES,
    Constrained,
    RuledChart,
    Rules,
    check_rules,
    with_equal_weights,
)
from gaussmix.em.coordinates import Chart
from gaussmix.em.fingerprint import DigestPass, options_of
from gaussmix.em.incremental import SWEEPS_BEFORE_JUMPS, OfRows, sweep
from gaussmix.em.loop import Callback, EMState, Objective, Strategy
from gaussmix.em.online import check_pace
from gaussmix.em.penalised import objective_for
from gaussmix.em.runs import Opening, Run, Runs, Search
from gaussmix.em.single import single_pays
from gaussmix.em.stored import Restore
from gaussmix.em.truncated import climb
from gaussmix.em.verbose import Extent, Printer
from gaussmix.errors import ParameterError
from gaussmix.model.checks import check_matrices, check_means, check_member, check_weights
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.eigenvalues import Bounded, bounded
from gaussmix.model.parameters import Parameters
from gaussmix.model.prior import Prior, check_prior
from gaussmix.starts.methods import (
    METHOD_NAMES,
    Given,
    initial_parameters,
    promising,
)
from gaussmix.starts.noisy import noisy
from gaussmix.starts.seeded import seeded
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

ALGORITHMS = ("em", "incremental", "truncated")
TOLD_METHODS = ("kmeans", "auto")
NEW_NOISE = 0.05  # weight of noise that a warm start of a mixture without any begins with
MISSING_VALUES = ("error", "marginalize")
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


class Settings(NamedTuple):
    """The parameters of a mixture's constructor, checked."""

    n_components: int
    structure: CovarianceStructure
    tol: float
    reg_covar: float
    """0 if it is relative."""
    max_iter: int
    accelerate: str | None
    n_init: int
    init_params: str
    random_state: object
    warm_start: bool
    verbose: int
    verbose_interval: int
    n_threads: int | None
    checkpoint: PathLike | None
    checkpoint_interval: float
    algorithm: str = "em"
    weights_init: object = None
    means_init: object = None
    precisions_init: object = None
    relative: bool = False
    prior: Prior | None = None
    rules: Rules | None = None
    noise: float | None = None
    """Volume of the noise, 0 for that of a box around X; None if there is none."""
    log_noise: float | None = None
    """Log-density of the noise, known once X is."""
    noise_box: FloatArray | None = None
    """Where the noise is, if it is in a box around X, known once X is."""
    classes: Classes | None = None
    """Those of the components, known once X and what is told of it are."""
    missing_values: str = "error"
    mixed_precision: bool = False

    @property
    def regularised(self) -> bool:
        """Whether no component can be singular, but for rounding."""
        return bool(
            self.reg_covar > 0
            or self.relative
            or self.prior is not None
            or isinstance(self.structure, Bounded)
        )


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


def settings_of(model: Any) -> Settings:
    """Return the parameters of a mixture's constructor, as they are now; raises ParameterError."""
    check_pace(model.learning_decay, model.half_life)
    relative = isinstance(model.reg_covar, str)
    if relative and model.reg_covar != "relative":
        raise ParameterError(
            f"reg_covar must be a number of at least 0, or 'relative', got {model.reg_covar!r}"
        )
    shared = shared_settings(model, 0.0 if relative else model.reg_covar)
    structure = bounded(shared.structure, model.eigenvalue_ratio)
    settings = shared._replace(
        structure=structure,
        algorithm=check_choice("algorithm", model.algorithm, ALGORITHMS),
        weights_init=model.weights_init,
        means_init=model.means_init,
        precisions_init=model.precisions_init,
        relative=relative,
        prior=check_prior(model.prior),
        rules=check_rules(model.fixed, model.weights, shared.n_components, structure),
        noise=_check_noise(model.noise),
        mixed_precision=check_boolean("mixed_precision", model.mixed_precision),
    )
    _check_together(settings)
    return settings


def shared_settings(model: Any, reg_covar: object) -> Settings:
    """Return the parameters that every class of mixtures has; raises ParameterError."""
    checkpoint = model.checkpoint
    return Settings(
        n_components=check_integer("n_components", model.n_components, 1),
        structure=structure_named(model.covariance_type),
        tol=check_real("tol", model.tol, 0),
        reg_covar=check_real("reg_covar", reg_covar, 0),
        max_iter=check_integer("max_iter", model.max_iter, 0),
        accelerate=check_acceleration(model.accelerate),
        n_init=check_integer("n_init", model.n_init, 1),
        init_params=check_choice("init_params", model.init_params, METHOD_NAMES),
        random_state=model.random_state,
        warm_start=check_boolean("warm_start", model.warm_start),
        verbose=check_verbose(model.verbose),
        verbose_interval=check_integer("verbose_interval", model.verbose_interval, 1),
        n_threads=check_n_threads(model.n_threads),
        checkpoint=None if checkpoint is None else check_path("checkpoint", checkpoint),
        checkpoint_interval=check_real("checkpoint_interval", model.checkpoint_interval, 0),
        missing_values=check_choice("missing_values", model.missing_values, MISSING_VALUES),
    )


def _check_noise(noise: object) -> float | None:
    if noise is None or isinstance(noise, bool | np.bool_):
        return 0.0 if noise else None
    return check_real("noise", noise, 0, strict=True)


def _check_together(settings: Settings) -> None:
    """Raise ParameterError for options that do not go together."""
    _check_gaps(settings)
    if settings.mixed_precision and settings.algorithm != "em":
        raise ParameterError(
            f"mixed_precision=True needs algorithm='em', got algorithm={settings.algorithm!r}"
        )
    _check_truncated(settings)
    rules = settings.rules
    if rules is None:
        return
    if rules.covariances.any() and isinstance(settings.structure, Bounded):
        raise ParameterError(
            "fixed['covariances'] and eigenvalue_ratio are both given, but EM can bound only what "
            "it may change: give one"
        )
    inits = settings.weights_init, settings.means_init, settings.precisions_init
    for name, flags, given in zip(NAMES, rules[:3], inits, strict=True):
        if flags.any() and given is None and not settings.warm_start:
            init = "precisions_init" if name == "covariances" else f"{name}_init"
            raise ParameterError(
                f"fixed[{name!r}] needs {init}, or warm_start=True and a fitted mixture, to say at "
                "which values"
            )


def _check_gaps(settings: Settings) -> None:
    """Raise ParameterError for options that do not go with rows that lack values."""
    if settings.missing_values == "error":
        return
    _require_none(
        "missing_values='marginalize'",
        ("noise", settings.noise is not None),
        ("mixed_precision=True", settings.mixed_precision),
    )


def _check_truncated(settings: Settings) -> None:
    """Raise ParameterError for options that passes over lists of components do not know."""
    if settings.algorithm != "truncated":
        return
    structure = settings.structure
    _require_none(
        "algorithm='truncated'",
        ("noise", settings.noise is not None),
        ("prior", settings.prior is not None),
        ("reg_covar='relative'", settings.relative),
        ("fixed or weights='equal'", settings.rules is not None),
        ("missing_values='marginalize'", settings.missing_values != "error"),
        ("eigenvalue_ratio", isinstance(structure, Bounded)),
        (f"covariance_type={structure.name!r}", not structure.is_general),
    )


def _require_none(option: str, *others: tuple[str, bool]) -> None:
    """Raise ParameterError if any of the others, each with whether it is given, is."""
    for name, given in others:
        if given:
            raise ParameterError(
                f"{option} and {name} are both given, and do not go together: give one"
            )


def with_noise_of(settings: Settings, data: Data) -> Settings:
    """Return settings that know the noise's log-density; it may take two passes."""
    if settings.noise is None:
        return settings
    if settings.noise > 0:
        return settings._replace(log_noise=-float(np.log(settings.noise)))
    box = box_around(data)
    return settings._replace(log_noise=-box.log_volume, noise_box=box.corner_and_edges)


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

    def opening(state: EMState, callback: Callback) -> None:
        if settings.algorithm == "incremental":
            most = settings.max_iter
            most = most if settings.accelerate is None else min(most, SWEEPS_BEFORE_JUMPS)
            sweep(state, objective, max_iter=most, callback=callback)
        elif settings.algorithm == "truncated":
            jumping = strategy_of("squarem", settings.reg_covar, settings.tol)
            most = settings.max_iter
            climb(state, objective, jumping=jumping, max_iter=most, callback=callback)

    return opening


def require_online(settings: Settings) -> None:
    """Raise ParameterError where batches cannot be followed one by one."""
    for name, given, wanted in (
        ("prior", settings.prior is not None, "None"),
        ("reg_covar='relative'", settings.relative, "a number"),
        ("noise", settings.noise is not None, "False"),
        ("fixed and weights='equal'", settings.rules is not None, "None"),
    ):
        if given:
            raise ParameterError(
                f"partial_fit does not go with {name}, which looks at all rows at once: set it to "
                f"{wanted}, or call fit"
            )


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
