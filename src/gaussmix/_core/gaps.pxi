"""Groups of rows of which some lack values; a part of kernels.pyx.

The rows of such a group are sorted: those that lack nothing go through the ordinary steps, and the
others, by what they lack, through those of `gaps`. They are copied together, block by block.
"""

from libc.string cimport memcpy, memset

from gaussmix._core.gaps cimport (
    PATTERNS, add_gap_moments, fold_gaps, has_matrices, lacks_values, mark_gaps, score_gaps,
    sort_rows, sums_of_component,
)
from gaussmix._core.lanes cimport PANEL, VECTORS, real, vec
from gaussmix._core.layout cimport Block, Gaps, Mixture, make_odd

cdef enum:
    ALIGNMENT = 64


cdef struct Places:  # memory that is given out piece by piece; with no start it is only measured
    char* start
    size_t size


cdef void* place(Places* memory, size_t n_bytes) noexcept nogil:
    """Give out the next piece, aligned to cache lines."""
    cdef char* found = memory.start + memory.size if memory.start != NULL else NULL
    memory.size += (n_bytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    return found


cdef size_t place_gaps(
    Gaps* gaps, const Mixture* mixture, Py_ssize_t block_rows, char* start
) noexcept nogil:
    """Set where a workspace lies that begins at `start`, and return its size in bytes."""
    cdef Places memory = Places(start, 0)
    cdef size_t d = mixture.n_features
    cdef size_t n = mixture.n_components
    cdef size_t rows = block_rows
    cdef size_t panels = rows // PANEL
    cdef size_t lanes = PANEL * sizeof(real)
    cdef size_t triangle = d * (d + 1) // 2 if has_matrices(mixture) else 0
    gaps.rows = <real*>place(&memory, rows * d * sizeof(real))
    gaps.weights = <double*>place(&memory, rows * sizeof(double))
    gaps.out = <real*>place(&memory, rows * n * sizeof(real))
    gaps.labels = <int*>place(&memory, rows * sizeof(int))
    gaps.order = <int*>place(&memory, GROUP_ROWS * sizeof(int))
    gaps.others = <int*>place(&memory, GROUP_ROWS * sizeof(int))
    gaps.by_pattern = <int*>place(&memory, GROUP_ROWS * sizeof(int))
    gaps.pattern = <int*>place(&memory, GROUP_ROWS * sizeof(int))
    gaps.lacking = <int*>place(&memory, GROUP_ROWS * sizeof(int))
    gaps.counts = <int*>place(&memory, (max(<size_t>PATTERNS, d) + 2) * sizeof(int))
    gaps.seen = <vec*>place(&memory, panels * d * lanes)
    gaps.index = <int*>place(&memory, panels * (d + 1) * PANEL * sizeof(int))
    gaps.n_slots = <int*>place(&memory, panels * sizeof(int))
    gaps.alike = <bint*>place(&memory, panels * sizeof(bint))
    gaps.filled = <vec*>place(
        &memory, max(panels * make_odd(d + 1), <size_t>mixture.margins.width) * lanes)
    gaps.moved = <vec*>place(&memory, n * panels * (d + 1) * lanes if triangle else 0)
    gaps.whitened = <vec*>place(&memory, mixture.margins.width * lanes)
    gaps.gradient = <vec*>place(&memory, mixture.margins.width * lanes)
    gaps.lower = <vec*>place(&memory, triangle * lanes)
    gaps.inverse = <vec*>place(&memory, triangle * lanes)
    gaps.sums = <double*>place(&memory, n * sums_of_component(mixture) * sizeof(double))
    return memory.size


cdef void find_gap_densities(Block* block, const Mixture* mixture) noexcept nogil:
    """Find the log-densities of rows that lack values."""
    mark_gaps(block, mixture)
    score_gaps(block, mixture)


cdef void find_gap_moments(Block* block, const Mixture* mixture, double* sums) noexcept nogil:
    """Add the moments of rows that lack values to the group's."""
    add_gap_moments(block, mixture, sums)


cdef void do_group_with_gaps(
    const Job* job, const Mixture* mixture, Block* block, Gaps* gaps, Py_ssize_t row,
    Py_ssize_t n_rows, Py_ssize_t block_rows, double* sums, Py_ssize_t width,
) noexcept nogil:
    """Do the job for the group of rows that begins at `row`; its sums start at zero."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* X = job.X + row * d
    cdef Py_ssize_t n_complete = sort_rows(X, n_rows, d, gaps)
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t end, i
    cdef Job part = job[0]
    memset(gaps.sums, 0, mixture.n_components * sums_of_component(mixture) * sizeof(double))
    part.X, part.labels = gaps.rows, gaps.labels if job.labels != NULL else NULL
    part.out = gaps.out if job.out != NULL else NULL
    part.sample_weight = gaps.weights if job.sample_weight != NULL else NULL
    while start < n_rows:
        block.gaps = gaps if start >= n_complete else NULL
        end = min(start + block_rows, n_rows if start >= n_complete else n_complete)
        for i in range(start, end):
            memcpy(gaps.rows + (i - start) * d, X + gaps.order[i] * d, d * sizeof(real))
            if job.sample_weight != NULL:
                gaps.weights[i - start] = job.sample_weight[row + gaps.order[i]]
        block.n_rows = end - start
        block.n_panels = (block.n_rows + PANEL - 1) // PANEL
        do_block(&part, mixture, block, 0, sums, width)
        hand_back(job, mixture, gaps, row, start, end)
        start = end
    block.gaps = NULL


cdef void hand_back(
    const Job* job, const Mixture* mixture, const Gaps* gaps, Py_ssize_t row, Py_ssize_t start,
    Py_ssize_t end,
) noexcept nogil:
    """Copy what was found for rows that were copied together to where theirs belongs."""
    cdef Py_ssize_t n = mixture.n_components if job.task in (LOG_DENSITY, RESPONSIBILITIES) else 1
    cdef Py_ssize_t i, place
    for i in range(start, end):
        place = row + gaps.order[i]
        if job.out != NULL:
            memcpy(job.out + place * n, gaps.out + (i - start) * n, n * sizeof(real))
        if job.labels != NULL:
            job.labels[place] = gaps.labels[i - start]
