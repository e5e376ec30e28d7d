"""The Gaussian mixture estimator."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._core.types import (
    Acceleration,
    Algorithm,
    CovarianceType,
    DaskLike,
    FloatArray,
    InitMethod,
    Labels,
    MissingValues,
    PathLike,
    Rows,
    RowsLike,
    Seed,
    WeightLike,
)
from gaussmix.data.base import Data
from gaussmix.data.telling import tell
from gaussmix.data.told import Classes, ToldData, classes_of
from gaussmix.em.runs import Run
from gaussmix.errors import ParameterError
from gaussmix.estimators.adaptation import Adaptation
from gaussmix.estimators.attributes import (
    parameters_of,
    parameters_to_continue,
    set_noise_box,
    set_parameters,
    table_shape,
    term_names,
)
from gaussmix.estimators.base import check_output
from gaussmix.estimators.base_mixture import BaseMixture
from gaussmix.estimators.counterparts import Name
from gaussmix.estimators.criteria import Criteria
from gaussmix.estimators.fitting import Problem, likelihood
from gaussmix.estimators.hooks import Hooks
from gaussmix.estimators.online import OnlineMixture
from gaussmix.estimators.settings import Settings, settings_of, with_noise_of
from gaussmix.io.scans import Scan
from gaussmix.model.checks import check_matrices, check_means, check_member, check_weights
from gaussmix.model.covariance import structure_named
from gaussmix.model.eigenvalues import adopted
from gaussmix.model.parameters import Parameters
from gaussmix.model.prior import Prior
from gaussmix.model.scoring import (
    assign,
    assign_class,
    class_probabilities,
    log_likelihoods,
    responsibilities,
)
from gaussmix.queries.features import Indices
from gaussmix.validation import check_boolean


class GaussianMixture(OnlineMixture["GaussianMixture"], Criteria, Adaptation, Hooks):
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
    reg_covar : float or 'relative', default=1e-6
        Non-negative variance added to every feature of every covariance. With a family it is added
        to the components' scatter before the M-step, so that covariances stay in the family.
        'relative' adds 1e-6 of each feature's variance, whatever its unit.
    max_iter : int, default=100
        Number of EM iterations, that is of passes over the data, at most. 0 keeps the start.
    accelerate : {'squarem', 'anderson'} or None, default=None
        Jump ahead of EM, where that gains likelihood, to need fewer passes: by squared
        extrapolation (Varadhan & Roland, 2008), careful, or by Anderson acceleration (Henderson &
        Varadhan, 2019), faster where EM is very slow. None is EM, as in scikit-learn.
    algorithm : {'em', 'incremental', 'truncated'}, default='em'
        'incremental' opens a fit with sweeps over blocks of rows and an M-step after each block
        (Neal & Hinton, 1998), until one gains no more than `tol`, or after 8 with `accelerate`.
        EM then takes it to the end. It needs some two thirds of EM's passes where `tol` is small.
        'truncated', for many components, makes passes over the components that matter to cells of
        rows (Forster & Luecke, 2018), which never lower a bound of the likelihood, and ends by EM.
    n_init : int, default=1
        Number of starts, of which the one that ends with the largest likelihood is kept; one whose
        components collapsed only if all did. Where X has at least eight times the rows that a
        start looks at, of more than three only the best third, and at least three, are run to the
        end: those ahead after 20 iterations on such a sample.
    init_params : str, default='auto'
        How a start is found.

        - 'auto': where the best of several short EM runs stands. They begin at groups that K-means
          finds in several coordinates, most of which no linear map of the features changes, and
          around random rows. A fit takes about a third of the time of scikit-learn's; one of many
          rows takes about as long as from 'kmeans'.
        - 'kmeans': groups of K-means.
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
    prior : Prior or None, default=None
        Conjugate prior of the parameters. EM then climbs to the maximum a posteriori.
    eigenvalue_ratio : float or None, default=None
        All eigenvalues of all covariances lie within this factor, at least 1 (Garcia-Escudero et
        al., 2008), so that no component collapses, even with reg_covar=0. For 'full', 'tied',
        'diag', 'spherical', 'EEI' and 'EII'. Lengths of features are compared: scale them.
    weights : {'equal'} or None, default=None
        'equal' gives all components the same weight, as half of Rmixmod's models do.
    fixed : dict or None, default=None
        Parameters that EM leaves alone, such as ``{"means": [0, 2], "weights": True}``: of
        "weights", "means" and "covariances" those of some components, or of all. Their values are
        those of `weights_init`, `means_init` and `precisions_init`, or of a warm start.
        Covariances of components with fixed means are about these. Weights that are not fixed
        share what the fixed ones leave.
    noise : bool or float, default=False
        Have one more component, of constant density, for rows that belong to no other. True makes
        the density 1 over the volume of the smaller of two boxes around X, along the features or
        along principal directions, as mclust does. A number is the volume itself.
    missing_values : {'error', 'marginalize'}, default='error'
        What becomes of rows in which values are missing: NaN, None, nulls, empty fields. They are
        an error, or count by the values that they have: their likelihood is that of the marginal
        mixture, and EM for it is exact (Ghahramani & Jordan, 1994). That is right where values are
        missing at random: whether one is missing may depend on the other values of its row, not on
        itself. A row without any value has log-likelihood 0. Starts look at rows that are filled
        in.
    mixed_precision : bool, default=False
        Make passes in float32, over rows of float64, while the end is far: they take some 0.6 of
        the time. Starts look at a sample in float32. The last passes, and what says that EM has
        converged, are float64's. It has no effect on small data, on float32 data, nor where float32
        has too few digits or too small a range.

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
        (scikit-learn's is that before the last M-step, ``lower_bounds_[-1]``.) With a prior it is
        the penalised one: the logarithm of the prior's density, but for a constant, over the summed
        weight of the rows is added. `score`, `bic` and `aic` are of the likelihood alone.
    lower_bounds_ : list of float
        The same before each M-step. With `accelerate` it has a dip wherever a jump was not worth it
        and was undone. With `mixed_precision` those of passes in float32 have its rounding.
    truncation_gap_ : float
        By how much `lower_bound_` may lie below the mean log-likelihood of a row: 0 but where
        `max_iter` ended a fit with algorithm='truncated' before its passes over all components.
    n_samples_seen_ : int
        Number of rows that the parameters come from.
    weight_seen_ : float
        Their summed weight: how much the parameters count in `partial_fit`.
    noise_weight_ : float
        Weight of the noise, if there is any. With `weights_` it sums to 1.
    noise_log_density_ : float
        Its log-density, the same everywhere.
    noise_box_ : ndarray of shape (n_features + 1, n_features)
        A corner of the box around X, and the edges that leave it, with ``noise=True``.
    classes_ : ndarray of shape (n_classes,)
        The classes, if labels were strings or `component_labels` was given.
    component_labels_ : ndarray of shape (n_components,)
        The class of each component, if there are classes.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
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

    _stands_for = Name("sklearn.mixture", "GaussianMixture")

    truncation_gap_: float
    noise_weight_: float
    noise_log_density_: float
    noise_box_: FloatArray
    classes_: NDArray[Any]
    component_labels_: NDArray[Any]

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float | Literal["relative"] = 1e-6,
        max_iter: int = 100,
        accelerate: Acceleration | None = None,
        algorithm: Algorithm = "em",
        n_init: int = 1,
        init_params: InitMethod = "auto",
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
        prior: Prior | None = None,
        eigenvalue_ratio: float | None = None,
        weights: Literal["equal"] | None = None,
        fixed: Mapping[str, Any] | None = None,
        noise: bool | float = False,
        missing_values: MissingValues = "error",
        mixed_precision: bool = False,
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
        self.prior = prior
        self.eigenvalue_ratio = eigenvalue_ratio
        self.weights = weights
        self.fixed = fixed
        self.noise = noise
        self.missing_values = missing_values
        self.mixed_precision = mixed_precision

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

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.3, 0.7], [[0], [5]], [[[1]], [[4]]])
        >>> mixture.predict([[1.0], [4.0]])
        array([0, 1], dtype=int32)
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

    def fit(
        self,
        X: RowsLike,
        y: object = None,
        sample_weight: WeightLike = None,
        labels: object = None,
        row_priors: object = None,
        component_labels: object = None,
    ) -> Self:
        """Fit the mixture to X from `n_init` starts.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
            C-contiguous float32 and float64 arrays are used in place.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.
        labels : array-like of shape (n_samples,), optional
            What is known of rows: the number of the component that a row comes from, or the name of
            its class, and -1, NaN or None where nothing is known. A known row counts for its own
            components alone, each with its weight.
        row_priors : array-like of shape (n_samples, n_components), optional
            What is believed of rows: numbers that the components' weights are multiplied by at a
            row. They need not sum to one. With noise there is one more column, its own. What `scan`
            returns is read beside X.
        component_labels : array-like of shape (n_components,), optional
            The class of each component, where classes have several or other names than numbers of
            components. `predict` then gives classes, and `predict_proba` a column for each.

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
        >>> from gaussmix import GaussianMixture
        >>> X = [[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]]
        >>> labels = [1, -1, -1, 0, -1, -1]  # two rows are known
        >>> mixture = GaussianMixture(2, random_state=0).fit(X, labels=labels)
        >>> mixture.means_
        array([[8.],
               [1.]])
        """
        self._fit(X, sample_weight, labels, row_priors, component_labels)
        return self

    @overload
    def predict_proba(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predict_proba(
        self, X: RowsLike, *, labels: object = None, row_priors: object = None, out: None = None
    ) -> Rows: ...
    @overload
    def predict_proba(
        self, X: RowsLike, *, labels: object = None, row_priors: object = None, out: PathLike
    ) -> Path: ...
    def predict_proba(
        self,
        X: RowsLike,
        *,
        labels: object = None,
        row_priors: object = None,
        out: PathLike | None = None,
    ) -> Any:
        """Return the posterior probability of each component given each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        labels, row_priors : array-like, optional
            What is told of the rows, as in `fit`.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            A column for each component, or for each class if there are `classes_`, and one more
            for the noise if there is any. float32 for float32 rows, else float64. Of a Dask
            collection a lazy dask array; with `out` its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[-1], [1]], [1, 1], "spherical")
        >>> mixture.predict_proba([[0.0], [1.0]]).round(3)
        array([[0.5  , 0.5  ],
               [0.119, 0.881]])
        """
        function: Callable[..., Rows] = responsibilities
        if hasattr(self, "classes_"):
            function = partial(class_probabilities, self._owners())
        return self._by_row(function, X, out, term_names(self), labels, row_priors)

    @overload
    def score_samples(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def score_samples(
        self, X: RowsLike, *, labels: object = None, row_priors: object = None, out: None = None
    ) -> Rows: ...
    @overload
    def score_samples(
        self, X: RowsLike, *, labels: object = None, row_priors: object = None, out: PathLike
    ) -> Path: ...
    def score_samples(
        self,
        X: RowsLike,
        *,
        labels: object = None,
        row_priors: object = None,
        out: PathLike | None = None,
    ) -> Any:
        """Return the log-likelihood of each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        labels, row_priors : array-like, optional
            What is told of the rows, as in `fit`.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,)
            float32 for float32 rows, else float64. Of a Dask collection a lazy dask array; with
            `out` its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> mixture.score_samples([[0.0], [3.0]]).round(3)
        array([-0.919, -5.419])
        """
        return self._by_row(log_likelihoods, X, out, ["log-likelihood"], labels, row_priors)

    def _plain(self, parameters: Parameters, features: Indices) -> "GaussianMixture":
        return plain_mixture(self, parameters, features)

    @property
    def _climbs(self) -> str:
        return super()._climbs if self.prior is None else "penalised mean log-likelihood"

    def _settings(self) -> Settings:
        return settings_of(self)

    def _problem(self, data: Data | ToldData, settings: Settings) -> Problem:
        return likelihood(data, settings)

    def _present(self) -> Parameters:
        return parameters_of(self)

    def _continued(self, n_features: int, name: str) -> Parameters:
        present = parameters_to_continue(self, n_features, name)
        return adopted(present, settings_of(self).structure)

    def _prepared(
        self,
        X: object,
        data: Data,
        settings: Settings,
        labels: object = None,
        row_priors: object = None,
        component_labels: object = None,
        *_: object,
    ) -> tuple[Data | ToldData, Settings]:
        settings = with_noise_of(settings, data)
        if isinstance(X, Scan):
            labels = X.labels() if labels is None else labels
            row_priors = X.row_priors() if row_priors is None else row_priors
        told, classes = self._told(data, settings, labels, row_priors, component_labels)
        return told or data, settings._replace(classes=classes)

    def _keep(self, run: Run, problem: Problem, settings: Settings) -> None:
        super()._keep(run, problem, settings)
        set_noise_box(self, settings.noise_box)
        _, self.truncation_gap_ = run.certificate
        self._remember_classes(settings.classes)

    def _told(
        self,
        data: Data,
        settings: Settings,
        labels: object,
        row_priors: object,
        component_labels: object,
    ) -> tuple[ToldData | None, Classes | None]:
        """Check what is told of the rows of a fit, and the classes that it names."""
        if settings.algorithm == "truncated" and not (labels is None and row_priors is None):
            raise ParameterError("labels and row_priors do not go with algorithm='truncated'")
        classes = classes_of(labels, component_labels, settings.n_components)
        noise = settings.noise is not None
        return tell(data, labels, row_priors, classes, settings.n_components, noise=noise), classes

    def _remember_classes(self, classes: Classes | None) -> None:
        for name in ("classes_", "component_labels_"):
            vars(self).pop(name, None)
        if classes is not None:
            self.classes_ = classes.names
            self.component_labels_ = classes.names[classes.owners]

    def _owners(self) -> Labels:
        """Return the number of each component's class in `classes_`."""
        return np.searchsorted(self.classes_, self.component_labels_).astype(np.int32)

    def _assign(self) -> Callable[..., NDArray[Any]]:
        """Return what assigns rows to components, or to classes if there are any."""
        if not hasattr(self, "classes_"):
            return assign
        return partial(assign_class, self._owners(), self.classes_)

    def _by_row(
        self,
        function: Callable[..., NDArray[Any]],
        X: object,
        out: PathLike | None,
        names: Sequence[str],
        labels: object = None,
        row_priors: object = None,
    ) -> Any:
        """Return or write what the present parameters say of each row."""
        if labels is None and row_priors is None:
            return super()._by_row(function, X, out, names)
        check_output(out)
        parameters = parameters_of(self)
        classes = Classes(self.classes_, self._owners()) if hasattr(self, "classes_") else None
        noise = parameters.noise is not None
        data = self._data(X, None, self.n_threads)
        by_parameters = partial(function, parameters, gaps=data.gaps)
        told = tell(data, labels, row_priors, classes, parameters.n_components, noise=noise)
        assert told is not None, "something is told"
        if out is None:
            return told.by_row(by_parameters)
        return told.write_by_row(by_parameters, out, names)


def plain_mixture(
    model: BaseMixture[Any], parameters: Parameters, features: Indices
) -> GaussianMixture:
    """Return a mixture of these features of a fitted one.

    It is no subclass, whose constructor may want other arguments.
    """
    plain = GaussianMixture(
        parameters.n_components,
        covariance_type=cast(CovarianceType, parameters.structure.name),
        random_state=model.random_state,
        n_threads=model.n_threads,
        missing_values=getattr(model, "missing_values", "error"),
    )
    plain.n_features_in_ = parameters.n_features
    if hasattr(model, "feature_names_in_"):
        plain.feature_names_in_ = model.feature_names_in_[features]
    set_parameters(plain, parameters)
    return plain
