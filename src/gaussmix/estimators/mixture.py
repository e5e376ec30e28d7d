"""The Gaussian mixture estimator."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._core import threads
from gaussmix._core.types import (
    Acceleration,
    Algorithm,
    CovarianceType,
    DaskLike,
    FloatArray,
    InitMethod,
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
from gaussmix.em.loop import EMResult
from gaussmix.em.online import Seen, online_step
from gaussmix.errors import (
    CollapseWarning,
    ParameterError,
    PrecisionWarning,
    warn,
    warn_convergence,
)
from gaussmix.estimators.attributes import (
    parameters_of,
    parameters_to_continue,
    set_outcome,
    set_parameters,
    table_shape,
)
from gaussmix.estimators.base import Estimator, Names, remember_features
from gaussmix.estimators.fitting import (
    MISSING_VALUES,
    Origin,
    Settings,
    best_run,
    settings_of,
    start,
)
from gaussmix.estimators.queries import Queries
from gaussmix.estimators.routing import UNCHANGED, Request
from gaussmix.model.checks import check_matrices, check_means, check_member, check_weights
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import (
    TOLERATED_ERROR,
    may_be_rounded,
    require_means_within_reach,
    rounding_errors,
)
from gaussmix.model.scoring import (
    LikelihoodPass,
    Score,
    UncertaintyPass,
    assign,
    log_likelihoods,
    responsibilities,
)
from gaussmix.model.statistics import StatisticsPass
from gaussmix.queries.features import Indices
from gaussmix.queries.hierarchy import CRITERIA, Hierarchy, nest
from gaussmix.queries.sampling import draw
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_random_state,
    check_real,
)

NAMED_COMPONENTS = 10  # collapsed components that a warning lists


class GaussianMixture(Queries["GaussianMixture"], Estimator):
    """Gaussian mixture, fitted by expectation maximisation, with scikit-learn's interface.

    The density is p(x) = sum_k weights[k] N(x | means[k], covariances[k]) (Bishop, PRML, chapter 9;
    McLachlan & Peel, Finite Mixture Models).

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : str, default='full'
        'full', 'tied', 'diag' or 'spherical': a matrix for each component, one matrix for all, a
        variance for each feature of each component, or one variance for each component. Or one of
        mclust's fourteen families, whose letters are volume, shape and orientation, equal (E) or
        varying (V) between components, or no orientation (I): 'EII', 'VII' ('spherical'), 'EEI',
        'VEI', 'EVI', 'VVI' ('diag'), 'EEE' ('tied'), 'EVE', 'VEE', 'VVE', 'EEV', 'VEV', 'EVV' or
        'VVV' ('full'). 'tied-diag' is 'EEI', and 'tied-spherical' is 'EII' (Celeux & Govaert,
        1995).
    tol : float, default=1e-3
        EM ends when the mean log-likelihood of a row changes by less. 0 runs all of `max_iter`.
    reg_covar : float, default=1e-6
        Non-negative variance added to every feature of every covariance. With a family it is added
        to the components' scatter before the M-step, so that covariances stay in the family.
    max_iter : int, default=100
        Number of EM iterations, that is of passes over the data, at most. 0 keeps the start.
    accelerate : {'squarem', 'anderson'} or None, default=None
        Jump ahead of EM, where that gains likelihood, to need fewer passes: by squared
        extrapolation (Varadhan & Roland, 2008), careful, or by Anderson acceleration (Henderson &
        Varadhan, 2019), faster where EM is very slow. None is EM, as in scikit-learn.
    algorithm : {'em', 'incremental'}, default='em'
        'incremental' opens a fit with sweeps over blocks of rows and an M-step after each block
        (Neal & Hinton, 1998), until one gains no more than `tol`, or after 8 with `accelerate`.
        EM then takes it to the end. It needs some two thirds of EM's passes where `tol` is small.
    n_init : int, default=1
        Number of starts, of which the one that ends with the largest likelihood is kept; one whose
        components collapsed only if all did. Where X has at least eight times the rows that a
        start looks at, of more than three only the best third, and at least three, are run to the
        end: those ahead after 20 iterations on such a sample.
    init_params : str, default='kmeans'
        How a start is found.

        - 'kmeans': groups of K-means.
        - 'auto': where the best of several short EM runs stands. They begin at groups that K-means
          finds in several coordinates, most of which no linear map of the features changes, and
          around random rows. A fit takes about a third of the time of scikit-learn's; one of many
          rows takes no longer than from 'kmeans'.
        - 'k-means++': groups around centres of k-means++.
        - 'random_from_data': groups around random rows.
        - 'random': random responsibilities.
        - 'hierarchical': groups by Ward's agglomeration.
        - 'emem': where the best of 64 short EM runs from random rows ended. It takes as long as
          some 500 iterations on the rows it looks at.

        Groups are found with features standardised and partly decorrelated. Of more than
        max(16384, 256 n_components) rows a start looks at a sample. Where X has eight times its
        rows, and it eight for every free parameter, 'auto' and 'kmeans' go on with EM on it.
    weights_init : array-like of shape (n_components,), optional
        Initial weights, instead of the start's.
    means_init : array-like of shape (n_components, n_features), optional
        Initial means, instead of the start's.
    precisions_init : array-like, optional
        Initial inverse covariances in the shape of `covariances_`, instead of the start's, and of
        the family if `covariance_type` is one. If weights, means and precisions are all given,
        nothing else is computed.
    random_state : int, RandomState, Generator or None, default=None
        Source of the starts, and of the first call of `sample`.
    warm_start : bool, default=False
        Continue from the present parameters, if there are any, instead of a new start.
    verbose : int, default=0
        1 prints the time of the starts, runs and iterations, 2 also times and changes, 3 also rows
        per second and the time that is left: at most, or if changes go on to shrink as they do.
    verbose_interval : int, default=10
        Iterations between printed lines.
    n_threads : int, optional
        Number of threads; by default as many as `gaussmix.show_config` shows.
    learning_decay : float, default=0.75
        How fast `partial_fit` forgets what it saw under poorer parameters: the n-th row enters
        the averages with n^(-learning_decay) (Cappé & Moulines, 2009). More than 0.5, for
        the quickest, and at most 1, for the exact running average.
    half_life : float or None, default=None
        Summed weight of rows after which `partial_fit` has forgotten half of what was before, to
        follow a stream that changes; None forgets ever more slowly.
    checkpoint : path-like or None, default=None
        File for the fit's progress, written whole or not at all. If it is there, `fit` goes on
        from it, to the same bits as if it had never stopped, or at once to the result if that was
        reached; it refuses the file of another fit. `max_iter` may grow from fit to fit. Delete
        the file to begin anew.
    checkpoint_interval : float, default=30.0
        Seconds between writings, at least; 0 writes after every iteration.
    missing_values : {'error', 'marginalize'}, default='error'
        What becomes of rows in which values are missing: NaN, None, nulls, empty fields. They are
        an error, or count by the values that they have: their likelihood is that of the marginal
        mixture, and EM for it is exact (Ghahramani & Jordan, 1994). That is right where values are
        missing at random: whether one is missing may depend on the other values of its row, not on
        itself. A row without any value has log-likelihood 0. Starts look at rows that are filled
        in.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    means_ : ndarray of shape (n_components, n_features)
    covariances_ : ndarray
        full (n_components, n_features, n_features), tied (n_features, n_features), diag
        (n_components, n_features), spherical (n_components,). EII is like spherical, EEI, VEI and
        EVI are like diag, and EVE, VEE, VVE, EEV, VEV and EVV are like full.
    precisions_ : ndarray
        Inverse covariances, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular factors U of the precisions, P = U U', in the same shape.
    converged_ : bool
        Whether the run that was kept converged.
    n_iter_ : int
        Its number of iterations: of passes over the data, also where it was accelerated.
    lower_bound_ : float
        Mean log-likelihood of a row of the training data under these very parameters.
        (scikit-learn's is that before the last M-step, ``lower_bounds_[-1]``.)
    lower_bounds_ : list of float
        Mean log-likelihood before each M-step. With `accelerate` it has a dip wherever a jump
        was not worth it and was undone.
    n_samples_seen_ : int
        Number of rows that the parameters come from.
    weight_seen_ : float
        Their summed weight: how much the parameters count in `partial_fit`.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if X was a frame whose names are strings.

    Notes
    -----
    All parameters are float64, also for float32 data. Fitting allocates neither a copy of
    C-contiguous float32 or float64 data nor anything of size n_samples x n_components.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(mixture.means_, axis=0)
    array([[ 1.,  2.],
           [10.,  2.]])
    """

    _estimator_type = "density_estimator"
    _weighted = ("fit", "partial_fit", "score")

    weights_: FloatArray
    means_: FloatArray
    covariances_: FloatArray
    precisions_: FloatArray
    precisions_cholesky_: FloatArray
    _fitted_structure: CovarianceStructure

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        accelerate: Acceleration | None = None,
        algorithm: Algorithm = "em",
        n_init: int = 1,
        init_params: InitMethod = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: Seed = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_threads: int | None = None,
        learning_decay: float = 0.75,
        half_life: float | None = None,
        checkpoint: PathLike | None = None,
        checkpoint_interval: float = 30.0,
        missing_values: MissingValues = "error",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.algorithm = algorithm
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_threads = n_threads
        self.learning_decay = learning_decay
        self.half_life = half_life
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.missing_values = missing_values

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: CovarianceType = "full",
        *,
        project: bool = False,
        **params: Any,
    ) -> Self:
        """Return a mixture with these parameters, ready to score, predict and sample.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Not negative, with sum 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Positive definite, in the shape of `covariances_`, and of the family if
            `covariance_type` is one.
        covariance_type : str
            As in the constructor.
        project : bool, default=False
            Take the nearest covariances of the family, by the Kullback-Leibler divergence, instead
            of refusing others.
        **params
            Other parameters of the constructor. With ``warm_start=True`` a `fit` begins here.

        Returns
        -------
        GaussianMixture

        Raises
        ------
        ValueError
            If the arrays are not of shapes that fit together, or not valid parameters.
        """
        structure = structure_named(covariance_type)
        n_components, n_features = table_shape("means", means)
        model = cls(n_components, covariance_type=covariance_type, **params)
        model.n_features_in_ = n_features
        shares = check_weights(weights, n_components)
        centers = check_means(means, n_components, n_features)
        spread = check_matrices("covariance", covariances, structure, n_components, n_features)
        if check_boolean("project", project):
            spread = structure.nearest(shares, spread)
        else:
            remedy = "pass project=True to take the nearest"
            check_member("covariance", spread, structure, n_components, remedy)
        set_parameters(model, Parameters.from_covariances(structure, shares, centers, spread))
        return model

    def fit(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Self:
        """Fit the mixture to X by EM from `n_init` starts.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        """
        data = self._fit(X, sample_weight)
        return data.by_row(partial(assign, parameters_of(self), gaps=data.gaps))

    def partial_fit(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Self:
        """Move the parameters by one step of online EM towards a batch of rows.

        The averages over rows that the parameters maximise become
        (1 - g) s + g s(X) (Cappé & Moulines, 2009), where s(X) are the E-step's for the batch
        under the present parameters. The step size g follows from
        `learning_decay`, `half_life` and the summed weights of the batch and of all rows before,
        `weight_seen_`: see `gaussmix.em.online.step_size`.
        It does not matter how a stream is cut into batches, but that an E-step sees the
        parameters before its batch.

        The first batch of a new model is its start as well, by `init_params`, and needs as many
        rows as there are components, better a few hundred for each. If it is the whole data set
        the result is that of one iteration of `fit`. A fitted or loaded model goes on from its
        parameters, which count as the rows they were fitted to; parameters that were set by hand,
        or given to `from_parameters`, count for no rows unless `weight_seen_` is set too, and
        serve the E-step of the first batch alone.

        Afterwards `lower_bound_` is the mean log-likelihood of a row of the batch before the step,
        `n_iter_` has grown by one, and `converged_` is False.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch, of any number of rows.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, X or the weights are not acceptable, or there are fewer rows than
            components in the first batch.

        Warns
        -----
        CollapseWarning
            If a component shrank onto too few distinct rows and had to be regularised: once for
            each component.

        References
        ----------
        Cappé & Moulines (2009), On-line expectation-maximization algorithm for latent data
        models, Journal of the Royal Statistical Society B 71, 593-613.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> mixture = GaussianMixture(n_components=2, random_state=0)
        >>> for _ in range(50):
        ...     batch = rng.normal(size=(200, 1)) + rng.choice([0, 9], size=(200, 1))
        ...     mixture = mixture.partial_fit(batch)
        >>> mixture.n_samples_seen_
        10000
        >>> np.sort(mixture.means_, axis=0).round()
        array([[0.],
               [9.]])
        """
        settings = settings_of(self)
        if hasattr(self, "means_"):
            data = self._data(X, sample_weight, self.n_threads)
            present = parameters_to_continue(self, data.n_features, "partial_fit")
            self._step(data, present, settings)
        else:
            data, names = self._training_data(X, sample_weight)
            first = start(data, settings, check_random_state(self.random_state))
            self._step(data, first, settings)
            remember_features(self, data.n_features, names)
        return self

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
            Of a Dask collection a lazy dask array; with `out` its path.
        """
        return self._by_row(assign, X, out, ["component"])

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
        """
        names = [f"component {k}" for k in range(len(getattr(self, "weights_", ())))]
        return self._by_row(responsibilities, X, out, names)

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
        parameters = parameters_of(frozen)
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
        """
        return self._by_row(log_likelihoods, X, out, ["log-likelihood"])

    def score(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> float:
        """Return the mean log-likelihood of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the mean.
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
            Component of each row.
        """
        self._check_fitted()
        n_samples = check_integer("n_samples", n_samples, 1)
        source = self._sampling_state() if random_state is None else random_state
        count = threads.resolve(check_n_threads(self.n_threads)).number
        return draw(parameters_of(self), n_samples, check_random_state(source), count)

    def aic(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return Akaike's information criterion on X, lower being better.

        It is -2 log-likelihood + 2 p, with p free parameters (Akaike, 1974).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.
        """
        return total_score(self, X, sample_weight).aic(parameters_of(self).n_free())

    def bic(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return the Bayesian information criterion on X, lower being better.

        It is -2 log-likelihood + p log n, with p free parameters and n rows (Schwarz, 1978).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times: n is their sum.
        """
        return total_score(self, X, sample_weight).bic(parameters_of(self).n_free())

    def icl(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return the integrated completed likelihood criterion on X, lower being better.

        It is the BIC of a model that gives every row wholly to its most probable component,
        BIC - 2 sum_n log max_k r[n, k] with responsibilities r (Biernacki, Celeux &
        Govaert, 2000), mclust's with the sign reversed. Components that overlap cost more than
        by the BIC, so that it counts clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.
        """
        data, parameters = self._data(X, sample_weight, self.n_threads), parameters_of(self)
        score = data.total(partial(LikelihoodPass, parameters, gaps=data.gaps))
        uncertainty = data.total(partial(UncertaintyPass, parameters, gaps=data.gaps)).total
        return score.bic(parameters.n_free()) + 2 * uncertainty

    def set_partial_fit_request(self, *, sample_weight: Request = UNCHANGED) -> Self:
        """Say whether a meta-estimator of scikit-learn is to pass `sample_weight` to `partial_fit`.

        The parameter is that of `set_fit_request`.
        """
        return self._set_request("partial_fit", sample_weight)

    def _plain(self, parameters: Parameters, features: Indices) -> "GaussianMixture":
        """Return a mixture of these features of the present ones.

        It is no subclass, whose constructor may want other arguments.
        """
        model = GaussianMixture(
            parameters.n_components,
            covariance_type=cast(CovarianceType, parameters.structure.name),
            random_state=self.random_state,
            n_threads=self.n_threads,
            missing_values=self.missing_values,
        )
        model.n_features_in_ = parameters.n_features
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_[features]
        set_parameters(model, parameters)
        return model

    def _training_data(self, X: object, sample_weight: object) -> tuple[Data, Names | None]:
        data, names = self._data_for_fit(X, sample_weight, self.n_threads)
        require_observed(data, None if names is None else list(names))
        if data.n_samples < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {data.n_samples}"
            )
        return data, names

    def _fit(self, X: object, sample_weight: object) -> Data:
        """Fit to X and return its data. Nothing that was fitted before changes if this fails."""
        settings = settings_of(self)
        data, names = self._training_data(X, sample_weight)
        require_features_to_scale(data, settings.reg_covar)
        options = {} if settings.checkpoint is None else self.get_params(deep=False)
        best = best_run(data, settings, options, self._origin(data))
        require_means_within_reach(best.result.parameters, data.dtype)
        seen = data.n_samples, data.weight
        set_outcome(self, best)
        self.n_samples_seen_, self.weight_seen_ = seen
        remember_features(self, data.n_features, names)
        self._warn(best.result, data.dtype)
        return data

    def _origin(self, data: Data) -> Origin | None:
        """Return where a warm start begins, None if there is nothing to continue."""
        if not (self.warm_start and hasattr(self, "means_")):
            return None
        parameters = parameters_to_continue(self, data.n_features, "warm_start")
        return Origin(parameters, (getattr(self, "lower_bounds_", None) or [-np.inf])[-1])

    def _step(self, data: Data, parameters: Parameters, settings: Settings) -> None:
        """Take a step of online EM from the parameters."""
        seen = Seen(
            check_integer("n_samples_seen_", getattr(self, "n_samples_seen_", 0), 0),
            check_real("weight_seen_", getattr(self, "weight_seen_", 0.0), 0),
        )
        require_features_to_scale(data, settings.reg_covar)
        batch = data.total(partial(StatisticsPass, parameters, gaps=data.gaps))
        parameters, collapsed = online_step(
            parameters, batch, seen, settings.pace, settings.reg_covar
        )
        require_means_within_reach(parameters, data.dtype)
        set_parameters(self, parameters)
        self.n_samples_seen_ = seen.n_samples + data.n_samples
        self.weight_seen_ = seen.weight + data.weight
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self.converged_ = False
        self.lower_bound_ = batch.mean_log_likelihood
        self.lower_bounds_ = [self.lower_bound_]
        warned: frozenset[int] = getattr(self, "_warned", frozenset())
        self._warn_collapsed(tuple(k for k in collapsed if k not in warned))

    def _warn(self, result: EMResult, dtype: np.dtype[np.floating]) -> None:
        if not result.converged and self.max_iter > 0:
            warn_convergence(
                f"Best performing initialization did not converge in max_iter={self.max_iter} "
                f"iterations to a change below tol={float(self.tol):g}. Increase max_iter or tol, "
                "try other init_params, or check for degenerate data."
            )
        self._warn_collapsed(result.collapsed)
        self._warn_rounded(result.parameters, dtype)

    def _warn_collapsed(self, collapsed: tuple[int, ...]) -> None:
        if collapsed:
            self._warned = getattr(self, "_warned", frozenset[int]()).union(collapsed)
            warn(
                f"{_listed(collapsed)} collapsed: too few distinct rows, or features that "
                "are constant or combinations of others, so that covariances had to be "
                f"regularised. Reduce n_components={self.n_components}, increase "
                f"reg_covar={float(self.reg_covar):g}, or use a simpler covariance_type than "
                f"{self.covariance_type!r}.",
                CollapseWarning,
            )

    def _warn_rounded(self, parameters: Parameters, dtype: np.dtype[np.floating]) -> None:
        if not may_be_rounded(parameters, dtype):
            return
        errors = rounding_errors(parameters, dtype)
        rounded = np.flatnonzero(errors > TOLERATED_ERROR)
        if len(rounded):
            convert = "Convert X to float64, leave" if dtype == np.float32 else "Leave"
            warn(
                f"{_listed(tuple(rounded.tolist()))} lost digits: standard deviations are so small "
                f"beside distances from the mixture's mean that {dtype} rounds log-likelihoods of "
                f"rows by up to about {errors.max():.2g}. {convert} out rows far from all others, "
                f"or increase reg_covar={float(self.reg_covar):g}.",
                PrecisionWarning,
            )

    def _check_fitted(self) -> None:
        super()._check_fitted()
        if not hasattr(self, "n_features_in_"):  # set by hand
            self.n_features_in_ = parameters_of(self).n_features

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

    def _by_row(
        self,
        function: Callable[[Parameters, Rows, int | None], NDArray[Any]],
        X: object,
        out: PathLike | None,
        names: Sequence[str],
    ) -> Any:
        """Return or write what the present parameters say of each row."""
        return self._each_row(partial(function, parameters_of(self)), X, out, names)

    def _sampling_state(self) -> Seed:
        """Return what `sample` draws from: the state of an integer seed is kept between calls."""
        seed = self.random_state
        if not isinstance(seed, Integral):
            return seed
        if not hasattr(self, "_sampler") or self._sampler[0] != seed:
            self._sampler = seed, check_random_state(seed)
        return self._sampler[1]


def total_score(model: GaussianMixture, X: object, sample_weight: object = None) -> Score:
    """Return the log-likelihood of all rows of X under a fitted mixture, and their weight."""
    data = model._data(X, sample_weight, model.n_threads)
    return data.total(partial(LikelihoodPass, parameters_of(model), gaps=data.gaps))


def _listed(components: tuple[int, ...]) -> str:
    if len(components) == 1:
        return f"Component {components[0]}"
    named = ", ".join(str(k) for k in components[:NAMED_COMPONENTS])
    rest = len(components) - NAMED_COMPONENTS
    return f"Components {named}{f' and {rest} more' if rest > 0 else ''}"
