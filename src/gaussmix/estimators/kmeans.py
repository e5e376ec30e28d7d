"""The K-means estimator."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._core.types import (
    CentersLike,
    CentersMethod,
    DaskLike,
    FloatArray,
    KMeansAlgorithm,
    Labels,
    PathLike,
    Rows,
    RowsLike,
    Seed,
    SupportsSparse,
    WeightLike,
)
from gaussmix.data.base import Data, InMemory
from gaussmix.data.scale import require_centers_to_scale
from gaussmix.data.sparse import SparseRows
from gaussmix.data.subsample import Sample
from gaussmix.display.tables import Summary
from gaussmix.errors import ParameterError, not_fitted, warn, warn_convergence
from gaussmix.estimators.base import Transformer, remember_features
from gaussmix.estimators.counterparts import Name
from gaussmix.estimators.pictures import MAX_POINTS, names_of, one_hot, points_of
from gaussmix.estimators.summaries import kmeans_summary
from gaussmix.kmeans.lloyd import LloydResult, lloyd, mean_variance
from gaussmix.kmeans.nearest import HardPass, check_squares
from gaussmix.kmeans.scoring import distances, nearest
from gaussmix.kmeans.seeding import plus_plus, random_rows
from gaussmix.model.parameters import Parameters
from gaussmix.validation import (
    check_choice,
    check_integer,
    check_n_threads,
    check_random_state,
    check_real,
    check_rows,
    check_verbose,
)

ALGORITHMS = ("lloyd", "elkan")


class KMeans(Transformer):
    """K-means clustering by Lloyd's iteration, with scikit-learn's interface.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    init : {"k-means++", "random"}, callable or array of shape (n_clusters, n_features)
        Starting centres: greedy k-means++ (on a sample of the rows if there are many), rows drawn
        at random, what ``init(X, n_clusters, random_state=...)`` returns, or the array itself.
    n_init : "auto" or int, default="auto"
        Number of starts, of which the one that ends with the least inertia is kept. "auto" is 1
        for k-means++ and for an array, else 10.
    max_iter : int, default=300
        Number of passes of one run at most.
    tol : float, default=1e-4
        A run ends when the centres' squared movement is at most `tol` times the mean variance of
        the features.
    verbose : int, default=0
        If not 0, print the inertia of every pass.
    random_state : int, RandomState, Generator or None, default=None
        Source of the starts.
    copy_x : bool, default=True
        Has no effect: X is never copied nor changed. Accepted since scikit-learn has it.
    algorithm : {"lloyd", "elkan"}, default="lloyd"
        "lloyd" runs in either case, as a warning says for "elkan": from the same start both end at
        the same clusters. Accepted since scikit-learn has it.
    n_threads : int, optional
        Number of threads; by default as many as `gaussmix.show_config` shows.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features), float64
    labels_ : ndarray of shape (n_samples,), int32
        Nearest centre of each row; the same as ``predict`` of the rows fitted. Not there where
        rows were read block by block, or on Dask: ``predict`` gives them, or writes them to a file.
    inertia_ : float
        Weighted sum of squared distances from the nearest centre.
    n_iter_ : int
        Passes of the run that was kept.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a frame whose names are strings.

    Notes
    -----
    With many clusters `fit` of rows in memory finds nearest centres by products in float32, and
    keeps a bound for each row that tells whether another centre may have become nearer (Hamerly,
    2010). Where rounding could matter it compares squared distances. Labels, centres and inertia
    have the same bits as without.

    References
    ----------
    Hamerly (2010), Making k-means even faster, SIAM International Conference on Data Mining.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import KMeans
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = KMeans(n_clusters=2, random_state=0).fit(X)
    >>> kmeans.labels_
    array([1, 1, 1, 0, 0, 0], dtype=int32)
    >>> kmeans.cluster_centers_
    array([[10.,  2.],
           [ 1.,  2.]])
    """

    _estimator_type = "clusterer"
    _stands_for = Name("sklearn.cluster", "KMeans")
    _takes_sparse = True

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: CentersMethod | CentersLike | Callable[..., ArrayLike] = "k-means++",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Seed = None,
        copy_x: bool = True,
        algorithm: KMeansAlgorithm = "lloyd",
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.n_threads = n_threads

    def fit(
        self,
        X: RowsLike | SupportsSparse,
        y: object = None,
        sample_weight: WeightLike = None,
    ) -> Self:
        """Find the clusters of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sparse, or what `scan` or Dask take
            C-contiguous float32 and float64 arrays are used in place, and so are CSR matrices of
            these dtypes. Sparse rows are never made dense.
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
            clusters, or rows are so far apart, or so close, that their squared distances leave
            the range of their dtype.

        Warns
        -----
        ConvergenceWarning
            If fewer clusters than `n_clusters` have any rows.
        UserWarning
            If `algorithm` is "elkan".

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> kmeans = KMeans(2, init=[[0.0], [10.0]]).fit(X, sample_weight=[3, 1, 1, 1])
        >>> kmeans.cluster_centers_
        array([[0.5],
               [9. ]])
        """
        self._check_parameters()
        data, names = self._data_for_fit(X, sample_weight, self.n_threads)
        if data.n_samples < self.n_clusters:
            raise ValueError(
                f"n_samples={data.n_samples} should be >= n_clusters={self.n_clusters}."
            )
        if self.algorithm == "elkan":
            warn(
                "algorithm='elkan' gives the same clusters as 'lloyd', and 'lloyd' is what runs: "
                "choose 'lloyd' to be without this warning.",
                UserWarning,
            )
        self._keep(self._best_run(data))
        remember_features(self, data.n_features, names)
        return self

    @overload
    def fit_predict(
        self, X: DaskLike, y: object = None, sample_weight: WeightLike = None
    ) -> Any: ...
    @overload
    def fit_predict(
        self, X: RowsLike | SupportsSparse, y: object = None, sample_weight: WeightLike = None
    ) -> Labels: ...
    def fit_predict(
        self,
        X: RowsLike | SupportsSparse,
        y: object = None,
        sample_weight: WeightLike = None,
    ) -> Any:
        """Find the clusters of X and return the cluster of each row, shape (n_samples,).

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> KMeans(2, init=[[0.0], [10.0]]).fit_predict(X)
        array([0, 0, 1, 1], dtype=int32)
        """
        self.fit(X, sample_weight=sample_weight)
        return self.labels_ if hasattr(self, "labels_") else self.predict(X)

    @overload
    def fit_transform(
        self, X: DaskLike, y: object = None, sample_weight: WeightLike = None
    ) -> Any: ...
    @overload
    def fit_transform(
        self, X: RowsLike | SupportsSparse, y: object = None, sample_weight: WeightLike = None
    ) -> Rows: ...
    def fit_transform(
        self,
        X: RowsLike | SupportsSparse,
        y: object = None,
        sample_weight: WeightLike = None,
    ) -> Any:
        """Find the clusters of X and return distances, as `transform` does.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> KMeans(2, init=[[0.0], [10.0]]).fit_transform(X)
        array([[1., 9.],
               [1., 7.],
               [7., 1.],
               [9., 1.]])
        """
        return self.fit(X, sample_weight=sample_weight).transform(X)

    @overload
    def predict(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predict(self, X: RowsLike | SupportsSparse, *, out: None = None) -> Labels: ...
    @overload
    def predict(self, X: RowsLike | SupportsSparse, *, out: PathLike) -> Path: ...
    def predict(self, X: RowsLike | SupportsSparse, *, out: PathLike | None = None) -> Any:
        """Return the index of the nearest centre of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sparse, or what `scan` or Dask take
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,), int32
            Of a Dask collection a lazy dask array; with `out` its path.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> kmeans = KMeans(2, init=[[0.0], [10.0]]).fit(X)
        >>> kmeans.predict([[4.0], [6.0]])
        array([0, 1], dtype=int32)
        """
        return self._each_row(partial(nearest, self._centers()), X, out, ["cluster"])

    @overload
    def transform(self, X: DaskLike) -> Any: ...
    @overload
    def transform(self, X: RowsLike | SupportsSparse) -> Rows: ...
    def transform(self, X: RowsLike | SupportsSparse) -> Any:
        """Return the distance of each row from each centre, (n_samples, n_clusters).

        The dtype is float32 for float32 rows, else float64; the container follows `set_output`.
        Distances of sparse rows are the roots of x'x - 2 x'c + c'c, as in scikit-learn.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> kmeans = KMeans(2, init=[[0.0], [10.0]]).fit(X)
        >>> kmeans.transform([[4.0]])
        array([[3., 5.]])
        """
        found = self._each_row(partial(distances, self._centers()), X)
        return self._wrapped(found, X)

    def score(
        self,
        X: RowsLike | SupportsSparse,
        y: object = None,
        sample_weight: WeightLike = None,
    ) -> float:
        """Return minus the inertia of X: the weighted sum of squared distances, negated.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> kmeans = KMeans(2, init=[[0.0], [10.0]]).fit(X)
        >>> kmeans.score(X)
        -4.0
        """
        data = self._data(X, sample_weight, self.n_threads)
        centers = self._centers()
        require_centers_to_scale(centers, data.dtype)
        inertia = data.total(partial(HardPass, centers)).inertia
        what = "Squared distances of X from the nearest centers add up to"
        check_squares(inertia * data.n_samples / data.weight, data.dtype, what)
        return -inertia

    def plot(
        self,
        X: RowsLike | SupportsSparse | None = None,
        *,
        kind: Literal["classification", "pairs"] = "classification",
        features: object = None,
        ax: Any = None,
        max_points: int = MAX_POINTS,
    ) -> Any:
        """Draw the clusters: centres, cells, and rows in the colours of their clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sparse, or what `scan` or Dask take
            Rows to show, if any.
        kind : {'classification', 'pairs'}, default='classification'
            'pairs' is a matrix of all features, on its own figure. Of one feature there is a
            histogram.
        features : int, str or sequence of them, optional
            Indices or names of one feature or two, of any number for 'pairs'. By default all
            features if they are one or two, and for 'pairs', else the plane in which the centres
            vary most, which the axes say is a projection.
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure of pyplot's.
        max_points : int, default=20000
            Rows that are drawn at most; of more a sample is, and the legend says so.

        Returns
        -------
        matplotlib Axes
            For 'pairs' an array of them, of shape (d, d).

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If an argument is not acceptable.

        Notes
        -----
        Cells are drawn where the picture does not hide distances between centres, as of two
        features, or of three centres in their plane. Elsewhere no border in the picture is theirs.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0, 0.0], [2.0, 0.0], [8.0, 1.0], [10.0, 1.0]]
        >>> axes = KMeans(2, random_state=0).fit(X).plot(X)
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('feature 0', 'feature 1')
        """
        from gaussmix.plotting.backend import require_matplotlib
        from gaussmix.plotting.mixtures import draw_mixture
        from gaussmix.plotting.subjects import Subject

        check_choice("kind", kind, ("classification", "pairs"))
        require_matplotlib()
        centers = self._centers()
        names, chosen = names_of(self, features, centers.shape[1])
        points = points_of(self, X, max_points, self._shares)
        subject = Subject(_unit_spheres(centers), names, points=points, hard=True)
        return draw_mixture(subject, kind, chosen, ax)

    def summary(self) -> Summary:
        """Return sizes and centres of the clusters, and how the fit went.

        Returns
        -------
        Summary
            It prints as text, and notebooks show it as a table. Sizes are there only if `labels_`
            are, and centres have their first six features.

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> X = [[0.0], [2.0], [8.0], [10.0]]
        >>> kmeans = KMeans(2, init=[[0.0], [10.0]]).fit(X)
        >>> print(kmeans.summary())
        KMeans: 2 clusters
        4 rows, 1 feature
        2 iterations, inertia 4
        <BLANKLINE>
        cluster  rows  feature 0
              0     2          1
              1     2          9
        """
        centers = self._centers()
        names, _ = names_of(self, None, centers.shape[1])
        return kmeans_summary(self, centers, names)

    def _shares(self, rows: Any) -> Rows:
        labels = nearest(self._centers(), rows, self.n_threads)
        return one_hot(labels, len(self.cluster_centers_))

    def _check_parameters(self) -> None:
        check_integer("n_clusters", self.n_clusters, 1)
        check_integer("max_iter", self.max_iter, 1)
        check_real("tol", self.tol, 0)
        check_verbose(self.verbose)
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        check_n_threads(self.n_threads)
        if isinstance(self.n_init, str):
            check_choice("n_init", self.n_init, ("auto",))
        else:
            check_integer("n_init", self.n_init, 1)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("k-means++", "random"))

    def _best_run(self, data: Data) -> LloydResult:
        random_state = check_random_state(self.random_state)
        threshold = float(self.tol) * mean_variance(data)
        runs = (
            lloyd(
                data,
                self._starting_centers(data, random_state),
                max_iter=int(self.max_iter),
                threshold=threshold,
                verbose=bool(self.verbose),
            )
            for _ in range(self._n_starts())
        )
        return min(runs, key=lambda run: run.inertia)

    def _n_starts(self) -> int:
        given = not isinstance(self.init, str) and not callable(self.init)
        if self.n_init == "auto":
            return 1 if given or self.init == "k-means++" else 10
        if given and self.n_init != 1:
            warn(
                "Explicit initial center position passed: performing only one init in "
                f"{type(self).__name__} instead of n_init={self.n_init}.",
                RuntimeWarning,
            )
        return 1 if given else int(self.n_init)

    def _starting_centers(self, data: Data, random_state: np.random.RandomState) -> FloatArray:
        n_clusters = int(self.n_clusters)
        if isinstance(self.init, str):
            if self.init == "random":
                return self._random_rows(data, random_state)
            sample = data.sample(n_clusters, random_state)
            return plus_plus(sample, n_clusters, random_state, data.n_threads)
        given: Any = self.init
        if callable(given):
            given = given(self._array(data), n_clusters, random_state=random_state)
        centers: FloatArray = check_rows(given, name="init").astype(np.float64)
        mismatch = f"The shape of the initial centers {centers.shape} does not match the number of"
        if len(centers) != n_clusters:
            raise ValueError(f"{mismatch} clusters {n_clusters}.")
        if centers.shape[1] != data.n_features:
            raise ValueError(f"{mismatch} features of the data {data.n_features}.")
        with np.errstate(over="ignore"):
            squares = float(((centers - data.head().take([0], axis=0)) ** 2).sum())
        what = "Squared distances of init from the first row add up to"
        check_squares(squares, data.dtype, what)
        return centers

    def _random_rows(self, data: Data, random_state: np.random.RandomState) -> FloatArray:
        n_clusters = int(self.n_clusters)
        if isinstance(data, InMemory):
            sample = Sample(data.rows, data.sample_weight)
        else:
            sample = data.sample(n_clusters, random_state)
        return random_rows(sample, n_clusters, random_state)

    def _array(self, data: Data) -> Rows:
        if isinstance(data, InMemory):
            return data.rows.matrix if isinstance(data.rows, SparseRows) else data.rows
        raise ParameterError(
            f"init may be a function only where X is an array, got {self.init!r}: pass an array of "
            "centers, or 'k-means++'"
        )

    def _keep(self, best: LloydResult) -> None:
        n_distinct = np.count_nonzero(best.n_k if best.labels is None else np.bincount(best.labels))
        if n_distinct < self.n_clusters:
            warn_convergence(
                f"Number of distinct clusters ({n_distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X."
            )
        self.cluster_centers_, self.inertia_, self.n_iter_ = best.centers, best.inertia, best.n_iter
        if best.labels is not None:
            self.labels_ = best.labels
        else:
            vars(self).pop("labels_", None)

    @property
    def _n_features_out(self) -> int:  # type: ignore[override]
        """Number of columns that `transform` makes."""
        return len(self.cluster_centers_)

    def _centers(self) -> FloatArray:
        """Return cluster_centers_, which a user may have set by hand."""
        if not hasattr(self, "cluster_centers_"):
            raise not_fitted(self)
        n_features = getattr(self, "n_features_in_", None)
        centers = check_rows(
            self.cluster_centers_,
            name="cluster_centers_",
            n_features=n_features,
            estimator=type(self).__name__,
        )
        return np.asarray(centers, dtype=np.float64)

    def _check_fitted(self) -> None:
        super()._check_fitted()
        if not hasattr(self, "n_features_in_"):  # set by hand
            self.n_features_in_ = self._centers().shape[1]


def _unit_spheres(centers: FloatArray) -> Parameters:
    """The mixture whose most probable components are the clusters."""
    number = len(centers)
    return Parameters.from_covariances(
        "tied-spherical", np.full(number, 1 / number), centers, np.ones(number)
    )
