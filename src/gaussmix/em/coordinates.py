"""Unconstrained coordinates of a mixture's parameters: every vector of numbers is a mixture."""

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters


class Chart:
    r"""Coordinates about a reference mixture, in the metric of its complete-data information.

    With weights :math:`\pi_k`, means :math:`\mu_k` and precisions :math:`U_k U_k^T`, the reference
    being marked with a 0, the coordinates are log-ratios of the weights, means in the reference's
    own units, and the log-Cholesky factor of the precisions (Pinheiro & Bates, 1996), relative to
    the reference's:

    .. math::
        \sqrt{\pi_k^0} \log \frac{\pi_k}{\pi_k^0}, \qquad
        \sqrt{\pi_k^0}\, U_k^{0T} (\mu_k - \mu_k^0), \qquad
        \sqrt{\pi_k^0}\, (\sqrt2 \log T_{k,ii},\ T_{k,ij}) \text{ with } U_k = U_k^0 T_k

    The reference lies at 0. The factors make the Fisher information of rows whose components were
    known the identity there. In such coordinates an EM step is one step up the gradient of the
    mean log-likelihood, and EM's Jacobian at a maximum is symmetric, with eigenvalues in [0, 1),
    the parts of information that are missing (Dempster, Laird & Rubin, 1977; Lange, 1995). They do
    not depend on the units or the orientation of the features.

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
        self._triangle = np.triu_indices(reference.n_features)
        self._on_diagonal = self._triangle[0] == self._triangle[1]
        self._scales = self._information_roots()

    def coordinates(self, parameters: Parameters) -> FloatArray:
        """Return the coordinates (P,) of a mixture of the reference's structure and shape."""
        log_ratios = np.log(parameters.weights / self.reference.weights)
        deviations = self._in_units(parameters.means - self.reference.means)
        shapes = self._log_factors(parameters.precisions_cholesky)
        return np.concatenate([log_ratios, deviations.ravel(), shapes.ravel()]) * self._scales

    def parameters(self, coordinates: FloatArray) -> Parameters:
        """Return the mixture at coordinates (P,)."""
        reference = self.reference
        k, size = reference.n_components, reference.means.size
        log_ratios, deviations, shapes = np.split(coordinates / self._scales, [k, k + size])
        weights = reference.weights * np.exp(log_ratios - log_ratios.max())
        means = reference.means + self._out_of_units(deviations.reshape(reference.means.shape))
        factors = self._factors(shapes)
        return Parameters.from_factors(reference.structure, weights / weights.sum(), means, factors)

    def largest_change(self, displacement: FloatArray) -> float:
        """Return the largest part of a displacement (P,) in one parameter.

        For a weight or a scale it is a log-ratio, for a mean a number of standard deviations.
        """
        return float(np.abs(displacement / self._scales).max())

    @property
    def _matrices(self) -> bool:
        return self.reference.structure in ("full", "tied")

    def _information_roots(self) -> FloatArray:
        """Square roots of a row's information about each parameter: (P,)."""
        reference = self.reference
        roots, d = np.sqrt(reference.weights), reference.n_features
        shapes = {
            "full": np.outer(roots, np.where(self._on_diagonal, np.sqrt(2), 1)),
            "tied": np.where(self._on_diagonal, np.sqrt(2), 1),
            "diag": np.repeat(roots, d) * np.sqrt(2),
            "spherical": roots * np.sqrt(2 * d),
        }
        return np.concatenate([roots, np.repeat(roots, d), shapes[reference.structure].ravel()])

    def _in_units(self, deviations: FloatArray) -> FloatArray:
        """Return deviations (K, D) from the means in standard deviations: U' deviation."""
        factors = self.reference.precisions_cholesky
        if self._matrices:
            return (deviations[:, None, :] @ factors)[:, 0]
        return deviations * factors.reshape(len(deviations), -1)

    def _out_of_units(self, deviations: FloatArray) -> FloatArray:
        factors = self.reference.precisions_cholesky
        if self._matrices:
            transposed = np.swapaxes(factors, -1, -2)
            solved = np.linalg.solve(transposed, deviations[..., None])
            return np.asarray(solved[..., 0], np.float64)
        return deviations / factors.reshape(len(deviations), -1)

    def _log_factors(self, factors: FloatArray) -> FloatArray:
        """Return T = inv(U0) U, its diagonal as logarithms; of matrices the upper triangle."""
        own = self.reference.precisions_cholesky
        if not self._matrices:
            return np.log(factors / own)
        relative = np.asarray(np.linalg.solve(own, factors), np.float64)[(..., *self._triangle)]
        relative[..., self._on_diagonal] = np.log(relative[..., self._on_diagonal])
        return relative

    def _factors(self, shapes: FloatArray) -> FloatArray:
        own = self.reference.precisions_cholesky
        if not self._matrices:
            return own * np.exp(shapes.reshape(own.shape))
        entries = shapes.reshape(*own.shape[:-2], -1).copy()
        entries[..., self._on_diagonal] = np.exp(entries[..., self._on_diagonal])
        relative = np.zeros_like(own)
        relative[(..., *self._triangle)] = entries
        return own @ relative
