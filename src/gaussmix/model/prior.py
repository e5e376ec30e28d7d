r"""Conjugate priors of a mixture's parameters, which act as rows that are added in the M-step.

The mean and the covariance of a component have a normal-inverse-Wishart prior, or a normal-inverse-
gamma prior where covariances are variances (Fraley & Raftery, 2007, Journal of Classification 24,
155-181). The weights have a symmetric Dirichlet prior:

    mean_k | covariance_k ~ N(mean, covariance_k / mean_precision)
    covariance_k ~ inverse Wishart(degrees_of_freedom, scale)
    variance ~ inverse gamma(degrees_of_freedom / 2, scale / 2)
    weights ~ Dirichlet(weight_concentration, ...)

In a family whose components share a volume, a shape or an orientation each covariance has this
density, and all keep to the family. What the prior adds to the scatter and the rows of a component
is the same in all families, so their M-steps are too.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from gaussmix._core.density import EPS
from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.model.checks import check_floats, check_matrices
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.moments import mean_of, scatter_of
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics
from gaussmix.model.structures import DIAG, FULL, SPHERICAL, Matrices
from gaussmix.validation import check_numbers, check_real

SHARED = frozenset({"tied", "EEI", "EII"})
"""Structures of one covariance for all components, which has one prior."""


@dataclass(frozen=True, eq=False)
class Prior:
    """A conjugate prior of a mixture's parameters, for `GaussianMixture(prior=...)`.

    EM then climbs the likelihood times the prior, to the maximum a posteriori. The prior keeps
    components from collapsing.

    Parameters
    ----------
    mean : array-like of shape (n_features,), optional
        What the components' means are drawn to; by default the mean of X.
    mean_precision : float, default=0.01
        Positive number of rows that this counts for.
    degrees_of_freedom : float, optional
        Of the covariances' prior: more than D - 1 where they are matrices of D features, else
        positive. By default D + 2.
    scale : array-like, optional
        What the covariances are drawn to, times about their degrees of freedom: a number for
        'spherical' and 'EII', (D,) for 'diag', 'EEI', 'VEI' and 'EVI', (D, D) for all others. By
        default cov(X) / n_components^(2/D) as a matrix, its diagonal, or the mean of that.
    weight_concentration : float, default=1.0
        At least 1: each component counts for so many rows more, less one.

    Raises
    ------
    ParameterError
        If a number is out of range, or `mean` or `scale` are no numbers.

    References
    ----------
    Fraley & Raftery (2007), Bayesian regularization for normal mixture estimation and model-based
    clustering, Journal of Classification 24, 155-181.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture, Prior
    >>> X = np.array([[0.0], [0.0], [0.0], [9.0], [11.0]])  # no spread in the first component
    >>> mixture = GaussianMixture(2, reg_covar=0, prior=Prior(scale=[[1.0]]), random_state=0).fit(X)
    >>> np.sort(mixture.covariances_.ravel()).round(2)
    array([0.13, 0.42])
    """

    mean: ArrayLike | None = None
    mean_precision: float = 0.01
    degrees_of_freedom: float | None = None
    scale: ArrayLike | None = None
    weight_concentration: float = 1.0

    def __post_init__(self) -> None:
        check_real("mean_precision", self.mean_precision, 0, strict=True)
        check_real("weight_concentration", self.weight_concentration, 1)
        if self.degrees_of_freedom is not None:
            check_real("degrees_of_freedom", self.degrees_of_freedom, 0, strict=True)
        for name in ("mean", "scale"):
            if getattr(self, name) is not None:
                check_numbers(getattr(self, name), name)

    @property
    def needs_moments(self) -> bool:
        """Whether it depends on the moments of X."""
        return self.mean is None or self.scale is None

    def plain(self) -> dict[str, Any]:
        """Return the arguments of the constructor as JSON can hold them.

        Examples
        --------
        >>> from gaussmix import Prior
        >>> Prior(mean=[0, 1]).plain()["mean"]
        [0.0, 1.0]
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value if value is None else np.asarray(value, np.float64).tolist()
            for name, value in values.items()
        }


@dataclass(frozen=True)
class PriorRows:
    """A prior for a structure and a size: what it adds to statistics.

    Attributes
    ----------
    mean : ndarray of shape (D,)
    mean_precision : float
    counts : float
        What it adds to the rows that a covariance is divided by, for each component.
    second : ndarray
        What it adds to the second moments, in the shape of the form.
    pseudo_rows : float
        What it adds to the rows of a component for its weight.
    """

    mean: FloatArray
    mean_precision: float
    counts: float
    second: FloatArray
    pseudo_rows: float

    def weights(self, statistics: Statistics) -> FloatArray:
        """Return the weights of largest posterior density, (n_k + concentration - 1) / sum.

        They sum to one, whatever the noise takes.
        """
        rows = self._rows(statistics)
        return np.asarray(rows / rows.sum())

    def shares(self, statistics: Statistics) -> FloatArray:
        """Return the same beside the noise, which leaves something however much it takes."""
        rows = self._rows(statistics)
        return np.asarray(rows / (statistics.n_noise + rows.sum()))

    def noise_weight(self, statistics: Statistics) -> float:
        """Return the noise's part of the rows: the prior adds none to it."""
        return statistics.n_noise / (statistics.n_noise + float(self._rows(statistics).sum()))

    def added_to(self, statistics: Statistics) -> Statistics:
        r"""Return statistics about the means of largest posterior density, with the prior's rows.

        Where an M-step divides second by n_k, it then finds the covariances of largest posterior
        density. With S_k the scatter about the new mean m_k, they are

            m_k = (n_k mean(x) + mean_precision mean) / (n_k + mean_precision)
            covariance_k = (S_k + scale + mean_precision (m_k - mean)(m_k - mean)')
                / (n_k + degrees_of_freedom + D + 2)

        for 'full'. The denominators of the others are N + degrees_of_freedom + D + 1 + K for
        'tied', n_k + degrees_of_freedom + 3 for 'diag', and degrees_of_freedom + (n_k + 1) D + 2
        for 'spherical'. Families do their M-step from such numerators, and denominators as n_k.
        """
        first = statistics.first + self.mean_precision * (self.mean - statistics.shift)
        rows = statistics.n_k + self.mean_precision
        moved = statistics.about(statistics.shift + first / rows[:, None])
        return replace(
            moved,
            n_k=moved.n_k + self.counts,
            first=np.zeros(first.shape),
            second=moved.second + self._second_about(moved.structure, moved.shift),
        )

    @np.errstate(over="ignore", invalid="ignore")  # the next M-step says that moments overflow
    def log_density(self, parameters: Parameters) -> float:
        r"""Return the logarithm of the prior's density, less what no parameter changes.

        With the counts c_k and second moments Q_k about the means that the prior adds, it is

            (concentration - 1) sum_k log weight_k
                - 1/2 sum_k c_k log|covariance_k| + tr(Q_k precision_k)
        """
        structure = parameters.structure
        second = self._second_about(structure, parameters.means)
        diagonals = structure.diagonals(parameters.precisions_cholesky)
        copies = parameters.n_features // diagonals.shape[1]
        components = parameters.n_components / len(diagonals)
        log_determinants = -2 * components * copies * float(np.log(diagonals).sum())
        traces = float((second * parameters.precisions).sum())
        of_weights = float(xlogy(self.pseudo_rows, parameters.weights).sum())  # 0 log 0 is 0
        return float(of_weights - 0.5 * (self.counts * log_determinants + traces))

    def _rows(self, statistics: Statistics) -> FloatArray:
        n_k = statistics.n_k + 10 * EPS * statistics.weight / statistics.n_samples
        return np.asarray(n_k + self.pseudo_rows)

    def _second_about(self, structure: CovarianceStructure, means: FloatArray) -> FloatArray:
        rows = np.full(len(means), self.mean_precision)
        return self.second + structure.change_of_shift(
            rows, np.zeros(means.shape), self.mean - means
        )


def check_prior(prior: object) -> Prior | None:
    """Return a prior or None; raises ParameterError."""
    if prior is not None and not isinstance(prior, Prior):
        raise ParameterError(f"prior must be a gaussmix.Prior or None, got {prior!r}")
    return prior


def rows_of(
    prior: Prior,
    structure: CovarianceStructure,
    shape: tuple[int, int],
    moments: Statistics | None,
) -> PriorRows:
    """Return what a prior adds to statistics of a structure and a shape (K, D).

    `moments` are those of X, where the prior needs them: see `MomentsPass`.

    Raises
    ------
    ParameterError
        If a part of the prior does not fit the structure or the shape.
    """
    n_components, n_features = shape
    degrees = _degrees_of_freedom(prior, structure, n_features)
    if structure.form == "spherical":  # the kernels divide by D too
        counts = 1 + (degrees + 2) / n_features
    elif isinstance(structure, Matrices):
        counts = degrees + n_features + 2
    else:
        counts = degrees + 3
    second = _scale(prior, structure, shape, moments)
    if structure.name in SHARED:
        counts = 1 + (counts - 1) / n_components
        second = second if structure.shared else second / n_components
    return PriorRows(
        _mean(prior, n_features, moments),
        float(prior.mean_precision),
        counts,
        second,
        float(prior.weight_concentration) - 1,
    )


def _degrees_of_freedom(prior: Prior, structure: CovarianceStructure, n_features: int) -> float:
    if prior.degrees_of_freedom is None:
        return n_features + 2.0
    least = n_features - 1 if isinstance(structure, Matrices) else 0
    return check_real("prior.degrees_of_freedom", prior.degrees_of_freedom, least, strict=True)


def _mean(prior: Prior, n_features: int, moments: Statistics | None) -> FloatArray:
    if prior.mean is not None:
        return check_floats("prior.mean", prior.mean, (n_features,)).copy()
    assert moments is not None, "the prior said that it needs them"
    return mean_of(moments)


def _scale(
    prior: Prior,
    structure: CovarianceStructure,
    shape: tuple[int, int],
    moments: Statistics | None,
) -> FloatArray:
    """Return the scale of every component, in the shape of the form."""
    n_components, n_features = shape
    alone = {"diag": DIAG, "spherical": SPHERICAL}.get(structure.form, FULL)
    if prior.scale is not None:
        given = np.asarray(check_numbers(prior.scale, "prior.scale"))
        scale = check_matrices("prior.scale", given[None], alone, 1, n_features)
    else:
        assert moments is not None, "the prior said that it needs them"
        scale = _default_scale(alone, shape, moments)
    return scale[0] if structure.shared else np.repeat(scale, n_components, axis=0)


def _default_scale(
    alone: CovarianceStructure, shape: tuple[int, int], moments: Statistics
) -> FloatArray:
    """Return the covariance of X over K^(2/D), as one component's of the form."""
    if not moments.weight > 1:
        raise ParameterError(
            "prior.scale must be given if rows have no more weight than 1 together, got None and "
            f"a weight of {moments.weight:g}"
        )
    n_components, n_features = shape
    covariance = scatter_of(moments) / (moments.weight - 1)
    covariance /= n_components ** (2 / n_features)
    if covariance.ndim == 2:
        return alone.alike(covariance, 1)
    return alone.of_variances(covariance, 1)
