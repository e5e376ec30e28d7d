r"""Covariances whose eigenvalues, of all components, lie within a factor of each other.

The likelihood then has a maximum, and no component can collapse (Garcia-Escudero, Gordaliza, Matran
& Mayo-Iscar, 2008). An M-step minimises, over covariances that keep to the factor r,

    sum_k n_k (log|covariance_k| + tr(S_k inv(covariance_k)))

where S_k is the most general covariance. The minimum has the axes of the S_k, and their eigenvalues
cut off below m and above r m, with one m for all components (Fritz, Garcia-Escudero & Mayo-Iscar,
2013).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.model.stacks import rotated
from gaussmix.model.structures import Diag, Full, Spherical, Tied
from gaussmix.validation import check_real


def truncated(eigenvalues: FloatArray, counts: FloatArray, ratio: float) -> FloatArray:
    r"""Return the eigenvalues within a factor of each other that lose the least likelihood.

    With weights n_i and e_i = min(max(lambda_i, m), ratio m), it minimises over m

        sum_i n_i (log e_i + lambda_i / e_i)

    Between two neighbours of all lambda_i and lambda_i / ratio the same ones are cut off, and the
    minimum is at the mean of those below m and, over the ratio, those above ratio m. The best of
    these minima is the minimum of all.

    Parameters
    ----------
    eigenvalues : ndarray of any shape
        Not negative, but for rounding.
    counts : ndarray of the same shape
        Their weights, positive.
    ratio : float
        At least 1.

    Returns
    -------
    ndarray of the same shape
        The very same array if it keeps to the factor already, or all are 0.

    References
    ----------
    Fritz, Garcia-Escudero & Mayo-Iscar (2013), A fast algorithm for robust constrained clustering,
    Computational Statistics & Data Analysis 61, 124-136.
    """
    largest = eigenvalues.max()
    if not largest > 0 or largest <= ratio * eigenvalues.min():
        return eigenvalues
    order = np.argsort(eigenvalues, axis=None)
    values = np.maximum(eigenvalues.ravel()[order], 0) / largest
    loss = _Loss(values, counts.ravel()[order], ratio)
    edges = np.sort(np.concatenate([values, values / ratio]))
    within = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [2 * edges[-1]]])
    floors = loss.stationary(within)
    floors = floors[floors > 0]
    floor = floors[loss.at(floors).argmin()] * largest
    return np.asarray(np.clip(eigenvalues, floor, ratio * floor))


class _Loss:
    """What `truncated` minimises, for many m at once, from sums over sorted eigenvalues."""

    def __init__(self, values: FloatArray, counts: FloatArray, ratio: float) -> None:
        logs = np.log(values, where=values > 0, out=np.zeros(len(values)))
        self._values, self._ratio = values, ratio
        self._sums = [_running(counts * factor) for factor in (1.0, values, logs)]

    def stationary(self, within: FloatArray) -> FloatArray:
        """Return the m at which the slope is 0 if what these m cut off is cut off; else 0."""
        low, high = self._cut(within)
        n, total, _ = self._sums
        rows = n[low] + n[-1] - n[high]
        mass = total[low] + (total[-1] - total[high]) / self._ratio
        out = np.zeros(len(rows))
        return np.asarray(np.divide(mass, rows, where=rows > 0, out=out))

    def at(self, m: FloatArray) -> FloatArray:
        """Return its values at positive m."""
        low, high = self._cut(m)
        n, total, logs = self._sums
        top = self._ratio * m
        below = n[low] * np.log(m) + total[low] / m
        above = (n[-1] - n[high]) * np.log(top) + (total[-1] - total[high]) / top
        return np.asarray(below + above + logs[high] - logs[low] + n[high] - n[low])

    def _cut(self, m: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return how many lie below m, and how many do not lie above ratio m."""
        low = np.searchsorted(self._values, m, "left")
        return low, np.searchsorted(self._values, self._ratio * m, "right")


def _running(values: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(values)])


# --- The structures -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Bounded(CovarianceStructure):
    """A structure whose eigenvalues lie within a factor `ratio` of each other."""

    ratio: float

    def __reduce__(self) -> "tuple[Callable[..., CovarianceStructure], tuple[object, ...]]":
        return _known, (self.name, self.ratio)

    @property
    def described(self) -> str:
        """What a user has to write to get it."""
        return f"{super().described}, eigenvalue_ratio={self.ratio:g}"

    @property
    def is_general(self) -> bool:
        """Whether it is the most general structure of its form."""
        return False

    def constrain(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        """Return the most likely covariances within the factor: see `truncated`."""
        del previous
        shape = len(weights), *self.diagonals(covariances).shape[1:]
        counts = np.broadcast_to(weights[:, None], shape)
        return truncated(covariances.reshape(shape), counts, self.ratio).reshape(covariances.shape)


class _BoundedMatrices(Bounded):
    def constrain(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        del previous
        variances, axes = np.linalg.eigh(np.atleast_3d(covariances.T).T)
        counts = np.broadcast_to(weights[: len(variances), None], variances.shape)
        cut = truncated(variances, counts, self.ratio)
        changed = (cut != variances).any(axis=1)
        if not changed.any():
            return covariances
        found = covariances.copy()
        matrices = found.reshape(axes.shape)
        matrices[changed] = rotated(axes[changed], cut[changed])
        return found


class _BoundedFull(_BoundedMatrices, Full):
    pass


class _BoundedTied(_BoundedMatrices, Tied):
    pass


class _BoundedDiag(Bounded, Diag):
    pass


class _BoundedSpherical(Bounded, Spherical):
    pass


class _BoundedShared(Bounded, Diag):
    """EEI: one variance of each feature, for all components."""

    def n_free(self, n_components: int, n_features: int) -> int:
        return self._family.n_free(n_components, n_features)

    def fewest_rows(self, n_features: int) -> int:
        return self._family.fewest_rows(n_features)

    def constrain(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        shared = self._family.constrain(weights, covariances, previous)
        return super().constrain(weights, shared, previous)

    @property
    def _family(self) -> CovarianceStructure:
        return structure_named("EEI")


_CLASSES: dict[str, type[Bounded]] = {
    "full": _BoundedFull,
    "tied": _BoundedTied,
    "diag": _BoundedDiag,
    "spherical": _BoundedSpherical,
    "EEI": _BoundedShared,
}
_BOUNDED: dict[tuple[str, float], Bounded] = {}
"""Those that were asked for: structures are compared by identity."""


def _known(name: str, ratio: float) -> Bounded:
    return _BOUNDED.setdefault((name, ratio), _CLASSES[name](name, ratio))


def bounded(structure: CovarianceStructure, eigenvalue_ratio: object) -> CovarianceStructure:
    """Return the structure within a factor of eigenvalues, itself if that is None.

    Raises
    ------
    ParameterError
        If the factor is less than 1, or the structure has no closed form for it.
    """
    if eigenvalue_ratio is None:
        return structure
    ratio = check_real("eigenvalue_ratio", eigenvalue_ratio, 1)
    if structure.name == "EII":  # its eigenvalues are equal
        return structure
    if structure.name not in _CLASSES:
        raise ParameterError(
            f"eigenvalue_ratio does not go with covariance_type={structure.name!r}, whose "
            f"eigenvalues are tied in other ways: choose one of {', '.join(_CLASSES)} or EII"
        )
    return _known(structure.name, ratio)


def adopted(parameters: Parameters, structure: CovarianceStructure) -> Parameters:
    """Return parameters as those of a structure of the same name, bounded or not."""
    if parameters.structure is structure:
        return parameters
    spread = structure.nearest(parameters.weights, parameters.covariances, parameters.covariances)
    return Parameters.from_covariances(structure, parameters.weights, parameters.means, spread)
