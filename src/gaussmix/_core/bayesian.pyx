"""Variational Bayes between passes; `reference_bayesian` says what each function computes."""

from libc.math cimport fmax, isfinite, log
from libc.string cimport memcpy
from scipy.special.cython_special cimport gammaln, psi

import numpy as np

from gaussmix._core.arrays cimport DIAG, SPHERICAL, TIED, address, writable
from gaussmix._core.estimates cimport (
    Ascent, Constants, Estimates, Moments, Size, find_constants, find_factors, has_matrices,
    moments_in, n_numbers, n_variances, size_of, variance_at,
)

from gaussmix._core.checks import FLOAT64, require_array, require_moments
from gaussmix._core.conjugate import require_concentration, require_pair, require_posterior
from gaussmix._core.density import EPS, LEAST_WEIGHT, LOG_2_PI

cdef double ADDED_ROWS = 10 * EPS
cdef double LEAST = LEAST_WEIGHT
cdef double LOG_TWO_PI = LOG_2_PI

cdef struct Sticks:  # or a Dirichlet distribution
    Py_ssize_t n
    bint process
    double* concentration


cdef struct Belief:  # what `Conjugate` holds
    bint alike  # one row of all arrays but weights and concentration stands for all components
    Sticks sticks
    double* weights
    double* means
    double* covariances
    double* factors
    double* mean_precision
    double* freedom


def maximise_bound(
    prior, shift, n_k, first, second, double row_weight, double reg_covar, posterior
):
    """The M-step: the posterior of largest evidence lower bound (Bishop, PRML, 10.58 to 10.63)."""
    require_moments(prior.structure, shift, n_k, first, second)
    require_pair(posterior, prior)
    require_array("shift", shift, posterior.means.shape, FLOAT64)
    cdef Size size = size_of(prior.structure, shift)
    cdef Moments given = moments_in(shift, n_k, first, second)
    cdef Belief before = belief_in(prior)
    cdef Belief found = belief_in(posterior, written=True)
    counted = np.empty(n_k.shape)
    cdef double* counts = <double*>writable(counted)
    cdef bint sound
    given.row_weight = row_weight
    with nogil:
        sound = update(&size, &given, reg_covar, &before, counts, &found)
    return bool(sound)


def add_counts(prior, counts, posterior):
    """The posterior of components that have had so many rows more."""
    require_pair(posterior, prior)
    require_array("counts", counts, posterior.weights.shape, FLOAT64)
    cdef Size size = size_of(posterior.structure, posterior.means)
    cdef Belief before = belief_in(prior)
    cdef Belief found = belief_in(posterior, written=True)
    count(&size, &before, <const double*>address(counts), &found)
    return bool(factorise(&size, &found))


def expected_weights(concentration, weights):
    """E[weight_k], with sum 1, and never 0."""
    require_concentration(concentration, weights)
    cdef Sticks given = sticks_in(concentration, written=False)
    weigh(&given, <double*>writable(weights))


def expected_constants(posterior, dtype, center, deviations, log_scales):
    """What `Density` holds of expected log-densities, which do not integrate to one."""
    require_posterior(posterior)
    k, d = posterior.means.shape
    require_array("center", center, (d,), FLOAT64)
    require_array("deviations", deviations, (k, d), FLOAT64)
    require_array("log_scales", log_scales, (k,), FLOAT64)
    cdef Size size = size_of(posterior.structure, posterior.means)
    cdef Belief given = belief_in(posterior)
    cdef Constants found = Constants(
        <double*>writable(center), <double*>writable(deviations), given.factors,
        <double*>writable(log_scales))
    find_expected_constants(&size, &given, np.dtype(dtype).itemsize == sizeof(float), &found)


def divergence(posterior, prior):
    """The Kullback-Leibler divergence of a posterior from its prior, in nats."""
    require_pair(posterior, prior)
    cdef Size size = size_of(posterior.structure, posterior.means)
    cdef Belief given = belief_in(posterior)
    cdef Belief before = belief_in(prior)
    cdef double found
    with nogil:
        found = distance_from(&size, &given, &before)
    return found


cdef class EvidenceAscent(Ascent):
    """The evidence lower bound of all rows, which `maximise_bound` raises."""

    cdef object beliefs
    cdef Belief prior
    cdef Belief point
    cdef Belief image
    cdef double* counts

    def __init__(self, prior, posterior, double reg_covar):
        require_pair(posterior, prior)
        super().__init__(posterior.structure, posterior.means, posterior.factors, reg_covar)
        image, counts = posterior.blank(), np.empty(len(posterior.weights))
        self.beliefs = prior, posterior, image, counts
        self.prior = belief_in(prior)
        self.point, self.image = belief_in(posterior, True), belief_in(image, True)
        self.counts = <double*>writable(counts)

    cdef void update_density(self, bint single) noexcept nogil:
        find_expected_constants(&self.size, &self.point, single, &self.constants)

    cdef double bound(self, double log_likelihood, double weight) noexcept nogil:
        return log_likelihood - distance_from(&self.size, &self.point, &self.prior)

    cdef bint move(self, const Moments* given) noexcept nogil:
        if not update(&self.size, given, self.reg_covar, &self.prior, self.counts, &self.image):
            return False
        copy_belief(&self.size, &self.image, &self.point)
        return True


cdef inline double* numbers(array, bint written) except? NULL:
    """Where the numbers of a checked array lie, which are to be read or written."""
    return <double*>(writable(array) if written else address(array))


cdef Sticks sticks_in(concentration, bint written) except *:
    """The distribution of weights in a checked array."""
    axis = concentration.ndim - 1  # a shape's last number is not at -1 in compiled code
    return Sticks(concentration.shape[axis], axis == 1, numbers(concentration, written))


cdef Belief belief_in(given, bint written=False) except *:
    """The distribution that lies in checked arrays."""
    return Belief(
        given.means.shape[0] == 1,
        sticks_in(given.concentration, written),
        numbers(given.weights, written),
        numbers(given.means, written),
        numbers(given.covariances, written),
        numbers(given.factors, written),
        numbers(given.mean_precision, written),
        numbers(given.degrees_of_freedom, written),
    )


cdef inline Py_ssize_t row(const Belief* given, Py_ssize_t k) noexcept nogil:
    """Where a component's numbers lie."""
    return 0 if given.alike else k


cdef inline Py_ssize_t matrix(const Size* size, const Belief* given, Py_ssize_t k) noexcept nogil:
    """Where its Wishart's numbers lie."""
    return 0 if size.structure == TIED else row(given, k)


cdef inline Py_ssize_t n_matrices(const Size* size) noexcept nogil:
    """Number of Wisharts."""
    return 1 if size.structure == TIED else size.n_components


cdef void copy_belief(const Size* size, const Belief* given, Belief* found) noexcept nogil:
    """Copy all numbers of a posterior."""
    cdef Py_ssize_t n = size.n_components
    cdef size_t each = n * sizeof(double)
    cdef size_t spread = n_numbers(size) * sizeof(double)
    memcpy(found.sticks.concentration, given.sticks.concentration,
           each * (2 if given.sticks.process else 1))
    memcpy(found.weights, given.weights, each)
    memcpy(found.means, given.means, each * size.n_features)
    memcpy(found.covariances, given.covariances, spread)
    memcpy(found.factors, given.factors, spread)
    memcpy(found.mean_precision, given.mean_precision, each)
    memcpy(found.freedom, given.freedom, n_matrices(size) * sizeof(double))


cdef bint update(
    const Size* size, const Moments* given, double reg_covar, const Belief* prior, double* counts,
    Belief* found,
) noexcept nogil:
    """Do what `maximise_bound` does; `counts` (K,) is room."""
    cdef Py_ssize_t k
    for k in range(size.n_components):
        counts[k] = given.n_k[k] + ADDED_ROWS * given.row_weight
    count(size, prior, counts, found)
    move(size, given, reg_covar, prior, counts, found)
    return factorise(size, found)


cdef void count(
    const Size* size, const Belief* prior, const double* counts, Belief* found
) noexcept nogil:
    """Find all that follows from counts."""
    cdef Py_ssize_t n = size.n_components
    cdef double beyond = 0
    cdef Py_ssize_t k
    for k in range(n - 1, -1, -1):
        found.mean_precision[k] = prior.mean_precision[row(prior, k)] + counts[k]
        found.sticks.concentration[k] = prior.sticks.concentration[k] + counts[k]
        if prior.sticks.process:
            found.sticks.concentration[n + k] = prior.sticks.concentration[n + k] + beyond
        if size.structure != TIED:
            found.freedom[k] = prior.freedom[row(prior, k)] + counts[k]
        beyond += counts[k]
    if size.structure == TIED:
        found.freedom[0] = prior.freedom[0] + beyond / n
    weigh(&found.sticks, found.weights)


cdef void weigh(const Sticks* given, double* weights) noexcept nogil:
    """Find expected weights."""
    cdef double left = 1
    cdef double total = 0
    cdef double own, others
    cdef Py_ssize_t k
    for k in range(given.n):
        own = given.concentration[k]
        weights[k] = own
        if given.process:
            others = given.concentration[given.n + k]
            weights[k] = own / (own + others) * left
            left *= others / (own + others)
        total += weights[k]
    for k in range(given.n):
        weights[k] = fmax(weights[k] / total, LEAST)


cdef void move(
    const Size* size, const Moments* given, double reg_covar, const Belief* prior,
    const double* counts, Belief* found,
) noexcept nogil:
    """Find means and covariances."""
    cdef Py_ssize_t d = size.n_features
    cdef Py_ssize_t n_own = n_numbers(size) // n_matrices(size)
    cdef double joined = (
        size.n_components if size.structure == TIED else d if size.structure == SPHERICAL else 1)
    cdef double* own
    cdef double before
    cdef Py_ssize_t k, i, j, at
    memcpy(found.covariances, given.second, n_numbers(size) * sizeof(double))
    for k in range(size.n_components):
        own = found.covariances + (0 if size.structure == TIED else k * n_own)
        gather(size, given, reg_covar, prior, counts[k], k, found.means + k * d, own)
    for k in range(n_matrices(size)):
        own = found.covariances + k * n_own
        before = prior.freedom[matrix(size, prior, k)]
        for i in range(n_own):
            at = matrix(size, prior, k) * n_own + i
            own[i] = (before * prior.covariances[at] + own[i] / joined) / found.freedom[k]
        for i in range(d if has_matrices(size) else 0):
            for j in range(i):
                own[j * d + i] = own[i * d + j]


cdef void gather(
    const Size* size, const Moments* given, double reg_covar, const Belief* prior, double n,
    Py_ssize_t k, double* mean, double* scatter,
) noexcept nogil:
    """Find a component's mean, and add to its moments what makes them scatter about the means."""
    cdef Py_ssize_t d = size.n_features
    cdef const double* first = given.first + k * d
    cdef const double* shift = given.shift + k * d
    cdef const double* middle = prior.means + row(prior, k) * d
    cdef double precision = prior.mean_precision[row(prior, k)]
    cdef double pulled = precision * n / (precision + n)
    cdef double rest = given.n_k[k] - 2 * n  # first moments are n moved
    cdef double moved
    cdef double* variance
    cdef Py_ssize_t i, j
    for i in range(d):
        mean[i] = shift[i] + first[i] / n - middle[i]
    for i in range(d):
        moved = first[i] / n
        variance = scatter + (
            i * d + i if has_matrices(size) else i if size.structure == DIAG else 0)
        for j in range(i if has_matrices(size) else 0):
            scatter[i * d + j] += rest * moved * (first[j] / n) + pulled * mean[i] * mean[j]
        variance[0] += rest * moved * moved + pulled * mean[i] * mean[i] + reg_covar * n
    for i in range(d):
        mean[i] = middle[i] + n / (precision + n) * mean[i]


cdef bint factorise(const Size* size, Belief* found) noexcept nogil:
    """Find the factors: whether all are finite and positive."""
    cdef double factor
    cdef Py_ssize_t i
    find_factors(size, found.covariances, found.factors)
    for i in range(n_variances(size)):
        factor = found.factors[variance_at(size, i)]
        if not (isfinite(factor) and factor > 0):
            return False
    return True


cdef double log_determinant(const Size* size, const Belief* given, Py_ssize_t k) noexcept nogil:
    """That of 2 W_k, of one of the matrices that there are."""
    cdef Py_ssize_t d = size.n_features
    cdef Py_ssize_t n = 1 if size.structure == SPHERICAL else d  # factors of a component
    cdef double found = 0
    cdef Py_ssize_t i
    for i in range(n):
        found += log(given.factors[variance_at(size, k * n + i)])
    return 2 * (d // n) * found - d * log(given.freedom[k] / 2)


cdef double expected_log_determinant(
    const Size* size, const Belief* given, Py_ssize_t k
) noexcept nogil:
    """E[log |precision_k|]."""
    cdef double found = log_determinant(size, given, k)
    cdef Py_ssize_t i
    for i in range(size.n_features):
        found += psi((given.freedom[k] - i) / 2)
    return found


cdef void find_expected_constants(
    const Size* size, const Belief* given, bint single, Constants* found
) noexcept nogil:
    """Find what `expected_constants` finds."""
    cdef Estimates mixture = Estimates(given.weights, given.means, NULL, given.factors)
    find_constants(size, &mixture, single, found)
    find_expected_log_scales(size, given, found.log_scales)


cdef void find_expected_log_scales(
    const Size* size, const Belief* given, double* log_scales
) noexcept nogil:
    """Find expected logarithms of the weights times what would normalise the densities."""
    cdef Py_ssize_t n = size.n_components
    cdef double* concentration = given.sticks.concentration
    cdef double left = 0
    cdef double total = 0
    cdef double determinant = 0
    cdef Py_ssize_t k
    for k in range(0 if given.sticks.process else n):
        total += concentration[k]
    cdef double whole = 0 if given.sticks.process else psi(total)
    for k in range(n):
        if given.sticks.process:
            whole = psi(concentration[k] + concentration[n + k])
        if k == 0 or size.structure != TIED:
            determinant = expected_log_determinant(size, given, k)
        log_scales[k] = psi(concentration[k]) - whole + left
        if given.sticks.process:
            left += psi(concentration[n + k]) - whole
        log_scales[k] += (
            determinant - size.n_features * (LOG_TWO_PI + 1 / given.mean_precision[k])) / 2


cdef double distance_from(
    const Size* size, const Belief* given, const Belief* prior
) noexcept nogil:
    """Find what `divergence` finds."""
    return of_weights(&given.sticks, &prior.sticks) + of_components(size, given, prior)


cdef double of_weights(const Sticks* given, const Sticks* prior) noexcept nogil:
    """The divergence of a Dirichlet from another, or of the Beta of every stick."""
    cdef double found = 0
    cdef Py_ssize_t k
    if not given.process:
        return of_dirichlet(given.concentration, prior.concentration, given.n, 1)
    for k in range(given.n):
        found += of_dirichlet(given.concentration + k, prior.concentration + k, 2, given.n)
    return found


cdef double of_dirichlet(
    const double* given, const double* prior, Py_ssize_t n, Py_ssize_t step
) noexcept nogil:
    """The divergence of a Dirichlet of n parts, each a step further, from another."""
    cdef double total = 0
    cdef double before = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += given[i * step]
        before += prior[i * step]
    cdef double found = gammaln(total) - gammaln(before)
    cdef double whole = psi(total)
    for i in range(n):
        found += (given[i * step] - prior[i * step]) * (psi(given[i * step]) - whole)
        found += gammaln(prior[i * step]) - gammaln(given[i * step])
    return found


cdef double of_components(
    const Size* size, const Belief* given, const Belief* prior
) noexcept nogil:
    """The divergences of means and precisions."""
    cdef double found = 0
    cdef double ratio
    cdef Py_ssize_t k
    for k in range(size.n_components):
        ratio = prior.mean_precision[row(prior, k)] / given.mean_precision[k]
        found += size.n_features * (ratio - 1 - log(ratio)) / 2
        found += prior.mean_precision[row(prior, k)] * distance(size, given, prior, k) / 2
    cdef double alike = size.n_components // n_matrices(size)  # precisions of their own
    for k in range(n_matrices(size)):
        found += alike * of_precision(size, given, prior, k)
    return found


cdef double distance(
    const Size* size, const Belief* given, const Belief* prior, Py_ssize_t k
) noexcept nogil:
    """The squared distance of a mean from the prior's under the expected precision."""
    cdef Py_ssize_t d = size.n_features
    cdef const double* mean = given.means + k * d
    cdef const double* middle = prior.means + row(prior, k) * d
    cdef const double* factor = given.factors + matrix(size, given, k) * (
        n_numbers(size) // n_matrices(size))
    cdef double found = 0
    cdef double along
    cdef Py_ssize_t i, j
    for j in range(d):
        along = 0
        for i in range(j + 1 if has_matrices(size) else 0):
            along += (mean[i] - middle[i]) * factor[i * d + j]
        if not has_matrices(size):
            along = (mean[j] - middle[j]) * factor[j if size.structure == DIAG else 0]
        found += along * along
    return found


cdef double of_precision(
    const Size* size, const Belief* given, const Belief* prior, Py_ssize_t k
) noexcept nogil:
    """A Wishart's divergence from the prior's."""
    cdef Py_ssize_t own = matrix(size, prior, k)
    cdef double freedom = given.freedom[k]
    cdef double before = prior.freedom[own]
    cdef double found = (
        (freedom - before) * expected_log_determinant(size, given, k)
        + before * trace(size, given, prior, k)
        - freedom * size.n_features
        - freedom * log_determinant(size, given, k)
        + before * log_determinant(size, prior, own)
    ) / 2
    cdef Py_ssize_t i
    for i in range(size.n_features):
        found += gammaln((before - i) / 2) - gammaln((freedom - i) / 2)
    return found


cdef double trace(
    const Size* size, const Belief* given, const Belief* prior, Py_ssize_t k
) noexcept nogil:
    """The trace of the prior's covariance times the expected precision."""
    cdef Py_ssize_t n_own = n_numbers(size) // n_matrices(size)
    cdef const double* covariance = prior.covariances + matrix(size, prior, k) * n_own
    cdef const double* factor = given.factors + k * n_own
    cdef Py_ssize_t d = size.n_features
    cdef double found = 0
    cdef double product
    cdef Py_ssize_t i, j, m
    for i in range(d if has_matrices(size) else 0):
        for j in range(i + 1):
            product = 0  # an element of the precision, U U'
            for m in range(i, d):
                product += factor[i * d + m] * factor[j * d + m]
            found += (1 if i == j else 2) * covariance[i * d + j] * product
    for i in range(0 if has_matrices(size) else n_own):
        found += covariance[i] * factor[i] * factor[i]
    return found * (d if size.structure == SPHERICAL else 1)
