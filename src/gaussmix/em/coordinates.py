"""Unconstrained coordinates of a mixture's parameters: every vector of numbers is a mixture."""

from dataclasses import replace

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters

LEAST_SHARE = float(np.finfo(np.float64).tiny)


class Chart:
    r"""Coordinates about a reference mixture, in the metric of its complete-data information.

    The coordinates are log-ratios of the weights w_k, means m_k in the reference's own units, and
    the log-Cholesky factors of the precisions U_k U_k' (Pinheiro & Bates, 1996). All are relative
    to the reference, which is marked with a 0:

        sqrt(w0_k) log(w_k / w0_k)
        sqrt(w0_k) U0_k' (m_k - m0_k)
        sqrt(w0_k) (sqrt(2) log T_k,ii and T_k,ij)    with U_k = U0_k T_k

    The reference lies at 0. The factors make the Fisher information of rows whose components were
    known the identity there. In such coordinates an EM step is one step up the gradient of the
    mean log-likelihood, and EM's Jacobian at a maximum is symmetric, with eigenvalues in [0, 1),
    the parts of information that are missing (Dempster, Laird & Rubin, 1977; Lange, 1995). They do
    not depend on the units or the orientation of the features. Noise has a weight w as components
    have, and nothing else.

    Parameters
    ----------
    reference : Parameters
        With positive weights.

    References
    ----------
    Pinheiro & Bates (1996), Unconstrained parametrizations for variance-covariance matrices,
    Statistics and Computing 6, 289-296.
    Lange (1995), A gradient algorithm locally equivalent to the EM algorithm, Journal of the Royal
    Statistical Society B 57, 425-437.
    """

    def __init__(self, reference: Parameters) -> None:
        self.reference = reference
        self._structure = reference.structure
        self._own = reference.precisions_cholesky
        self._inverses = self._structure.inverses(self._own)
        self._noisy = reference.noise is not None and reference.noise.weight > 0
        self._scales = self._information_roots()

    @property
    def n_coordinates(self) -> int:
        """P."""
        return len(self._scales)

    def coordinates(self, parameters: Parameters) -> FloatArray:
        """Return the coordinates (P,) of a mixture of the reference's structure and shape."""
        log_ratios = np.log(self._shares(parameters) / self._shares(self.reference))
        moves = parameters.means - self.reference.means
        deviations = self._structure.in_units(self._own, moves)
        shapes = self._structure.log_relative(self._inverses, parameters.precisions_cholesky)
        return np.concatenate([log_ratios, deviations.ravel(), shapes.ravel()]) * self._scales

    def parameters(self, coordinates: FloatArray) -> Parameters:
        """Return the mixture at coordinates (P,), or the nearest one of the reference's structure.

        Raises NotPositiveDefiniteError where rounding leaves nothing of the nearest covariances.
        """
        reference = self.reference
        n_terms, size = reference.n_components + self._noisy, reference.means.size
        parts = np.split(coordinates / self._scales, [n_terms, n_terms + size])
        log_ratios, deviations, shapes = parts
        shares = self._shares(reference) * np.exp(log_ratios - log_ratios.max())
        shares /= shares.sum()
        weights = shares[: reference.n_components]
        deviations = deviations.reshape(reference.means.shape)
        means = reference.means + self._structure.in_units(self._inverses, deviations)
        factors = self._structure.from_log_relative(self._own, shapes)
        found = Parameters.from_factors(self._structure, weights, means, factors)
        noise = reference.noise
        if noise is not None and self._noisy:
            noise = noise._replace(weight=float(shares[-1]))
        if self._structure.is_general:
            return self._completed(replace(found, noise=noise) if noise else found)
        spread = found.covariances
        nearest = self._structure.nearest(weights, spread, spread)
        found = Parameters.from_covariances(self._structure, weights, means, nearest)
        return replace(found, noise=noise)

    def _shares(self, parameters: Parameters) -> FloatArray:
        """Return the parts of the rows that terms have, all positive, with sum 1: (K,) or (K + 1,).

        The last is that of the noise, if the reference has any.
        """
        if not self._noisy:
            return parameters.weights
        assert parameters.noise is not None, "mixtures of one run have noise, or none has"
        return np.append(parameters.weights, max(parameters.noise.weight, LEAST_SHARE))

    def _completed(self, mixture: Parameters) -> Parameters:
        """Return what is at a mixture, whose weights are `_shares`."""
        return mixture

    def largest_change(self, displacement: FloatArray) -> float:
        """Return the largest part of a displacement (P,) in one parameter.

        For a weight or a scale it is a log-ratio, for a mean a number of standard deviations.
        """
        return float(np.abs(displacement / self._scales).max())

    def _information_roots(self) -> FloatArray:
        """Square roots of a row's information about each parameter: (P,)."""
        shares, (k, n_features) = self._shares(self.reference), self.reference.means.shape
        roots = np.sqrt(shares)
        shapes = self._structure.information_roots(shares[:k], n_features)
        return np.concatenate([roots, np.repeat(roots[:k], n_features), shapes.ravel()])
