"""The compiled kernels; `reference` says what each computes. One source for every build.

Rows are taken in groups of GROUP_ROWS, whatever the number of threads. A thread works through a
group in blocks that fit its cache; every group has sums of its own, and these are added to the
total in the order of the groups. So the same rows give the same bits on any number of threads,
and also when they come in chunks of whole groups. Groups are run in waves, between which memory
is reused and Ctrl-C is heard.
"""

import numpy as np

from cython.parallel cimport prange, threadid
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from gaussmix._core.density cimport score_rows
from gaussmix._core.lanes cimport PANEL, VECTORS, real, vec
from gaussmix._core.layout cimport (
    DIAG, FULL, SPHERICAL, TIED, Block, Mixture, load_rows, odd, panel_features,
)
from gaussmix._core.moments cimport (
    add_hard, add_moments, add_totals, centre_moments, moments_order, n_moments, scratch_values,
)
from gaussmix._core.packing cimport Constants, pack, packed_size
from gaussmix._core.posterior cimport (
    add_logs, add_logs_at_once, find_best, normalise, normalise_one, normalise_two,
)

from gaussmix._core.checks import check_array, check_pass, check_sums

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    GROUP_ROWS = 1024
    BLOCK_BYTES = 256 * 1024  # of a block's rows and scores: they stay in a core's own cache
    BLOCK_ROWS = 256
    WAVE_BYTES = 8 * 1024 * 1024  # of the groups' sums, for each thread
    CACHE_LINE = 64
    FOLD_SUMS = 512  # of a group, added by one thread

cdef double WAVE_FLOPS = 4e9  # a fraction of a second on one core

FORMS = {"full": FULL, "tied": TIED, "diag": DIAG, "spherical": SPHERICAL}
DTYPE = np.dtype(np.float32 if sizeof(real) == 4 else np.float64)


cdef enum Task:
    LOG_DENSITY
    LOG_LIKELIHOOD
    RESPONSIBILITIES
    ASSIGN
    ACCUMULATE
    ACCUMULATE_HARD


cdef struct Job:  # what to do with each row, and where
    Task task
    Py_ssize_t n_samples
    const real* X
    const double* sample_weight  # (N,), or NULL
    double weight_unit  # a power of two near the largest, so that weights fit any precision
    real* out  # (N, K) or (N,), or NULL
    int* labels  # (N,), or NULL


cdef class PackedMixture:
    """A density packed for this build, and the array that holds it."""

    cdef Mixture mixture
    cdef real[::1] room

    def __init__(self, density):
        cdef const double[::1] center = density.center
        cdef const double[::1] means = density.means.ravel()
        cdef const double[::1] factors = density.factors.ravel()
        cdef const double[::1] log_scales = density.log_scales
        cdef Constants given = Constants(&center[0], &means[0], &factors[0], &log_scales[0])
        self.mixture.form = FORMS[density.structure]
        self.mixture.n_components, self.mixture.n_features = density.means.shape
        self.room = np.empty(packed_size(&self.mixture), DTYPE)
        pack(&self.mixture, &given, &self.room[0])

    def order(self, Py_ssize_t n_sums):
        """Where each sum of a group is among those of the statistics; the totals end both."""
        cdef Py_ssize_t n = n_moments(&self.mixture)
        cdef Py_ssize_t[::1] order = np.empty(n + 2, np.intp)
        moments_order(&self.mixture, &order[0])
        order[n], order[n + 1] = n_sums - 2, n_sums - 1
        return np.asarray(order)


cdef real* address(real[::1] array) except? NULL:
    return &array[0] if array.shape[0] else NULL


cdef int* label_address(int[::1] array) except? NULL:
    return &array[0] if array.shape[0] else NULL


def log_density(X, density, out, int n_threads=1):
    n_samples, n_components, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples, n_components), X.dtype)
    cdef Job job = Job(LOG_DENSITY, 0, NULL, NULL, 1, NULL, NULL)
    job.out = address(out.reshape(-1))
    run(&job, X, None, density, None, n_threads)


def log_likelihood(X, density, out, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples,), X.dtype)
    cdef Job job = Job(LOG_LIKELIHOOD, 0, NULL, NULL, 1, NULL, NULL)
    job.out = address(out)
    run(&job, X, None, density, None, n_threads)


def responsibilities(X, density, out, int n_threads=1):
    n_samples, n_components, _ = check_call(X, density, n_threads)
    check_array("out", out, (n_samples, n_components), X.dtype)
    cdef Job job = Job(RESPONSIBILITIES, 0, NULL, NULL, 1, NULL, NULL)
    job.out = address(out.reshape(-1))
    run(&job, X, None, density, None, n_threads)


def assign(X, density, labels, best, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads)
    check_array("labels", labels, (n_samples,), np.int32)
    cdef Job job = Job(ASSIGN, 0, NULL, NULL, 1, NULL, NULL)
    job.labels = label_address(labels)
    if best is not None:
        check_array("best", best, (n_samples,), X.dtype)
        job.out = address(best)
    run(&job, X, None, density, None, n_threads)


def accumulate(X, sample_weight, density, n_k, first, second, totals, int n_threads=1):
    check_call(X, density, n_threads, sample_weight)
    check_sums(density, n_k, first, second, totals)
    cdef Job job = Job(ACCUMULATE, 0, NULL, NULL, 1, NULL, NULL)
    sums = np.concatenate([n_k, first, second, totals], axis=None)
    run(&job, X, sample_weight, density, sums, n_threads)
    hand_out(sums, n_k, first, second, totals)
    if density.structure in ("full", "tied"):
        mirror(second.reshape(-1, X.shape[1], X.shape[1]))


def accumulate_hard(X, sample_weight, density, labels, n_k, first, totals, int n_threads=1):
    n_samples, _, _ = check_call(X, density, n_threads, sample_weight)
    check_sums(density, n_k, first, None, totals)
    cdef Job job = Job(ACCUMULATE_HARD, 0, NULL, NULL, 1, NULL, NULL)
    if labels is not None:
        check_array("labels", labels, (n_samples,), np.int32)
        job.labels = label_address(labels)
    sums = np.concatenate([n_k, first, totals], axis=None)
    run(&job, X, sample_weight, density, sums, n_threads)
    hand_out(sums, n_k, first, totals)


def check_call(X, density, n_threads, sample_weight=None):
    """Raise unless the arguments fit together and this build; return (N, K, D)."""
    shape = check_pass(X, density, n_threads, sample_weight)
    check_array("X", X, X.shape, DTYPE)
    return shape


cdef mirror(double[:, :, ::1] matrices):
    """Copy the upper triangles, which the passes fill, to the lower ones."""
    cdef Py_ssize_t k, i, j
    for k in range(matrices.shape[0]):
        for i in range(matrices.shape[1]):
            for j in range(i):
                matrices[k, i, j] = matrices[k, j, i]


def hand_out(sums, *arrays):
    """Split flat sums into the caller's arrays."""
    start = 0
    for array in arrays:
        array[...] = sums[start:start + array.size].reshape(array.shape)
        start += array.size


cdef run(Job* job, X, sample_weight, density, sums, Py_ssize_t n_threads):
    """Do a job for all rows of X, adding to the flat `sums` if the job has any."""
    cdef PackedMixture packed = PackedMixture(density)
    cdef const real[:, ::1] rows = X
    cdef const double[::1] weights = sample_weight
    if X.shape[0] == 0:
        return
    job.n_samples = X.shape[0]
    job.X = &rows[0, 0]
    if sample_weight is not None:
        job.sample_weight = &weights[0]
        job.weight_unit = 2.0 ** np.frexp(sample_weight.max())[1]
    if job.task == ACCUMULATE:
        order = packed.order(len(sums))
        sums[order] = run_waves(job, packed, sums[order], n_threads)
    else:
        run_waves(job, packed, np.empty(0) if sums is None else sums, n_threads)


cdef run_waves(Job* job, PackedMixture packed, sums, Py_ssize_t n_threads):
    """All groups in waves, whose sums are added to `sums`; return these."""
    cdef Mixture* mixture = &packed.mixture
    cdef double[::1] total = sums
    cdef Py_ssize_t width = total.shape[0]
    cdef Py_ssize_t stride = odd_lines(width)
    cdef Py_ssize_t n_groups = (job.n_samples + GROUP_ROWS - 1) // GROUP_ROWS
    cdef Py_ssize_t wave = wave_groups(mixture, stride, n_groups, n_threads)
    cdef int threads = <int>min(n_threads, wave)
    cdef double[:, ::1] group_sums = np.empty((wave, stride))
    cdef Py_ssize_t block_rows = rows_per_block(mixture, min(job.n_samples, <Py_ssize_t>GROUP_ROWS))
    cdef real[:, ::1] workspace = np.empty(
        (threads, block_size(mixture, block_rows) + CACHE_LINE), DTYPE)
    cdef Py_ssize_t start, n_here, g, part
    for start in range(0, n_groups, wave):
        n_here = min(wave, n_groups - start)
        with nogil:
            for g in prange(n_here, num_threads=threads, schedule="dynamic"):
                do_group(job, mixture, start + g, block_rows, &workspace[threadid(), 0],
                         &group_sums[g, 0], width)
            for part in prange((width + FOLD_SUMS - 1) // FOLD_SUMS, num_threads=threads):
                fold(&group_sums[0, 0], n_here, width, stride, part * FOLD_SUMS, &total[0])
        PyErr_CheckSignals()
    return sums


cdef Py_ssize_t odd_lines(Py_ssize_t width) noexcept:
    """Room for so many sums in cache lines of their own: threads write to them all the time."""
    cdef Py_ssize_t per_line = CACHE_LINE // sizeof(double)
    return odd((width + per_line - 1) // per_line + 1) * per_line


cdef void fold(
    const double* group_sums, Py_ssize_t n_groups, Py_ssize_t width, Py_ssize_t stride,
    Py_ssize_t first, double* total,
) noexcept nogil:
    """Add FOLD_SUMS sums, from the one numbered `first`, of all groups in order to the total."""
    cdef Py_ssize_t g, i
    for g in range(n_groups):
        for i in range(first, min(first + FOLD_SUMS, width)):
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
    # Lanes want their cache lines whole.
    workspace += (CACHE_LINE - <uintptr_t>workspace % CACHE_LINE) % CACHE_LINE // sizeof(real)
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
    score_rows(block, mixture)
    if job.task == LOG_DENSITY:
        write_scores(block, mixture, job.out + row * mixture.n_components)
    elif job.task == RESPONSIBILITIES:
        normalise(block, mixture, False)
        write_scores(block, mixture, job.out + row * mixture.n_components)
    elif job.task == LOG_LIKELIHOOD:
        normalise(block, mixture, False)
        add_logs(block)
        write_top(block, job.out + row)
    elif job.task == ACCUMULATE:
        if mixture.n_components == 1:
            normalise_one(block)
        elif mixture.n_components == 2:
            normalise_two(block)
        else:
            normalise(block, mixture, True)
        if weight == NULL:
            add_logs_at_once(block)
        else:
            add_logs(block)
        add_moments(block, mixture, sums)
        add_totals(block, sums + width - 2)
    else:
        if job.labels != NULL:
            labels = job.labels + row
        find_best(block, mixture, labels)
        if job.task == ACCUMULATE_HARD:
            add_hard(block, mixture, labels, X, weight, job.weight_unit, sums)
            add_totals(block, sums + width - 2)
        elif job.out != NULL:
            write_top(block, job.out + row)


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


cdef inline void write_top(const Block* block, real* out) noexcept nogil:
    cdef const real* top = <const real*>block.top
    cdef Py_ssize_t s
    for s in range(block.n_rows):
        out[s] = top[s]
