"""The parameters of a mixture's constructor, checked once, alone and together."""

from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, PathLike
from gaussmix.data.base import Data
from gaussmix.data.box import box_around
from gaussmix.data.told import Classes
from gaussmix.em.acceleration import check_acceleration
from gaussmix.em.constrained import NAMES, Rules, check_rules
from gaussmix.em.online import check_pace
from gaussmix.errors import ParameterError
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.eigenvalues import Bounded, bounded
from gaussmix.model.prior import Prior, check_prior
from gaussmix.starts.methods import METHOD_NAMES
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_path,
    check_real,
    check_verbose,
)

ALGORITHMS = ("em", "incremental", "truncated")
MISSING_VALUES = ("error", "marginalize")


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
    _check_together(settings, model.covariance_type)
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


def _check_together(settings: Settings, covariance_type: str) -> None:
    """Raise ParameterError for options that do not go together."""
    _check_gaps(settings)
    if settings.mixed_precision and settings.algorithm != "em":
        raise ParameterError(
            f"mixed_precision=True needs algorithm='em', got algorithm={settings.algorithm!r}"
        )
    _check_truncated(settings, covariance_type)
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


def _check_truncated(settings: Settings, covariance_type: str) -> None:
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
        (f"covariance_type={covariance_type!r}", not structure.is_general),
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
