"""Passes over cells of rows and the components that matter to them; a part of kernels.pyx.

The rows of a cell are copied together, block by block, and go through the ordinary steps under a
mixture of the components on the cell's list. A cell's sums are its own and are added to the total
in the order of the cells.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from gaussmix._core.arrays cimport FULL, TIED
from gaussmix._core.estimates cimport Constants
from gaussmix._core.lanes cimport COMPONENTS, prefetch, real
from gaussmix._core.layout cimport Block, Mixture, tile_size
from gaussmix._core.moments cimport (
    centre_moments, moments_order, moments_per_component, n_moments, second_moments,
    sum_responsibilities,
)
from gaussmix._core.packing cimport pack, packed_size
from gaussmix._core.posterior cimport find_argmax

cdef enum:
    ROWS_AHEAD = 16  # of a cell, which are prefetched: they lie anywhere
    LINE = 64  # bytes that a prefetch brings
    AT_ONCE = 32  # bytes of a row that are copied at once: a call of memcpy takes longer
    CELL_BYTES = 2 * 1024 * 1024  # of the cells' sums, for each thread, which stay in the cache


cdef struct Cells:  # see `cells.Cells`
    Py_ssize_t n_cells
    const int* order
    const int64_t* rows
    const int64_t* lists
    const int* components


cdef struct CellPass:  # what a pass over cells needs, whatever the cell
    const Job* job
    const Mixture* mixture  # of all components
    const Constants* constants
    const Cells* cells
    Py_ssize_t factor_size  # of a component
    double* masses  # of each component on each list


cdef struct CellSpace:  # the workspace of one thread
    char* rows  # of the job's precision
    double* weights
    int* labels
    real* block
    double* means
    double* factors
    double* log_scales
    real* packed


cdef Py_ssize_t cell_width(const CellPass* work, Py_ssize_t n_listed) noexcept nogil:
    """Sums of a cell with so many components, and its two totals."""
    cdef Mixture chosen = work.mixture[0]
    chosen.n_components = chosen.n_terms = n_listed
    return (n_moments(&chosen) if work.job.task == ACCUMULATE else n_listed) + 2


cdef size_t place_cells(
    CellSpace* space, const CellPass* work, Py_ssize_t n_listed, Py_ssize_t n_rows, char* start
) noexcept nogil:
    """Set where a workspace lies that begins at `start`, and return its size in bytes.

    It serves cells with so many components, and of so many rows.
    """
    cdef Places memory = Places(start, 0)
    cdef size_t d = work.mixture.n_features
    cdef size_t n = n_listed
    cdef Mixture chosen = work.mixture[0]
    chosen.n_components = chosen.n_terms = n_listed
    cdef Py_ssize_t rows = rows_per_block(&chosen, n_rows)
    space.rows = <char*>place(&memory, rows * d * value_size(work.job))
    space.weights = <double*>place(&memory, rows * sizeof(double))
    space.labels = <int*>place(&memory, rows * sizeof(int))
    space.block = <real*>place(&memory, block_size(&chosen, rows) * sizeof(real))
    space.means = <double*>place(&memory, n * d * sizeof(double))
    space.factors = <double*>place(&memory, n * work.factor_size * sizeof(double))
    space.log_scales = <double*>place(&memory, n * sizeof(double))
    space.packed = <real*>place(&memory, packed_size(&chosen) * sizeof(real))
    return memory.size


cdef void choose(
    const CellPass* work, const int* components, Py_ssize_t n_listed, CellSpace* space,
    Mixture* chosen,  # OUT
) noexcept nogil:
    """Pack a mixture of listed components."""
    cdef const Constants* given = work.constants
    cdef Constants own = given[0]
    cdef Py_ssize_t d = work.mixture.n_features
    cdef Py_ssize_t size = work.factor_size
    cdef Py_ssize_t i, k
    chosen.n_components = chosen.n_terms = n_listed
    own.means, own.log_scales = space.means, space.log_scales
    for i in range(n_listed):
        k = components[i]
        memcpy(own.means + i * d, given.means + k * d, d * sizeof(double))
        own.log_scales[i] = given.log_scales[k]
    if chosen.structure != TIED:
        own.factors = space.factors
        for i in range(n_listed):
            k = components[i]
            memcpy(space.factors + i * size, given.factors + k * size, size * sizeof(double))
    pack(chosen, &own, space.packed)


cdef inline Py_ssize_t value_size(const Job* job) noexcept nogil:
    """Bytes of a value of the rows."""
    return sizeof(real) if job.wide == NULL else sizeof(double)


cdef inline void copy_row(const char* row, Py_ssize_t size, char* copy) noexcept nogil:
    """Copy so many bytes, a multiple of 4."""
    while size >= AT_ONCE:
        memcpy(copy, row, AT_ONCE)
        row += AT_ONCE
        copy += AT_ONCE
        size -= AT_ONCE
    while size >= <Py_ssize_t>sizeof(double):
        memcpy(copy, row, sizeof(double))
        row += sizeof(double)
        copy += sizeof(double)
        size -= sizeof(double)
    if size > 0:
        memcpy(copy, row, sizeof(float))


cdef void copy_rows(
    const Job* job, Py_ssize_t d, const int* order, Py_ssize_t n_rows, Py_ssize_t n_left,
    CellSpace* space,
) noexcept nogil:
    """Copy rows of a cell, of which so many are left, and their weights if they have any."""
    cdef const char* X = <const char*>job.X if job.wide == NULL else <const char*>job.wide
    cdef Py_ssize_t size = d * value_size(job)
    cdef const char* ahead
    cdef Py_ssize_t i, byte
    for i in range(n_rows):
        if i + ROWS_AHEAD < n_left:
            ahead = X + order[i + ROWS_AHEAD] * size
            byte = 0
            while byte < size:
                prefetch(ahead + byte)
                byte += LINE
            prefetch(ahead + size - 1)
        copy_row(X + order[i] * size, size, space.rows + i * size)
        if job.sample_weight != NULL:
            space.weights[i] = job.sample_weight[order[i]]


cdef void find_masses(Block* block, const Mixture* mixture, double* sums) noexcept nogil:
    """Add the sums of the responsibilities alone."""
    cdef Py_ssize_t k = 0
    while k + COMPONENTS <= mixture.n_components:
        sum_responsibilities(COMPONENTS, block, k, sums + k)
        k += COMPONENTS
    while k < mixture.n_components:
        sum_responsibilities(1, block, k, sums + k)
        k += 1


cdef void do_cell(
    const CellPass* work, Py_ssize_t c, char* workspace, double* sums
) noexcept nogil:
    """Find the sums of a cell, its masses, and its rows' labels."""
    cdef const Job* job = work.job
    cdef const Cells* cells = work.cells
    cdef const int* components = cells.components + cells.lists[c]
    cdef const int* order = cells.order + cells.rows[c]
    cdef Py_ssize_t n_listed = cells.lists[c + 1] - cells.lists[c]
    cdef Py_ssize_t n_rows = cells.rows[c + 1] - cells.rows[c]
    cdef Py_ssize_t width = cell_width(work, n_listed)
    cdef Mixture chosen = work.mixture[0]
    cdef const double* weights = NULL
    cdef CellSpace space
    cdef Block block
    cdef Py_ssize_t block_rows, i
    cdef Py_ssize_t done = 0
    place_cells(&space, work, n_listed, n_rows, workspace)
    if n_listed < work.mixture.n_components:
        choose(work, components, n_listed, &space, &chosen)
    if job.sample_weight != NULL:
        weights = space.weights
    block_rows = rows_per_block(&chosen, n_rows)
    block = empty_block(&chosen, block_rows, space.block)
    memset(sums, 0, width * sizeof(double))
    while done < n_rows:
        set_rows_of_block(&block, min(block_rows, n_rows - done))
        copy_rows(job, chosen.n_features, order + done, block.n_rows, n_rows - done, &space)
        if sizeof(real) == sizeof(float) and job.wide != NULL:
            load_rows(&block, &chosen, NULL, <double*>space.rows, NULL, weights, job.weight_unit)
        else:
            load_rows(&block, &chosen, <real*>space.rows, NULL, NULL, weights, job.weight_unit)
        find_densities(&block, &chosen)
        if job.labels != NULL:
            find_argmax(False, &block, &chosen, space.labels)
            for i in range(block.n_rows):
                job.labels[order[done + i]] = components[space.labels[i]]
        find_responsibilities(&block, &chosen)
        add_likelihoods(&block, &chosen, weights, sums + width - 2)
        if job.task == ACCUMULATE:
            find_moments(&block, &chosen, sums)
        else:
            find_masses(&block, &chosen, sums)
        done += block.n_rows
    if job.task == ACCUMULATE:
        centre_moments(&chosen, sums)
    for i in range(width):
        sums[i] *= job.weight_unit
    memcpy(work.masses + cells.lists[c], sums, n_listed * sizeof(double))


cdef void reduce_cell(
    const CellPass* work, Py_ssize_t c, const double* sums, Py_ssize_t first, Py_ssize_t end,
    double* total,  # component by component: n_k and the rest; then what is tied
) noexcept nogil:
    """Add a cell's sums to those of the components from `first` to before `end`."""
    cdef const Mixture* mixture = work.mixture
    cdef const int* components = work.cells.components + work.cells.lists[c]
    cdef Py_ssize_t n = work.cells.lists[c + 1] - work.cells.lists[c]
    cdef Py_ssize_t rest = moments_per_component(mixture)
    cdef Py_ssize_t d = mixture.n_features
    cdef const double* own = sums + n
    cdef double* target
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t i, j, size, step
    while k < n:
        size = 1 if mixture.structure == TIED else tile_size(n - k)
        for j in range(size):
            if first <= components[k + j] < end:
                target = total + components[k + j] * (1 + rest)
                target[0] += sums[k + j]
                for i in range(rest):
                    target[1 + i] += own[i * size + j]
        own += size * rest
        k += size
    if mixture.structure == TIED and first == 0 and end > 0:  # one of the threads, of more than K
        target = total + mixture.n_components * (1 + rest)
        for i in range(d * d):
            target[i] += own[i]


cdef void move_sums(
    const Mixture* mixture, const Py_ssize_t* places, bint back,
    double* n_k, double* first, double* second, double* total,
) noexcept:
    """Copy n_k, first and second moments to the total, component by component, or back."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t width = 1 + moments_per_component(mixture)
    cdef Py_ssize_t step = second_moments(mixture)
    cdef Py_ssize_t k, i, place
    cdef double* target
    for k in range(mixture.n_components):
        for i in range(width):
            place = places[i]
            if place == 0:
                target = n_k + k
            elif place <= d:
                target = first + k * d + place - 1
            else:
                target = second + k * step + place - 1 - d
            if back:
                target[0] = total[k * width + i]
            else:
                total[k * width + i] = target[0]
    if mixture.structure == TIED:
        total += mixture.n_components * width
        if back:
            memcpy(second, total, d * d * sizeof(double))
        else:
            memcpy(total, second, d * d * sizeof(double))


cdef run_cells(const CellPass* work, double* total, double* totals, Py_ssize_t n_threads):
    """Do all cells, wave by wave, and add their sums to the total, if there is one."""
    cdef const Cells* cells = work.cells
    cdef Py_ssize_t n = cells.n_cells
    cdef Py_ssize_t k = work.mixture.n_components
    cdef int threads = <int>max(min(n_threads, n), <Py_ssize_t>1)
    cdef double flops = 4.0 * (1 + moments_per_component(work.mixture))
    cdef Buffer places_buffer = Buffer((n + 1) * sizeof(Py_ssize_t))
    cdef Py_ssize_t* at = <Py_ssize_t*>places_buffer.address
    cdef CellSpace unused
    cdef size_t size = 0
    cdef Py_ssize_t c, part, end, listed, rows
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t widest = 0
    cdef double done
    at[0] = 0
    for c in range(n):
        listed = cells.lists[c + 1] - cells.lists[c]
        at[c + 1] = at[c] + cell_width(work, listed)
        rows = cells.rows[c + 1] - cells.rows[c]
        size = max(size, place_cells(&unused, work, listed, rows, NULL))
    cdef Buffer work_buffer = Buffer(threads * size)
    cdef char* workspace = <char*>work_buffer.address
    for c in range(n):
        widest = max(widest, at[c + 1] - at[c])
    cdef Py_ssize_t room = max(widest, <Py_ssize_t>(CELL_BYTES * threads) // 8)
    cdef Buffer sums_buffer = Buffer(min(room, at[n]) * sizeof(double))
    cdef double* sums = <double*>sums_buffer.address
    while start < n:
        done = 0
        end = start
        while end < n and (end == start or (
                done < WAVE_FLOPS * threads and at[end + 1] - at[start] <= room)):
            done += flops * (cells.rows[end + 1] - cells.rows[end]) * (
                cells.lists[end + 1] - cells.lists[end])
            end += 1
        with nogil:
            if threads == 1:
                for c in range(start, end):
                    do_cell(work, c, workspace, sums + at[c] - at[start])
            else:
                for c in prange(start, end, num_threads=threads, schedule="dynamic"):
                    do_cell(work, c, workspace + threadid() * size, sums + at[c] - at[start])
            if total != NULL:
                for part in prange(threads, num_threads=threads):
                    reduce_cells(work, start, end, sums, at, part * k // threads,
                                 (part + 1) * k // threads, total)
            for c in range(start, end):
                totals[0] += sums[at[c + 1] - at[start] - 2]
                totals[1] += sums[at[c + 1] - at[start] - 1]
        PyErr_CheckSignals()
        start = end


cdef void reduce_cells(
    const CellPass* work, Py_ssize_t start, Py_ssize_t end, const double* sums,
    const Py_ssize_t* at, Py_ssize_t first, Py_ssize_t last, double* total,
) noexcept nogil:
    """Add the sums of cells in order, for the components from `first` to before `last`."""
    cdef Py_ssize_t c
    for c in range(start, end):
        reduce_cell(work, c, sums + at[c] - at[start], first, last, total)
