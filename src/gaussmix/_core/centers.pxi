"""Centres of clusters and the sums of their rows; a part of kernels.pyx.

Centres are the means of a density with factors 1: the most probable component is the nearest.
"""

from libc.math cimport ldexp, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from gaussmix._core.arrays cimport SPHERICAL, writable
from gaussmix._core.estimates cimport Constants
from gaussmix._core.lanes cimport FLOATS, real
from gaussmix._core.layout cimport Mixture
from gaussmix._core.packing cimport pack, packed_size
from gaussmix._core.screen cimport float_roundoff, pack_screen

cdef enum:  # centres, from which on the screen gains more than it costs
    LEAST_SCREENED = 32
    LEAST_SCREENED_SINGLE = 48  # of rows that are float32 themselves
    LEAST_SCREENED_SHORT = 128  # of such rows with one or two features

cdef extern from "<math.h>" nogil:
    int ilogb(double x)


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
    cdef Py_ssize_t n_positions  # numbers of the middle and the means
    cdef bint screened  # whether rows are screened, and have bounds
    cdef Nearest nearest
    cdef Buffer bounds_buffer, screen_buffer, earlier_buffer
    cdef double* earlier  # the middle and the means before the last move
    cdef int64_t[3] tally  # rows of all passes, by what settled their labels: see `lloyd`

    def __init__(self, centers):
        cdef Py_ssize_t k, d
        k, d = centers.shape
        self.mixture.structure = SPHERICAL
        self.mixture.unit = 1
        self.mixture.n_components, self.mixture.n_terms, self.mixture.n_features = k, k, d
        self.n_sums = k + k * d + 2
        self.n_positions = d + k * d
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
        memset(self.tally, 0, sizeof(self.tally))

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

    cdef keep_bounds(self, Py_ssize_t n_samples):
        """Screen rows from here on if there are centres enough: passes are over the same rows."""
        cdef Py_ssize_t k = self.mixture.n_components
        cdef Py_ssize_t d = self.mixture.n_features
        cdef Py_ssize_t least = LEAST_SCREENED
        if sizeof(real) == sizeof(float):
            least = LEAST_SCREENED_SINGLE if d > 2 else LEAST_SCREENED_SHORT
        self.screened = k >= least
        if self.screened:
            self.bounds_buffer = Buffer((n_samples + FLOATS) * sizeof(float))
            self.screen_buffer = Buffer(k * (d + 2) * sizeof(float))
            self.earlier_buffer = Buffer(self.n_positions * sizeof(double))
            self.earlier = <double*>self.earlier_buffer.address
            self.nearest.bounds = <float*>self.bounds_buffer.address
            self.nearest.moves = <float*>self.screen_buffer.address + k * (d + 1)
            self.nearest.bounded = False

    cdef find_nearest(self, Job* job, Py_ssize_t n_threads):
        """Assign the rows of a job, and add up those of each centre."""
        cdef double* counts = self.n_k + self.n_sums - 2
        if self.screened:
            memcpy(self.earlier, self.middle, self.n_positions * sizeof(double))
        self.repack()
        memset(self.n_k, 0, self.n_sums * sizeof(double))
        job.task = ACCUMULATE_HARD
        if self.screened:
            self.follow()
            job.task, job.nearest = ACCUMULATE_NEAREST, &self.nearest
        run_waves(job, &self.mixture, self.n_k, self.n_sums, n_threads)
        if self.screened:
            self.nearest.bounded = True
            self.tally[0] += job.n_samples - <int64_t>counts[1]
            self.tally[1] += <int64_t>(counts[1] - counts[0])
            self.tally[2] += <int64_t>counts[0]
            self.screened = 2 * counts[0] <= counts[1]  # else the tiles alone take less time
        else:
            self.tally[2] += job.n_samples

    cdef void follow(self) noexcept:
        """Pack the screen, and find how far the centres moved since the last pass.

        Moves are of what rows are compared with, the middle and the rounded means, and are rounded
        up: sums and differences are off by a few roundoffs of what they are made of.
        """
        cdef Py_ssize_t d = self.mixture.n_features
        cdef Nearest* nearest = &self.nearest
        cdef double roundings = (d + 8) * 2.0 ** -52
        cdef double norm = 0
        cdef double largest = 0
        cdef double second = 0
        cdef double square, parts, shift, step, move
        cdef Py_ssize_t mover = 0
        cdef Py_ssize_t i, k
        for k in range(self.mixture.n_components):
            square = 0
            for i in range(d):
                square += self.means[k * d + i] * self.means[k * d + i]
            norm = max(norm, sqrt(square))
        if not nearest.bounded:
            nearest.screen.scale = 1
            if sizeof(real) == sizeof(double) and 0 < norm < INFINITY:
                nearest.screen.scale = <real>ldexp(1, max(min(-ilogb(norm), 1000), -1000))
        pack_screen(&nearest.screen, &self.mixture, <float*>self.screen_buffer.address)
        nearest.norm = norm * (1 + roundings) * nearest.screen.scale
        for k in range(self.mixture.n_components if nearest.bounded else 0):
            square, parts = 0, 0
            for i in range(d):
                shift = self.middle[i] - self.earlier[i]
                step = self.means[k * d + i] - self.earlier[d + k * d + i]
                square += (shift + step) * (shift + step)
                parts += shift * shift + step * step
            move = (sqrt(square) + 2 * roundings * sqrt(parts)) * (1 + roundings)
            move = move * nearest.screen.scale
            if move > largest:
                second, largest, mover = largest, move, k
            elif move > second:
                second = move
        for k in range(self.mixture.n_components):
            nearest.moves[k] = <float>(
                (second if k == mover else largest) * (1 + 4 * float_roundoff()))

    cdef find_totals(self, Job* job, Py_ssize_t n_threads):
        """Find the totals of the last pass, if they are not those that it left."""
        cdef double* totals = self.n_k + self.n_sums - 2
        if job.task == ACCUMULATE_NEAREST:
            job.task = ACCUMULATE_TOTALS
            totals[0], totals[1] = 0, 0
            run_waves(job, &self.mixture, totals, 2, n_threads)

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
