"""Models in files: `.npz` archives without pickle, that say what they are and which version."""

import io
import json
import os
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import PathLike
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import PROCESS, check_beliefs
from gaussmix.bayes.stored import NAMES, restored
from gaussmix.errors import ModelFileError, ParameterError
from gaussmix.estimators.attributes import POSTERIOR, set_noise_box, set_parameters, set_posterior
from gaussmix.estimators.bayesian import BayesianGaussianMixture
from gaussmix.estimators.evidence import beliefs_of
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io import archive
from gaussmix.io.archive import Archive
from gaussmix.io.atomic import replacing, shown_ending
from gaussmix.model.checks import check_floats, check_matrices, check_means, check_weights
from gaussmix.model.parameters import Noise, Parameters
from gaussmix.model.prior import Prior
from gaussmix.model.stored import check_stored
from gaussmix.validation import check_random_state

FORMAT_VERSION = 1

Mixture: TypeAlias = GaussianMixture | BayesianGaussianMixture
Model: TypeAlias = Mixture | KMeans
M = TypeVar("M", GaussianMixture, BayesianGaussianMixture, KMeans)

# how a fit went, and its prior: attributes, and their kind of dtype, number of axes, least value
MIXTURE: dict[str, tuple[str, int, float]] = {
    "converged_": ("b", 0, 0),
    "n_iter_": ("i", 0, 0),
    "lower_bound_": ("f", 0, -np.inf),
    "lower_bounds_": ("f", 1, -np.inf),
    "n_samples_seen_": ("i", 0, 0),
    "weight_seen_": ("f", 0, 0),
}
HISTORY: dict[type, dict[str, tuple[str, int, float]]] = {
    GaussianMixture: {
        **MIXTURE,
        "truncation_gap_": ("f", 0, 0),
        "noise_weight_": ("f", 0, 0),
        "noise_log_density_": ("f", 0, -np.inf),
    },
    BayesianGaussianMixture: {
        **MIXTURE,
        "n_effective_": ("i", 0, 0),
        "weight_concentration_prior_": ("f", 0, 0),
        "mean_precision_prior_": ("f", 0, 0),
        "degrees_of_freedom_prior_": ("f", 0, 0),
    },
    KMeans: {"inertia_": ("f", 0, 0), "n_iter_": ("i", 0, 0)},
}
CLASSES = "GaussianMixture, BayesianGaussianMixture or KMeans"
ARRAYS = ("weights_", "means_", "covariances_", "precisions_cholesky_")
PRIOR = ("mean_prior_", "covariance_prior_")
BOX = "noise_box_"
NOT_KEPT = ("checkpoint",)
"""Parameters that a file does not keep: a fit of the loaded model would write to that path."""


def save(model: Model, path: PathLike) -> None:
    """Save a fitted model to a ``.npz`` file, whole or not at all.

    What `load` returns predicts the same, bit for bit. The file holds no pickle, so that reading
    it runs no code. Stored are the constructor's parameters, the fitted ones, the feature names
    and how the fit went. Not stored are `KMeans.labels_`, which has the size of the data, and
    constructor's parameters that are not plain values, such as a `random_state` that is a
    generator or a function for `init`: the default takes their place. `checkpoint` is not stored
    either, so that a fit of the loaded model does not write to that file.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or KMeans
    path : str or path-like
        Must end in ``.npz``. A file that is there is replaced.

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

    Examples
    --------
    >>> import gaussmix
    >>> mixture = gaussmix.GaussianMixture(2, random_state=0).fit([[0.0], [1.0], [8.0], [9.0]])
    >>> gaussmix.save(mixture, "two.npz")
    >>> gaussmix.load("two.npz")
    <GaussianMixture(n_components=2, random_state=0), fitted: 4 rows, 1 feature>
    """
    if type(model) not in HISTORY:
        raise TypeError(f"model must be a {CLASSES}, got {type(model).__name__}")
    check_ending(path)
    model._check_fitted()
    _check_settings(model)
    content = io.BytesIO()
    archive.write(content, "model", FORMAT_VERSION, _entries(model))
    _model(Archive(content, "model", FORMAT_VERSION))  # what load would refuse
    with replacing(path) as file:
        file.write(content.getbuffer())


@overload
def load(path: PathLike) -> Model: ...
@overload
def load(path: PathLike, kind: type[M]) -> M: ...
def load(path: PathLike, kind: type[Any] | None = None) -> Model:
    """Load a model that `save` has written.

    Parameters
    ----------
    path : str or path-like
    kind : GaussianMixture, BayesianGaussianMixture or KMeans, optional
        The class that the model must be of.

    Returns
    -------
    GaussianMixture, BayesianGaussianMixture or KMeans

    Raises
    ------
    ModelFileError
        If the file is not a whole, sound model of a version that this gaussmix reads, or a model of
        another class than `kind`. Arrays that a model does not have are not looked at.
    TypeError
        If `path` is not a path, or `kind` not one of the classes.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import gaussmix
    >>> mixture = gaussmix.GaussianMixture(2, random_state=0).fit([[0.0], [1.0], [8.0], [9.0]])
    >>> gaussmix.save(mixture, "two.npz")
    >>> gaussmix.load("two.npz", gaussmix.GaussianMixture).means_.shape
    (2, 1)
    """
    if kind is not None and kind not in HISTORY:
        raise ParameterError(f"kind must be {CLASSES}, got {kind!r}")
    target = _as_path(path)
    if not archive.may_open(target):
        raise ModelFileError(f"{target}: a file is wanted, not a pipe or a device")
    with target.open("rb") as file:
        try:
            model = _model(Archive(file, "model", FORMAT_VERSION))
        except Exception as error:  # on damaged bytes the parsers raise errors of many kinds
            raise ModelFileError(f"{target}: {archive.reason(error)}") from None
    if kind is not None and type(model) is not kind:
        found = type(model).__name__
        raise ModelFileError(f"{target}: a {kind.__name__} is wanted, got a {found}")
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
        **_classes(model),
    }


def _classes(model: Model) -> dict[str, Any]:
    """Return the classes of components, as numbers or as texts."""
    if not hasattr(model, "component_labels_"):
        return {}
    return {"component_labels_": json.dumps(model.component_labels_.tolist())}


def _plain_params(model: Model) -> dict[str, Any]:
    """Constructor's parameters as JSON can hold them; those it cannot are left out."""
    plain = {}
    for name, value in model.get_params(deep=False).items():
        if name in NOT_KEPT:
            continue
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        value = value.plain() if isinstance(value, Prior) else value
        try:
            json.dumps(value)
        except TypeError:
            continue
        plain[name] = value
    return plain


def _fitted_arrays(model: Model) -> dict[str, NDArray[Any]]:
    if isinstance(model, KMeans):
        return {"cluster_centers_": model.cluster_centers_}
    parameters = model._present()
    names = ARRAYS + POSTERIOR if isinstance(parameters, Posterior) else ARRAYS
    found = dict(zip(names, parameters.arrays().values(), strict=True))
    return found | {
        name: np.asarray(getattr(model, name)) for name in (*PRIOR, BOX) if hasattr(model, name)
    }


def _model(found: Archive) -> Model:
    model = _blank(found.text("class"), json.loads(found.text("params")))
    if isinstance(model, KMeans):
        centers = found.floats("cluster_centers_", *_table_shape(found, "cluster_centers_", model))
        model.cluster_centers_ = check_means(centers, *centers.shape)
        model.n_features_in_ = centers.shape[1]
    else:
        _set_mixture(model, found)
        model.n_features_in_ = model.means_.shape[1]
    _check_given(model)
    _restore_names(model, found)
    _restore_classes(model, found)
    _restore_history(model, found)
    return model


def _set_mixture(model: Mixture, found: Archive) -> None:
    parameters = _parameters(model, found)
    if isinstance(model, GaussianMixture):
        set_parameters(model, parameters)
        if BOX in found:
            size = parameters.n_features + 1, parameters.n_features
            set_noise_box(model, check_floats(BOX, found.floats(BOX, *size), size))
        return
    process = model.weight_concentration_prior_type == PROCESS
    names = dict(zip(NAMES, POSTERIOR, strict=True))
    set_posterior(
        model, restored(parameters, process, lambda part, shape: found.floats(names[part], *shape))
    )
    n_features, structure = parameters.n_features, parameters.structure
    own = structure.shape(1, n_features)
    shapes = (n_features,), own if structure.shared else own[1:]
    for name, shape in zip(PRIOR, shapes, strict=True):
        if name in found:
            values = check_floats(name, found.floats(name, *shape), shape)
            setattr(model, name, values if shape else float(values[0]))


def _blank(name: str, params: object) -> Model:
    """Return a model that is not fitted, with constructor's parameters that are acceptable."""
    classes = {cls.__name__: cls for cls in HISTORY}
    if name not in classes:
        _refuse(f"class must be one of {', '.join(classes)}, got {name!r}")
    if not isinstance(params, dict):
        _refuse(f"params must be a mapping of names to values, got a {type(params).__name__}")
    known = classes[name]().get_params(deep=False)
    for param in params:
        if param not in known:
            _refuse(f"{name} has no parameter {param!r}")
    kept = {param: value for param, value in params.items() if param not in NOT_KEPT}
    if isinstance(kept.get("prior"), dict):
        kept["prior"] = Prior(**kept["prior"])
    model = cast(Model, classes[name](**kept))
    _check_settings(model)
    return model


def _check_settings(model: Model) -> None:
    if isinstance(model, KMeans):
        model._check_parameters()
    else:
        model._settings()
    check_random_state(model.random_state)


def _parameters(model: Mixture, found: Archive) -> Parameters:
    shape = _table_shape(found, "means_", model)
    structure = model._settings().structure
    spread = structure.shape(*shape)
    shapes = dict(zip(ARRAYS, (shape[:1], shape, spread, spread), strict=True))
    weights, means, covariances, factors = found.all_floats(shapes)
    check_matrices("covariance", covariances, structure, *shape)
    noise = None
    if "noise_weight_" in found:
        noise = Noise(found.number("noise_weight_"), found.number("noise_log_density_"))
        if not (0 <= noise.weight <= 1 and np.isfinite(noise.log_density)):
            _refuse("noise_weight_ must be from 0 to 1, and noise_log_density_ finite")
    return check_stored(structure, weights, means, covariances, factors, ARRAYS, noise)


def _table_shape(found: Archive, name: str, model: Model) -> tuple[int, int]:
    """Return the shape (K, D) of means or centres, the only arrays that say what D is."""
    n_rows = int(model.n_clusters if isinstance(model, KMeans) else model.n_components)
    shape = found.layout(name).shape
    if len(shape) != 2 or 0 in shape or shape[0] != n_rows:
        _refuse(f"{name} must have {n_rows} rows of features, got shape {shape}")
    return shape[0], shape[1]


def _check_given(model: Model) -> None:
    """Check the starts that a constructor was given against what is fitted."""
    n_features = int(model.n_features_in_)
    if isinstance(model, KMeans):
        if isinstance(model.init, list):
            check_means(model.init, int(model.n_clusters), n_features, "init")
        return
    if isinstance(model, BayesianGaussianMixture):
        check_beliefs(beliefs_of(model), model._settings().structure, n_features)
        return
    n_components = int(model.n_components)
    if model.weights_init is not None:
        check_weights(model.weights_init, n_components, "weights_init")
    if model.means_init is not None:
        check_means(model.means_init, n_components, n_features, "means_init")
    if model.precisions_init is not None:
        structure = model._settings().structure
        check_matrices(
            "precisions_init", model.precisions_init, structure, n_components, n_features
        )


def _restore_names(model: Model, found: Archive) -> None:
    name = "feature_names_in_"
    if name not in found:
        return
    layout = found.layout(name)
    if layout.shape != (model.n_features_in_,):
        n_names = layout.shape[0] if len(layout.shape) == 1 else f"{layout.shape}"
        _refuse(f"{n_names} feature names for {model.n_features_in_} features")
    model.feature_names_in_ = found.texts(name, model.n_features_in_).astype(object)


def _restore_classes(model: Model, found: Archive) -> None:
    if "component_labels_" not in found or not isinstance(model, GaussianMixture):
        return
    labels = np.array(json.loads(found.text("component_labels_")))
    if labels.shape != model.weights_.shape or labels.dtype.kind not in "iU":
        _refuse(f"component_labels_ must be {len(model.weights_)} numbers or texts")
    model.component_labels_ = labels
    model.classes_ = np.unique(labels)


def _restore_history(model: Model, found: Archive) -> None:
    for name, (kind, n_axes, least) in HISTORY[type(model)].items():
        if name not in found:
            continue
        layout = found.layout(name)
        if (layout.dtype.kind, len(layout.shape)) != (kind, n_axes):
            _refuse(f"{name} has the wrong type: {layout.dtype} of shape {layout.shape}")
        values = found.array(name, kind, layout.shape)
        if not ((values >= least) & (values < np.inf)).all():
            _refuse(f"{name} must be at least {least:g} and less than infinity, got {values}")
        setattr(model, name, values.tolist())


def _refuse(reason: str) -> NoReturn:
    raise ModelFileError(reason)
