"""The argument checks that the reference and every compiled build share: same errors everywhere."""

from operator import index

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import STRUCTURES, Density, FloatArray, factors_shape


def check_array(name: str, array: object, shape: tuple[int, ...], dtype: object) -> None:
    """Raise unless `array` is a C-contiguous ndarray of that shape and dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}")  # type: ignore[call-overload]
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous")


def check_rows(X: object) -> tuple[int, int]:
    """Raise unless X is a block of rows a kernel can read; return (n_samples, n_features)."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        raise TypeError(f"X must be a 2-dimensional numpy array, got {type(X).__name__}")
    if X.dtype not in (np.float64, np.float32):
        raise TypeError(f"X must have dtype float32 or float64, got {X.dtype}")
    if not X.flags.c_contiguous:
        raise ValueError("X must be C-contiguous")
    n_samples, n_features = X.shape
    return n_samples, n_features


def check_matrices(matrices: object) -> None:
    """Raise unless these are square matrices, (M, D, D), of at least one row."""
    shape: tuple[int, ...] = getattr(matrices, "shape", ())
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] == 0:
        raise ValueError(f"matrices must have shape (M, D, D), D at least 1, got {shape}")
    check_array("matrices", matrices, shape, np.float64)


def check_pass(
    X: NDArray[np.floating],
    density: Density,
    n_threads: int,
    sample_weight: object = None,
) -> tuple[int, int, int]:
    """Raise unless rows, weights, constants and thread count fit together; return (N, K, D)."""
    n_samples, n_features = check_rows(X)
    if density.structure not in STRUCTURES:
        raise ValueError(f"structure must be one of {STRUCTURES}, got {density.structure!r}")
    n_components = len(density.means)
    check_array("center", density.center, (n_features,), np.float64)
    check_array("means", density.means, (n_components, n_features), np.float64)
    shape = factors_shape(density.structure, n_components, n_features)
    check_array("factors", density.factors, shape, np.float64)
    check_array("log_scales", density.log_scales, (n_components,), np.float64)
    _check_weight_and_threads(sample_weight, n_samples, n_threads)
    return n_samples, n_components, n_features


def check_lloyd(
    X: NDArray[np.floating],
    sample_weight: object,
    centers: FloatArray,
    labels: object,
    n_k: object,
    totals: object,
    n_threads: int,
) -> tuple[int, int, int]:
    """Raise unless the arguments of `lloyd` fit together; return (N, K, D)."""
    n_samples, n_features = check_rows(X)
    n_clusters = len(centers)
    check_array("centers", centers, (n_clusters, n_features), np.float64)
    check_array("labels", labels, (n_samples,), np.int32)
    check_array("n_k", n_k, (n_clusters,), np.float64)
    check_array("totals", totals, (2,), np.float64)
    _check_weight_and_threads(sample_weight, n_samples, n_threads)
    return n_samples, n_clusters, n_features


def _check_weight_and_threads(sample_weight: object, n_samples: int, n_threads: int) -> None:
    if sample_weight is not None:
        check_array("sample_weight", sample_weight, (n_samples,), np.float64)
    if index(n_threads) < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")


def check_sums(
    density: Density, n_k: object, first: object, second: object, totals: object
) -> None:
    """Raise unless the arrays a pass adds to have the shapes that the density implies."""
    n_components, n_features = density.means.shape
    check_array("n_k", n_k, (n_components,), np.float64)
    check_array("first", first, (n_components, n_features), np.float64)
    if second is not None:
        shape = factors_shape(density.structure, n_components, n_features)
        check_array("second", second, shape, np.float64)
    check_array("totals", totals, (2,), np.float64)
