"""What is done with a group of rows, block by block.

A part of kernels.pyx, not a module: an inline function of a .pxd file is always inlined, and the
steps of a block must stay functions. With all steps in one function the compiler keeps the
registers of one step's loops in memory for the sake of another's.
"""

from libc.string cimport memset

from gaussmix._core.lanes cimport LANES, PANEL, VECTORS, real, vec
from gaussmix._core.layout cimport (
    Block, Mixture, load_rows, make_odd, panel_features, write_row_max, write_scores,
)
from gaussmix._core.log_density cimport score_rows
from gaussmix._core.moments cimport (
    add_first_moments, add_hard_moments, add_moments, add_totals, centre_moments, scratch_values,
    sums_are_few,
)
from gaussmix._core.posterior cimport (
    add_log_products, add_log_sums, find_argmax, normalise, normalise_one, normalise_two, one_hot,
)
from gaussmix._core.told cimport Told, add_noise, leave_owned, multiply_priors

cpdef enum:  # Python sees them too: tests are about the rows at the edges.
    PANEL_ROWS = PANEL
    BLOCK_ROWS = 256  # at most
    GROUP_ROWS = 1024

cdef enum:
    BLOCK_BYTES = 256 * 1024  # of a block's rows and scores, which stay in a core's own cache


cdef enum Task:
    LOG_DENSITY
    LOG_LIKELIHOOD
    RESPONSIBILITIES
    ASSIGN
    ACCUMULATE
    ACCUMULATE_HARD
    ACCUMULATE_LIKELIHOOD
    ACCUMULATE_NEAREST  # as ACCUMULATE_HARD, by a screen and without the totals
    ACCUMULATE_TOTALS  # those of ACCUMULATE_HARD, of rows whose labels are given


cdef struct Nearest  # see nearest.pxi

cdef struct Job:  # what to do with each row, and where
    Task task
    Py_ssize_t n_samples
    const real* X
    const double* wide  # rows of double that a build for float32 takes instead of X, or NULL
    const vec* panels  # see `keep_panels`, or NULL
    const double* sample_weight  # (N,), or NULL
    double weight_unit  # a power of two near the largest, so that weights fit any precision
    real* out  # (N, K) or (N,), or NULL
    int* labels  # (N,), or NULL; the input of ACCUMULATE and its totals, the output of other tasks
    Told told
    Nearest* nearest  # of ACCUMULATE_NEAREST


cdef Py_ssize_t block_size(const Mixture* mixture, Py_ssize_t rows) noexcept nogil:
    """Numbers in the workspace of a block of so many rows: see `Block`."""
    return rows * (
        panel_features(mixture) + make_odd(mixture.n_terms) + 2 + scratch_values(mixture))


cdef Py_ssize_t rows_per_block(const Mixture* mixture, Py_ssize_t n_rows) noexcept nogil:
    """Rows in a block: as many as fit the cache, in whole panels."""
    cdef Py_ssize_t fitting = BLOCK_BYTES // (block_size(mixture, PANEL) // PANEL * sizeof(real))
    cdef Py_ssize_t rows = min(min(<Py_ssize_t>BLOCK_ROWS, fitting), n_rows)
    return max((rows + PANEL - 1) // PANEL, <Py_ssize_t>1) * PANEL


cdef Block empty_block(
    const Mixture* mixture, Py_ssize_t block_rows, real* workspace
) noexcept nogil:
    """A block for so many rows at most, whose numbers lie in the workspace."""
    cdef Block block
    cdef Py_ssize_t panels = block_rows // PANEL
    block.x_stride = panel_features(mixture) * VECTORS
    block.score_stride = make_odd(mixture.n_terms) * VECTORS
    block.x = <vec*>workspace
    block.score = block.x + panels * block.x_stride
    block.weight = block.score + panels * block.score_stride
    block.row_max = block.weight + panels * VECTORS
    block.scratch = block.row_max + panels * VECTORS
    block.gaps = NULL
    set_rows_of_block(&block, block_rows)
    return block


cdef void set_rows_of_block(Block* block, Py_ssize_t n_rows) noexcept nogil:
    """Say how many rows a block has."""
    block.n_rows = n_rows
    block.n_panels = (n_rows + PANEL - 1) // PANEL


cdef void do_group(
    const Job* job, const Mixture* mixture, Py_ssize_t group, Py_ssize_t block_rows,
    real* workspace, double* sums, Py_ssize_t width,
) noexcept nogil:
    """Do the job for one group of rows, block by block; its sums start at zero."""
    cdef Block block = empty_block(mixture, block_rows, workspace)
    cdef Py_ssize_t row = group * GROUP_ROWS
    cdef Py_ssize_t end = min(row + GROUP_ROWS, job.n_samples)
    memset(sums, 0, width * sizeof(double))
    if job.task == ACCUMULATE_NEAREST:
        find_nearest_rows(
            job, mixture, &block, row, end - row, block_rows,
            <char*>(workspace + workspace_size(mixture, block_rows)), sums, width)
        row = end
    while row < end:
        set_rows_of_block(&block, min(block_rows, end - row))
        do_block(job, mixture, &block, row, sums, width)
        row += block.n_rows
    finish_sums(job, mixture, sums, width)


cdef void finish_sums(
    const Job* job, const Mixture* mixture, double* sums, Py_ssize_t width
) noexcept nogil:
    """Turn a group's sums into those that are added to the total."""
    cdef Py_ssize_t i
    if job.task == ACCUMULATE:
        centre_moments(mixture, sums)
    for i in range(width):
        sums[i] *= job.weight_unit


cdef void find_densities(Block* block, const Mixture* mixture) noexcept nogil:
    """Find the rows' log-densities."""
    if block.gaps != NULL:
        find_gap_densities(block, mixture)
    else:
        score_rows(block, mixture)


cdef void take_in(
    Block* block, const Mixture* mixture, const Told* told, Py_ssize_t row
) noexcept nogil:
    """Add the noise to the log-densities, and what is told of the rows from `row`."""
    if mixture.n_terms > mixture.n_components:
        add_noise(block, mixture)
    if told.codes != NULL:
        leave_owned(block, mixture, told.codes + row, told.owners)
    if told.priors != NULL:
        multiply_priors(block, mixture, told.priors, told.single, row)


cdef void find_responsibilities(Block* block, const Mixture* mixture) noexcept nogil:
    """Turn log-densities into responsibilities times the rows' weights: see `normalise`."""
    if mixture.n_terms == 1:
        normalise_one(block)
    elif mixture.n_terms == 2:
        normalise_two(block)
    else:
        normalise(True, block, mixture)


cdef void find_likelihoods(Block* block, const Mixture* mixture) noexcept nogil:
    """Find what `find_responsibilities` finds beside the responsibilities: a row's likelihood."""
    if mixture.n_terms <= 2:
        find_responsibilities(block, mixture)
    else:
        normalise(False, block, mixture)


cdef void add_likelihoods(
    Block* block, const Mixture* mixture, const double* weight, double* totals
) noexcept nogil:
    """Add the rows' weighted log-likelihood, and their weight, to the totals."""
    if weight == NULL:
        add_log_products(block, mixture)
    else:
        add_log_sums(block)
    add_totals(block, mixture, totals)


cdef void find_moments(Block* block, const Mixture* mixture, double* sums) noexcept nogil:
    """Add the rows' moments to the group's."""
    if block.gaps != NULL:
        find_gap_moments(block, mixture, sums)
    else:
        add_moments(block, mixture, sums)


cdef void do_block(
    const Job* job, const Mixture* mixture, Block* block, Py_ssize_t row, double* sums,
    Py_ssize_t width,
) noexcept nogil:
    """Do the job for the block of rows that begins at `row`; add to the group's sums."""
    cdef Py_ssize_t start = row * mixture.n_features
    cdef const double* weight = NULL
    cdef const vec* kept = NULL
    cdef int found[BLOCK_ROWS]
    cdef int* labels = &found[0]
    if job.sample_weight != NULL:
        weight = job.sample_weight + row
    if sizeof(real) == sizeof(float) and job.wide != NULL:
        load_rows(block, mixture, NULL, job.wide + start, NULL, weight, job.weight_unit)
    else:
        if job.panels != NULL:
            kept = job.panels + start // LANES
        load_rows(block, mixture, job.X + start, NULL, kept, weight, job.weight_unit)
    if job.task == ACCUMULATE and job.labels != NULL:
        one_hot(block, mixture, job.labels + row)
        find_moments(block, mixture, sums)
        add_totals(block, mixture, sums + width - 2)
        return
    if job.task == ACCUMULATE_TOTALS:
        find_own_densities(block, mixture, job.labels + row)
        add_totals(block, mixture, sums)
        return
    find_densities(block, mixture)
    take_in(block, mixture, &job.told, row)
    if job.task == LOG_DENSITY:
        write_scores(block, mixture, job.out + row * mixture.n_terms)
    elif job.task == RESPONSIBILITIES:
        find_responsibilities(block, mixture)
        write_scores(block, mixture, job.out + row * mixture.n_terms)
    elif job.task == LOG_LIKELIHOOD:
        find_likelihoods(block, mixture)
        add_log_sums(block)
        write_row_max(block, mixture, job.out + row)
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
        if job.task == ACCUMULATE_HARD and sums_are_few(mixture):
            find_argmax(True, block, mixture, labels)
            add_first_moments(block, mixture, sums)
            add_totals(block, mixture, sums + width - 2)
            return
        find_argmax(False, block, mixture, labels)
        if job.task == ACCUMULATE_HARD:
            add_hard_moments(block, mixture, labels, job.X + start, weight, job.weight_unit, sums)
            add_totals(block, mixture, sums + width - 2)
        elif job.out != NULL:
            write_row_max(block, mixture, job.out + row)
