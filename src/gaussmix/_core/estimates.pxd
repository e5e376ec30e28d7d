"""What the kernels need of `estimates`, compiled once: its results have the same bits for all."""

from gaussmix._core.arrays cimport FULL, SPHERICAL, TIED, Structure

cdef struct Size:
    Structure structure
    Py_ssize_t n_components
    Py_ssize_t n_features


cdef struct Moments:  # what `Statistics` holds
    const double* shift
    const double* n_k
    const double* first
    const double* second
    double row_weight


cdef struct Estimates:
    double* weights
    double* means
    double* covariances
    double* factors


cdef struct Constants:  # of a density, as `density.Density` describes them
    double* center
    double* means
    const double* factors
    double* log_scales


cdef class Ascent:  # what `em` does between passes, from a point whose arrays were checked
    cdef Size size
    cdef readonly object density  # the point's, of which `update_density` sets the numbers
    cdef Constants constants
    cdef double reg_covar
    cdef void update_density(self, bint single) noexcept nogil
    cdef double bound(self, double log_likelihood, double weight) noexcept nogil
    cdef bint move(self, const Moments* given) noexcept nogil  # or tell that the point stays


cdef Size size_of(structure, means) except *
cdef Moments moments_in(shift, n_k, first, second) except *  # row_weight is to be set
cdef Estimates estimates_in(arrays) except *  # of weights, means, covariances, factors
cdef void find_constants(
    const Size* size, const Estimates* given, bint single, Constants* found
) noexcept nogil
cdef void find_factors(
    const Size* size, const double* covariances, double* factors
) noexcept nogil


cdef inline bint has_matrices(const Size* size) noexcept nogil:
    """Whether covariances are matrices."""
    return size.structure == FULL or size.structure == TIED


cdef inline Py_ssize_t n_variances(const Size* size) noexcept nogil:
    """Variances in all covariances, those on the diagonals of matrices."""
    if size.structure == SPHERICAL:
        return size.n_components
    return size.n_features * (1 if size.structure == TIED else size.n_components)


cdef inline Py_ssize_t n_numbers(const Size* size) noexcept nogil:
    """Numbers in all covariances."""
    return n_variances(size) * (size.n_features if has_matrices(size) else 1)


cdef inline Py_ssize_t variance_at(const Size* size, Py_ssize_t i) noexcept nogil:
    """Where a variance lies among the covariances."""
    return i * size.n_features + i % size.n_features if has_matrices(size) else i
