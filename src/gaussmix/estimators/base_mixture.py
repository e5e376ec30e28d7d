"""What every class of mixtures does, however it is fitted."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import threads
from gaussmix._core.types import (
    CovarianceType,
    DaskLike,
    FloatArray,
    Labels,
    MergeCriterion,
    MissingValues,
    PathLike,
    Rows,
    RowsLike,
    Seed,
    WeightLike,
)
from gaussmix.data.base import ByRow, Data
from gaussmix.data.observed import require_observed
from gaussmix.data.scale import require_features_to_scale
from gaussmix.data.told import ToldData
from gaussmix.em.runs import Run
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import noise_box_of, set_outcome, term_names
from gaussmix.estimators.base import Estimator, Names, remember_features
from gaussmix.estimators.criteria import total_score
from gaussmix.estimators.diagnostics import warn_of_fit
from gaussmix.estimators.fitting import Origin, Problem, best_run
from gaussmix.estimators.queries import M, Queries
from gaussmix.estimators.routing import UNCHANGED, Request
from gaussmix.estimators.settings import MISSING_VALUES, Settings
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_means_within_reach
from gaussmix.model.scoring import assign, log_likelihoods, responsibilities
from gaussmix.queries.hierarchy import CRITERIA, Hierarchy, nest
from gaussmix.queries.sampling import check_n_samples, draw
from gaussmix.validation import check_choice, check_n_threads, check_random_state


class BaseMixture(Queries[M], Estimator):
    """Base of the mixtures: a subclass says what its fit climbs, and what scores its rows."""

    _estimator_type = "density_estimator"
    _weighted = ("fit", "partial_fit", "score")

    n_components: int
    covariance_type: CovarianceType
    tol: float
    reg_covar: float | Literal["relative"]
    max_iter: int
    missing_values: MissingValues
    warm_start: bool
    random_state: Seed
    weights_: FloatArray
    means_: FloatArray
    covariances_: FloatArray
    precisions_: FloatArray
    precisions_cholesky_: FloatArray
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    n_samples_seen_: int
    weight_seen_: float
    _fitted_structure: CovarianceStructure

    @property
    def _takes_gaps(self) -> bool:
        return check_choice("missing_values", self.missing_values, MISSING_VALUES) != "error"

    def _each_row(
        self,
        function: ByRow,
        X: object,
        out: PathLike | None = None,
        names: Sequence[str] | None = None,
    ) -> Any:
        if self._takes_gaps:
            function = cast(ByRow, partial(cast(Any, function), gaps=True))
        return super()._each_row(function, X, out, names)

    @abstractmethod
    def _settings(self) -> Settings:
        """Check the constructor's parameters."""

    @abstractmethod
    def _problem(self, data: Data | ToldData, settings: Settings) -> Problem:
        """Return what a fit climbs."""

    @abstractmethod
    def _present(self) -> Parameters:
        """Return what scores rows, from the attributes; raises NotFittedError."""

    @abstractmethod
    def _continued(self, n_features: int, name: str) -> Parameters:
        """Return where a fit goes on that has this name, from the attributes."""

    def _prepared(
        self, X: object, data: Data, settings: Settings
    ) -> tuple[Data | ToldData, Settings]:
        """Return the rows with what is told of them, and settings that X decides."""
        return data, settings

    def _keep(self, run: Run, problem: Problem, settings: Settings) -> None:
        """Set the attributes that say what a fit came to."""
        set_outcome(self, run)

    def _assign(self) -> Callable[..., NDArray[Any]]:
        """Return what assigns rows to components."""
        return assign

    def fit(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Self:
        """Fit the mixture to X, from `n_init` starts.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
            C-contiguous float32 and float64 arrays are used in place.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, X or the weights are not acceptable, there are fewer rows than
            components, or squared distances leave the range of X's dtype.
        CheckpointError
            If `checkpoint` is damaged, or was written by a fit with other parameters or data.
        OSError
            If `checkpoint` cannot be read, or there can be no file there.

        Warns
        -----
        CheckpointWarning
            If `checkpoint` could not be written.
        ConvergenceWarning
            If `max_iter` iterations were not enough.
        CollapseWarning
            If components shrank onto too few distinct rows and had to be regularised.
        PrecisionWarning
            If components are so small, beside their distance from the mixture's mean, that
            rounding of X's dtype shows.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0]] * 60 + [[30.0]] * 20)
        >>> mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
        >>> mixture.converged_, mixture.n_effective_
        (True, 2)
        """
        self._fit(X, sample_weight)
        return self

    @overload
    def fit_predict(
        self, X: DaskLike, y: object = None, sample_weight: WeightLike = None
    ) -> Any: ...
    @overload
    def fit_predict(
        self, X: RowsLike, y: object = None, sample_weight: WeightLike = None
    ) -> Labels: ...
    def fit_predict(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Any:
        """Fit the mixture to X and return the most probable component of each row, as `predict`.

        The parameters are those of `fit`.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> labels = GaussianMixture(2, random_state=0).fit_predict([[0.0], [1.0], [8.0], [9.0]])
        >>> (labels == labels[0]).tolist()
        [True, True, False, False]
        """
        data = self._fit(X, sample_weight)
        return data.by_row(partial(self._assign(), self._present(), gaps=data.gaps))

    @overload
    def predict(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predict(self, X: RowsLike, *, out: None = None) -> Labels: ...
    @overload
    def predict(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def predict(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the most probable component of each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,), int32
            -1 is the noise. With `classes_` they are classes, and None is noise beside strings. Of
            a Dask collection a lazy dask array; with `out` its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[-1], [1]], [1, 1], "spherical")
        >>> mixture.predict([[-2.0], [0.1], [3.0]])
        array([0, 1, 1], dtype=int32)
        """
        return self._by_row(self._assign(), X, out, ["component"])

    @overload
    def predict_proba(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predict_proba(self, X: RowsLike, *, out: None = None) -> Rows: ...
    @overload
    def predict_proba(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def predict_proba(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the posterior probability of each component given each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            float32 for float32 rows, else float64. Of a Dask collection a lazy dask array; with
            `out` its path.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0]] * 60 + [[30.0]] * 20)
        >>> mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
        >>> mixture.predict_proba([[0.0], [30.0]]).max(axis=1).round(2)
        array([1., 1.])
        """
        return self._by_row(responsibilities, X, out, term_names(self))

    def hierarchy(
        self,
        X: RowsLike | None = None,
        sample_weight: WeightLike = None,
        criterion: MergeCriterion = "entropy",
    ) -> Hierarchy:
        """Merge the components two at a time, into soft clusters that nest.

        A cluster that is not Gaussian takes several components. Merging those that share rows
        gives the clusters back, without a new fit: the membership of a row in a cluster is the
        sum of its responsibilities for the cluster's components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take, optional
            The rows to cluster, most often those of `fit`. The entropy criterion needs them.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.
        criterion : {'entropy', 'bhattacharyya'}, default='entropy'
            What to merge next: the two clusters whose union lowers the entropy of the clustering
            most (Baudry, Raftery, Celeux, Lo & Gottardo, 2010), or the two whose Gaussians, of the
            clusters' means and covariances, have the smallest Bhattacharyya distance (Hennig,
            2010), for which X only adds the entropies.

        Returns
        -------
        Hierarchy
            Of the present parameters, which a later `fit` does not change.

        Notes
        -----
        By entropy, one or two passes over X do, as a rule: the merges are rehearsed on at most
        16384 of the rows, and the first pass carries the sums that the rehearsal needed. Where
        the rehearsal went wrong, as among many components that overlap alike, another pass
        follows, up to n_components - 1 in all. The result is exact in any case, and the same for
        any number of threads. By distance, X is read once, if given.

        The first pass takes the time of about n_components**2 / 2 logarithms a row. No memory
        grows with the rows.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.array([[0.0], [1], [2], [3], [4], [10], [11], [12]])
        >>> mixture = GaussianMixture.from_parameters(
        ...     [0.3, 0.3, 0.4], [[1], [3], [11]], [1, 1, 1], covariance_type="spherical"
        ... )
        >>> hierarchy = mixture.hierarchy(X)
        >>> hierarchy.predict_proba([[2.5], [7.0]], n_clusters=2).round(2)
        array([[1.  , 0.  ],
               [0.43, 0.57]])
        >>> hierarchy.labels(2)
        array([0, 0, 1], dtype=int32)
        """
        check_choice("criterion", criterion, CRITERIA)
        if X is None and sample_weight is not None:
            raise ParameterError("sample_weight needs the rows that it weights, but X is None")
        frozen = copy(self)
        parameters = frozen._present()
        data = None if X is None else frozen._data(X, sample_weight, self.n_threads)
        return nest(parameters, data, frozen._each_row, criterion)

    @overload
    def score_samples(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def score_samples(self, X: RowsLike, *, out: None = None) -> Rows: ...
    @overload
    def score_samples(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def score_samples(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the log-likelihood of each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,)
            float32 for float32 rows, else float64. Of a Dask collection a lazy dask array; with
            `out` its path.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0]] * 60 + [[30.0]] * 20)
        >>> mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
        >>> mixture.score_samples([[0.0], [15.0]]).round(1)
        array([-2. , -7.2])
        """
        return self._by_row(log_likelihoods, X, out, ["log-likelihood"])

    def score(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> float:
        """Return the mean log-likelihood of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the mean.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> round(mixture.score([[0.0], [3.0]]), 3)
        -3.169
        >>> round(mixture.score([[0.0], [3.0]], sample_weight=[2, 1]), 3)
        -2.419
        """
        return total_score(self, X, sample_weight).mean

    def sample(
        self, n_samples: int = 1, random_state: Seed = None
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Draw rows from the mixture.

        Every call draws anew: the first after a fit from the constructor's `random_state`, later
        ones from where it ended. (scikit-learn repeats itself.) A `random_state` given here is
        used instead and repeats the same rows, whatever the number of threads.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState, Generator or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float64
            Grouped by component.
        y : ndarray of shape (n_samples,), int64
            Component of each row. -1 is noise, whose rows come last, uniformly from `noise_box_`.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0], [9]], [1, 1], "spherical")
        >>> X, components = mixture.sample(1000, random_state=0)
        >>> [round(X[components == k].mean()) for k in (0, 1)]
        [0, 9]
        """
        self._check_fitted()
        if isinstance(n_samples, Integral) and n_samples < 1:
            raise ParameterError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one "
                "sample."
            )
        n_samples = check_n_samples(n_samples, self.n_features_in_)
        source = self._sampling_state() if random_state is None else random_state
        count = threads.resolve(check_n_threads(self.n_threads)).number
        present = self._present()
        box = noise_box_of(self, present)
        return draw(present, n_samples, check_random_state(source), count, box)

    def set_partial_fit_request(self, *, sample_weight: Request = UNCHANGED) -> Self:
        """Say whether a meta-estimator of scikit-learn is to pass `sample_weight` to `partial_fit`.

        The parameter is that of `set_fit_request`.

        Examples
        --------
        >>> import sklearn
        >>> from gaussmix import GaussianMixture
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     mixture = GaussianMixture().set_partial_fit_request(sample_weight=True)
        >>> mixture.get_metadata_routing().partial_fit.requests
        {'sample_weight': True}
        """
        return self._set_request("partial_fit", sample_weight)

    def _training_data(self, X: object, sample_weight: object) -> tuple[Data, Names | None]:
        data, names = self._data_for_fit(X, sample_weight, self.n_threads)
        require_observed(data, None if names is None else list(names))
        if data.n_samples < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {data.n_samples}"
            )
        return data, names

    def _fit(self, X: object, sample_weight: object, *told: object) -> Data:
        """Fit to X and return its data. Nothing that was fitted before changes if this fails.

        What is `told` of the rows is for `_prepared`.
        """
        settings = self._settings()
        data, names = self._training_data(X, sample_weight)
        require_features_to_scale(data, settings.reg_covar)
        rows, settings = self._prepared(X, data, settings, *told)
        options = {} if settings.checkpoint is None else self.get_params(deep=False)
        problem = self._problem(rows, settings)
        best = best_run(rows, settings, options, self._origin(data), problem)
        require_means_within_reach(best.result.parameters, data.dtype)
        seen = data.n_samples, data.weight
        self._keep(best, problem, settings)
        self.n_samples_seen_, self.weight_seen_ = seen
        remember_features(self, data.n_features, names)
        warn_of_fit(self, best.result, data.dtype)
        return data

    def _origin(self, data: Data) -> Origin | None:
        """Return where a warm start begins, None if there is nothing to continue."""
        if not (self.warm_start and hasattr(self, "means_")):
            return None
        parameters = self._continued(data.n_features, "warm_start")
        return Origin(parameters, (getattr(self, "lower_bounds_", None) or [-np.inf])[-1])

    def _check_fitted(self) -> None:
        super()._check_fitted()
        if not hasattr(self, "n_features_in_"):  # set by hand
            self.n_features_in_ = self._present().n_features

    def _by_row(
        self,
        function: Callable[..., NDArray[Any]],
        X: object,
        out: PathLike | None,
        names: Sequence[str],
    ) -> Any:
        """Return or write what the present parameters say of each row."""
        return self._each_row(partial(function, self._present()), X, out, names)

    def _sampling_state(self) -> Seed:
        """Return what `sample` draws from: the state of an integer seed is kept between calls."""
        seed = self.random_state
        if not isinstance(seed, Integral):
            return seed
        if not hasattr(self, "_sampler") or self._sampler[0] != seed:
            self._sampler = seed, check_random_state(seed)
        return self._sampler[1]
