"""The parameters of a mixture in its estimator's attributes: read, checked and set."""

from dataclasses import replace
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import PROCESS
from gaussmix.bayes.stored import completed, shapes_of
from gaussmix.em.runs import Run
from gaussmix.errors import ParameterError, not_fitted
from gaussmix.model.checks import (
    check_floats,
    check_matrices,
    check_means,
    check_shape,
    check_weights,
)
from gaussmix.model.covariance import CovarianceStructure, NotPositiveDefiniteError, structure_named
from gaussmix.model.parameters import Noise, Parameters
from gaussmix.validation import check_numbers, check_real

P = TypeVar("P", bound=Parameters)

SPREADS = ("covariances_", "precisions_cholesky_", "precisions_")
"""The attributes that say how far components spread, each of which follows from any other."""

POSTERIOR = ("weight_concentration_", "mean_precision_", "degrees_of_freedom_")
"""The attributes of a Bayesian mixture that say its posterior, beside those of a mixture."""

AGREEMENT = 1e-3
"""By how much variances may differ, as a part of them, between attributes that a user sets.
Rounding makes smaller differences, and a change that a user means makes larger ones."""


def set_parameters(model: Any, parameters: Parameters) -> None:
    """Set the attributes of a mixture that say its parameters."""
    model._fitted_structure = parameters.structure
    model.weights_ = parameters.weights
    model.means_ = parameters.means
    model.covariances_ = parameters.covariances
    model.precisions_cholesky_ = parameters.precisions_cholesky
    model.precisions_ = parameters.precisions
    _set_noise(model, parameters.noise)
    model._stored_digests = {name: _digest(getattr(model, name)) for name in SPREADS}


def set_posterior(model: Any, posterior: Posterior) -> None:
    """Set the attributes of a Bayesian mixture that say its posterior."""
    set_parameters(model, posterior)
    concentration, freedom = posterior.concentration, posterior.degrees_of_freedom
    broken = concentration.ndim == 2
    model.weight_concentration_ = (concentration[0], concentration[1]) if broken else concentration
    model.mean_precision_ = posterior.mean_precision
    model.degrees_of_freedom_ = freedom if freedom.ndim else float(freedom)


def set_prior(model: Any, prior: Posterior) -> None:
    """Set the attributes of a Bayesian mixture that say its prior, the same for all components."""
    scale = prior.scales if prior.structure.shared else prior.scales[0]
    model.weight_concentration_prior_ = float(prior.concentration.flat[-1])
    model.mean_precision_prior_ = float(prior.mean_precision[0])
    model.mean_prior_ = prior.means[0]
    model.degrees_of_freedom_prior_ = float(prior.degrees_of_freedom.flat[0])
    model.covariance_prior_ = scale if np.ndim(scale) else float(scale)


def posterior_of(model: Any) -> Posterior:
    """Return the posterior in the attributes of a Bayesian mixture.

    A user may have set them. `weights_` follow from `weight_concentration_`, as in scikit-learn.

    Raises
    ------
    NotFittedError
        If there is none.
    ValueError
        If they are no posterior, or contradict each other.
    """
    mixture = parameters_of(model)
    if not all(hasattr(model, name) for name in POSTERIOR):
        raise not_fitted(model)
    process = model.weight_concentration_prior_type == PROCESS
    shapes = shapes_of(mixture.structure, mixture.n_components, process).items()
    arrays = {
        part: check_shape(name, np.asarray(getattr(model, name), np.float64), shape).reshape(shape)
        for name, (part, shape) in zip(POSTERIOR, shapes, strict=True)
    }
    return completed(mixture, arrays, POSTERIOR)


def _set_noise(model: Any, noise: Noise | None) -> None:
    if noise is not None:
        model.noise_weight_, model.noise_log_density_ = noise
        return
    for name in ("noise_weight_", "noise_log_density_", "noise_box_"):
        vars(model).pop(name, None)


def set_noise_box(model: Any, box: FloatArray | None) -> None:
    """Set the attribute that says where the noise is, (D + 1, D); None if that is not known."""
    vars(model).pop("noise_box_", None)
    if box is not None:
        model.noise_box_ = box


def noise_box_of(model: Any, parameters: Parameters) -> FloatArray | None:
    """Return where the noise of a mixture is, which new rows of it need; None without noise."""
    if parameters.noise is None:
        return None
    if not hasattr(model, "noise_box_"):
        raise ParameterError(
            "sample needs to know where the noise is, but noise=volume does not say: fit with "
            "noise=True, or set noise_box_ to a corner and the edges that leave it"
        )
    shape = parameters.n_features + 1, parameters.n_features
    return check_floats("noise_box_", np.asarray(model.noise_box_, np.float64), shape)


def _noise_of(model: Any) -> Noise | None:
    if not hasattr(model, "noise_weight_"):
        return None
    weight = check_real("noise_weight_", model.noise_weight_, 0)
    return Noise(weight, float(model.noise_log_density_))


def term_names(model: Any) -> list[str]:
    """Return what the columns of `predict_proba` are called in files."""
    names = [f"component {k}" for k in range(len(getattr(model, "weights_", ())))]
    if hasattr(model, "classes_"):
        names = [str(name) for name in model.classes_]
    return [*names, "noise"] if hasattr(model, "noise_weight_") else names


def gaussians_of(model: Any) -> Parameters:
    """Return the parameters of the Gaussian components alone, which answer what noise cannot."""
    return parameters_of(model).without_noise()


def mixture_of(model: Any, what: str) -> Parameters:
    """Return the parameters; raises ParameterError if they have noise, which `what` is not for."""
    parameters = parameters_of(model)
    if parameters.noise is not None:
        raise ParameterError(f"{what} is not for a mixture with noise, which is not Gaussian")
    return parameters


def set_outcome(model: Any, run: Run) -> None:
    """Set what a fit leaves in a mixture: its parameters, and how the run that was kept went."""
    result = run.result
    if isinstance(result.parameters, Posterior):
        set_posterior(model, result.parameters)
    else:
        set_parameters(model, result.parameters)
    model.converged_ = result.converged
    model.n_iter_ = result.n_iter
    model.lower_bound_, _ = run.certificate
    model.lower_bounds_ = result.lower_bounds
    vars(model).pop("_warned", None)
    vars(model).pop("_rounded", None)
    vars(model).pop("_sampler", None)  # sampling starts again from random_state


def parameters_of(model: Any) -> Parameters:
    """Return the parameters in the attributes of a mixture, which a user may have set by hand.

    Covariances, precision factors and precisions say the same thing three times. Those that are no
    longer what was stored were set, or changed in place, by a user. They rule, and the others
    follow. If several were, they must agree. The same holds if nothing was ever stored.
    precisions_cholesky_ may be any triangular factor of the precisions, as in scikit-learn. The
    kernels need the upper one, of positive diagonal.

    Raises
    ------
    NotFittedError
        If there are none.
    ValueError
        If they are no parameters of a mixture, contradict each other, or are of another structure
        than `covariance_type`.
    """
    spread = hasattr(model, "covariances_") or hasattr(model, "precisions_cholesky_")
    if not (spread and hasattr(model, "weights_") and hasattr(model, "means_")):
        raise not_fitted(model)
    structure = _structure(model)
    n_components, n_features = table_shape("means_", model.means_)
    size = n_components, getattr(model, "n_features_in_", n_features)
    noise = _noise_of(model)
    total = 1.0 if noise is None else 1 - noise.weight
    weights = check_weights(model.weights_, n_components, "weights_", total)
    means = check_means(model.means_, *size, "means_")
    spreads = _spreads(model, structure.shape(*size))
    stored = getattr(model, "_stored_digests", {})
    by_hand = {name: a for name, a in spreads.items() if _digest(a) != stored.get(name)}
    if not by_hand and {"covariances_", "precisions_cholesky_"} <= spreads.keys():
        covariances, factors = spreads["covariances_"], spreads["precisions_cholesky_"]
        return Parameters(structure, weights, means, covariances, factors, noise=noise)
    found = _parameters_by_hand(structure, weights, means, by_hand or spreads)
    return replace(found, noise=noise)


def _spreads(model: Any, shape: tuple[int, ...]) -> dict[str, FloatArray]:
    """Return those of SPREADS that a mixture has, with the shape that they must have."""
    return {
        name: check_shape(name, getattr(model, name), shape)
        for name in SPREADS
        if hasattr(model, name)
    }


def _digest(array: FloatArray) -> int:
    """Tell an array from what a user may have made of it.

    A checksum of 32 bits is several times as fast as a hash that withstands forgery.
    """
    return crc32(np.ascontiguousarray(array).data)


def _parameters_by_hand(
    structure: CovarianceStructure,
    weights: FloatArray,
    means: FloatArray,
    given: dict[str, FloatArray],
) -> Parameters:
    """Return the parameters that spreads set by hand stand for, one at least of `SPREADS`."""
    factors = {name: _factors(structure, name, array, means.shape) for name, array in given.items()}
    first, *others = given
    if "covariances_" in given:
        covariances = given["covariances_"]
    else:
        covariances = structure.covariances_of_factors(factors[first])
    for name in others:
        if structure.disagreement(covariances, factors[name]) > AGREEMENT:
            raise ValueError(
                f"{first} and {name} were both set by hand and contradict each other: set one of "
                "them, from which the other follows, or both to what belongs together"
            )
    # A factor that a user gives is taken as it is, to the bit.
    ruling = "precisions_cholesky_" if "precisions_cholesky_" in given else first
    return Parameters(structure, weights, means, covariances, factors[ruling])


def _factors(
    structure: CovarianceStructure, name: str, array: FloatArray, size: tuple[int, ...]
) -> FloatArray:
    """Return the upper factors of the precisions, of positive diagonal, that a spread stands for.

    Raises ValueError, which names the spread, if it is not finite or there are none.
    """
    if name != "precisions_cholesky_":
        matrices = check_matrices(name, array, structure, *size)
        if name == "covariances_":
            return structure.precision_factors(matrices)
        return structure.factors_of_precisions(matrices)
    factors = check_floats(name, array, array.shape)
    if _is_upper(structure, factors):
        return factors
    try:
        return structure.factors_of_precisions(structure.precisions_of_factors(factors))
    except NotPositiveDefiniteError as error:
        raise ValueError(f"precisions_cholesky_ must have no zero pivot, but {error}") from None


def parameters_to_continue(model: Any, n_features: int, name: str) -> Parameters:
    """Return the present parameters, if what has this name can continue from them."""
    return _to_continue(model, parameters_of(model), n_features, name)


def posterior_to_continue(model: Any, n_features: int, name: str) -> Posterior:
    """Return the present posterior, if what has this name can continue from it."""
    return _to_continue(model, posterior_of(model), n_features, name)


def _to_continue(model: Any, parameters: P, n_features: int, name: str) -> P:
    wanted = (int(model.n_components), n_features)
    if parameters.means.shape != wanted:
        raise ValueError(
            f"{name} cannot continue from means_ of shape {parameters.means.shape}: "
            f"n_components={model.n_components} and {n_features} features need {wanted}"
        )
    return parameters


def table_shape(name: str, values: object) -> tuple[int, int]:
    """Return the shape of means, (K, D)."""
    shape = check_numbers(values, name).shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of (n_components, n_features), "
            f"but got {shape}"
        )
    return shape[0], shape[1]


def _structure(model: Any) -> CovarianceStructure:
    structure: CovarianceStructure | None = getattr(model, "_fitted_structure", None)
    if structure is None:
        return structure_named(model.covariance_type)
    if not structure.goes_by(model.covariance_type):
        raise ValueError(
            f"covariance_type is {model.covariance_type!r}, but the present parameters are of "
            f"covariance_type={structure.name!r}: set it back, or fit anew without warm_start"
        )
    return structure


def _is_upper(structure: CovarianceStructure, factors: FloatArray) -> bool:
    """Whether factors are as the kernels need them: upper, with a positive diagonal."""
    return bool((structure.diagonals(factors) > 0).all()) and structure.is_upper(factors)
