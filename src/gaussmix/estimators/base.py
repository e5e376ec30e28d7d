"""What every estimator shares: parameters, feature names, pickling and scikit-learn's protocols.

scikit-learn recognises an estimator by its methods, so nothing here imports it before it calls.
"""

import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import PathLike, Rows
from gaussmix.config import version
from gaussmix.data.base import ByRow, Data
from gaussmix.data.inputs import opened, route
from gaussmix.display.tables import MOST_ROWS, Summary
from gaussmix.errors import ParameterError, not_fitted, warn
from gaussmix.estimators.counterparts import StandIn
from gaussmix.estimators.routing import MetadataRequester
from gaussmix.estimators.summaries import size_of
from gaussmix.io import sinks
from gaussmix.io.atomic import check_target
from gaussmix.validation import check_choice, check_path

SHOWN_NAMES = 5  # feature names listed in an error
SHOWN_VALUES = 12  # elements of an array parameter that are shown in full

Names = NDArray[np.object_]


class Estimator(MetadataRequester, StandIn):
    """Base of the estimators.

    The constructor of a subclass stores its arguments under their own names and does nothing else;
    fitting adds attributes that end in an underscore.
    """

    n_threads: int | None
    n_features_in_: int
    summary: Callable[[], Summary]
    feature_names_in_: Names
    _estimator_type: ClassVar[str | None] = None  # as scikit-learn's tag of that name
    _takes_sparse: ClassVar[bool] = False

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments and their present values.

        Parameters
        ----------
        deep : bool, default=True
            Also return those of arguments that are estimators, as ``argument__parameter``.

        Returns
        -------
        dict

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> GaussianMixture(3, tol=1e-5).get_params()["tol"]
        1e-05
        """
        found = {}
        for name in _arguments(type(self)):
            value = found[name] = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                found |= {f"{name}__{key}": inner for key, inner in value.get_params().items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Change the constructor's arguments; they are checked by the next `fit`.

        Parameters
        ----------
        **params
            New values, by name; ``argument__parameter`` reaches into an argument that is itself an
            estimator.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no argument of that name.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> GaussianMixture(3).set_params(covariance_type="diag")
        GaussianMixture(n_components=3, covariance_type='diag')
        """
        nested: dict[str, dict[str, Any]] = defaultdict(dict)
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in _arguments(type(self)):
                raise ParameterError(
                    f"Invalid parameter {name!r} for estimator {self}. "
                    f"Valid parameters are: {sorted(_arguments(type(self)))!r}."
                )
            if inner:
                nested[name][inner] = value
            else:
                setattr(self, name, value)
        for name, inner_params in nested.items():
            inner_object = getattr(self, name)
            if not hasattr(inner_object, "set_params"):
                raise ParameterError(
                    f"{name}__{next(iter(inner_params))} cannot be set, since "
                    f"{name}={inner_object!r} is no estimator: set {name} as a whole"
                )
            inner_object.set_params(**inner_params)
        return self

    def __repr__(self) -> str:
        shown = (
            f"{name}={_brief(getattr(self, name))}"
            for name, argument in _arguments(type(self)).items()
            if repr(getattr(self, name)) != repr(argument.default)
        )
        call = f"{type(self).__name__}({', '.join(shown)})"
        if not self.__sklearn_is_fitted__():
            return call
        return f"<{call}, fitted: {size_of(self)}>"

    def _repr_html_(self) -> str:
        """Show a fitted model as a table, in notebooks."""
        if not self.__sklearn_is_fitted__():
            return f"<pre>{escape(repr(self))}</pre>"
        return self.summary()._repr_html_(MOST_ROWS)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_gaussmix_version": version()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        attributes = dict(state)
        written_by = attributes.pop("_gaussmix_version", "an unknown version")
        if written_by != version():
            warn(
                f"This {type(self).__name__} was pickled by gaussmix {written_by} and is read by "
                f"{version()}, where it may not work; gaussmix.save and load keep models across "
                "versions.",
                UserWarning,
            )
        self.__dict__.update(attributes)

    def __sklearn_is_fitted__(self) -> bool:
        inputs = ("n_features_in_", "feature_names_in_")  # there even when fit failed later
        return any(
            name.endswith("_") and not name.startswith("_") and name not in inputs
            for name in vars(self)
        )

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(sparse=self._takes_sparse, allow_nan=self._takes_gaps),
        )

    @property
    def _takes_gaps(self) -> bool:
        """Whether rows may lack values."""
        return False

    def _check_fitted(self) -> None:
        """Raise NotFittedError before `fit`."""
        if not self.__sklearn_is_fitted__():
            raise not_fitted(self)

    def _data_for_fit(
        self, X: object, sample_weight: object = None, n_threads: object = None
    ) -> tuple[Data, Names | None]:
        """Check the rows to fit, their weights, and the names of their features."""
        X = opened(X)
        data = route(
            X,
            sample_weight,
            n_threads,
            estimator=type(self).__name__,
            allow_nan=self._takes_gaps,
            sparse=self._takes_sparse,
        )
        return data, feature_names(X)

    def _data(
        self, X: object, sample_weight: object, n_threads: object, *, allow_nan: bool = False
    ) -> Data:
        """Check rows and weights for a fitted model, wherever they lie."""
        self._check_fitted()
        X = opened(X)
        self._check_feature_names(feature_names(X))
        return route(
            X,
            sample_weight,
            n_threads,
            estimator=type(self).__name__,
            n_features=self.n_features_in_,
            allow_nan=allow_nan or self._takes_gaps,
            sparse=self._takes_sparse,
        )

    def _each_row(
        self,
        function: ByRow,
        X: object,
        out: PathLike | None = None,
        names: Sequence[str] | None = None,
    ) -> Any:
        """Return what a function says of each row, all in one array, or write it block by block."""
        check_output(out)
        return by_row(self._data(X, None, self.n_threads), function, out, names)

    def _check_feature_names(self, names: Names | None) -> None:
        fitted: Names | None = getattr(self, "feature_names_in_", None)
        estimator = type(self).__name__
        if names is not None and fitted is None:
            warn(
                f"X has feature names, but {estimator} was fitted without feature names",
                UserWarning,
            )
        elif names is None and fitted is not None:
            warn(
                "X does not have valid feature names, but "
                f"{estimator} was fitted with feature names",
                UserWarning,
            )
        elif names is not None and fitted is not None and not np.array_equal(names, fitted):
            raise ValueError(_mismatch(names, fitted))


class Transformer(Estimator):
    """Base of the estimators that also transform rows, with names for the columns they make."""

    _n_features_out: int

    def get_feature_names_out(self, input_features: Iterable[str] | None = None) -> Names:
        """Return the names of the columns that `transform` makes.

        Parameters
        ----------
        input_features : iterable of str, optional
            Names of the columns of X; only checked against those seen in `fit`.

        Returns
        -------
        ndarray of str objects, shape (n_features_out,)

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> KMeans(2).fit([[0.0], [1.0], [9.0]]).get_feature_names_out()
        array(['kmeans0', 'kmeans1'], dtype=object)
        """
        self._check_fitted()
        if input_features is not None:
            self._check_input_features(np.atleast_1d(np.asarray(input_features, dtype=object)))
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_features_out)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            A numpy array, or a frame of that library; None changes nothing.

        Returns
        -------
        self

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> kmeans = KMeans(2).fit([[0.0], [1.0], [9.0]]).set_output(transform="pandas")
        >>> kmeans.transform([[0.0]]).columns.tolist()
        ['kmeans0', 'kmeans1']
        """
        if transform is not None:
            containers = ("default", "pandas", "polars")
            chosen = check_choice("transform", transform, containers)
            self._sklearn_output_config = {"transform": chosen}  # the name that clone copies
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags

    def _check_input_features(self, names: Names) -> None:
        fitted = getattr(self, "feature_names_in_", None)
        if fitted is not None and not np.array_equal(names, fitted):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(names) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(names)}"
            )

    def _wrapped(self, values: Rows, X: object) -> Any:
        """Put values in the container that `set_output` or scikit-learn's setting names."""
        container = self._output_container()
        if container == "pandas":
            import pandas as pd

            index = X.index if isinstance(X, pd.DataFrame | pd.Series) else None
            return pd.DataFrame(values, index=index, columns=self.get_feature_names_out())
        if container == "polars":
            import polars as pl

            return pl.DataFrame(values, schema=self.get_feature_names_out().tolist(), orient="row")
        return values

    def _output_container(self) -> str:
        if hasattr(self, "_sklearn_output_config"):
            return self._sklearn_output_config["transform"]
        if "sklearn" in sys.modules:
            return str(sys.modules["sklearn"].get_config()["transform_output"])
        return "default"


def check_output(out: PathLike | None) -> None:
    """Raise what writing to a file would raise, before the work; None is no file."""
    if out is not None:
        check_path("out", out)
        sinks.check_ending(Path(out))
        check_target(out)


def by_row(
    data: Data, function: ByRow, out: PathLike | None, names: Sequence[str] | None = None
) -> Any:
    """Return what a function says of each row, all in one array, or write it block by block."""
    return data.by_row(function) if out is None else data.write_by_row(function, out, names)


def remember_features(model: Any, n_features: int, names: Names | None) -> None:
    """Set n_features_in_ and feature_names_in_, once a fit succeeded."""
    model.n_features_in_ = n_features
    if names is not None:
        model.feature_names_in_ = names
    elif hasattr(model, "feature_names_in_"):
        del model.feature_names_in_


def _arguments(estimator: type) -> dict[str, inspect.Parameter]:
    """Arguments of the constructor, by name."""
    return dict(list(inspect.signature(estimator.__init__).parameters.items())[1:])  # type: ignore[misc]


def _brief(value: object) -> str:
    if isinstance(value, np.ndarray) and value.size > SHOWN_VALUES:
        return f"<array of shape {value.shape}>"
    return repr(value)


def feature_names(X: object) -> Names | None:
    """Column names of a frame, if they are strings."""
    columns = getattr(X, "columns", None)
    if columns is None or isinstance(X, np.ndarray):
        return None
    names = np.array(list(columns), dtype=object)
    kinds = sorted({type(name).__name__ for name in names})
    if "str" in kinds and len(kinds) > 1:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your "
            f"input has {kinds} as feature name / column name types. Convert them all to strings, "
            "for example by X.columns = X.columns.astype(str)."
        )
    return names if kinds == ["str"] else None


def _mismatch(names: Names, fitted: Names) -> str:
    unseen, missing = sorted({*names} - {*fitted}), sorted({*fitted} - {*names})
    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += "Feature names unseen at fit time:\n" + _listed(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def _listed(names: list[str]) -> str:
    rest = "- ...\n" if len(names) > SHOWN_NAMES else ""
    return "".join(f"- {name}\n" for name in names[:SHOWN_NAMES]) + rest
