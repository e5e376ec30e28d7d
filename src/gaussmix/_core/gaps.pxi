"""Blocks of rows gathered from where they lie, of which some lack values; a part of kernels.pyx.

Rows that lack nothing go through the ordinary steps. So do rows that lack the same, under the
mixture of what they have. All others go through those of `gaps`.
"""

from libc.string cimport memcpy, memset

from gaussmix._core.gaps cimport (
    add_gap_moments, has_matrices, mark_gaps, score_gaps, sums_of_component,
)
from gaussmix._core.lanes cimport LANES, PANEL, VECTORS, real, vec
from gaussmix._core.layout cimport Block, Gaps, Mixture, Pattern, make_odd, panel_features
from gaussmix._core.moments cimport n_moments
from gaussmix._core.patterns cimport complete_moments, component_vectors, find_margin

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


cdef void place_gaps(
    Gaps* gaps, const Mixture* mixture, Py_ssize_t block_rows, Places* memory
) noexcept nogil:
    """Set where the workspace for rows that lack values lies."""
    cdef size_t d = mixture.n_features
    cdef size_t n = mixture.n_components
    cdef size_t rows = block_rows
    cdef size_t panels = rows // PANEL
    cdef size_t lanes = PANEL * sizeof(real)
    cdef size_t triangle = d * (d + 1) // 2 if has_matrices(mixture) else 0
    gaps.rows = <real*>place(memory, rows * d * sizeof(real))
    gaps.weights = <double*>place(memory, rows * sizeof(double))
    gaps.out = <real*>place(memory, rows * mixture.n_terms * sizeof(real))
    gaps.labels = <int*>place(memory, rows * sizeof(int))
    gaps.codes = <int*>place(memory, rows * sizeof(int))
    gaps.priors = <char*>place(memory, rows * mixture.n_terms * sizeof(double))
    gaps.seen = <vec*>place(memory, panels * d * lanes)
    gaps.index = <int*>place(memory, panels * (d + 1) * PANEL * sizeof(int))
    gaps.n_slots = <int*>place(memory, panels * sizeof(int))
    gaps.alike = <bint*>place(memory, panels * sizeof(bint))
    gaps.filled = <vec*>place(
        memory, max(panels * make_odd(d + 1), <size_t>mixture.margins.width) * lanes)
    gaps.moved = <vec*>place(memory, n * panels * (d + 1) * lanes if triangle else 0)
    gaps.whitened = <vec*>place(memory, mixture.margins.width * lanes)
    gaps.gradient = <vec*>place(memory, mixture.margins.width * lanes)
    gaps.lower = <vec*>place(memory, triangle * lanes)
    gaps.inverse = <vec*>place(memory, triangle * lanes)
    gaps.sums = <double*>place(memory, n * sums_of_component(mixture) * sizeof(double))


cdef void place_pattern(
    Pattern* pattern, const Mixture* mixture, Places* memory
) noexcept nogil:
    """Set where the workspace for rows that lack the same lies; there is none without matrices."""
    cdef size_t d = mixture.n_features if has_matrices(mixture) else 0
    cdef size_t n = mixture.n_components
    cdef size_t triangle = d * (d + 1) // 2
    cdef size_t table = component_vectors(mixture) * sizeof(vec)
    pattern.there = <int*>place(memory, d * sizeof(int))
    pattern.lacking = <int*>place(memory, d * sizeof(int))
    pattern.columns = <int*>place(memory, d * sizeof(int))
    pattern.factor = <vec*>place(memory, d * d * sizeof(vec))
    pattern.inverse = <vec*>place(memory, d * d * sizeof(vec))
    pattern.triangle = <vec*>place(memory, triangle * table)
    pattern.shifts = <vec*>place(memory, d * table)
    pattern.slopes = <vec*>place(memory, d * d // 4 * table)
    pattern.spread = <vec*>place(memory, triangle * table)
    pattern.known_means = <vec*>place(memory, d * table)
    pattern.n_k = <vec*>place(memory, table)
    pattern.moments = <vec*>place(memory, (d + triangle) * table)
    pattern.across = <vec*>place(memory, (d + 1) * table)
    pattern.totals = <vec*>place(memory, (d + triangle) * table)
    pattern.center = <real*>place(memory, d * sizeof(real))
    pattern.means = <real*>place(memory, n * (d + 1) * sizeof(real))
    pattern.offsets = <real*>place(memory, n * d * sizeof(real))
    pattern.factors = <real*>place(memory, n * triangle * sizeof(real))
    pattern.log_scales = <real*>place(memory, n * sizeof(real))
    pattern.own = <double*>place(
        memory, (mixture.n_terms + n * (d + triangle) + 2) * sizeof(double))


cdef size_t totals_size(const Mixture* mixture) noexcept nogil:
    """Bytes of the totals of rows that lack the same."""
    cdef size_t d = mixture.n_features
    return (d + d * (d + 1) // 2) * component_vectors(mixture) * sizeof(vec)


cdef void find_gap_densities(Block* block, const Mixture* mixture) noexcept nogil:
    """Find the log-densities of rows that lack values."""
    mark_gaps(block, mixture)
    score_gaps(block, mixture)


cdef void find_gap_moments(Block* block, const Mixture* mixture, double* sums) noexcept nogil:
    """Add the moments of rows that lack values to the group's."""
    add_gap_moments(block, mixture, sums)


cdef void gather_rows(
    const Job* job, const Mixture* mixture, const Gaps* gaps, Py_ssize_t first, const int* rows,
    Py_ssize_t n_rows, const int* features, Py_ssize_t n_features,
) noexcept nogil:
    """Copy rows, counted from `first`, and what belongs to them, together.

    Of their values those of some features are copied, or all where `features` is NULL.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef size_t priors = mixture.n_terms * (
        sizeof(float) if job.told.single else sizeof(double))
    cdef real* out = gaps.rows
    cdef const real* row
    cdef Py_ssize_t s = 0
    cdef Py_ssize_t start, i
    while s < n_rows and features == NULL:
        start = s
        s += 1
        while s < n_rows and rows[s] == rows[s - 1] + 1:
            s += 1
        memcpy(out, job.X + (first + rows[start]) * d, (s - start) * d * sizeof(real))
        out += (s - start) * d
    for s in range(n_rows if features != NULL else 0):
        row = job.X + (first + rows[s]) * d
        for i in range(n_features):
            out[i] = row[features[i]]
        out += n_features
    for s in range(n_rows if job.sample_weight != NULL else 0):
        gaps.weights[s] = job.sample_weight[first + rows[s]]
    for s in range(n_rows if job.told.codes != NULL else 0):
        gaps.codes[s] = job.told.codes[first + rows[s]]
    for s in range(n_rows if job.told.priors != NULL else 0):
        memcpy(gaps.priors + s * priors,
               <const char*>job.told.priors + (first + rows[s]) * priors, priors)


cdef void hand_back(
    const Job* job, const Mixture* mixture, const Gaps* gaps, Py_ssize_t first, const int* rows,
    Py_ssize_t n_rows,
) noexcept nogil:
    """Copy what was found for rows that were gathered to where theirs belongs."""
    cdef Py_ssize_t n = mixture.n_terms if job.task in (LOG_DENSITY, RESPONSIBILITIES) else 1
    cdef Py_ssize_t s
    for s in range(n_rows if job.out != NULL else 0):
        memcpy(job.out + (first + rows[s]) * n, gaps.out + s * n, n * sizeof(real))
    for s in range(n_rows if job.labels != NULL else 0):
        job.labels[first + rows[s]] = gaps.labels[s]


cdef Job job_for_gathered(const Job* job, const Gaps* gaps) noexcept nogil:
    """The same job for rows that are gathered."""
    cdef Job part = job[0]
    part.X = gaps.rows
    part.labels = gaps.labels if job.labels != NULL else NULL
    part.out = gaps.out if job.out != NULL else NULL
    part.sample_weight = gaps.weights if job.sample_weight != NULL else NULL
    part.told.codes = gaps.codes if job.told.codes != NULL else NULL
    part.told.priors = gaps.priors if job.told.priors != NULL else NULL
    return part


cdef void do_gathered(
    const Job* job, const Mixture* mixture, const Mixture* margin, Block* block, const Gaps* gaps,
    Py_ssize_t first, const int* rows, Py_ssize_t n_rows, const int* features,
    Py_ssize_t block_rows, double* sums, Py_ssize_t width,
) noexcept nogil:
    """Do the job for rows, gathered block by block, under the mixture of what they have.

    This is `margin`, of some features, or `mixture` itself with `features` NULL.
    """
    cdef Job part = job_for_gathered(job, gaps)
    cdef Py_ssize_t start = 0
    block.x_stride = panel_features(margin) * VECTORS
    while start < n_rows:
        set_rows_of_block(block, min(block_rows, n_rows - start))
        gather_rows(
            job, mixture, gaps, first, rows + start, block.n_rows, features, margin.n_features)
        do_block(&part, margin, block, 0, sums, width)
        hand_back(job, mixture, gaps, first, rows + start, block.n_rows)
        start += block.n_rows


cdef void do_alike(
    const Job* job, const Mixture* mixture, Block* block, const Gaps* gaps, Pattern* pattern,
    Py_ssize_t first, const int* rows, Py_ssize_t n_rows, Py_ssize_t block_rows, double* sums,
    Py_ssize_t width,
) noexcept nogil:
    """Do the job for rows that lack the same."""
    cdef Mixture margin
    cdef bint moments = job.task == ACCUMULATE
    cdef double* own = pattern.own
    cdef Py_ssize_t n, i
    find_margin(
        job.X + (first + rows[0]) * mixture.n_features, mixture, moments, pattern, &margin)
    if not moments:
        do_gathered(job, mixture, &margin, block, gaps, first, rows, n_rows, pattern.there,
                    block_rows, sums, width)
        return
    n = n_moments(&margin)
    memset(own, 0, (n + 2) * sizeof(double))
    do_gathered(job, mixture, &margin, block, gaps, first, rows, n_rows, pattern.there,
                block_rows, own, n + 2)
    complete_moments(mixture, &margin, own, pattern)
    for i in range(mixture.n_terms):
        sums[i] += own[i]
    sums[width - 2] += own[n]
    sums[width - 1] += own[n + 1]
