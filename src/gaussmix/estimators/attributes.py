"""The parameters of a mixture in its estimator's attributes: read, checked and set."""

from typing import Any

from gaussmix._core.types import FloatArray
from gaussmix.em.runs import Run
from gaussmix.errors import not_fitted
from gaussmix.model.checks import check_floats, check_matrices, check_means, check_weights
from gaussmix.model.covariance import CovarianceStructure, NotPositiveDefiniteError, structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.validation import check_numbers


def set_parameters(model: Any, parameters: Parameters) -> None:
    """Set the attributes of a mixture that say its parameters."""
    model._fitted_structure = parameters.structure
    model.weights_ = parameters.weights
    model.means_ = parameters.means
    model.covariances_ = parameters.covariances
    model.precisions_cholesky_ = parameters.precisions_cholesky
    model.precisions_ = parameters.precisions


def set_outcome(model: Any, run: Run) -> None:
    """Set what a fit leaves in a mixture: its parameters, and how the run that was kept went."""
    result = run.result
    set_parameters(model, result.parameters)
    model.converged_ = result.converged
    model.n_iter_ = result.n_iter
    model.lower_bound_ = run.lower_bound
    model.lower_bounds_ = result.lower_bounds
    vars(model).pop("_warned", None)
    vars(model).pop("_sampler", None)  # sampling starts again from random_state


def parameters_of(model: Any) -> Parameters:
    """Return the parameters in the attributes of a mixture, which a user may have set by hand.

    As in scikit-learn precisions_cholesky_ rules where it is there, and may be any triangular
    factor of the precisions. The kernels need the upper one, of positive diagonal.

    Raises
    ------
    NotFittedError
        If there are none.
    ValueError
        If they are no parameters of a mixture, or of another structure than `covariance_type`.
    """
    spread = hasattr(model, "covariances_") or hasattr(model, "precisions_cholesky_")
    if not (spread and hasattr(model, "weights_") and hasattr(model, "means_")):
        raise not_fitted(model)
    structure = _structure(model)
    n_components, n_features = table_shape("means_", model.means_)
    size = n_components, getattr(model, "n_features_in_", n_features)
    weights = check_weights(model.weights_, n_components, "weights_")
    means = check_means(model.means_, *size, "means_")
    if not hasattr(model, "precisions_cholesky_"):
        covariances = check_matrices("covariances_", model.covariances_, structure, *size)
        return Parameters.from_covariances(structure, weights, means, covariances)
    shape = structure.shape(*size)
    factors = check_floats("precisions_cholesky_", model.precisions_cholesky_, shape)
    if hasattr(model, "covariances_") and _is_upper(structure, factors):
        covariances = check_floats("covariances_", model.covariances_, shape)
        return Parameters(structure, weights, means, covariances, factors)
    precisions = Parameters(structure, weights, means, factors, factors).precisions
    try:
        return Parameters.from_precisions(structure, weights, means, precisions)
    except NotPositiveDefiniteError as error:
        raise ValueError(f"precisions_cholesky_ must have no zero pivot, but {error}") from None


def parameters_to_continue(model: Any, n_features: int, name: str) -> Parameters:
    """Return the present parameters, if what has this name can continue from them."""
    parameters = parameters_of(model)
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
