"""The M-step's sums: weighted moments of a block of rows, added to a group's.

The left factor is centred on the component's present mean, w_ki = r_k (z_i - m_ki), and shared by
a tile of columns: raw_k[i, j] += w_ki z_j. The rest, sum(w_ki) m_kj, is taken off once per group.
Rounding then grows with spread / sigma, not with its square, at the price of one centring.

A group's sums are float64, flat: n_k (K), first (K, D), second (as the structure's factors, full
and tied with their upper triangles alone), then log-likelihood and weight.
"""

from gaussmix._core.lanes cimport (
    MOMENT_COLUMNS, MOMENT_COMPONENTS, MOMENT_TILE, VECTORS, real, splat, vec,
)
from gaussmix._core.layout cimport FULL, SPHERICAL, TIED, Block, Mixture, odd
from gaussmix._core.vector_math cimport lane_sum


cdef inline Py_ssize_t scratch_values(const Mixture* mixture) noexcept nogil:
    """Values of each row that a block's scratch has room for."""
    return max(odd(mixture.n_features + 1), <Py_ssize_t>MOMENT_COMPONENTS)


cdef inline void weigh(
    const int size, const Block* block, const Mixture* mixture, Py_ssize_t first, Py_ssize_t i
) noexcept nogil:
    """w_ki = r_k (x_i - m_ki) of a tile of components into the scratch, [panel][component]."""
    cdef const vec* x = block.x + i * VECTORS
    cdef const vec* score = block.score + first * VECTORS
    cdef const real* means = mixture.means + first * (mixture.n_features + 1) + i
    cdef vec* w = block.scratch
    cdef Py_ssize_t _
    cdef int k, v
    for _ in range(block.n_panels):
        for k in range(size):
            for v in range(VECTORS):
                w[k * VECTORS + v] = score[k * VECTORS + v] * (
                    x[v] - means[k * (mixture.n_features + 1)])
        x += block.x_stride
        score += block.score_stride
        w += size * VECTORS


cdef inline void moment_tile(
    const int size, const int columns, const Block* block, Py_ssize_t j, double* sums  # OUT
) noexcept nogil:
    """sum over the block's rows of w_k x_j for `size` components and `columns` columns from j."""
    cdef vec acc[MOMENT_TILE]
    cdef const vec* x = block.x + j * VECTORS
    cdef const vec* w = block.scratch
    cdef Py_ssize_t _
    cdef int k, c, v
    for k in range(size * columns):
        acc[k] = splat(0)
    for _ in range(block.n_panels):
        for v in range(VECTORS):
            for k in range(size):
                for c in range(columns):
                    acc[k * columns + c] += w[k * VECTORS + v] * x[c * VECTORS + v]
        x += block.x_stride
        w += size * VECTORS
    for k in range(size * columns):
        sums[k] = lane_sum(acc[k])


cdef inline void add_full_tile(
    const int size, const int columns, const Block* block, const Mixture* mixture,
    Py_ssize_t component, Py_ssize_t i, Py_ssize_t j, double* sums,
) noexcept nogil:
    """Add a tile's sums where they belong. Column D is the one of ones: w_ki times it sums to
    first, and row D of the triangle, where w_k is r_k itself, to n_k."""
    cdef Py_ssize_t d = mixture.n_features
    cdef double* n_k = sums
    cdef double* first = n_k + mixture.n_components
    cdef double* second = first + mixture.n_components * d
    cdef double tile[MOMENT_TILE]
    cdef Py_ssize_t k, column
    cdef int t, c
    moment_tile(size, columns, block, j, tile)
    for t in range(size):
        k = component + t
        for c in range(columns):
            column = j + c
            if column < d:
                second[(k * d + i) * d + column] += tile[t * columns + c]
            elif i < d:
                first[k * d + i] += tile[t * columns + c]
            else:
                n_k[k] += tile[t * columns + c]


cdef inline void full_components(
    const int size, const Block* block, const Mixture* mixture, Py_ssize_t component, double* sums
) noexcept nogil:
    """The triangle of moments, with the column of ones, of a tile of components."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t i, j
    for i in range(d + 1):
        weigh(size, block, mixture, component, i)
        j = i
        while j <= d:
            if d + 1 - j >= MOMENT_COLUMNS:
                add_full_tile(size, MOMENT_COLUMNS, block, mixture, component, i, j, sums)
                j += MOMENT_COLUMNS
            elif d + 1 - j >= 3:
                add_full_tile(size, 3, block, mixture, component, i, j, sums)
                j += 3
            elif d + 1 - j == 2:
                add_full_tile(size, 2, block, mixture, component, i, j, sums)
                j += 2
            else:
                add_full_tile(size, 1, block, mixture, component, i, j, sums)
                j += 1


cdef inline void full_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t left
    while k < mixture.n_components:
        left = mixture.n_components - k
        if left >= MOMENT_COMPONENTS:
            full_components(MOMENT_COMPONENTS, block, mixture, k, sums)
        elif left == 3:
            full_components(3, block, mixture, k, sums)
        elif left == 2:
            full_components(2, block, mixture, k, sums)
        else:
            full_components(1, block, mixture, k, sums)
        k += MOMENT_COMPONENTS


cdef inline void diag_column(
    const int size, const Block* block, const Mixture* mixture,
    Py_ssize_t component, Py_ssize_t j, double* first, double* second, Py_ssize_t second_stride,
) noexcept nogil:
    """Add sum of r_k (x_j - m_kj) to first, and of its product with (x_j - m_kj) to second."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const vec* x = block.x + j * VECTORS
    cdef const vec* score = block.score + component * VECTORS
    cdef const real* means = mixture.means + component * (d + 1) + j
    cdef vec ones[MOMENT_COMPONENTS]
    cdef vec squares[MOMENT_COMPONENTS]
    cdef vec deviation, weighted
    cdef Py_ssize_t _
    cdef int k, v
    for k in range(size):
        ones[k] = splat(0)
        squares[k] = splat(0)
    for _ in range(block.n_panels):
        for k in range(size):
            for v in range(VECTORS):
                deviation = x[v] - means[k * (d + 1)]
                weighted = score[k * VECTORS + v] * deviation
                ones[k] += weighted
                squares[k] += weighted * deviation
        x += block.x_stride
        score += block.score_stride
    for k in range(size):
        first[k * d] += lane_sum(ones[k])
        second[k * second_stride] += lane_sum(squares[k])


cdef inline void count(const Block* block, const Mixture* mixture, double* n_k) noexcept nogil:
    """Add the responsibilities themselves."""
    cdef const vec* score
    cdef vec total
    cdef Py_ssize_t _, k
    cdef int v
    for k in range(mixture.n_components):
        total = splat(0)
        score = block.score + k * VECTORS
        for _ in range(block.n_panels):
            for v in range(VECTORS):
                total += score[v]
            score += block.score_stride
        n_k[k] += lane_sum(total)


cdef inline void diag_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    cdef Py_ssize_t d = mixture.n_features
    cdef double* first = sums + mixture.n_components
    cdef double* second = first + mixture.n_components * d
    cdef Py_ssize_t row = 1 if mixture.form == SPHERICAL else d
    cdef Py_ssize_t column = 0 if mixture.form == SPHERICAL else 1
    cdef Py_ssize_t j, k
    cdef double* one
    cdef double* square
    count(block, mixture, sums)
    for j in range(d):
        k = 0
        while k < mixture.n_components:
            one = first + k * d + j
            square = second + k * row + j * column
            if mixture.n_components - k >= MOMENT_COMPONENTS:
                diag_column(MOMENT_COMPONENTS, block, mixture, k, j, one, square, row)
            elif mixture.n_components - k == 3:
                diag_column(3, block, mixture, k, j, one, square, row)
            elif mixture.n_components - k == 2:
                diag_column(2, block, mixture, k, j, one, square, row)
            else:
                diag_column(1, block, mixture, k, j, one, square, row)
            k += MOMENT_COMPONENTS


cdef inline void pooled_deviations(
    const Block* block, const Mixture* mixture, Py_ssize_t i, double* first
) noexcept nogil:
    """sum_k r_k (x_i - m_ki) of every row into the scratch, [panel]; its parts add to first.

    The very parts that are summed here must make up `first`, or what is taken off at the end
    would not match what was added.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t p, k
    cdef const vec* x
    cdef const vec* score
    cdef vec* pooled = block.scratch
    cdef vec weighted, total
    cdef int v
    for p in range(block.n_panels * VECTORS):
        pooled[p] = splat(0)
    for k in range(mixture.n_components):
        total = splat(0)
        x = block.x + i * VECTORS
        score = block.score + k * VECTORS
        for p in range(block.n_panels):
            for v in range(VECTORS):
                weighted = score[v] * (x[v] - mixture.means[k * (d + 1) + i])
                pooled[p * VECTORS + v] += weighted
                total += weighted
            x += block.x_stride
            score += block.score_stride
        first[k * d + i] += lane_sum(total)


cdef inline void tied_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    cdef Py_ssize_t d = mixture.n_features
    cdef double* first = sums + mixture.n_components
    cdef double* second = first + mixture.n_components * d
    cdef double tile[MOMENT_TILE]
    cdef Py_ssize_t i, j
    cdef int c
    count(block, mixture, sums)
    for i in range(d):
        pooled_deviations(block, mixture, i, first)
        j = i
        while j + MOMENT_COLUMNS <= d:
            moment_tile(1, MOMENT_COLUMNS, block, j, tile)
            for c in range(MOMENT_COLUMNS):
                second[i * d + j + c] += tile[c]
            j += MOMENT_COLUMNS
        while j < d:
            moment_tile(1, 1, block, j, tile)
            second[i * d + j] += tile[0]
            j += 1


cdef inline void add_totals(const Block* block, double* totals) noexcept nogil:
    """Add the weighted log-likelihood of the rows, which `top` holds, and their weight."""
    cdef vec log_likelihood = splat(0)
    cdef vec weight = splat(0)
    cdef Py_ssize_t p
    for p in range(block.n_panels * VECTORS):
        log_likelihood += block.weight[p] * block.top[p]
        weight += block.weight[p]
    totals[0] += lane_sum(log_likelihood)
    totals[1] += lane_sum(weight)


cdef inline void add_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    """Add a block's moments, its scores being responsibilities times weights, to a group's."""
    if mixture.form == FULL:
        full_moments(block, mixture, sums)
    elif mixture.form == TIED:
        tied_moments(block, mixture, sums)
    else:
        diag_moments(block, mixture, sums)


cdef inline void centre_moments(const Mixture* mixture, double* sums) noexcept nogil:
    """Turn a group's raw second moments into those about the means: take off first_ki m_kj."""
    cdef Py_ssize_t d = mixture.n_features
    cdef double* first = sums + mixture.n_components
    cdef double* second = first + mixture.n_components * d
    cdef Py_ssize_t i, j, k
    if mixture.form != FULL and mixture.form != TIED:
        return
    for k in range(mixture.n_components):
        for i in range(d):
            for j in range(i, d):
                second[i * d + j] -= first[k * d + i] * mixture.means[k * (d + 1) + j]
        if mixture.form == FULL:
            second += d * d


cdef inline void add_hard(
    const Block* block, const Mixture* mixture, const int* labels,
    const real* X, const double* sample_weight, double weight_unit, double* sums,
) noexcept nogil:
    """Add a block's counts and first moments with each row in its labelled component alone."""
    cdef Py_ssize_t d = mixture.n_features
    cdef double* first = sums + mixture.n_components
    cdef const real* mean
    cdef double weight
    cdef Py_ssize_t s, i, k
    for s in range(block.n_rows):
        k = labels[s]
        mean = mixture.means + k * (d + 1)
        weight = 1 if sample_weight == NULL else sample_weight[s] / weight_unit
        sums[k] += weight
        for i in range(d):
            first[k * d + i] += weight * ((X[s * d + i] - mixture.center[i]) - mean[i])
