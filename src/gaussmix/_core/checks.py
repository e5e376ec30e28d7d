"""The argument checks that the reference and every compiled build share: same errors everywhere.

`aligned` makes an array one that the checks pass, where only its place in memory is amiss.
"""

from operator import index
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.cells import Cells
from gaussmix._core.density import STRUCTURES, Density, factors_shape
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Structure

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])

FLOAT64, INT32, INT64 = np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.int64)


def require_array(name: str, array: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless `array` is a C-contiguous ndarray of that shape and dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    _require_memory(name, array)


def require_rows(X: object, name: str = "X") -> tuple[int, int]:
    """Raise unless X is a block of rows a kernel can read; return (n_samples, n_features)."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        raise TypeError(f"{name} must be a 2-dimensional numpy array, got {type(X).__name__}")
    if X.dtype not in (np.float64, np.float32):
        raise TypeError(f"{name} must have dtype float32 or float64, got {X.dtype}")
    _require_memory(name, X)
    n_samples, n_features = X.shape
    return n_samples, n_features


def require_matrices(matrices: object) -> None:
    """Raise unless these are square matrices, (M, D, D), of at least one row."""
    shape: tuple[int, ...] = getattr(matrices, "shape", ())
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] == 0:
        raise ValueError(f"matrices must have shape (M, D, D), D at least 1, got {shape}")
    require_array("matrices", matrices, shape, FLOAT64)


def require_moments(
    structure: Structure, shift: FloatArray, n_k: object, first: object, second: object
) -> None:
    """Raise unless these are the moments of components about a shift (K, D), K and D at least 1."""
    _require_structure(structure)
    shape: tuple[int, ...] = getattr(shift, "shape", ())
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"shift must have shape (K, D), K and D at least 1, got {shape}")
    require_array("shift", shift, shape, FLOAT64)
    require_array("n_k", n_k, shape[:1], FLOAT64)
    require_array("first", first, shape, FLOAT64)
    require_array("second", second, factors_shape(structure, *shape), FLOAT64)


def require_estimates(
    structure: Structure,
    shape: tuple[int, ...],
    weights: object,
    means: object,
    covariances: object,
    factors: object,
) -> None:
    """Raise unless these are arrays for parameters (K, D); covariances may be None."""
    _require_structure(structure)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"means must have shape (K, D), K and D at least 1, got {shape}")
    require_array("means", means, shape, FLOAT64)
    require_array("weights", weights, shape[:1], FLOAT64)
    spread = factors_shape(structure, *shape)
    require_array("factors", factors, spread, FLOAT64)
    if covariances is not None:
        require_array("covariances", covariances, spread, FLOAT64)


def require_pass(
    X: NDArray[np.floating],
    density: Density,
    n_threads: int,
    sample_weight: object = None,
) -> tuple[int, int, int]:
    """Raise unless rows, weights, constants and thread count fit together; return (N, K, D)."""
    n_samples, n_features = require_rows(X)
    _require_structure(density.structure)
    n_components = len(density.means)
    if density.gaps and X.dtype != FLOAT64:
        raise TypeError(f"X must have dtype float64 where values may be lacking, got {X.dtype}")
    require_array("center", density.center, (n_features,), FLOAT64)
    require_array("means", density.means, (n_components, n_features), FLOAT64)
    shape = factors_shape(density.structure, n_components, n_features)
    require_array("factors", density.factors, shape, FLOAT64)
    require_array("log_scales", density.log_scales, (n_components,), FLOAT64)
    _require_weight_and_threads(sample_weight, n_samples, n_threads)
    return n_samples, n_components, n_features


def require_no_gaps(density: Density) -> None:
    """Raise if a density is for rows that lack values, where rows belong to one component each."""
    if density.gaps:
        raise ValueError("gaps must be False where each row belongs to one component, got True")


def require_told(told: Told | None, n_samples: int, n_terms: int) -> None:
    """Raise unless what is told is about so many rows and terms."""
    if told is None:
        return
    if told.owners is not None:
        require_array("codes", told.rows, (n_samples,), INT32)
        require_array("owners", told.owners, (n_terms,), INT32)
        return
    if told.rows.dtype not in (np.float64, np.float32):
        raise TypeError(f"priors must have dtype float32 or float64, got {told.rows.dtype}")
    require_array("priors", told.rows, (n_samples, n_terms), told.rows.dtype)


def require_cells(
    n_samples: int, density: Density, cells: Cells, masses: object, labels: object
) -> None:
    """Raise unless these are cells of so many rows of a mixture that has components alone."""
    if density.log_noise is not None or density.gaps:
        raise ValueError("cells are for densities without noise, and for rows without gaps")
    order, rows, lists, components = cells
    require_array("order", order, (n_samples,), INT32)
    require_array("rows", rows, (cells.n_cells + 1,), INT64)
    require_array("lists", lists, (cells.n_cells + 1,), INT64)
    require_array("components", components, (int(lists[-1]),), INT32)
    require_array("masses", masses, components.shape, FLOAT64)
    if labels is not None:
        require_array("labels", labels, (n_samples,), INT32)
    if not (rows[0] >= 0 and rows[-1] <= n_samples and (np.diff(rows) >= 0).all()):
        raise ValueError(f"rows of cells must rise from 0 to {n_samples} at most, the number of X")
    if not (lists[0] == 0 and (np.diff(lists) > 0).all()):
        raise ValueError("lists must begin at 0, and have a component each")
    if n_samples and not 0 <= order.min() <= order.max() < n_samples:
        raise ValueError(f"order must hold numbers of {n_samples} rows")
    n_components = len(density.means)
    if len(components) and not 0 <= components.min() <= components.max() < n_components:
        raise ValueError(f"components must be from 0 to before {n_components}")
    rising = np.diff(components) > 0
    rising[lists[1:-1] - 1] = True  # from one list to the next
    if not rising.all():
        raise ValueError("the components of a list must rise")


def require_lloyd(
    X: NDArray[np.floating],
    sample_weight: object,
    centers: FloatArray,
    labels: object,
    n_k: object,
    totals: object,
    n_threads: int,
    tally: object,
) -> tuple[int, int, int]:
    """Raise unless the arguments of `lloyd` fit together; return (N, K, D)."""
    n_samples, n_features = require_rows(X)
    n_clusters = len(centers)
    require_array("centers", centers, (n_clusters, n_features), FLOAT64)
    require_array("labels", labels, (n_samples,), INT32)
    require_array("n_k", n_k, (n_clusters,), FLOAT64)
    require_array("totals", totals, (2,), FLOAT64)
    if tally is not None:
        require_array("tally", tally, (3,), INT64)
    _require_weight_and_threads(sample_weight, n_samples, n_threads)
    return n_samples, n_clusters, n_features


def require_em(
    X: NDArray[np.floating],
    sample_weight: object,
    n_features: int,
    bounds: FloatArray,
    n_threads: int,
) -> None:
    """Raise unless the arguments of `em` fit together, whose means have so many features."""
    n_samples, found = require_rows(X)
    if n_samples < 1:
        raise ValueError("em needs at least one row, got none")
    if found != n_features:
        raise ValueError(f"X must have {n_features} features, as the means have, got {found}")
    require_array("bounds", bounds, (len(bounds),), FLOAT64)
    _require_weight_and_threads(sample_weight, n_samples, n_threads)


def require_seeding(
    X: NDArray[np.floating],
    sample_weight: object,
    uniforms: object,
    chosen: NDArray[np.int64],
    n_trials: int,
    n_threads: int,
    name: str = "X",
) -> tuple[int, int]:
    """Raise unless the arguments of `plus_plus` fit together; return (K, D)."""
    n_samples, n_features = require_rows(X, name)
    n_clusters = len(chosen)
    if n_samples < 1 or n_clusters < 1 or index(n_trials) < 1:
        raise ValueError(
            "plus_plus needs at least one row, one cluster and one trial, got "
            f"{n_samples}, {n_clusters} and {n_trials}"
        )
    require_array("chosen", chosen, (n_clusters,), INT64)
    require_array("uniforms", uniforms, (1 + (n_clusters - 1) * n_trials,), FLOAT64)
    _require_weight_and_threads(sample_weight, n_samples, n_threads)
    return n_clusters, n_features


def require_clusters(
    X: NDArray[np.floating],
    view: NDArray[np.floating],
    sample_weight: object,
    uniforms: object,
    chosen: NDArray[np.int64],
    n_trials: int,
    labels: object,
    n_threads: int,
) -> None:
    """Raise unless `em_from_kmeans` can cluster rows X, checked before, as a view shows them."""
    _, n_features = require_seeding(
        view, sample_weight, uniforms, chosen, n_trials, n_threads, "view"
    )
    require_array("view", view, (len(X), n_features), X.dtype)
    require_array("labels", labels, X.shape[:1], INT32)


def aligned(array: AnyArray) -> AnyArray:
    """Return the array, or a copy if its numbers do not lie where a compiler expects them.

    A field of a packed record and a buffer cut at an odd byte may be contiguous and not aligned.
    """
    return array if array.flags.aligned else array.copy()


def _require_memory(name: str, array: NDArray[np.generic]) -> None:
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous")
    if not array.flags.aligned:
        raise ValueError(f"{name} must be aligned to its dtype")


def _require_structure(structure: str) -> None:
    if structure not in STRUCTURES:
        raise ValueError(f"structure must be one of {STRUCTURES}, got {structure!r}")


def _require_weight_and_threads(sample_weight: object, n_samples: int, n_threads: int) -> None:
    if sample_weight is not None:
        require_array("sample_weight", sample_weight, (n_samples,), FLOAT64)
    if index(n_threads) < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")


def require_sums(
    density: Density, n_k: object, first: object, second: object, totals: object
) -> None:
    """Raise unless the arrays a pass adds to have the shapes that the density implies."""
    n_components, n_features = density.means.shape
    require_array("n_k", n_k, (density.n_terms,), FLOAT64)
    require_array("first", first, (n_components, n_features), FLOAT64)
    if second is None and density.log_noise is not None:
        raise ValueError(f"log_noise must be None for hard assignment, got {density.log_noise}")
    if second is not None:
        shape = factors_shape(density.structure, n_components, n_features)
        require_array("second", second, shape, FLOAT64)
    require_array("totals", totals, (2,), FLOAT64)
