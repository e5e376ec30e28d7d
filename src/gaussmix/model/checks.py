"""Checks of parameters that a user, or a file, gives."""

import numpy as np

from gaussmix._core.checks import aligned
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.validation import check_numbers

WEIGHT_SUM = 1e-6  # by how much given weights may miss 1: what thirds in float32 may

MEMBERSHIP = 1e-6
"""By how much an entry of a given matrix may miss what its structure asks for, as a part of the
standard deviations of its two features: what float32 and six digits may."""

LOWEST_PIVOT = float(np.finfo(np.float64).tiny)  # the inverse of a smaller one overflows


def check_weights(
    weights: object, n_components: int, name: str = "weights", total: float = 1.0
) -> FloatArray:
    """Return a copy of the weights of components, shape (K,), each in [0, 1], of sum `total`."""
    array = check_floats(name, weights, (n_components,)).copy()
    if (array < 0).any() or (array > 1).any():
        raise ValueError(
            f"The parameter '{name}' should be in the range [0, 1], but got max value "
            f"{array.max():.5f}, min value {array.min():.5f}"
        )
    if abs(total - array.sum()) > WEIGHT_SUM:
        raise ValueError(
            f"The parameter '{name}' should be normalized, but got sum({name}) = {array.sum():.5f}"
        )
    return array


def check_means(
    means: object, n_components: int, n_features: int, name: str = "means"
) -> FloatArray:
    """Return a copy of the means, shape (K, D)."""
    return check_floats(name, means, (n_components, n_features)).copy()


def check_matrices(
    kind: str,
    matrices: object,
    structure: CovarianceStructure,
    n_components: int,
    n_features: int,
) -> FloatArray:
    """Return a copy of positive definite matrices in the structure's shape; `kind` names them."""
    name = f"{structure.name} {kind}"
    array = check_floats(name, matrices, structure.shape(n_components, n_features)).copy()
    pivots = structure.checked_pivots(name, array)
    if pivots.min() < LOWEST_PIVOT:
        raise ValueError(
            f"'{name}' should have an inverse within float64, but a pivot is {pivots.min():g}, "
            f"below {LOWEST_PIVOT:.3g}"
        )
    return array


def check_member(
    kind: str, matrices: FloatArray, structure: CovarianceStructure, n_components: int, remedy: str
) -> None:
    """Raise ValueError unless covariances, or precisions, are of the structure; `kind` names them.

    A structure's precisions are like its covariances. `remedy` says what to do about it.
    """
    nearest = structure.nearest(np.full(n_components, 1 / n_components), matrices)
    if nearest is matrices:
        return
    n_features = 1 if matrices.ndim == 1 else matrices.shape[-1]
    given, member = (
        structure.as_matrices(m, n_components, n_features) for m in (matrices, nearest)
    )
    scales = np.sqrt(np.einsum("kii->ki", given))
    gap = float((np.abs(member - given) / (scales[:, :, None] * scales[:, None, :])).max())
    if not gap <= MEMBERSHIP:
        raise ValueError(
            f"'{structure.name} {kind}' should be of {structure.described}, but an "
            f"entry differs by {gap:.2g} of a variance from the nearest that are: {remedy}"
        )


def check_floats(name: str, values: object, shape: tuple[int, ...]) -> FloatArray:
    """Return finite numbers of a shape as a float64 array, the same one if it is that already."""
    array = check_shape(name, values, shape)
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' should be finite, but contains NaN or infinity")
    return array


def check_shape(name: str, values: object, shape: tuple[int, ...]) -> FloatArray:
    """Return numbers of a shape as `check_floats` does, finite or not."""
    numbers = check_numbers(values, name)
    if numbers.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {numbers.shape}"
        )
    return aligned(np.ascontiguousarray(numbers, dtype=np.float64))
