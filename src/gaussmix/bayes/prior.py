"""The prior of a mixture, as a user gives it or as the rows suggest it."""

from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior
from gaussmix.data.base import Data
from gaussmix.data.gaussian import gaussian_moments
from gaussmix.errors import ParameterError
from gaussmix.model.checks import check_floats, check_matrices
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step

PROCESS = "dirichlet_process"
PRIOR_TYPES = (PROCESS, "dirichlet_distribution")


class Beliefs(NamedTuple):
    """What a user says of a mixture's prior; None leaves it to the rows, or to convention."""

    weights: str
    """One of PRIOR_TYPES."""
    concentration: float | None
    mean_precision: float | None
    mean: object
    degrees_of_freedom: float | None
    covariance: object


def prior_of(
    beliefs: Beliefs, structure: CovarianceStructure, n_components: int, data: Data
) -> Posterior:
    """Return the prior: by default that of scikit-learn.

    The default mean is that of the rows, the default inverse of the Wishart's scale matrix their
    covariance, with n - 1 in the denominator. A row of weight w counts like w rows. Of rows that
    lack values they are those of the Gaussian under which what they have is most likely. Where
    features are constant, or combinations of others, that covariance is regularised as `m_step`
    does it.

    Parameters
    ----------
    beliefs : Beliefs
    structure : CovarianceStructure
        The most general one of its form.
    n_components : int
    data : Data
        Only read where the defaults need it.

    Raises
    ------
    ValueError
        If a belief is none that a mixture of the data's features can have, or the rows' summed
        weight is not more than 1 where their covariance is needed.
    """
    freedom, mean, scale = check_beliefs(beliefs, structure, data.n_features)
    if mean is None or scale is None:
        found, _ = m_step(gaussian_moments(data, structure), 0.0)
        mean = found.means[0] if mean is None else mean
        scale = _unbiased(found.covariances, data) if scale is None else scale
    one = np.ones(1)
    return Posterior.of(
        structure,
        _concentration(beliefs, n_components),
        one * (1.0 if beliefs.mean_precision is None else beliefs.mean_precision),
        mean[None],
        np.array(freedom) if structure.shared else one * freedom,
        scale / freedom,
    )


def check_beliefs(
    beliefs: Beliefs, structure: CovarianceStructure, n_features: int
) -> tuple[float, FloatArray | None, FloatArray | None]:
    """Return the degrees of freedom, and the mean and the inverse of the scale if they are given.

    The inverse has the shape that covariances of one component have. Raises ValueError if one is
    none that a mixture of so many features can have.
    """
    mean = None if beliefs.mean is None else check_floats("mean_prior", beliefs.mean, (n_features,))
    scale = _check_scale(beliefs.covariance, structure, n_features)
    return _degrees_of_freedom(beliefs.degrees_of_freedom, n_features), mean, scale


def _concentration(beliefs: Beliefs, n_components: int) -> FloatArray:
    given = beliefs.concentration
    each = np.full(n_components, 1 / n_components if given is None else given)
    return np.stack([np.ones(n_components), each]) if beliefs.weights == PROCESS else each


def _degrees_of_freedom(given: float | None, n_features: int) -> float:
    if given is None:
        return float(n_features)
    if not given > n_features - 1:
        raise ParameterError(
            "The parameter 'degrees_of_freedom_prior' should be greater than "
            f"{n_features - 1}, but got {given:.3f}."
        )
    return given


def _check_scale(
    given: object, structure: CovarianceStructure, n_features: int
) -> FloatArray | None:
    """Return a given covariance_prior in the shape that covariances of one component have."""
    if given is None:
        return None
    shape = structure.shape(1, n_features)
    own = shape if structure.shared else shape[1:]
    scale = check_floats("covariance_prior", given, own).reshape(shape)
    return check_matrices("covariance_prior", scale, structure, 1, n_features)


def _unbiased(covariances: FloatArray, data: Data) -> FloatArray:
    weight = data.weight
    if not weight > 1:
        raise ParameterError(
            f"covariance_prior=None is the covariance of rows whose summed weight is more than 1, "
            f"got {weight:g} (n_samples = {data.n_samples}): give a covariance_prior"
        )
    return covariances * (weight / (weight - 1))
