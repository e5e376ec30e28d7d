r"""Marginals, conditionals and regression: what some features of a row say about the others.

With C_aa, C_ab, C_bb the parts of a component's covariance (Bishop, PRML, 2.81, 2.82),

    p(x_b | x_a) = sum_k r_k(x_a) N(x_b | m_k(x_a), S_k),
    m_k(x_a) = mean_b + C_ba inv(C_aa) (x_a - mean_a),   S_k = C_bb - C_ba inv(C_aa) C_ab,

where r_k are the responsibilities under the marginal of x_a. All parts come from one triangular
root of the covariance with features in the order (a, b), C = R'R: C_aa = R_aa' R_aa,
inv(C_aa) C_ab = inv(R_aa) R_ab and S_k = R_bb' R_bb, so nothing is subtracted or inverted.
"""

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gaussmix._core import threads
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.parallel import for_blocks
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import responsibilities_within_reach
from gaussmix.model.structures import Variances
from gaussmix.queries.features import Indices

BLOCK_VALUES = 1 << 19
"""Numbers in one temporary array of a block: 4 MB. Blocks that fit in L2 were slower on two threads
than on one, since Python's threads wait for each other between calls of NumPy."""

MIN_ROWS = 256  # of a block, so that what a block costs whatever its size is small

GEMM_FLOPS = 1 << 18
"""Multiply-adds that OpenBLAS does on the calling thread. Larger products start its own threads,
which would get in the way of those that blocks run on."""


class Regression(NamedTuple):
    """What predicting features b from features a needs, for K components."""

    density: Density  # of the marginal of a
    coefficients: FloatArray
    """(b, a + 1, K), of z = x_a - centre and of 1; of 1 alone, (b, 1, K), where covariances are
    variances, so that the mean of a component does not depend on x_a."""
    covariances: FloatArray  # (b, b, K), S_k, or their diagonals (b, K)

    @property
    def n_targets(self) -> int:
        """Number of features that are predicted."""
        return len(self.coefficients)


def marginal(parameters: Parameters, features: Indices) -> Parameters:
    """The mixture of these features alone, in this order."""
    structure = parameters.structure
    if not isinstance(structure, Variances):
        return _with_roots(parameters, features, _roots(parameters, features))
    means = np.ascontiguousarray(parameters.means[:, features])
    covariances, factors = (
        structure.of_features(arrays, features)
        for arrays in (parameters.covariances, parameters.precisions_cholesky)
    )
    return Parameters(structure.general, parameters.weights, means, covariances, factors)


def conditional(
    parameters: Parameters, given: Indices, features: Indices, values: FloatArray
) -> Parameters:
    """The mixture of `features` in a row whose `given` features have these values (a,)."""
    row = np.ascontiguousarray(values, np.float64)[None]
    known, slopes, rest = _split(parameters, given, features)
    weights = np.empty((1, parameters.n_components))
    responsibilities_within_reach(row, known.density(), weights)
    rest = replace(rest, weights=weights[0])
    if slopes is None:
        return rest
    shifts = ((row - known.means)[:, None, :] @ slopes)[:, 0]
    return replace(rest, means=rest.means + shifts)


def regression(parameters: Parameters, given: Indices, features: Indices) -> Regression:
    """The constants for predicting `features` from `given` ones."""
    known, slopes, rest = _split(parameters, given, features)
    density = known.density()
    if slopes is None:
        variances = rest.structure.diagonals(rest.covariances)
        spread = np.broadcast_to(variances, rest.means.shape)
        coefficients = np.ascontiguousarray(rest.means.T[:, None, :])
        return Regression(density, coefficients, np.ascontiguousarray(spread.T))
    intercepts = rest.means[:, None, :] - density.means[:, None, :] @ slopes
    return Regression(
        density,
        np.ascontiguousarray(np.concatenate([slopes, intercepts], axis=1).transpose(2, 1, 0)),
        np.ascontiguousarray(rest.full_covariances().transpose(1, 2, 0)),
    )


def predict(
    model: Regression, X: Rows, mean: Rows, spread: Rows | None, n_threads: int | None
) -> None:
    """Conditional moments of every row of X (N, a).

    OUT: mean (N, b), and spread, if given: standard deviations (N, b) or covariances (N, b, b).
    """
    n_targets, size, n_components = model.coefficients.shape
    held = n_targets if spread is not None else 1  # predictions of every component, at a time
    block_rows = max(BLOCK_VALUES // max(size, n_components * held), MIN_ROWS)
    scratch = _Scratch(min(block_rows, len(X)), size, n_components, held)

    def block(rows: slice) -> None:
        part = None if spread is None else spread[rows]
        _predict_block(model, X[rows], scratch, mean[rows], part)

    flops = float(len(X) * n_components * size * (size + 2 * n_targets))
    for_blocks(block, len(X), block_rows, threads.for_work(n_threads, flops))


def predictions(
    model: Regression, with_std: bool, with_cov: bool, X: Rows, n_threads: int | None
) -> Rows:
    """Conditional moments of every row of X (N, a), in one table.

    The columns are the means (b), then the standard deviations (b) or the covariances (b * b).
    """
    b = model.n_targets
    found = np.empty((len(X), b + (b * b if with_cov else b * with_std)), X.dtype)
    spread = found[:, b:].reshape(-1, b, b) if with_cov else found[:, b:]  # views
    predict(model, X, found[:, :b], spread if with_std or with_cov else None, n_threads)
    return found


class _Scratch(threading.local):
    """Arrays for a block, of each thread its own: new ones for every block cost as much again."""

    def __init__(self, n_rows: int, size: int, n_components: int, held: int) -> None:
        self.z = np.ones((n_rows, size))  # the last column stays 1
        self.resp = np.empty((n_rows, n_components))
        self.predicted = np.empty((held, n_rows, n_components))


def _predict_block(
    model: Regression, X: Rows, scratch: _Scratch, mean: Rows, spread: Rows | None
) -> None:
    n_rows = len(X)
    X = np.ascontiguousarray(X, np.float64)
    z, resp = scratch.z[:n_rows], scratch.resp[:n_rows]
    responsibilities_within_reach(X, model.density, resp)
    if z.shape[1] > 1:
        np.subtract(X, model.density.center, out=z[:, :-1])
    for j in range(model.n_targets):
        predicted = scratch.predicted[j % len(scratch.predicted), :n_rows]
        _multiply(z, model.coefficients[j], predicted)
        expected = np.einsum("nk,nk->n", resp, predicted)
        mean[:, j] = expected
        if spread is not None:
            predicted -= expected[:, None]
    if spread is not None:
        _spread(model.covariances, resp, scratch.predicted[:, :n_rows], spread)


def _spread(covariances: FloatArray, resp: FloatArray, deviations: FloatArray, out: Rows) -> None:
    """Variance within components, and that of their means, both summed without a subtraction."""
    for i, left in enumerate(deviations):
        weighted = resp * left
        for j in range(i + 1) if out.ndim == 3 else (i,):
            between = np.einsum("nk,nk->n", weighted, deviations[j])
            value = between
            if covariances.ndim == 3 or i == j:
                within = covariances[i, j] if covariances.ndim == 3 else covariances[i]
                value = np.einsum("nk,k->n", resp, within) + between
            if out.ndim == 3:
                out[:, i, j] = out[:, j, i] = value
            else:
                out[:, i] = np.sqrt(value)


def _multiply(rows: FloatArray, matrix: FloatArray, out: FloatArray) -> None:
    """Rows (B, d) times a matrix (d, K), as products so small that BLAS starts no threads."""
    size = min(max(GEMM_FLOPS // matrix.size, 16), 256)
    whole = len(rows) - len(rows) % size
    stacks = (part[:whole].reshape(-1, size, part.shape[1]) for part in (rows, out))
    np.matmul(next(stacks), matrix, out=next(stacks))
    np.matmul(rows[whole:], matrix, out=out[whole:])


def _split(
    parameters: Parameters, given: Indices, features: Indices
) -> tuple[Parameters, FloatArray | None, Parameters]:
    """The mixture of a, slopes inv(C_aa) C_ab (K, a, b), and that of b with a at the means.

    Where covariances are variances there are no slopes: they would all be 0.
    """
    if isinstance(parameters.structure, Variances):
        return marginal(parameters, given), None, marginal(parameters, features)
    n_given = len(given)
    shape = (parameters.n_components, n_given, len(features))
    roots = _roots(parameters, np.concatenate([given, features]))
    root, cross = roots[:, :n_given, :n_given], roots[:, :n_given, n_given:]
    known = _with_roots(parameters, given, root)
    rest = _with_roots(parameters, features, roots[:, n_given:, n_given:])
    return known, np.broadcast_to(np.linalg.solve(root, cross), shape), rest


def _roots(parameters: Parameters, order: Indices) -> FloatArray:
    """Upper roots R of the covariances of features in an order, C = R'R: (K or 1, d, d).

    C = inv(U)' inv(U). The columns of inv(U) in another order, made triangular by rotations (QR),
    give a root without forming C: a covariance that is nearly singular costs no digits twice.
    """
    factors = parameters.precisions_cholesky.reshape(-1, *parameters.precisions_cholesky.shape[-2:])
    roots = np.linalg.qr(np.linalg.inv(factors)[:, :, order], mode="r")
    signs = np.sign(np.diagonal(roots, axis1=1, axis2=2))
    return np.asarray(roots * signs[:, :, None])


def _with_roots(parameters: Parameters, features: Indices, roots: FloatArray) -> Parameters:
    """These features' means, with covariances R'R, whose precision factors are inv(R)."""
    covariances, factors = np.swapaxes(roots, 1, 2) @ roots, np.triu(np.linalg.inv(roots))
    means = np.ascontiguousarray(parameters.means[:, features])
    structure = parameters.structure.general
    shape = structure.shape(*means.shape)
    covariances, factors = covariances.reshape(shape), factors.reshape(shape)
    return Parameters(structure, parameters.weights, means, covariances, factors)
