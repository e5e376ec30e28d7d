"""Centres of clusters and the sums of their rows; a part of kernels.pyx.

Centres are the means of a density with factors 1: the most probable component is the nearest.
"""

from libc.string cimport memset

from gaussmix._core.arrays cimport SPHERICAL, writable
from gaussmix._core.estimates cimport Constants
from gaussmix._core.lanes cimport real
from gaussmix._core.layout cimport Mixture
from gaussmix._core.packing cimport pack, packed_size


cdef class Centers:
    """Centres of clusters (K, D), which are the caller's, and the sums of a pass over rows."""

    cdef Mixture mixture
    cdef Constants constants  # those of `density.nearest_density`
    cdef Buffer constants_buffer, packed_buffer, sums_buffer
    cdef double* centers
    cdef double* middle  # (D,), the mean of the centres
    cdef double* means  # (K, D), the centres relative to the middle
    cdef double* n_k  # (K,); first moments (K, D) and totals (2,) follow
    cdef Py_ssize_t n_sums

    def __init__(self, centers):
        cdef Py_ssize_t k, d
        k, d = centers.shape
        self.mixture.structure = SPHERICAL
        self.mixture.unit = 1
        self.mixture.n_components, self.mixture.n_terms, self.mixture.n_features = k, k, d
        self.n_sums = k + k * d + 2
        self.constants_buffer = Buffer((d + k * d + 2 * k) * sizeof(double))
        self.packed_buffer = Buffer(packed_size(&self.mixture) * sizeof(real))
        self.sums_buffer = Buffer(self.n_sums * sizeof(double))
        self.centers = <double*>writable(centers)
        self.middle = <double*>self.constants_buffer.address
        self.means = self.middle + d
        self.n_k = <double*>self.sums_buffer.address
        cdef double* factors = self.means + k * d
        cdef double* log_scales = factors + k
        cdef Py_ssize_t i
        for i in range(k):
            factors[i], log_scales[i] = 1, 0
        self.constants = Constants(self.middle, self.means, factors, log_scales)

    cdef void repack(self) noexcept:
        """Pack the centres as they are now."""
        cdef Py_ssize_t k = self.mixture.n_components
        cdef Py_ssize_t d = self.mixture.n_features
        cdef Py_ssize_t i, j
        for i in range(d):
            self.middle[i] = 0
            for j in range(k):
                self.middle[i] += self.centers[j * d + i]
            self.middle[i] = <double><real>(self.middle[i] / k)
            for j in range(k):
                self.means[j * d + i] = <double><real>(self.centers[j * d + i] - self.middle[i])
        pack(&self.mixture, &self.constants, <real*>self.packed_buffer.address)

    cdef find_nearest(self, Job* job, Py_ssize_t n_threads):
        """Assign the rows of a job, and add up those of each centre."""
        self.repack()
        memset(self.n_k, 0, self.n_sums * sizeof(double))
        run_waves(job, &self.mixture, self.n_k, self.n_sums, n_threads)

    cdef bint any_empty(self) noexcept:
        """Tell whether any cluster has no weight."""
        cdef Py_ssize_t i
        for i in range(self.mixture.n_components):
            if self.n_k[i] == 0:
                return True
        return False

    cdef double move(self) noexcept:
        """Move the centres to the means of their rows; return the sum of their squared moves."""
        cdef Py_ssize_t d = self.mixture.n_features
        cdef const double* first = self.n_k + self.mixture.n_components
        cdef double squares = 0
        cdef double moved, step
        cdef Py_ssize_t i
        for i in range(self.mixture.n_components * d):
            moved = self.middle[i % d] + (self.means[i] + first[i] / self.n_k[i // d])
            step = moved - self.centers[i]
            squares += step * step
            self.centers[i] = moved
        return squares
