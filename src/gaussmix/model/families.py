r"""The fourteen covariance families of mclust: four are the forms themselves, ten are made here.

A covariance is volume, shape and orientation (Banfield & Raftery, 1993, Biometrics 49, 803-821):

    covariance_k = lambda_k Q_k A_k Q_k'    |A_k| = 1, A_k diagonal, Q_k orthogonal

The letters of a code are volume, shape and orientation. E is equal in all components, V varies, and
I is the identity. An M-step minimises the deviance

    sum_k n_k log|covariance_k| + tr(S_k inv(covariance_k))

where S_k is the scatter of component k about its mean. The closed forms are those of Celeux &
Govaert (1995, Pattern Recognition 28, 781-793). VEI, VEE and VEV are solved exactly by Newton's
method, EVE and VVE reach a local optimum from the axes of the covariances before. Write n for the
sum of n_k, and D for the number of features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import STRUCTURES, SYNONYMS, CovarianceStructure, Flags
from gaussmix.model.orientations import best_axes
from gaussmix.model.stacks import common_axes, principal_axes, rotated, variances_along
from gaussmix.model.structures import DIAG, FULL, SPHERICAL, TIED, Diag, Full, Spherical
from gaussmix.model.volumes import (
    matrices_with_common_shape,
    matrices_with_equal_volume,
    with_common_shape,
    with_equal_volume,
)


class Moments(NamedTuple):
    """What an M-step of a family is given."""

    scatter: FloatArray
    """In the form of the family: full (K, D, D), diag (K, D), or spherical (K,), a mean variance
    times n_k."""
    n_k: FloatArray  # (K,), positive
    previous: FloatArray | None
    """Covariances (K, D, D) before, whose axes EVE and VVE begin with."""


Maximise: TypeAlias = Callable[[Moments], FloatArray]


# --- The M-steps ----------------------------------------------------------------------------------


def _eii(moments: Moments) -> FloatArray:
    """Return the variances lambda = tr(W) / (n D), W the sum of the scatter."""
    return np.full(len(moments.n_k), moments.scatter.sum() / moments.n_k.sum())


def _eei(moments: Moments) -> FloatArray:
    """Return the variances diag(W) / n."""
    shared = moments.scatter.sum(axis=0) / moments.n_k.sum()
    return np.repeat(shared[None], len(moments.n_k), axis=0)


def _vei(moments: Moments) -> FloatArray:
    """Return the variances lambda_k A."""
    return with_common_shape(moments.scatter, moments.n_k)


def _evi(moments: Moments) -> FloatArray:
    """Return the variances lambda A_k."""
    return with_equal_volume(moments.scatter, moments.n_k)


def _eve(moments: Moments) -> FloatArray:
    """Return Q lambda A_k Q': EVI of the diagonals of Q' S_k Q."""
    axes = _axes(moments, equal_volume=True)
    return rotated(axes, with_equal_volume(variances_along(axes, moments.scatter), moments.n_k))


def _vee(moments: Moments) -> FloatArray:
    """Return lambda_k C."""
    return matrices_with_common_shape(moments.scatter, moments.n_k)


def _vve(moments: Moments) -> FloatArray:
    """Return Q lambda_k A_k Q': the diagonals of Q' S_k Q over n_k, in the axes Q.

    These are the common principal components of Flury (1984, JASA 79, 892-898).
    """
    axes = _axes(moments, equal_volume=False)
    return rotated(axes, variances_along(axes, moments.scatter) / moments.n_k[:, None])


def _eev(moments: Moments) -> FloatArray:
    """Return Q_k lambda A Q_k': Q_k the axes of S_k, lambda A the sum of its eigenvalues over n.

    The eigenvalues are in the same order in every component, which is best (Celeux & Govaert, A.1).
    """
    variances, axes = principal_axes(moments.scatter)
    return rotated(axes, _eei(moments._replace(scatter=variances)))


def _vev(moments: Moments) -> FloatArray:
    """Return Q_k lambda_k A Q_k': Q_k the axes of S_k, the rest VEI of its eigenvalues."""
    variances, axes = principal_axes(moments.scatter)
    return rotated(axes, with_common_shape(variances, moments.n_k))


def _evv(moments: Moments) -> FloatArray:
    """Return lambda C_k, |C_k| = 1."""
    return matrices_with_equal_volume(moments.scatter, moments.n_k)


def _axes(moments: Moments, equal_volume: bool) -> FloatArray:
    begin = None if moments.previous is None else common_axes(moments.previous)
    return best_axes(moments.scatter, moments.n_k, begin, equal_volume)


# --- The structures -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Family(CovarianceStructure):
    """A family that is less than the most general structure of its form.

    Attributes
    ----------
    name : str
        Its code: the letters of volume, shape and orientation.
    maximise : callable
        Its M-step.
    """

    maximise: Maximise

    def n_free(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances.

        A volume has 1, a shape D - 1, an orientation D (D - 1) / 2.
        """
        numbers = {"E": 1, "V": n_components, "I": 0}
        sizes = 1, n_features - 1, n_features * (n_features - 1) // 2
        return sum(numbers[letter] * size for letter, size in zip(self.name, sizes, strict=True))

    def fewest_rows(self, n_features: int) -> int:
        """Return the rows that a component needs to be believed, by what it does not share."""
        if not self._shapes_vary:
            return 4 if self._volumes_vary else 0
        return 4 if self.name[2] == "I" else 2 * (n_features + 1)

    def representative(self, n_components: int, n_features: int) -> CovarianceStructure:
        """Return the family itself, or a form with one component or one feature."""
        if n_features == 1:
            alike: CovarianceStructure = FULL if self._volumes_vary else TIED
            return alike.representative(n_components, n_features)
        if n_components == 1:
            return SPHERICAL if self.name[1] == "I" else DIAG if self.name[2] == "I" else FULL
        return self

    def constrain(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        """Return the result of `maximise`, of which the scatter is n_k times the covariances."""
        n_k = weights.reshape(-1, *(1,) * (covariances.ndim - 1))
        return self.maximise(Moments(n_k * covariances, weights, previous))

    def determined(self, covariances: FloatArray, noise: FloatArray) -> Flags:
        """Return which components have enough scatter for what the family does not share: (K,).

        A shape of its own takes a definite matrix, a volume of its own some spread.
        """
        if self._shapes_vary:
            return self.definite(self.factors_where_definite(covariances), noise)
        if self._volumes_vary:
            return np.asarray(self.diagonals(covariances).sum(axis=1) > noise.sum(axis=1))
        return np.ones(len(covariances), dtype=np.bool_)

    @property
    def _volumes_vary(self) -> bool:
        return self.name[0] == "V"

    @property
    def _shapes_vary(self) -> bool:
        return self.name[1] == "V"


class _FullFamily(Family, Full):
    pass


class _DiagFamily(Family, Diag):
    pass


class _SphericalFamily(Family, Spherical):
    pass


FAMILIES: tuple[CovarianceStructure, ...] = (
    _SphericalFamily("EII", _eii),
    _DiagFamily("EEI", _eei),
    _DiagFamily("VEI", _vei),
    _DiagFamily("EVI", _evi),
    _FullFamily("EVE", _eve),
    _FullFamily("VEE", _vee),
    _FullFamily("VVE", _vve),
    _FullFamily("EEV", _eev),
    _FullFamily("VEV", _vev),
    _FullFamily("EVV", _evv),
)

CODES = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI"),
    *("EEE", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)
"""The codes of all fourteen, from the simplest orientation to the most general."""

STRUCTURES.update({family.name: family for family in FAMILIES})
SYNONYMS.update(
    {
        "VVV": FULL.name,
        "EEE": TIED.name,
        "VVI": DIAG.name,
        "VII": SPHERICAL.name,
        "tied-diag": "EEI",
        "tied-spherical": "EII",
    }
)
