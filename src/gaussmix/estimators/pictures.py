"""A fitted model to be seen: `plot`, `plot_convergence` and `summary`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import threads
from gaussmix._core.types import FloatArray, PlotKind, Rows
from gaussmix.display.tables import Summary
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.base import Estimator
from gaussmix.estimators.summaries import mixture_summary
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import responsibilities
from gaussmix.queries.features import Indices, check_features
from gaussmix.queries.hdr import hdr_levels
from gaussmix.validation import (
    check_choice,
    check_integer,
    check_n_threads,
    check_random_state,
    check_real,
)

KINDS = ("classification", "uncertainty", "density", "pairs", "components")
POINTS_NEEDED = ("uncertainty",)
REGION_SAMPLES = 1 << 16  # rows drawn to find regions: their probabilities are right to 0.2 %
MAX_POINTS = 20_000


class Pictures(Estimator):
    """Pictures of mixtures, a mixin: the estimator has the parameters of one."""

    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]

    @property
    def _climbs(self) -> str:
        """What a fit climbs."""
        return "mean log-likelihood"

    def plot(
        self,
        X: object = None,
        *,
        kind: PlotKind = "classification",
        features: object = None,
        level: float = 0.9,
        ax: Any = None,
        max_points: int = MAX_POINTS,
    ) -> Any:
        """Draw the mixture, with rows or without, in two directions or along one feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take, optional
            Rows that lack values are not drawn.
            Rows to show. ``kind='uncertainty'`` needs them.
        kind : str, default='classification'
            - 'classification': rows in the colours of their components, mixed by their
              responsibilities, and the ellipses of the components. Noise is grey.
            - 'uncertainty': dots whose area grows with 1 - max r, as mclust's.
            - 'density': the densest regions of probabilities 0.25, 0.5, 0.75 and `level`, by
              `hdr_level`.
            - 'pairs': a matrix of all features, on its own figure: each alone on the diagonal,
              rows below it, components above it.
            - 'components': the ellipses, filled and numbered, on grey rows.

            Of one feature there are a histogram, the components and their sum instead.
        features : int, str or sequence of them, optional
            Indices or names of one feature or two, of any number for 'pairs'. Ellipses and
            densities are those of the marginal on them. By default all features if they are one or
            two, and for 'pairs', else the plane in which the means lie farthest apart in terms of
            the covariance within components, scaled to 1: Fisher's and Rao's discriminant
            directions. The axes say that it is a projection.
        level : float, default=0.9
            Coverage of the ellipses, by the quantile of chi-squared: each holds that part of its
            component, in the two directions that are shown.
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

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
        >>> axes = GaussianMixture(2, random_state=0).fit(X).plot(X)
        >>> axes.get_xlabel()
        'feature 0'
        """
        from gaussmix.plotting.backend import require_matplotlib
        from gaussmix.plotting.mixtures import draw_mixture
        from gaussmix.plotting.subjects import Subject

        check_choice("kind", kind, KINDS)
        if X is None and kind in POINTS_NEEDED:
            raise ParameterError(f"X must be given for kind={kind!r}, which draws rows, got None")
        require_matplotlib()
        full = parameters_of(self)
        parameters = full.without_noise()
        names, chosen = names_of(self, features, parameters.n_features)
        level = check_level(level)
        count = threads.resolve(check_n_threads(self.n_threads)).number
        subject = Subject(
            parameters,
            names,
            level,
            points_of(self, X, max_points, partial(responsibilities, full)),
            partial(_levels, count),
        )
        return draw_mixture(subject, kind, chosen, ax)

    def summary(self) -> Summary:
        """Return sizes, weights, means and spreads of the components, and how the fit went.

        A component has collapsed if the fit had to regularise it, or if a variance of it is no more
        than twice `reg_covar`.

        Returns
        -------
        Summary
            It prints as text. Notebooks show it as a table, and the model itself as its first 20
            rows. `rows` and `heads` have the cells. Rows are weights times the weight of the rows
            seen, means are followed by standard deviations, of the first six features.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> print(GaussianMixture.from_parameters([1.0], [[3.0, 0.5]], [[1, 4]], "diag").summary())
        GaussianMixture: 1 component, diag covariances
        2 features
        parameters as given, not fitted here
        <BLANKLINE>
        component  weight  feature 0  feature 1
                0  1.0000  3.0 ± 1.0  0.5 ± 2.0
        """
        parameters = parameters_of(self)
        names, _ = names_of(self, None, parameters.n_features)
        return mixture_summary(self, parameters, names)

    def plot_convergence(self, *, ax: Any = None) -> Any:
        """Draw what the fit climbed, such as the mean log-likelihood, against its iterations.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure of pyplot's.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the parameters come from no fit.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture(2, random_state=0).fit([[0.0], [1.0], [2.0], [8.0], [9.0]])
        >>> axes = mixture.plot_convergence()
        >>> axes.get_xlabel()
        'iteration'
        """
        from gaussmix.plotting.curves import draw_convergence

        self._check_fitted()
        bounds = getattr(self, "lower_bounds_", None)
        if not bounds:
            raise ParameterError(
                f"plot_convergence needs the iterations of a fit, but this {type(self).__name__} "
                "has no lower_bounds_"
            )
        return draw_convergence([*bounds, self.lower_bound_], self.converged_, self._climbs, ax)


def names_of(
    model: Estimator, features: object, n_features: int
) -> tuple[tuple[str, ...], Indices | None]:
    """Return names for all features, and the indices of those that a user asks for."""
    known = getattr(model, "feature_names_in_", None)
    fitted = None if known is None else list(known)
    chosen = None
    if features is not None:
        chosen = check_features("features", features, n_features, fitted)
    names = [f"feature {i}" for i in range(n_features)] if fitted is None else fitted
    return tuple(names), chosen


def check_level(level: object) -> float:
    """Return a probability between 0 and 1, neither of them."""
    value = check_real("level", level, 0, strict=True)
    if value >= 1:
        raise ParameterError(f"level must be greater than 0 and less than 1, got {level!r}")
    return value


def points_of(
    model: Estimator,
    X: object,
    max_points: object,
    resp: Callable[[Rows], NDArray[Any]],
) -> Any:
    """Return the rows that a picture shows, and their shares of components; None without X."""
    from gaussmix.plotting.subjects import Points

    most = check_integer("max_points", max_points, 1)
    if X is None:
        return None
    data = model._data(X, None, model.n_threads)
    rows: Any = data.sample(1, check_random_state(0), most).rows
    if data.gaps:
        rows = rows[~np.isnan(rows).any(axis=1)]
        if not len(rows):
            raise ParameterError("X must have rows without missing values to draw, got none")
    shares = resp(rows)
    return Points(getattr(rows, "matrix", rows), shares, data.n_samples)


def _levels(n_threads: int, mixture: Parameters, p: FloatArray) -> FloatArray:
    return hdr_levels(mixture, p, REGION_SAMPLES, check_random_state(0), n_threads)


def one_hot(labels: NDArray[np.integer], n_clusters: int) -> Rows:
    """Return hard assignments as shares, (n, n_clusters) float32."""
    shares = np.zeros((len(labels), n_clusters), dtype=np.float32)
    shares[np.arange(len(labels)), labels] = 1.0
    return shares
