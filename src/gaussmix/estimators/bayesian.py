"""The Bayesian Gaussian mixture estimator."""

from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._core import threads
from gaussmix._core.types import (
    Acceleration,
    Algorithm,
    DaskLike,
    FloatArray,
    InitMethod,
    MissingValues,
    PathLike,
    Rows,
    RowsLike,
    Seed,
    Structure,
    WeightLike,
)
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import prior_of
from gaussmix.data.base import Data
from gaussmix.data.scale import require_features_to_scale
from gaussmix.data.told import ToldData
from gaussmix.em.runs import Run
from gaussmix.em.variational import HALF_A_ROW, EvidenceBound
from gaussmix.em.verbose import say
from gaussmix.estimators.attributes import (
    posterior_of,
    posterior_to_continue,
    set_outcome,
    set_posterior,
    set_prior,
    term_names,
)
from gaussmix.estimators.base import remember_features
from gaussmix.estimators.base_mixture import BaseMixture
from gaussmix.estimators.counterparts import Name
from gaussmix.estimators.diagnostics import warn_of_fit
from gaussmix.estimators.evidence import bayesian_settings_of, beliefs_of, evidence
from gaussmix.estimators.fitting import Origin, Problem, best_run
from gaussmix.estimators.mixture import GaussianMixture, plain_mixture
from gaussmix.estimators.settings import Settings
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_means_within_reach
from gaussmix.queries.features import Indices
from gaussmix.queries.predictive import Predictive
from gaussmix.queries.sampling import check_n_samples
from gaussmix.validation import (
    check_boolean,
    check_integer,
    check_n_threads,
    check_random_state,
    check_real,
)

PriorType: TypeAlias = Literal["dirichlet_process", "dirichlet_distribution"]


class BayesianGaussianMixture(BaseMixture[GaussianMixture]):
    """Gaussian mixture with a prior, fitted by variational Bayes, with scikit-learn's interface.

    A fit finds a distribution over the parameters instead of the parameters (Bishop, PRML,
    section 10.2). Components that the rows do not need empty, so that `n_components` is only the
    most that there may be.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, at most.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A matrix for each component, one matrix for all, a variance for each feature of each
        component, or one variance for each component.
    tol : float, default=1e-3
        A fit ends when the evidence lower bound, of all rows, changes by less. 0 runs all of
        `max_iter`.
    reg_covar : float, default=1e-6
        Non-negative variance added to every feature of every row. With 0 the bound never falls.
    max_iter : int, default=100
        Number of iterations, that is of passes over the data, at most. 0 keeps the start.
    n_init : int, default=1
        Number of starts, of which the one that ends with the largest bound is kept. Of more than
        three, fewer are run to the end where there are many rows: see `GaussianMixture`.
    init_params : str, default='kmeans'
        How a start is found: 'kmeans', 'auto', 'k-means++', 'random_from_data', 'random',
        'hierarchical' or 'emem', as in `GaussianMixture`.
    weight_concentration_prior_type : str, default='dirichlet_process'
        'dirichlet_process' breaks a stick: every component takes a part of what those before it
        left, so that the first ones are the largest a priori (Blei & Jordan, 2006).
        'dirichlet_distribution' treats all components alike.
    weight_concentration_prior : float or None, default=None
        Positive. The smaller, the fewer components are used. None is 1 / n_components.
    mean_precision_prior : float or None, default=None
        Positive: how many rows the prior's mean counts for. None is 1.
    mean_prior : array-like of shape (n_features,) or None, default=None
        None is the mean of X.
    degrees_of_freedom_prior : float or None, default=None
        Of the Wishart of each precision, greater than n_features - 1. None is n_features.
    covariance_prior : float, array-like or None, default=None
        The inverse of the Wishart's scale matrix: (n_features, n_features) for full and tied,
        (n_features,) for diag, a number for spherical. None is the covariance of X, its diagonal,
        or the mean of that, with n - 1 in the denominator.
    random_state : int, RandomState, Generator or None, default=None
        Source of the starts, and of the first call of `sample`.
    warm_start : bool, default=False
        Continue from the present posterior, if there is one, instead of a new start.
    verbose : int, default=0
        1 prints the time of the starts, runs and iterations, 2 also times and changes, 3 also rows
        per second and the time that is left.
    verbose_interval : int, default=10
        Iterations between printed lines.
    accelerate : {'squarem', 'anderson'} or None, default=None
        Jump ahead, where that raises the bound, to need fewer passes: see `GaussianMixture`.
        Components empty slowly without it.
    algorithm : {'em', 'incremental'}, default='em'
        'incremental' opens a fit with sweeps over blocks of rows and an M-step after each block, as
        in `GaussianMixture`. It does not go with `sort_components`.
    sort_components : bool, default=False
        Order components by weight at every step, the largest first, where broken sticks fit them
        best (Kurihara, Welling & Teh, 2007). scikit-learn does not.
    n_threads : int, optional
        Number of threads; by default as many as `gaussmix.show_config` shows.
    checkpoint : path-like or None, default=None
        File for the fit's progress, as in `GaussianMixture`.
    checkpoint_interval : float, default=30.0
        Seconds between writings, at least; 0 writes after every iteration.
    missing_values : {'error', 'marginalize'}, default='error'
        What becomes of rows in which values are missing, as in `GaussianMixture`. With
        'marginalize' the bound is over what is missing, too. The default prior is then that of one
        Gaussian, fitted to what the rows have.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Expected weights.
    means_ : ndarray of shape (n_components, n_features)
        Expected means.
    covariances_ : ndarray
        Inverses of the expected precisions: full (n_components, n_features, n_features), tied
        (n_features, n_features), diag (n_components, n_features), spherical (n_components,).
    precisions_ : ndarray
        Expected precisions, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular factors U of the precisions, P = U U', in the same shape.
    weight_concentration_ : ndarray of shape (n_components,), or a tuple of two
        Of the Dirichlet distribution, or of the Beta distribution of every part of the stick.
    mean_precision_ : ndarray of shape (n_components,)
    degrees_of_freedom_ : ndarray of shape (n_components,), tied a float
    weight_concentration_prior_ : float
    mean_precision_prior_ : float
    mean_prior_ : ndarray of shape (n_features,)
    degrees_of_freedom_prior_ : float
    covariance_prior_ : float or ndarray
        The prior of the fit, of the first batch with `partial_fit`.
    n_effective_ : int
        Number of components that hold more than half a row.
    converged_ : bool
        Whether the run that was kept converged.
    n_iter_ : int
        Its number of iterations.
    lower_bound_ : float
        The evidence lower bound of the training data under this very posterior, with all its
        constants, in nats for all rows. After `partial_fit` it is that of the last batch, given
        the batches before.
    lower_bounds_ : list of float
        The same before each iteration. With `accelerate` it has a dip wherever a jump was undone.
    n_samples_seen_ : int
        Number of rows that the posterior comes from.
    weight_seen_ : float
        Their summed weight.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a frame whose names are strings.

    Notes
    -----
    `score_samples` and `predict_proba` mean what they mean in scikit-learn, expected
    log-densities, which do not integrate to one. `predictive_score_samples` and
    `predictive_proba` are those of a density. Everything else, such as `marginal`, `quantile`,
    `is_outlier` and `sample`, is of the mixture of `weights_`, `means_` and `covariances_`.

    The updates are scikit-learn's. With full covariances they are those of the conjugate prior.
    The others are its best approximations by Wisharts whose scale matrices are diagonal, multiples
    of the identity, or one for all: `lower_bound_` is a bound of the same evidence for all four.

    References
    ----------
    Bishop (2006), Pattern recognition and machine learning, section 10.2.
    Blei & Jordan (2006), Variational inference for Dirichlet process mixtures, Bayesian Analysis 1,
    121-143.
    Kurihara, Welling & Teh (2007), Collapsed variational Dirichlet process mixture models, IJCAI.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import BayesianGaussianMixture
    >>> X = np.random.default_rng(0).normal([[0, 0]] * 150 + [[9, 9]] * 50)
    >>> mixture = BayesianGaussianMixture(n_components=8, max_iter=1000, random_state=0).fit(X)
    >>> mixture.n_effective_
    2
    >>> np.sort(mixture.prune().weights_).round(2)
    array([0.25, 0.75])
    """

    weight_concentration_: FloatArray | tuple[FloatArray, FloatArray]
    mean_precision_: FloatArray
    degrees_of_freedom_: FloatArray | float
    weight_concentration_prior_: float
    mean_precision_prior_: float
    mean_prior_: FloatArray
    degrees_of_freedom_prior_: float
    covariance_prior_: FloatArray | float
    n_effective_: int

    _stands_for = Name("sklearn.mixture", "BayesianGaussianMixture")

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: Structure = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitMethod = "kmeans",
        weight_concentration_prior_type: PriorType = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        random_state: Seed = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        accelerate: Acceleration | None = None,
        algorithm: Algorithm = "em",
        sort_components: bool = False,
        n_threads: int | None = None,
        checkpoint: PathLike | None = None,
        checkpoint_interval: float = 30.0,
        missing_values: MissingValues = "error",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.accelerate = accelerate
        self.algorithm = algorithm
        self.sort_components = sort_components
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.missing_values = missing_values

    def partial_fit(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Self:
        """Learn from a batch of rows, with the posterior of what was seen as the prior.

        That is streaming variational Bayes (Broderick et al., 2013). On each batch the bound is
        climbed as in `fit`, up to `max_iter` iterations from the posterior before. The first batch
        is a `fit`: the defaults of the prior are those of its rows. Nothing is forgotten. With one
        component the result is that of all rows at once, if the prior is given.

        Afterwards `lower_bound_` is that of the batch, given what was seen before it. Sums of it
        over the batches bound the evidence of all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch: as many rows as components at first, and later any number.
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

        References
        ----------
        Broderick, Boyd, Wibisono, Wilson & Jordan (2013), Streaming variational Bayes, NeurIPS 26.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> mixture = BayesianGaussianMixture(n_components=1)
        >>> for _ in range(5):
        ...     mixture = mixture.partial_fit(rng.normal(3.0, size=(200, 1)))
        >>> mixture.n_samples_seen_, mixture.means_.round()
        (1000, array([[3.]]))
        """
        settings = self._settings()._replace(checkpoint=None)
        names = None
        if hasattr(self, "means_"):
            data = self._data(X, sample_weight, self.n_threads)
            prior = posterior_to_continue(self, data.n_features, "partial_fit")
            origin, problem = Origin(prior, -np.inf), evidence(data, settings, prior, sort=False)
            seen = self._seen()
        else:
            data, names = self._training_data(X, sample_weight)
            origin, problem, seen = None, self._problem(data, settings), (0, 0.0)
        require_features_to_scale(data, settings.reg_covar)
        run = best_run(data, settings, {}, origin, problem)
        require_means_within_reach(run.result.parameters, data.dtype)
        if origin is None:
            self._keep(run, problem, settings)
            remember_features(self, data.n_features, names)
        else:
            set_outcome(self, run)
            self._count()
        self.n_samples_seen_, self.weight_seen_ = seen[0] + data.n_samples, seen[1] + data.weight
        warn_of_fit(self, run.result, data.dtype)
        return self

    @overload
    def predictive_score_samples(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predictive_score_samples(self, X: RowsLike, *, out: None = None) -> Rows: ...
    @overload
    def predictive_score_samples(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def predictive_score_samples(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the logarithm of the posterior predictive density at each row of X.

        It is a mixture of Student's t distributions (Bishop, PRML, 10.81), which integrates to one:
        what to compare models by on rows that were held out, and to find outliers with.

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
        >>> from gaussmix import BayesianGaussianMixture
        >>> mixture = BayesianGaussianMixture(random_state=0).fit([[-1.0], [0.0], [1.0]])
        >>> X = [[0.0], [9.0]]  # the tails of few rows are heavy
        >>> mixture.predictive_score_samples(X).round(1), mixture.score_samples(X).round(1)
        (array([-0.9, -8.7]), array([ -1.3, -55.3]))
        """
        predictive = Predictive.of(posterior_of(self))
        return self._each_row(predictive.log_likelihoods, X, out, ["log-likelihood"])

    @overload
    def predictive_proba(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predictive_proba(self, X: RowsLike, *, out: None = None) -> Rows: ...
    @overload
    def predictive_proba(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def predictive_proba(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the probability of each component given each row, under the predictive density.

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
        >>> mixture = BayesianGaussianMixture(n_components=4, max_iter=999, random_state=0).fit(X)
        >>> mixture.predictive_proba([[0.0], [30.0]]).max(axis=1).round(2)
        array([1., 1.])
        """
        predictive = Predictive.of(posterior_of(self))
        return self._each_row(predictive.responsibilities, X, out, term_names(self))

    def sample(
        self, n_samples: int = 1, random_state: Seed = None, *, predictive: bool = False
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Draw rows, anew at every call.

        The first call after a fit draws from the constructor's `random_state`, later ones from
        where it ended. A `random_state` given here is used instead and repeats the same rows,
        whatever the number of threads.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState, Generator or None, default=None
        predictive : bool, default=False
            Draw from the posterior predictive density, a mixture of Student's t distributions,
            instead of the mixture of the expected parameters, as scikit-learn does.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float64
            Grouped by component.
        y : ndarray of shape (n_samples,), int64
            Component of each row.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0]] * 60 + [[30.0]] * 20)
        >>> mixture = BayesianGaussianMixture(n_components=4, max_iter=999, random_state=0).fit(X)
        >>> mixture.sample(5, predictive=True)[0].shape
        (5, 1)
        """
        if not check_boolean("predictive", predictive):
            return super().sample(n_samples, random_state)
        self._check_fitted()
        n_samples = check_n_samples(n_samples, self.n_features_in_)
        source = self._sampling_state() if random_state is None else random_state
        count = threads.resolve(check_n_threads(self.n_threads)).number
        drawn = Predictive.of(posterior_of(self))
        return drawn.draw(n_samples, check_random_state(source), count)

    def prune(self) -> "BayesianGaussianMixture":
        """Return a mixture without the components that hold no more than half a row.

        Their weight is shared out. The one that holds most is kept in any case. How the fit went
        (`lower_bound_`, `n_iter_`, ...) stays.

        Returns
        -------
        BayesianGaussianMixture
            With `n_components` the number of those that are left.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0]] * 60 + [[30.0]] * 20)
        >>> mixture = BayesianGaussianMixture(n_components=4, max_iter=999, random_state=0).fit(X)
        >>> np.sort(mixture.prune().weights_).round(2)
        array([0.25, 0.75])
        """
        posterior = posterior_of(self)
        counts = self._counts(posterior)
        kept = np.flatnonzero(counts > min(HALF_A_ROW, counts.max() / 2))
        params = {**self.get_params(deep=False), "n_components": len(kept)}
        pruned = BayesianGaussianMixture(**params)
        own = {name: value for name, value in vars(self).items() if name not in params}
        vars(pruned).update(own)
        vars(pruned).pop("_sampler", None)
        set_posterior(pruned, posterior.of_components(kept))
        return pruned

    def _counts(self, posterior: Posterior) -> FloatArray:
        """Return how many rows each component holds: (K,)."""
        prior = check_real("mean_precision_prior_", getattr(self, "mean_precision_prior_", 0.0), 0)
        return posterior.mean_precision - prior

    def _seen(self) -> tuple[int, float]:
        return (
            check_integer("n_samples_seen_", getattr(self, "n_samples_seen_", 0), 0),
            check_real("weight_seen_", getattr(self, "weight_seen_", 0.0), 0),
        )

    def _plain(self, parameters: Parameters, features: Indices) -> GaussianMixture:
        return plain_mixture(self, parameters, features)

    @property
    def _climbs(self) -> str:
        return "evidence lower bound"

    def _settings(self) -> Settings:
        return bayesian_settings_of(self)

    def _problem(self, data: Data | ToldData, settings: Settings) -> Problem:
        assert not isinstance(data, ToldData), "fit takes neither labels nor row_priors"
        prior = prior_of(beliefs_of(self), settings.structure, settings.n_components, data)
        return evidence(data, settings, prior, self.sort_components)

    def _present(self) -> Posterior:
        return posterior_of(self)

    def _continued(self, n_features: int, name: str) -> Posterior:
        return posterior_to_continue(self, n_features, name)

    def _keep(self, run: Run, problem: Problem, settings: Settings) -> None:
        assert isinstance(problem.objective, EvidenceBound), "that is what it climbed"
        set_outcome(self, run)
        set_prior(self, problem.objective.prior)
        self._count()

    def _count(self) -> None:
        """Set how many components are used, and say so where that is all."""
        self.n_effective_ = int((self._counts(posterior_of(self)) > HALF_A_ROW).sum())
        if self.n_effective_ == self.n_components > 1:
            say(
                f"all n_components={self.n_components} components are used: more may fit better",
                self.verbose,
            )
