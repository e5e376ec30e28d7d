"""Models in files: `.npz` archives without pickle, that say what they are and which version."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, PathLike
from gaussmix.errors import ModelFileError, ParameterError
from gaussmix.estimators.attributes import parameters_of, set_parameters
from gaussmix.estimators.fitting import settings_of
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io import archive
from gaussmix.io.archive import Arrays, float64
from gaussmix.io.atomic import replacing, shown_ending
from gaussmix.model.checks import check_matrices, check_means, check_weights
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters

FORMAT_VERSION = 1

Model: TypeAlias = GaussianMixture | KMeans
M = TypeVar("M", GaussianMixture, KMeans)

# how a fit went: attributes, and what NumPy makes of them, (kind of dtype, number of dimensions)
HISTORY: dict[type, dict[str, tuple[str, int]]] = {
    GaussianMixture: {
        "converged_": ("b", 0),
        "n_iter_": ("i", 0),
        "lower_bound_": ("f", 0),
        "lower_bounds_": ("f", 1),
        "n_samples_seen_": ("i", 0),
        "weight_seen_": ("f", 0),
    },
    KMeans: {"inertia_": ("f", 0), "n_iter_": ("i", 0)},
}


def save(model: Model, path: PathLike) -> None:
    """Save a fitted model to a `.npz` file, whole or not at all.

    What `load` returns predicts the same, bit for bit. The file holds no pickle, so that reading
    it runs no code. Stored are the constructor's parameters, the fitted ones, the feature names
    and how the fit went. Not stored are `KMeans.labels_`, which has the size of the data, and
    constructor's parameters that are not plain values, such as a `random_state` that is a
    generator or a function for `init`: the default takes their place.

    Parameters
    ----------
    model : GaussianMixture or KMeans
    path : str or path-like
        Must end in `.npz`. A file that is there is replaced.

    Raises
    ------
    TypeError
        If the model is of another class, or `path` is not a path.
    NotFittedError
        If it is not fitted.
    ValueError
        If the ending is another, or the constructor's parameters are not acceptable or no longer
        fit the fitted ones.
    OSError
        If the file cannot be written.
    """
    if type(model) not in HISTORY:
        wanted = " or ".join(cls.__name__ for cls in HISTORY)
        raise TypeError(f"model must be a {wanted}, got {type(model).__name__}")
    check_ending(path)
    model._check_fitted()
    _check_settings(model)
    entries = _entries(model)
    _model({name: np.asarray(value) for name, value in entries.items()})  # what load would refuse
    with replacing(path) as file:
        archive.write(file, "model", FORMAT_VERSION, entries)


@overload
def load(path: PathLike) -> Model: ...
@overload
def load(path: PathLike, kind: type[M]) -> M: ...
def load(path: PathLike, kind: type[Any] | None = None) -> Model:
    """Load a model that `save` has written.

    Parameters
    ----------
    path : str or path-like
    kind : GaussianMixture or KMeans, optional
        The class that the model must be of.

    Returns
    -------
    GaussianMixture or KMeans

    Raises
    ------
    ModelFileError
        If the file is not a whole, sound model of a version that this gaussmix reads, or a model of
        another class than `kind`.
    TypeError
        If `path` is not a path, or `kind` not one of the classes.
    OSError
        If the file cannot be opened.
    """
    if kind is not None and kind not in HISTORY:
        wanted = " or ".join(cls.__name__ for cls in HISTORY)
        raise ParameterError(f"kind must be {wanted}, got {kind!r}")
    with _as_path(path).open("rb") as file:
        try:
            model = _model(archive.read(file, "model", FORMAT_VERSION))
        except Exception as error:  # on damaged bytes the parsers raise errors of many kinds
            raise ModelFileError(f"{os.fspath(path)}: {archive.reason(error)}") from None
    if kind is not None and type(model) is not kind:
        found = type(model).__name__
        raise ModelFileError(f"{os.fspath(path)}: a {kind.__name__} is wanted, got a {found}")
    return model


def check_ending(path: PathLike) -> None:
    """Raise ValueError unless the path ends as a model's must."""
    path = _as_path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: path of a model must end in .npz, got {shown_ending(path)}")


def _as_path(path: PathLike) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise TypeError(f"path must be a str or path-like, got {path!r}") from None


def _entries(model: Model) -> dict[str, Any]:
    history = {name: getattr(model, name) for name in HISTORY[type(model)] if hasattr(model, name)}
    names = getattr(model, "feature_names_in_", None)
    return {
        "class": type(model).__name__,
        "params": json.dumps(_plain_params(model)),
        **_fitted_arrays(model),
        **history,
        **({} if names is None else {"feature_names_in_": names.astype(str)}),
    }


def _plain_params(model: Model) -> dict[str, Any]:
    """Constructor's parameters as JSON can hold them; those it cannot are left out."""
    plain = {}
    for name, value in model.get_params(deep=False).items():
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        try:
            json.dumps(value)
        except TypeError:
            continue
        plain[name] = value
    return plain


def _fitted_arrays(model: Model) -> dict[str, NDArray[Any]]:
    if isinstance(model, KMeans):
        return {"cluster_centers_": model.cluster_centers_}
    parameters = parameters_of(model)
    return {
        "weights_": parameters.weights,
        "means_": parameters.means,
        "covariances_": parameters.covariances,
        "precisions_cholesky_": parameters.precisions_cholesky,
    }


def _model(arrays: Arrays) -> Model:
    classes = {cls.__name__: cls for cls in HISTORY}
    name, params = str(arrays["class"]), json.loads(str(arrays["params"]))
    if name not in classes:
        _refuse(f"class must be one of {', '.join(classes)}, got {name!r}")
    model = cast(Model, classes[name](**params))
    _check_settings(model)
    if isinstance(model, KMeans):
        model.cluster_centers_ = _table(arrays, "cluster_centers_", model.n_clusters)
        model._n_features_out, model.n_features_in_ = model.cluster_centers_.shape
    else:
        set_parameters(model, _parameters(model, arrays))
        model.n_features_in_ = model.means_.shape[1]
    _restore_names(model, arrays)
    _restore_history(model, arrays)
    return model


def _check_settings(model: Model) -> None:
    if isinstance(model, KMeans):
        model._check_parameters()
    else:
        settings_of(model)


def _parameters(model: GaussianMixture, arrays: Arrays) -> Parameters:
    means = _table(arrays, "means_", model.n_components)
    structure, shape = settings_of(model).structure, means.shape
    return Parameters(
        structure,
        check_weights(float64(arrays, "weights_"), shape[0]),
        means,
        check_matrices("covariance", float64(arrays, "covariances_"), structure, *shape),
        _check_factors(float64(arrays, "precisions_cholesky_"), structure, *shape),
    )


def _table(arrays: Arrays, name: str, n_rows: int) -> FloatArray:
    """Means or centres, shape (K, D)."""
    table = float64(arrays, name)
    if table.ndim != 2 or 0 in table.shape or len(table) != n_rows:
        _refuse(f"{name} must have {n_rows} rows of features, got shape {table.shape}")
    return check_means(table, *table.shape)


def _check_factors(
    factors: FloatArray, structure: CovarianceStructure, n_components: int, n_features: int
) -> FloatArray:
    """Factors of positive definite precisions: of the structure's shape, with positive diagonal."""
    wanted = structure.shape(n_components, n_features)
    if factors.shape != wanted:
        _refuse(f"precisions_cholesky_ must have shape {wanted}, got {factors.shape}")
    if not (np.isfinite(factors).all() and (structure.diagonals(factors) > 0).all()):
        _refuse("precisions_cholesky_ must be finite, with a positive diagonal")
    return factors


def _restore_names(model: Model, arrays: Arrays) -> None:
    if "feature_names_in_" not in arrays:
        return
    names = arrays["feature_names_in_"]
    if names.shape != (model.n_features_in_,):
        _refuse(f"{names.size} feature names for {model.n_features_in_} features")
    if names.dtype.kind != "U":
        _refuse(f"feature_names_in_ must be text, got {names.dtype}")
    model.feature_names_in_ = names.astype(object)


def _restore_history(model: Model, arrays: Arrays) -> None:
    for name, wanted in HISTORY[type(model)].items():
        if name not in arrays:
            continue
        array = arrays[name]
        if (array.dtype.kind, array.ndim) != wanted:
            _refuse(f"{name} has the wrong type: {array.dtype} of shape {array.shape}")
        setattr(model, name, array.tolist())


def _refuse(reason: str) -> NoReturn:
    raise ModelFileError(reason)
