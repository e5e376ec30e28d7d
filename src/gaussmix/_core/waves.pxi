"""Groups of rows on several threads, wave by wave; a part of kernels.pyx.

A group's sums are its own, and they are added to the total in the order of the groups. So the same
rows give the same bits on any number of threads. Between waves memory is reused and Ctrl-C is
heard.
"""

from cython.parallel cimport prange, threadid

from gaussmix._core.arrays cimport FULL
from gaussmix._core.lanes cimport real
from gaussmix._core.layout cimport Mixture, make_odd

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    WAVE_BYTES = 8 * 1024 * 1024  # of the groups' sums, for each thread
    REDUCED_SUMS = 512  # of every group, which one thread adds up
    CHUNKS = 32  # of a wave's groups, which a thread takes one after the other

cdef double WAVE_FLOPS = 4e9  # a fraction of a second on one core


cdef run_waves(
    Job* job, Mixture* mixture, double* total, Py_ssize_t width, Py_ssize_t n_threads
):
    """Do a job for all groups, wave by wave, and add their sums to the total (width,)."""
    cdef Py_ssize_t stride = padded_width(width)
    cdef Py_ssize_t n_groups = (job.n_samples + GROUP_ROWS - 1) // GROUP_ROWS
    if n_groups == 0:
        return
    if mixture.margins != NULL:
        run_windows(job, mixture, total, width, n_threads)
        return
    cdef Py_ssize_t wave = groups_per_wave(mixture, stride, n_groups, n_threads)
    cdef int threads = <int>min(n_threads, wave)
    cdef Buffer sums_buffer = Buffer(wave * stride * sizeof(double))
    cdef double* group_sums = <double*>sums_buffer.address
    cdef Py_ssize_t block_rows = rows_per_block(mixture, min(job.n_samples, <Py_ssize_t>GROUP_ROWS))
    cdef Py_ssize_t size = workspace_size(mixture, block_rows)
    if job.task == ACCUMULATE_NEAREST:
        size += nearest_size(mixture, block_rows)
    cdef Buffer work_buffer = Buffer(threads * size * sizeof(real))
    cdef real* workspace = <real*>work_buffer.address
    cdef Py_ssize_t start, n_here, g, part, chunk
    for start in range(0, n_groups, wave):
        n_here = min(wave, n_groups - start)
        with nogil:
            if threads == 1:  # without OpenMP, which takes as long to begin as a small group
                for g in range(n_here):
                    do_group(job, mixture, start + g, block_rows, workspace,
                             group_sums + g * stride, width)
                reduce_groups(group_sums, n_here, stride, 0, width, total)
            else:
                chunk = max(n_here // (CHUNKS * threads), <Py_ssize_t>1)
                for g in prange(n_here, num_threads=threads, schedule="dynamic", chunksize=chunk):
                    do_group(job, mixture, start + g, block_rows, workspace + threadid() * size,
                             group_sums + g * stride, width)
                for part in prange((width + REDUCED_SUMS - 1) // REDUCED_SUMS, num_threads=threads):
                    reduce_groups(group_sums, n_here, stride, part * REDUCED_SUMS,
                                  min((part + 1) * REDUCED_SUMS, width), total)
        PyErr_CheckSignals()


cdef Py_ssize_t workspace_size(const Mixture* mixture, Py_ssize_t block_rows) noexcept nogil:
    """Numbers in a thread's workspace, in whole cache lines."""
    return (block_size(mixture, block_rows) + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef Py_ssize_t padded_width(Py_ssize_t width) noexcept:
    """Sums from group to group, in cache lines of their own: threads write to them all the time."""
    cdef Py_ssize_t per_line = CACHE_LINE // sizeof(double)
    return make_odd((width + per_line - 1) // per_line + 1) * per_line


cdef void reduce_groups(
    const double* group_sums, Py_ssize_t n_groups, Py_ssize_t stride,
    Py_ssize_t first, Py_ssize_t end, double* total,
) noexcept nogil:
    """Add the sums numbered from `first` to before `end`, of all groups in order, to the total."""
    cdef Py_ssize_t g, i
    for g in range(n_groups):
        for i in range(first, end):
            total[i] += group_sums[g * stride + i]


cdef Py_ssize_t groups_per_wave(
    const Mixture* mixture, Py_ssize_t stride, Py_ssize_t n_groups, Py_ssize_t n_threads
) noexcept:
    """Groups in a wave: bounded memory, bounded time, and equal work for every thread."""
    cdef double d = mixture.n_features
    cdef double terms = 1 + d + (d * (d + 1) / 2 if mixture.structure == FULL else 0)
    cdef double flops = 4.0 * GROUP_ROWS * mixture.n_components * terms
    cdef double groups = min(WAVE_FLOPS / flops, <double>WAVE_BYTES / (8 * stride))  # of a thread
    return min(max(<Py_ssize_t>groups, 1) * n_threads, n_groups)
