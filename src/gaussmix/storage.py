"""Models in files: `.npz` archives without pickle, that say what they are and which version."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import STRUCTURES, Structure, factors_shape
from gaussmix.atomic import replacing
from gaussmix.config import version
from gaussmix.errors import ModelFileError
from gaussmix.kmeans import KMeans
from gaussmix.mixture import GaussianMixture
from gaussmix.parameters import Parameters
from gaussmix.starts import check_matrices, check_means, check_weights

FORMAT = "gaussmix-model"
FORMAT_VERSION = 1

Model: TypeAlias = GaussianMixture | KMeans
Arrays: TypeAlias = dict[str, NDArray[Any]]

HISTORY = {
    GaussianMixture: ("converged_", "n_iter_", "lower_bound_", "lower_bounds_"),
    KMeans: ("inertia_", "n_iter_"),
}


def save(model: Model, path: str | os.PathLike[str]) -> None:
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
        If the model is of another class.
    NotFittedError
        If it is not fitted.
    ValueError
        If the ending is another.
    OSError
        If the file cannot be written.
    """
    if type(model) not in HISTORY:
        wanted = " or ".join(cls.__name__ for cls in HISTORY)
        raise TypeError(f"model must be a {wanted}, got {type(model).__name__}")
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"path of a model must end in .npz, got {os.fspath(path)!r}")
    model._check_fitted()
    entries = _entries(model)
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **entries)


def load(path: str | os.PathLike[str]) -> Model:
    """Load a model that `save` has written.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    GaussianMixture or KMeans

    Raises
    ------
    ModelFileError
        If the file is not a whole, sound model of a version that this gaussmix reads.
    OSError
        If the file cannot be opened.
    """
    try:
        return _model(_read(Path(path)))
    except (ValueError, TypeError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(f"{os.fspath(path)}: {reason}") from None


def _entries(model: Model) -> dict[str, Any]:
    history = {name: getattr(model, name) for name in HISTORY[type(model)] if hasattr(model, name)}
    names = getattr(model, "feature_names_in_", None)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "gaussmix_version": version(),
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
        try:
            json.dumps(value)
        except TypeError:
            continue
        plain[name] = value
    return plain


def _fitted_arrays(model: Model) -> dict[str, NDArray[Any]]:
    if isinstance(model, KMeans):
        return {"cluster_centers_": model.cluster_centers_}
    parameters = model._parameters()
    return {
        "weights_": parameters.weights,
        "means_": parameters.means,
        "covariances_": parameters.covariances,
        "precisions_cholesky_": parameters.precisions_cholesky,
    }


def _read(path: Path) -> Arrays:
    """All arrays of a model file, once it is known to be one and of a version read here."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            _refuse("not a gaussmix model, or one that was cut short")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                _check_format(archive)
                return {name: archive[name] for name in archive.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            _refuse(f"the file is damaged ({error})")


def _check_format(archive: Mapping[str, NDArray[Any]]) -> None:
    if str(archive.get("format")) != FORMAT or "format_version" not in archive:
        _refuse("not a gaussmix model: the archive was written by something else")
    found = int(archive["format_version"])
    if found > FORMAT_VERSION:
        writer = archive.get("gaussmix_version", "a newer version")
        _refuse(
            f"a model of format version {found}, written by gaussmix {writer}; gaussmix "
            f"{version()} reads up to version {FORMAT_VERSION}: upgrade gaussmix to read it"
        )


def _model(arrays: Arrays) -> Model:
    classes = {cls.__name__: cls for cls in HISTORY}
    name, params = str(arrays["class"]), json.loads(str(arrays["params"]))
    if name not in classes:
        _refuse(f"class must be one of {', '.join(classes)}, got {name!r}")
    model = cast(Model, classes[name](**params))
    if isinstance(model, KMeans):
        _restore_centers(model, arrays)
    else:
        model._set_parameters(_parameters(model.covariance_type, arrays))
        model.n_features_in_ = model.means_.shape[1]
    _restore_names(model, arrays)
    for attribute in HISTORY[type(model)]:
        if attribute in arrays:
            setattr(model, attribute, arrays[attribute].tolist())
    return model


def _restore_centers(model: KMeans, arrays: Arrays) -> None:
    shape = arrays["cluster_centers_"].shape
    if len(shape) != 2 or 0 in shape:
        _refuse(f"cluster_centers_ must have the shape of (n_clusters, n_features), got {shape}")
    model.cluster_centers_ = check_means(arrays["cluster_centers_"], *shape)
    model._n_features_out, model.n_features_in_ = shape


def _parameters(covariance_type: str, arrays: Arrays) -> Parameters:
    shape = arrays["means_"].shape
    if covariance_type not in STRUCTURES or len(shape) != 2:
        _refuse(f"covariance_type {covariance_type!r} with means_ of shape {shape}")
    structure: Structure = covariance_type
    return Parameters(
        structure,
        check_weights(arrays["weights_"], shape[0]),
        check_means(arrays["means_"], *shape),
        check_matrices("covariance", arrays["covariances_"], structure, *shape),
        _check_factors(arrays["precisions_cholesky_"], structure, *shape),
    )


def _check_factors(
    factors: NDArray[Any], structure: Structure, n_components: int, n_features: int
) -> NDArray[np.float64]:
    """Factors of positive definite precisions: of the structure's shape, with positive diagonal."""
    wanted = factors_shape(structure, n_components, n_features)
    if factors.shape != wanted or factors.dtype != np.float64:
        _refuse(
            f"precisions_cholesky_ must be float64 of shape {wanted}, "
            f"got {factors.dtype} of shape {factors.shape}"
        )
    matrices = structure in ("full", "tied")
    diagonal = np.diagonal(factors, axis1=-2, axis2=-1) if matrices else factors
    if not (np.isfinite(factors).all() and (diagonal > 0).all()):
        _refuse("precisions_cholesky_ must be finite, with a positive diagonal")
    return factors


def _restore_names(model: Model, arrays: Arrays) -> None:
    if "feature_names_in_" not in arrays:
        return
    names = arrays["feature_names_in_"]
    if names.shape != (model.n_features_in_,):
        _refuse(f"{names.size} feature names for {model.n_features_in_} features")
    model.feature_names_in_ = names.astype(object)


def _refuse(reason: str) -> NoReturn:
    raise ModelFileError(reason)
