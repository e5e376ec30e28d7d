"""What is done for a mixture, not for each row; `reference` says what each function computes."""

from libc.math cimport NAN, fabs, fmax, isfinite, log, sqrt
from libc.string cimport memcpy
from scipy.linalg.cython_lapack cimport dpotrf, dtrtri

import numpy as np

from gaussmix._core.arrays cimport DIAG, FULL, SPHERICAL, TIED, address, structure_of, writable

from gaussmix._core.checks import (
    FLOAT64, require_array, require_estimates, require_matrices, require_moments,
)
from gaussmix._core.density import EMPTY, EPS, LOG_2_PI, PIVOT_NOISE, RESOLUTION, Density

cdef double LEAST_ROWS = EMPTY
cdef double ADDED_ROWS = 10 * EPS
cdef double NOISE = PIVOT_NOISE
cdef double RESOLVED = RESOLUTION
cdef Py_ssize_t SMALL = 20  # features
cdef double HALF_LOG_2_PI = 0.5 * LOG_2_PI


def maximise(
    structure, shift, n_k, first, second, double row_weight, double reg_covar,
    weights, means, covariances, factors,
):
    """The M-step: parameters that maximise the expected log-likelihood (Bishop, PRML, 9.24-26)."""
    require_moments(structure, shift, n_k, first, second)
    require_estimates(structure, shift.shape, weights, means, covariances, factors)
    cdef Size size = size_of(structure, shift)
    cdef Moments given = moments_in(shift, n_k, first, second)
    cdef Estimates found = estimates_in((weights, means, covariances, factors))
    cdef bint sound
    given.row_weight = row_weight
    with nogil:
        sound = estimate(&size, &given, reg_covar, &found)
    return bool(sound)


def density_constants(structure, weights, means, factors, dtype, center, deviations, log_scales):
    """What `Density` holds of a mixture, for rows of a precision."""
    k, d = means.shape
    require_estimates(structure, (k, d), weights, means, None, factors)
    require_array("center", center, (d,), FLOAT64)
    require_array("deviations", deviations, (k, d), FLOAT64)
    require_array("log_scales", log_scales, (k,), FLOAT64)
    cdef Size size = size_of(structure, means)
    cdef Estimates given = Estimates(
        <double*>address(weights), <double*>address(means), NULL, <double*>address(factors))
    cdef Constants found = Constants(
        <double*>writable(center), <double*>writable(deviations), given.factors,
        <double*>writable(log_scales))
    find_constants(&size, &given, np.dtype(dtype).itemsize == sizeof(float), &found)


def precision_factors(covariances, factors):
    """Upper factors of the inverses, from C = L L' U = inv(L)', into `factors` (M, D, D)."""
    require_matrices(covariances)
    require_array("factors", factors, covariances.shape, FLOAT64)
    cdef Size size = Size(FULL, covariances.shape[0], covariances.shape[1])
    cdef const double* given = <const double*>address(covariances)
    cdef double* found = <double*>writable(factors)
    with nogil:
        find_factors(&size, given, found)


cdef class Ascent:
    """What `em` climbs, and how it gets on between passes over the rows."""

    def __init__(self, structure, means, factors, double reg_covar):
        k, d = means.shape
        center, deviations, log_scales = np.zeros(d), np.zeros((k, d)), np.zeros(k)
        self.size = size_of(structure, means)
        self.density = Density(structure, center, deviations, factors, log_scales)
        self.constants = Constants(
            <double*>writable(center), <double*>writable(deviations), <double*>address(factors),
            <double*>writable(log_scales))
        self.reg_covar = reg_covar

    cdef void update_density(self, bint single) noexcept nogil:
        """Find the density of the point, for rows of a precision."""

    cdef double bound(self, double log_likelihood, double weight) noexcept nogil:
        """The value at the point, under which all rows have this log-likelihood."""
        return NAN

    cdef bint move(self, const Moments* given) noexcept nogil:
        """Go where the M-step leads, or stay and return False where something is wrong there."""
        return False


cdef class LikelihoodAscent(Ascent):
    """The mean log-likelihood of a row, which `maximise` raises."""

    cdef object arrays
    cdef Estimates point
    cdef Estimates image

    def __init__(self, structure, weights, means, covariances, factors, double reg_covar):
        require_estimates(structure, means.shape, weights, means, covariances, factors)
        super().__init__(structure, means, factors, reg_covar)
        arrays = weights, means, covariances, factors
        image = [np.empty(array.shape) for array in arrays]
        self.arrays = arrays, image
        self.point, self.image = estimates_in(arrays), estimates_in(image)

    cdef void update_density(self, bint single) noexcept nogil:
        find_constants(&self.size, &self.point, single, &self.constants)

    cdef double bound(self, double log_likelihood, double weight) noexcept nogil:
        return log_likelihood / weight

    cdef bint move(self, const Moments* given) noexcept nogil:
        if not estimate(&self.size, given, self.reg_covar, &self.image):
            return False
        copy_estimates(&self.size, &self.image, &self.point)
        return True


cdef Size size_of(structure, means) except *:
    """The structure and size of a mixture with these means (K, D)."""
    return Size(structure_of(structure), means.shape[0], means.shape[1])


cdef Moments moments_in(shift, n_k, first, second) except *:
    """The moments that lie in these arrays, with row_weight 1."""
    return Moments(
        <const double*>address(shift), <const double*>address(n_k), <const double*>address(first),
        <const double*>address(second), 1)


cdef Estimates estimates_in(arrays) except *:
    """The estimates that lie in these arrays, to be written."""
    weights, means, covariances, factors = arrays
    return Estimates(
        <double*>writable(weights), <double*>writable(means), <double*>writable(covariances),
        <double*>writable(factors))


cdef void copy_estimates(const Size* size, const Estimates* given, Estimates* found) noexcept nogil:
    """Copy all numbers of a mixture."""
    cdef Py_ssize_t n = size.n_components
    memcpy(found.weights, given.weights, n * sizeof(double))
    memcpy(found.means, given.means, n * size.n_features * sizeof(double))
    memcpy(found.covariances, given.covariances, n_numbers(size) * sizeof(double))
    memcpy(found.factors, given.factors, n_numbers(size) * sizeof(double))


cdef bint estimate(
    const Size* size, const Moments* given, double reg_covar, Estimates* found
) noexcept nogil:
    """Do what `maximise` does."""
    cdef bint all_filled = find_weights(size, given, found)
    find_covariances(size, given, reg_covar, found)
    find_factors(size, found.covariances, found.factors)
    cdef double largest_move = add_shift(size, given, found)
    return all_filled and is_sound(size, given, found, largest_move)


cdef void find_constants(
    const Size* size, const Estimates* given, bint single, Constants* found
) noexcept nogil:
    """Find what `density_constants` finds."""
    centre(size, given, single, found)
    find_log_scales(size, given, found.log_scales)


cdef inline double weight_of(const Moments* given, Py_ssize_t k) noexcept nogil:
    """A component's weight, never 0."""
    return given.n_k[k] + ADDED_ROWS * given.row_weight


cdef double total_weight(const Size* size, const Moments* given) noexcept nogil:
    """The weight of all components."""
    cdef double total = 0
    cdef Py_ssize_t k
    for k in range(size.n_components):
        total += weight_of(given, k)
    return total


cdef bint find_weights(const Size* size, const Moments* given, Estimates* found) noexcept nogil:
    """Find weights, and means relative to the shift. Tell whether every component has rows."""
    cdef Py_ssize_t d = size.n_features
    cdef double total = total_weight(size, given)
    cdef bint all_filled = True
    cdef bint filled
    cdef Py_ssize_t k, i
    for k in range(size.n_components):
        found.weights[k] = weight_of(given, k) / total
        filled = not given.n_k[k] < LEAST_ROWS * given.row_weight
        all_filled = all_filled and filled
        for i in range(k * d, k * d + d):
            found.means[i] = given.first[i] / weight_of(given, k) if filled else 0
    return all_filled


cdef void find_covariances(
    const Size* size, const Moments* given, double reg_covar, Estimates* found
) noexcept nogil:
    """Find second moments about the means, which are relative to the shift."""
    cdef Py_ssize_t d = size.n_features
    cdef const double* second = given.second
    cdef double* covariance = found.covariances
    cdef double* mean = found.means
    cdef double weight = total_weight(size, given)
    cdef double squares
    cdef Py_ssize_t k, i, j
    for i in range(n_numbers(size) if size.structure == TIED else 0):
        covariance[i] = second[i] / weight
    for k in range(size.n_components):
        weight = weight_of(given, k)
        if size.structure == FULL:
            for i in range(d):
                for j in range(d):
                    covariance[i * d + j] = second[i * d + j] / weight - mean[i] * mean[j]
            second, covariance = second + d * d, covariance + d * d
        elif size.structure == TIED:
            for i in range(d):
                for j in range(d):
                    covariance[i * d + j] -= found.weights[k] * mean[i] * mean[j]
        elif size.structure == DIAG:
            for i in range(d):
                covariance[i] = second[i] / weight - mean[i] * mean[i]
            second, covariance = second + d, covariance + d
        else:
            squares = 0
            for i in range(d):
                squares += mean[i] * mean[i]
            covariance[k] = (second[k] / weight - squares) / d
        mean += d
    for i in range(n_variances(size)):
        found.covariances[variance_at(size, i)] += reg_covar


cdef void find_factors(
    const Size* size, const double* covariances, double* factors
) noexcept nogil:
    """Find the precisions' factors, not finite where a covariance is not positive definite."""
    cdef Py_ssize_t d = size.n_features
    cdef Py_ssize_t i
    if has_matrices(size):
        for i in range(n_variances(size) // d):
            factorise(covariances + i * d * d, <int>d, factors + i * d * d)
    else:
        for i in range(n_variances(size)):
            factors[i] = 1 / sqrt(covariances[i])


cdef void factorise(const double* covariance, int n, double* factor) noexcept nogil:
    """Find one factor. LAPACK's columns are rows here, so its lower triangle is the upper one."""
    cdef Py_ssize_t i, j
    cdef int info = 0
    for i in range(n):
        for j in range(n):
            factor[i * n + j] = covariance[j * n + i] if i <= j else 0
    if n <= SMALL:
        info = factorise_small(n, factor)
    else:
        dpotrf(b"L", &n, factor, &n, &info)
        for i in range(n):
            if not factor[i * n + i] > 0:  # LAPACK lets NaN pass
                info = 1
        if info == 0:
            dtrtri(b"L", b"N", &n, factor, &n, &info)
    if info != 0:
        for i in range(<Py_ssize_t>n * n):
            factor[i] = NAN


cdef int factorise_small(Py_ssize_t n, double* upper) noexcept nogil:
    """Turn C's upper triangle into U where C = R'R, U = inv(R). Return 1 where C is not definite.

    LAPACK takes longer to begin than this takes for few features.
    """
    cdef double* row
    cdef double* other
    cdef double pivot, entry
    cdef Py_ssize_t i, j, k
    for i in range(n):  # row by row: R, with the inverses of its pivots on the diagonal
        row = upper + i * n
        if not row[i] > 0:
            return 1
        pivot = 1 / sqrt(row[i])
        row[i] = pivot
        for j in range(i + 1, n):
            row[j] *= pivot
        for k in range(i + 1, n):
            entry, other = row[k], upper + k * n
            for j in range(k, n):
                other[j] -= entry * row[j]
    for i in range(n):  # its inverse takes rows of R below it, which are still there
        row = upper + i * n
        pivot = row[i]
        for j in range(i + 1, n):
            row[j] *= -pivot
        for k in range(i + 1, n):
            other = upper + k * n
            entry = row[k] * other[k]
            row[k] = entry
            for j in range(k + 1, n):
                row[j] -= entry * other[j]
    return 0


cdef double add_shift(const Size* size, const Moments* given, Estimates* found) noexcept nogil:
    """Add the shift to the means; return the largest square of what they were before."""
    cdef double largest = 0
    cdef Py_ssize_t i
    for i in range(size.n_components * size.n_features):
        largest = fmax(largest, found.means[i] * found.means[i])
        found.means[i] += given.shift[i]
    return largest


cdef bint is_sound(
    const Size* size, const Moments* given, const Estimates* found, double largest_move
) noexcept nogil:
    """Tell whether all is finite and no pivot may be rounding error, by one bound for all."""
    cdef double largest_factor = 0
    cdef double largest = 0
    cdef double farthest = 0
    cdef Py_ssize_t i, at
    for i in range(n_numbers(size)):
        if not isfinite(given.second[i]):
            return False
    for i in range(n_variances(size)):
        at = variance_at(size, i)
        if not isfinite(found.factors[at]):
            return False
        largest = fmax(largest, found.covariances[at])
        largest_factor = fmax(largest_factor, found.factors[at])
    for i in range(size.n_components * size.n_features):
        farthest = fmax(farthest, fabs(found.means[i]))
    return largest_factor ** -2 > (
        2 * NOISE * (largest + largest_move) + 3 * (RESOLVED * farthest) ** 2)


cdef void centre(
    const Size* size, const Estimates* given, bint single, Constants* found
) noexcept nogil:
    """Find the mixture's mean, and its components' relative to it, rounded to a precision."""
    cdef Py_ssize_t d = size.n_features
    cdef double total = 0
    cdef double middle
    cdef Py_ssize_t k, i
    for k in range(size.n_components):
        total += given.weights[k]
    for i in range(d):
        middle = 0
        for k in range(size.n_components):
            middle += given.weights[k] * given.means[k * d + i]
        middle = rounded(middle / total, single)
        found.center[i] = middle
        for k in range(size.n_components):
            found.means[k * d + i] = rounded(given.means[k * d + i] - middle, single)


cdef inline double rounded(double value, bint single) noexcept nogil:
    """A value as it is in single or double precision."""
    return <float>value if single else value


cdef void find_log_scales(
    const Size* size, const Estimates* given, double* log_scales
) noexcept nogil:
    """Find the logarithms of the weights times what makes the densities integrate to one."""
    cdef Py_ssize_t d = size.n_features
    cdef Py_ssize_t step = n_variances(size) // size.n_components if size.structure != TIED else 0
    cdef Py_ssize_t n = 1 if size.structure == SPHERICAL else d  # factors of a component
    cdef double log_determinant
    cdef Py_ssize_t k, i
    for k in range(size.n_components):
        log_determinant = 0
        for i in range(n):
            log_determinant += log(given.factors[variance_at(size, k * step + i)])
        if size.structure == SPHERICAL:
            log_determinant *= d
        log_scales[k] = log(given.weights[k]) + log_determinant - d * HALF_LOG_2_PI
