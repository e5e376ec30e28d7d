"""The compiled kernels; `reference` says what each computes. One source for every build.

Rows are taken in groups of GROUP_ROWS, whatever the number of threads. A thread works through a
group in blocks that fit its cache; every group has sums of its own, and these are added to the
total in the order of the groups. So the same rows give the same bits on any number of threads,
and also when they come in chunks of whole groups. Groups are run in waves, between which memory
is reused and Ctrl-C is heard.
"""

import numpy as np

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

from gaussmix._core.arrays cimport FULL, SPHERICAL, TIED, Form, address, form_of, writable
from gaussmix._core.log_density cimport score_rows
from gaussmix._core.estimates cimport (
    Constants, Estimates, Moments, Size, copy_estimates, estimate, estimates_in, find_constants,
    moments_in, size_of,
)
from gaussmix._core.lanes cimport LN2, PANEL, VECTORS, real, vec
from gaussmix._core.layout cimport Block, Mixture, load_rows, odd, panel_features
from gaussmix._core.moments cimport (
    add_hard, add_moments, add_totals, centre_moments, moments_order, n_moments, scratch_values,
)
from gaussmix._core.packing cimport pack, packed_size
from gaussmix._core.posterior cimport (
    add_logs, add_logs_at_once, find_best, follow, normalise, normalise_one, normalise_two,
)

from gaussmix._core.checks import (
    FLOAT64, INT32, check_array, check_em, check_lloyd, check_pass, check_seeding, check_sums,
)
from gaussmix._core.density import Density

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    GROUP_ROWS = 1024
    BLOCK_BYTES = 256 * 1024  # of a block's rows and scores: they stay in a core's own cache
    BLOCK_ROWS = 256
    WAVE_BYTES = 8 * 1024 * 1024  # of the groups' sums, for each thread
    CACHE_LINE = 64
    FOLD_SUMS = 512  # of a group, added by one thread
    SHARES = 32  # of a wave's groups, that a thread takes one after the other

cdef double WAVE_FLOPS = 4e9  # a fraction of a second on one core

DTYPE = np.dtype(np.float32 if sizeof(real) == 4 else np.float64)


cdef enum Task:
    LOG_DENSITY
    LOG_LIKELIHOOD
    RESPONSIBILITIES
    ASSIGN
    ACCUMULATE
    ACCUMULATE_HARD
    ACCUMULATE_LIKELIHOOD


cdef struct Job:  # what to do with each row, and where
    Task task
    Py_ssize_t n_samples
    const real* X
    const double* sample_weight  # (N,), or NULL
    double weight_unit  # a power of two near the largest, so that weights fit any precision
    real* out  # (N, K) or (N,), or NULL
    int* labels  # (N,), or NULL; given where responsibilities are to follow them


cdef class Room:
    """Memory for as long as a call takes, aligned to cache lines."""

    cdef void* _start
    cdef void* address

    def __cinit__(self, Py_ssize_t n_bytes):
        self._start = PyMem_RawMalloc(n_bytes + CACHE_LINE)
        if self._start == NULL:
            raise MemoryError
        self.address = <char*>self._start + CACHE_LINE - <uintptr_t>self._start % CACHE_LINE

    def __dealloc__(self):
        PyMem_RawFree(self._start)


cdef class PackedMixture:
    """A density packed for this build, and the memory that holds it."""

    cdef Mixture mixture
    cdef object density
    cdef Constants given  # where its numbers lie
    cdef Room room

    def __init__(self, density, bint exponentials):
        self.density = density
        self.given = Constants(
            <double*>address(density.center), <double*>address(density.means),
            <double*>address(density.factors), <double*>address(density.log_scales))
        self.mixture.form = form_of(density.structure)
        self.mixture.unit = LN2 if exponentials else 1
        self.mixture.n_components, self.mixture.n_features = density.means.shape
        self.room = Room(packed_size(&self.mixture) * sizeof(real))
        self.note()

    cdef void note(self) noexcept:
        """Note the density as it is now."""
        pack(&self.mixture, &self.given, <real*>self.room.address)


cdef class Sums:
    """Copies of the caller's sums, in the order that groups have; the last array is the totals."""

    cdef Room room
    cdef double* sums
    cdef double** places  # where each belongs in the caller's arrays
    cdef Py_ssize_t n

    def __init__(self, arrays, PackedMixture packed, bint moments):
        cdef Py_ssize_t n_all = sum([array.size for array in arrays])
        self.n = n_moments(&packed.mixture) + 2 if moments else n_all
        self.room = Room(self.n * (sizeof(double) + sizeof(double*)))
        self.sums = <double*>self.room.address
        self.places = <double**>(self.sums + self.n)
        cdef Room flat_room = Room(n_all * sizeof(double*))
        cdef Room order_room = Room(self.n * sizeof(Py_ssize_t))
        cdef double** flat = <double**>flat_room.address
        cdef Py_ssize_t* order = <Py_ssize_t*>order_room.address
        cdef double* start
        cdef Py_ssize_t i, at = 0
        for array in arrays:
            start = <double*>writable(array)
            for i in range(array.size):
                flat[at + i] = start + i
            at += array.size
        if moments:
            moments_order(&packed.mixture, order)
            order[self.n - 2], order[self.n - 1] = n_all - 2, n_all - 1
        else:
            for i in range(self.n):
                order[i] = i
        for i in range(self.n):
            self.places[i] = flat[order[i]]
            self.sums[i] = self.places[i][0]

    cdef void clear(self) noexcept:
        memset(self.sums, 0, self.n * sizeof(double))

    cdef void hand_out(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self.n):
            self.places[i][0] = self.sums[i]


cdef class Centers:
    """Centres of clusters (K, D), which are the caller's, and the sums of a pass over rows."""

    cdef Mixture mixture
    cdef Constants given  # those of `density.nearest_density`
    cdef Room constants, packed, sums
    cdef double* centers
    cdef double* middle  # of the centres, (D,), and
    cdef double* means  # the centres relative to it
    cdef double* n_k  # (K,), first moments (K, D) and totals (2,) follow
    cdef Py_ssize_t n_sums

    def __init__(self, centers):
        cdef Py_ssize_t k, d
        k, d = centers.shape
        self.mixture.form = SPHERICAL
        self.mixture.unit = 1
        self.mixture.n_components, self.mixture.n_features = k, d
        self.n_sums = k + k * d + 2
        self.constants = Room((d + k * d + 2 * k) * sizeof(double))
        self.packed = Room(packed_size(&self.mixture) * sizeof(real))
        self.sums = Room(self.n_sums * sizeof(double))
        self.centers = <double*>writable(centers)
        self.middle = <double*>self.constants.address
        self.means = self.middle + d
        self.n_k = <double*>self.sums.address
        cdef double* ones = self.means + k * d
        cdef Py_ssize_t i
        for i in range(k):
            ones[i], ones[k + i] = 1, 0
        self.given = Constants(self.middle, self.means, ones, ones + k)

    cdef void note(self) noexcept:
        """Note where the centres are now."""
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
        pack(&self.mixture, &self.given, <real*>self.packed.address)

    cdef find_nearest(self, Job* job, Py_ssize_t n_threads):
        """Assign the rows of a job, and add up those of each centre."""
        self.note()
        memset(self.n_k, 0, self.n_sums * sizeof(double))
        run_waves(job, &self.mixture, self.n_k, self.n_sums, n_threads)

    cdef bint any_empty(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self.mixture.n_components):
            if self.n_k[i] == 0:
                return True
        return False

    cdef double move(self) noexcept:
        """Move the centres to the means of their rows; return their squared movement in all."""
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


def log_density(X, density, out, int n_threads=1):
    n_samples, n_components, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples, n_components), X.dtype)
    cdef Job job = Job(LOG_DENSITY, 0, NULL, NULL, 1, NULL, NULL)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def log_likelihood(X, density, out, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples,), X.dtype)
    cdef Job job = Job(LOG_LIKELIHOOD, 0, NULL, NULL, 1, NULL, NULL)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def responsibilities(X, density, out, int n_threads=1):
    n_samples, n_components, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples, n_components), X.dtype)
    cdef Job job = Job(RESPONSIBILITIES, 0, NULL, NULL, 1, NULL, NULL)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def assign(X, density, labels, best, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads)
    check_array("labels", labels, (n_samples,), INT32)
    cdef Job job = Job(ASSIGN, 0, NULL, NULL, 1, NULL, NULL)
    job.labels = <int*>writable(labels)
    if best is not None:
        check_array("best", best, (n_samples,), X.dtype)
        job.out = <real*>writable(best)
    run(&job, X, None, density, (), n_threads)


def accumulate(
    X, sample_weight, density, n_k, first, second, totals, int n_threads=1, labels=None
):
    cdef Py_ssize_t n_components, n_features
    n_samples, n_components, n_features = check_call(X, density, n_threads, sample_weight)
    check_sums(density, n_k, first, second, totals)
    cdef Job job = Job(ACCUMULATE, 0, NULL, NULL, 1, NULL, NULL)
    if labels is not None:
        check_array("labels", labels, (n_samples,), INT32)
        job.labels = <int*>address(labels)
    run(&job, X, sample_weight, density, (n_k, first, second, totals), n_threads)
    mirror(form_of(density.structure), n_components, n_features, <double*>writable(second))


def accumulate_hard(X, sample_weight, density, labels, n_k, first, totals, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads, sample_weight)
    check_sums(density, n_k, first, None, totals)
    cdef Job job = Job(ACCUMULATE_HARD, 0, NULL, NULL, 1, NULL, NULL)
    if labels is not None:
        check_array("labels", labels, (n_samples,), INT32)
        job.labels = <int*>writable(labels)
    run(&job, X, sample_weight, density, (n_k, first, totals), n_threads)


def accumulate_likelihood(X, sample_weight, density, totals, int n_threads=1):
    check_call(X, density, n_threads, sample_weight)
    check_array("totals", totals, (2,), FLOAT64)
    cdef Job job = Job(ACCUMULATE_LIKELIHOOD, 0, NULL, NULL, 1, NULL, NULL)
    run(&job, X, sample_weight, density, (totals,), n_threads)


def lloyd(
    X, sample_weight, centers, labels, n_k, totals, int max_iter, double threshold, int n_threads=1
):
    n_samples, n_clusters, _ = check_lloyd(
        X, sample_weight, centers, labels, n_k, totals, n_threads)
    check_array("X", X, X.shape, DTYPE)
    cdef Job job = Job(ACCUMULATE_HARD, 0, NULL, NULL, 1, NULL, NULL)
    job.labels = <int*>writable(labels)
    set_rows(&job, X, sample_weight)
    cdef Centers moving = Centers(centers)
    cdef double* n_k_out = <double*>writable(n_k)
    cdef double* totals_out = <double*>writable(totals)
    cdef size_t n_bytes = n_samples * sizeof(int)
    cdef Room kept = Room(n_bytes)
    cdef double movement = INFINITY
    cdef int n_iter = 0
    cdef bint same = False
    while not same and n_iter < max_iter and not movement <= threshold:
        memcpy(kept.address, job.labels, n_bytes)
        moving.find_nearest(&job, n_threads)
        if moving.any_empty():
            memcpy(job.labels, kept.address, n_bytes)
            return n_iter, False
        same = memcmp(job.labels, kept.address, n_bytes) == 0
        if not same:
            movement = moving.move()
        n_iter += 1
    if not same:
        moving.find_nearest(&job, n_threads)
    memcpy(n_k_out, moving.n_k, n_clusters * sizeof(double))
    memcpy(totals_out, moving.n_k + moving.n_sums - 2, 2 * sizeof(double))
    return n_iter, True


def em(
    X, sample_weight, structure, weights, means, covariances, factors, bounds,
    double reg_covar, double tol, double previous, int n_threads=1,
):
    cdef Py_ssize_t n_components, n_features, n_iter, i
    cdef Py_ssize_t n_bounds = len(bounds)
    n_components, n_features = check_em(
        X, sample_weight, structure, weights, means, covariances, factors, bounds, n_threads)
    check_array("X", X, X.shape, DTYPE)
    cdef Job job = Job(ACCUMULATE, 0, NULL, NULL, 1, NULL, NULL)
    set_rows(&job, X, sample_weight)
    cdef Size size = size_of(structure, means)
    one, table, spread = weights.shape, means.shape, factors.shape
    arrays = weights, means, covariances, factors
    new = np.empty(one), np.empty(table), np.empty(spread), np.empty(spread)
    cdef Estimates point = estimates_in(arrays)
    cdef Estimates image = estimates_in(new)
    cdef PackedMixture packed = PackedMixture(
        Density(structure, np.zeros(n_features), np.zeros(table), factors, np.zeros(one)), True)
    shift, n_k, first = np.empty(table), np.zeros(one), np.zeros(table)
    second, totals = np.zeros(spread), np.zeros(2)
    cdef Sums total = Sums((n_k, first, second, totals), packed, True)
    cdef Moments moments = moments_in(shift, n_k, first, second)
    cdef double* shifted = <double*>writable(shift)
    cdef const double* likelihood_and_weight = <const double*>address(totals)
    cdef double* bound = <double*>writable(bounds)
    cdef bint sound
    for n_iter in range(n_bounds):
        find_constants(&size, &point, sizeof(real) == sizeof(float), &packed.given)
        packed.note()
        total.clear()
        run_waves(&job, &packed.mixture, total.sums, total.n, n_threads)
        total.hand_out()
        mirror(size.form, n_components, n_features, <double*>moments.second)
        for i in range(n_components * n_features):
            shifted[i] = packed.given.center[i % n_features] + packed.given.means[i]
        moments.row_weight = likelihood_and_weight[1] / job.n_samples
        with nogil:
            sound = estimate(&size, &moments, reg_covar, &image)
        if not sound:
            return n_iter, False
        copy_estimates(&size, &image, &point)
        bound[n_iter] = likelihood_and_weight[0] / likelihood_and_weight[1]
        if fabs(bound[n_iter] - previous) < tol:
            return n_iter + 1, True
        previous = bound[n_iter]
    return n_bounds, False


def plus_plus(X, sample_weight, uniforms, chosen, int n_trials, int n_threads=1):
    n_clusters, n_features = check_seeding(
        X, sample_weight, uniforms, chosen, n_trials, n_threads)
    check_array("X", X, X.shape, DTYPE)
    trials = np.empty((n_trials, n_features))
    cdef Centers candidates = Centers(trials)
    cdef Choice choice
    cdef Job job = Job(LOG_DENSITY, 0, NULL, NULL, 1, NULL, NULL)
    set_rows(&job, X, sample_weight)
    cdef Room room = Room(job.n_samples * (sizeof(double) + (1 + n_trials) * sizeof(real)))
    choice.n_samples, choice.n_trials = job.n_samples, n_trials
    choice.sample_weight = job.sample_weight
    choice.cumulated = <double*>room.address
    choice.closest = <real*>(choice.cumulated + job.n_samples)
    choice.nearer = job.out = choice.closest + job.n_samples
    cdef Room trial_room = Room(n_trials * (sizeof(int64_t) + sizeof(double)))
    cdef int64_t* drawn = <int64_t*>trial_room.address
    choice.gains = <double*>(drawn + n_trials)
    cdef const double* uniform = <const double*>address(uniforms)
    cdef int64_t* rows = <int64_t*>writable(chosen)
    cdef Py_ssize_t d = n_features
    cdef Py_ssize_t c, t, i
    for i in range(job.n_samples):
        choice.closest[i] = <real>-INFINITY
    for c in range(n_clusters):
        with nogil:
            cumulate(&choice, c == 0)
        for t in range(n_trials):
            drawn[t] = drawn_row(&choice, uniform[t if c else 0])
            for i in range(d):
                candidates.centers[t * d + i] = job.X[drawn[t] * d + i]
        uniform += n_trials if c else 1
        candidates.note()
        run_waves(&job, &candidates.mixture, candidates.n_k, 0, n_threads)
        with nogil:
            rows[c] = drawn[take_best(&choice)]


cdef struct Choice:  # of the next centre, by k-means++
    Py_ssize_t n_samples
    Py_ssize_t n_trials
    const double* sample_weight  # (N,) or NULL
    double* cumulated  # (N,), chances of the rows
    real* closest  # (N,), -1/2 the squared distances from the nearest centre, -infinite before
    real* nearer  # (N, n_trials), from each candidate, then from the nearest with it
    double* gains  # (n_trials,)


cdef inline double weight_in(const Choice* choice, Py_ssize_t row) noexcept nogil:
    return 1 if choice.sample_weight == NULL else choice.sample_weight[row]


cdef void cumulate(Choice* choice, bint first) noexcept nogil:
    """Chances are weights at first, and then weights times squared distances, if any is not 0."""
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(choice.n_samples):
        total += weight_in(choice, i) * (1 if first else -choice.closest[i])
        choice.cumulated[i] = total
    if not (first or total > 0):
        cumulate(choice, True)


cdef Py_ssize_t drawn_row(const Choice* choice, double uniform) noexcept nogil:
    """The first row whose cumulated chance is not below a random part of all."""
    cdef Py_ssize_t last = choice.n_samples - 1
    cdef double level = uniform * choice.cumulated[last]
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = last
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) // 2
        if choice.cumulated[middle] < level:
            low = middle + 1
        else:
            high = middle
    return low


cdef Py_ssize_t take_best(Choice* choice) noexcept nogil:
    """Find the candidate that leaves rows closest to centres, and take it for one."""
    cdef Py_ssize_t n = choice.n_trials
    cdef real* nearer = choice.nearer
    cdef Py_ssize_t best = 0
    cdef Py_ssize_t i, t
    for t in range(n):
        choice.gains[t] = 0
    for i in range(choice.n_samples):
        for t in range(n):
            nearer[t] = max(nearer[t], choice.closest[i])
            choice.gains[t] += weight_in(choice, i) * nearer[t]
        nearer += n
    for t in range(n):
        if choice.gains[t] > choice.gains[best]:
            best = t
    for i in range(choice.n_samples):
        choice.closest[i] = choice.nearer[i * n + best]
    return best


def check_call(X, density, n_threads, sample_weight=None):
    """Raise unless the arguments fit together and this build; return (N, K, D)."""
    shape = check_pass(X, density, n_threads, sample_weight)
    check_array("X", X, X.shape, DTYPE)
    return shape


cdef void mirror(Form form, Py_ssize_t n_components, Py_ssize_t d, double* second) noexcept:
    """Copy the upper triangles of second moments, which the passes fill, to the lower ones."""
    cdef Py_ssize_t n = n_components if form == FULL else 1 if form == TIED else 0
    cdef Py_ssize_t k, i, j
    for k in range(n):
        for i in range(d):
            for j in range(i):
                second[(k * d + i) * d + j] = second[(k * d + j) * d + i]


cdef run(Job* job, X, sample_weight, density, sums, Py_ssize_t n_threads):
    """Do a job for all rows of X, adding to the arrays `sums` if the job has any."""
    cdef bint exponentials = job.task in (
        LOG_LIKELIHOOD, RESPONSIBILITIES, ACCUMULATE, ACCUMULATE_LIKELIHOOD)
    cdef PackedMixture packed = PackedMixture(density, exponentials)
    cdef Sums total = Sums(sums, packed, job.task == ACCUMULATE)
    set_rows(job, X, sample_weight)
    run_waves(job, &packed.mixture, total.sums, total.n, n_threads)
    total.hand_out()


cdef set_rows(Job* job, X, sample_weight):
    job.n_samples = X.shape[0]
    job.X = <const real*>address(X)
    if sample_weight is not None and job.n_samples > 0:
        job.sample_weight = <const double*>address(sample_weight)
        job.weight_unit = 2.0 ** np.frexp(sample_weight.max())[1]


cdef run_waves(
    Job* job, Mixture* mixture, double* total, Py_ssize_t width, Py_ssize_t n_threads
):
    """All groups in waves, whose sums are added to the total."""
    cdef Py_ssize_t stride = odd_lines(width)
    cdef Py_ssize_t n_groups = (job.n_samples + GROUP_ROWS - 1) // GROUP_ROWS
    if n_groups == 0:
        return
    cdef Py_ssize_t wave = wave_groups(mixture, stride, n_groups, n_threads)
    cdef int threads = <int>min(n_threads, wave)
    cdef Room sums_room = Room(wave * stride * sizeof(double))
    cdef double* group_sums = <double*>sums_room.address
    cdef Py_ssize_t block_rows = rows_per_block(mixture, min(job.n_samples, <Py_ssize_t>GROUP_ROWS))
    cdef Py_ssize_t lines = (block_size(mixture, block_rows) + CACHE_LINE - 1) // CACHE_LINE
    cdef Py_ssize_t size = lines * CACHE_LINE  # a thread's, and lanes', cache lines are whole
    cdef Room work_room = Room(threads * size * sizeof(real))
    cdef real* workspace = <real*>work_room.address
    cdef Py_ssize_t start, n_here, g, part, share
    for start in range(0, n_groups, wave):
        n_here = min(wave, n_groups - start)
        with nogil:
            if threads == 1:  # without OpenMP, which takes as long to begin as a small group
                for g in range(n_here):
                    do_group(job, mixture, start + g, block_rows, workspace,
                             group_sums + g * stride, width)
                fold(group_sums, n_here, stride, 0, width, total)
            else:
                share = max(n_here // (SHARES * threads), <Py_ssize_t>1)
                for g in prange(n_here, num_threads=threads, schedule="dynamic", chunksize=share):
                    do_group(job, mixture, start + g, block_rows, workspace + threadid() * size,
                             group_sums + g * stride, width)
                for part in prange((width + FOLD_SUMS - 1) // FOLD_SUMS, num_threads=threads):
                    fold(group_sums, n_here, stride, part * FOLD_SUMS,
                         min((part + 1) * FOLD_SUMS, width), total)
        PyErr_CheckSignals()


cdef Py_ssize_t odd_lines(Py_ssize_t width) noexcept:
    """Room for so many sums in cache lines of their own: threads write to them all the time."""
    cdef Py_ssize_t per_line = CACHE_LINE // sizeof(double)
    return odd((width + per_line - 1) // per_line + 1) * per_line


cdef void fold(
    const double* group_sums, Py_ssize_t n_groups, Py_ssize_t stride,
    Py_ssize_t first, Py_ssize_t end, double* total,
) noexcept nogil:
    """Add the sums numbered from `first` to before `end`, of all groups in order, to the total."""
    cdef Py_ssize_t g, i
    for g in range(n_groups):
        for i in range(first, end):
            total[i] += group_sums[g * stride + i]


cdef Py_ssize_t wave_groups(
    const Mixture* mixture, Py_ssize_t stride, Py_ssize_t n_groups, Py_ssize_t n_threads
) noexcept:
    """Groups in a wave: bounded memory, bounded time, and equal work for every thread."""
    cdef double d = mixture.n_features
    cdef double terms = 1 + d + (d * (d + 1) / 2 if mixture.form == FULL else 0)
    cdef double flops = 4.0 * GROUP_ROWS * mixture.n_components * terms
    cdef double groups = min(WAVE_FLOPS / flops, <double>WAVE_BYTES / (8 * stride))  # of a thread
    return min(max(<Py_ssize_t>groups, 1) * n_threads, n_groups)


cdef Py_ssize_t rows_per_block(const Mixture* mixture, Py_ssize_t n_rows) noexcept:
    """Rows in a block: as many as fit the cache, in whole panels."""
    cdef Py_ssize_t fitting = BLOCK_BYTES // (block_size(mixture, PANEL) // PANEL * sizeof(real))
    cdef Py_ssize_t rows = min(min(<Py_ssize_t>BLOCK_ROWS, fitting), n_rows)
    return max((rows + PANEL - 1) // PANEL, <Py_ssize_t>1) * PANEL


cdef Py_ssize_t block_size(const Mixture* mixture, Py_ssize_t rows) noexcept nogil:
    """Numbers that the workspace of so many rows holds: see `Block`."""
    return rows * (
        panel_features(mixture) + odd(mixture.n_components) + 2 + scratch_values(mixture))


cdef void do_group(
    const Job* job, const Mixture* mixture, Py_ssize_t group, Py_ssize_t block_rows,
    real* workspace, double* sums, Py_ssize_t width,
) noexcept nogil:
    """One group of rows, block by block; its sums start at zero."""
    cdef Block block
    cdef Py_ssize_t row = group * GROUP_ROWS
    cdef Py_ssize_t end = min(row + GROUP_ROWS, job.n_samples)
    cdef Py_ssize_t panels = block_rows // PANEL
    cdef Py_ssize_t i
    block.x_stride = panel_features(mixture) * VECTORS
    block.score_stride = odd(mixture.n_components) * VECTORS
    block.x = <vec*>workspace
    block.score = block.x + panels * block.x_stride
    block.weight = block.score + panels * block.score_stride
    block.top = block.weight + panels * VECTORS
    block.scratch = block.top + panels * VECTORS
    memset(sums, 0, width * sizeof(double))
    while row < end:
        block.n_rows = min(block_rows, end - row)
        block.n_panels = (block.n_rows + PANEL - 1) // PANEL
        do_block(job, mixture, &block, row, sums, width)
        row += block.n_rows
    if job.task == ACCUMULATE:
        centre_moments(mixture, sums)
    for i in range(width):
        sums[i] *= job.weight_unit


# The steps of a block are functions of their own: with all in one, the compiler puts the registers
# of one step's loops into memory for the sake of another's.

cdef void find_densities(Block* block, const Mixture* mixture) noexcept nogil:
    score_rows(block, mixture)


cdef void find_responsibilities(Block* block, const Mixture* mixture) noexcept nogil:
    if mixture.n_components == 1:
        normalise_one(block)
    elif mixture.n_components == 2:
        normalise_two(block)
    else:
        normalise(True, block, mixture)


cdef void find_likelihoods(Block* block, const Mixture* mixture) noexcept nogil:
    """The largest log-densities and sums of `find_responsibilities`, without these."""
    if mixture.n_components <= 2:
        find_responsibilities(block, mixture)
    else:
        normalise(False, block, mixture)


cdef void add_likelihoods(
    Block* block, const Mixture* mixture, const double* weight, double* totals
) noexcept nogil:
    if weight == NULL:
        add_logs_at_once(block, mixture)
    else:
        add_logs(block)
    add_totals(block, mixture, totals)


cdef void find_moments(const Block* block, const Mixture* mixture, double* sums) noexcept nogil:
    add_moments(block, mixture, sums)


cdef void do_block(
    const Job* job, const Mixture* mixture, Block* block, Py_ssize_t row, double* sums,
    Py_ssize_t width,
) noexcept nogil:
    cdef const real* X = job.X + row * mixture.n_features
    cdef const double* weight = NULL
    cdef int found[BLOCK_ROWS]
    cdef int* labels = &found[0]
    if job.sample_weight != NULL:
        weight = job.sample_weight + row
    load_rows(block, mixture, X, weight, job.weight_unit)
    if job.task == ACCUMULATE and job.labels != NULL:
        follow(block, mixture, job.labels + row)
        find_moments(block, mixture, sums)
        add_totals(block, mixture, sums + width - 2)
        return
    find_densities(block, mixture)
    if job.task == LOG_DENSITY:
        write_scores(block, mixture, job.out + row * mixture.n_components)
    elif job.task == RESPONSIBILITIES:
        find_responsibilities(block, mixture)
        write_scores(block, mixture, job.out + row * mixture.n_components)
    elif job.task == LOG_LIKELIHOOD:
        find_likelihoods(block, mixture)
        add_logs(block)
        write_top(block, mixture, job.out + row)
    elif job.task == ACCUMULATE_LIKELIHOOD:
        find_likelihoods(block, mixture)
        add_likelihoods(block, mixture, weight, sums)
    elif job.task == ACCUMULATE:
        find_responsibilities(block, mixture)
        add_likelihoods(block, mixture, weight, sums + width - 2)
        find_moments(block, mixture, sums)
    else:
        if job.labels != NULL:
            labels = job.labels + row
        find_best(block, mixture, labels)
        if job.task == ACCUMULATE_HARD:
            add_hard(block, mixture, labels, X, weight, job.weight_unit, sums)
            add_totals(block, mixture, sums + width - 2)
        elif job.out != NULL:
            write_top(block, mixture, job.out + row)


cdef inline void write_scores(const Block* block, const Mixture* mixture, real* out) noexcept nogil:
    """Scores from panels to rows."""
    cdef const real* score = <const real*>block.score
    cdef Py_ssize_t p, s, k
    for p in range(block.n_panels):
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            for k in range(mixture.n_components):
                out[k] = score[k * PANEL + s]
            out += mixture.n_components
        score += odd(mixture.n_components) * PANEL


cdef inline void write_top(const Block* block, const Mixture* mixture, real* out) noexcept nogil:
    cdef const real* top = <const real*>block.top
    cdef Py_ssize_t s
    for s in range(block.n_rows):
        out[s] = <real>(top[s] * mixture.unit)
