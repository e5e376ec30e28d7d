"""Rows that lack values: how likely they are, what they say of a component's mean and spread.

`margins` has the formulas. A row is filled in for each component with the values that are most
probable given those that it has. With these it has the marginal's quadratic form, since they are
the least squares, to second order of their error. They are also what the M-step sums, together with
the conditional covariance of what was filled in (Ghahramani & Jordan, 1994).

Rows are lanes, as everywhere. Each lacks other features, so what is gathered for a panel goes lane
by lane, and lists of features are filled up with feature D, which no row has.
"""

from libc.math cimport INFINITY

from gaussmix._core.arrays cimport DIAG, FULL, SPHERICAL, TIED
from gaussmix._core.lanes cimport LN2, PANEL, VECTORS, real, splat, vec, where_greater
from gaussmix._core.layout cimport Block, Gaps, Margins, Mixture, make_odd, tile_size
from gaussmix._core.moments cimport (
    diag_components, full_components, moments_per_component, sum_responsibilities,
)
from gaussmix._core.triangles cimport (
    add_multiple, factorise, invert, log_pivots, multiply, multiply_row, solve, whiten,
)
from gaussmix._core.vector_math cimport lane_sum


cdef inline bint has_matrices(const Mixture* mixture) noexcept nogil:
    """Whether covariances are matrices."""
    return mixture.structure == FULL or mixture.structure == TIED


cdef inline bint lacks_values(const real* X, Py_ssize_t n) noexcept nogil:
    """Whether any of n numbers is NaN."""
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        found |= X[i] != X[i]
    return found


cdef inline void mark_gaps(Block* block, const Mixture* mixture) noexcept nogil:
    """Set x to 0 where a value is lacking, and list which are."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Gaps* gaps = block.gaps
    cdef vec* x
    cdef vec* seen
    cdef const real* lanes
    cdef int* index
    cdef int n[PANEL]
    cdef vec value
    cdef Py_ssize_t p, i, s
    cdef int v, most
    cdef bint alike
    for p in range(block.n_panels):
        x = block.x + p * block.x_stride
        seen = gaps.seen + p * d * VECTORS
        index = gaps.index + p * (d + 1) * PANEL
        for s in range(PANEL):
            n[s] = 0
        for i in range(d):
            for v in range(VECTORS):  # no comparison with NaN is true
                value = x[i * VECTORS + v]
                x[i * VECTORS + v] = where_greater(value, splat(-INFINITY), value, splat(0))
                seen[i * VECTORS + v] = where_greater(
                    value, splat(-INFINITY), splat(1), splat(0))
            lanes = <const real*>(seen + i * VECTORS)
            for s in range(PANEL):
                index[n[s] * PANEL + s] = <int>i
                n[s] += 1 - <int>lanes[s]
        most = 0
        for s in range(PANEL):
            most = max(most, n[s])
        for s in range(PANEL):
            for i in range(n[s], most):
                index[i * PANEL + s] = <int>d
        gaps.n_slots[p] = most
        alike = True
        for i in range(most):
            for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
                alike = alike and index[i * PANEL + s] == index[i * PANEL]
        gaps.alike[p] = alike


cdef inline void gather_slot(
    const int* index, bint alike, const real* values, vec* out
) noexcept nogil:
    """Take a value for each lane, of the feature that its row lacks."""
    cdef real* lanes = <real*>out
    cdef int s, v
    if alike:
        for v in range(VECTORS):
            out[v] = splat(values[index[0]])
        return
    for s in range(PANEL):
        lanes[s] = values[index[s]]


cdef inline void deviate(
    const Py_ssize_t d, const vec* x, const vec* seen, const real* mean, vec* out
) noexcept nogil:
    """Find a panel's deviations from a mean, 0 where a value is lacking."""
    cdef Py_ssize_t i
    cdef int v
    for i in range(d):
        for v in range(VECTORS):
            out[i * VECTORS + v] = (x[i * VECTORS + v] - mean[i]) * seen[i * VECTORS + v]


cdef inline void fill(
    Py_ssize_t n_slots, const int* index, bint alike, const vec* moved, vec* out
) noexcept nogil:
    """Put what gaps are filled with where they are."""
    cdef const real* values = <const real*>moved
    cdef real* lanes = <real*>out
    cdef Py_ssize_t a
    cdef int s, v
    for a in range(n_slots):
        if alike:
            for v in range(VECTORS):
                out[index[a * PANEL] * VECTORS + v] = moved[a * VECTORS + v]
            continue
        for s in range(PANEL):
            lanes[index[a * PANEL + s] * PANEL + s] = values[a * PANEL + s]


cdef inline const real* of_component(
    const Mixture* mixture, const real* matrices, Py_ssize_t size, Py_ssize_t k
) noexcept nogil:
    """Component k's matrix, of which each has `size` numbers; all share the tied one."""
    return matrices + (k * size if mixture.structure == FULL else 0)


cdef inline vec* moves_of(
    const Block* block, const Mixture* mixture, Py_ssize_t k, Py_ssize_t p
) noexcept nogil:
    """Where lies what a panel's gaps are filled with for component k."""
    return block.gaps.moved + (k * block.n_panels + p) * (mixture.n_features + 1) * VECTORS


cdef inline void score_panel(
    Block* block, const Mixture* mixture, Py_ssize_t k, Py_ssize_t p
) noexcept nogil:
    """Find a panel's log-densities under component k whose covariance is a matrix."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const Margins* margins = mixture.margins
    cdef Py_ssize_t width = margins.width
    cdef Gaps* gaps = block.gaps
    cdef const real* u = of_component(mixture, margins.factors, width * width, k)
    cdef const real* precisions = of_component(
        mixture, margins.precisions, (d + 1) * (d + 1), k)
    cdef const int* index = gaps.index + p * (d + 1) * PANEL
    cdef Py_ssize_t n = gaps.n_slots[p]
    cdef bint alike = gaps.alike[p]
    cdef vec* moved = moves_of(block, mixture, k, p)
    cdef vec* x = gaps.filled
    cdef vec q[VECTORS]
    cdef vec logs[VECTORS]
    cdef vec taken[VECTORS]
    cdef real* lanes
    cdef const real* gradient = <const real*>gaps.gradient
    cdef Py_ssize_t i, a
    cdef int s, v
    deviate(d, block.x + p * block.x_stride, gaps.seen + p * d * VECTORS,
            mixture.means + k * (d + 1), x)
    for i in range(d * VECTORS, width * VECTORS):
        x[i] = splat(0)
    whiten(width, u, x, gaps.whitened)
    if alike:
        for a in range(n):
            i = index[a * PANEL]
            multiply_row(i, d, u + i * width, gaps.whitened, gaps.gradient + i * VECTORS)
    else:
        multiply(width, u, gaps.whitened, gaps.gradient)
    factorise(n, d, index, alike, precisions, gaps.lower)
    log_pivots(n, gaps.lower, logs)
    for v in range(VECTORS):
        logs[v] = logs[v] * <real>(LN2 / mixture.unit) + mixture.log_scales[k]
    for a in range(n):
        lanes = <real*>(moved + a * VECTORS)
        for s in range(PANEL if not alike else 0):
            lanes[s] = -gradient[index[a * PANEL + s] * PANEL + s]
        for v in range(VECTORS if alike else 0):
            moved[a * VECTORS + v] = -gaps.gradient[index[a * PANEL] * VECTORS + v]
        gather_slot(index + a * PANEL, alike, margins.inverse_roots + k * (d + 1), taken)
        for v in range(VECTORS):
            moved[a * VECTORS + v] = moved[a * VECTORS + v] * taken[v]
    solve(n, gaps.lower, moved)
    for a in range(n):
        gather_slot(index + a * PANEL, alike, margins.inverse_roots + k * (d + 1), taken)
        for v in range(VECTORS):
            moved[a * VECTORS + v] = moved[a * VECTORS + v] * taken[v]
        gather_slot(index + a * PANEL, alike, margins.log_scales + k * (d + 1), taken)
        for v in range(VECTORS):
            logs[v] += taken[v]
    if alike:
        for a in range(n):
            i = index[a * PANEL]
            add_multiple(i, d, u + i * width, moved + a * VECTORS, gaps.whitened)
    else:
        fill(n, index, alike, moved, x)
        whiten(width, u, x, gaps.whitened)
    for v in range(VECTORS):
        q[v] = splat(0)
    for i in range(d):
        for v in range(VECTORS):
            q[v] += gaps.whitened[i * VECTORS + v] * gaps.whitened[i * VECTORS + v]
    for v in range(VECTORS):
        block.score[p * block.score_stride + k * VECTORS + v] = (
            logs[v] - <real>(0.5 / mixture.unit) * q[v])


cdef inline void score_features(
    Block* block, const Mixture* mixture, Py_ssize_t k, Py_ssize_t p
) noexcept nogil:
    """Find a panel's log-densities under component k whose covariance has variances alone."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* inverse_roots = mixture.margins.inverse_roots + k * (d + 1)
    cdef const real* log_scales = mixture.margins.log_scales + k * (d + 1)
    cdef const real* mean = mixture.means + k * (d + 1)
    cdef const vec* x = block.x + p * block.x_stride
    cdef const vec* seen = block.gaps.seen + p * d * VECTORS
    cdef vec q[VECTORS]
    cdef vec logs[VECTORS]
    cdef vec y
    cdef real root
    cdef Py_ssize_t i
    cdef int v
    for v in range(VECTORS):
        q[v], logs[v] = splat(0), splat(mixture.log_scales[k])
    for i in range(d):
        root = 1 / inverse_roots[i]
        for v in range(VECTORS):
            y = (x[i * VECTORS + v] - mean[i]) * (root * seen[i * VECTORS + v])
            q[v] += y * y
            logs[v] += (1 - seen[i * VECTORS + v]) * log_scales[i]
    for v in range(VECTORS):
        block.score[p * block.score_stride + k * VECTORS + v] = (
            logs[v] - <real>(0.5 / mixture.unit) * q[v])


cdef inline void score_gaps(Block* block, const Mixture* mixture) noexcept nogil:
    """Find the log-densities of rows that lack values; without any these are the log-weights."""
    cdef Py_ssize_t d = mixture.n_features
    cdef real* score
    cdef Py_ssize_t k, p, s
    for k in range(mixture.n_components):
        for p in range(block.n_panels):
            if has_matrices(mixture):
                score_panel(block, mixture, k, p)
            else:
                score_features(block, mixture, k, p)
    for p in range(block.n_panels):
        if block.gaps.n_slots[p] < d:
            continue
        score = <real*>(block.score + p * block.score_stride)
        for s in range(PANEL):
            if block.gaps.index[(p * (d + 1) + d - 1) * PANEL + s] == d - 1:
                for k in range(mixture.n_components):
                    score[k * PANEL + s] = mixture.margins.log_weights[k]


cdef inline Py_ssize_t sums_of_component(const Mixture* mixture) noexcept nogil:
    """Sums of a component in a group's for rows that lack values: those of a tile of one."""
    cdef Py_ssize_t d = mixture.n_features
    if has_matrices(mixture):
        return d + d * (d + 1) // 2
    return moments_per_component(mixture)


cdef inline Py_ssize_t place_of(
    const Py_ssize_t i, const Py_ssize_t j, const Py_ssize_t d
) noexcept nogil:
    """Where the second moment of features i <= j lies: rows of a triangle end with the first."""
    return i * (d + 1) - ((i * (i - 1)) >> 1) + j - i


cdef inline void add_conditional(
    Block* block, const Mixture* mixture, Py_ssize_t k, Py_ssize_t p, double* sums
) noexcept nogil:
    """Add the conditional covariances of what a panel's rows lack, times responsibilities."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Gaps* gaps = block.gaps
    cdef Py_ssize_t n = gaps.n_slots[p]
    cdef const int* index = gaps.index + p * (d + 1) * PANEL
    cdef const real* inverse_roots = mixture.margins.inverse_roots + k * (d + 1)
    cdef const real* precisions = of_component(
        mixture, mixture.margins.precisions, (d + 1) * (d + 1), k)
    cdef const vec* score = block.score + p * block.score_stride + k * VECTORS
    cdef vec covariance[VECTORS]
    cdef const real* lanes = <const real*>&covariance[0]
    cdef double total
    cdef Py_ssize_t a, b, c, i, j
    cdef int start[PANEL]
    cdef int s, v
    factorise(n, d, index, gaps.alike[p], precisions, gaps.lower)
    for a in range(n):
        gather_slot(index + a * PANEL, gaps.alike[p], inverse_roots, gaps.gradient + a * VECTORS)
    invert(n, gaps.lower, gaps.gradient, gaps.inverse)
    for a in range(n):
        for s in range(PANEL):
            i = index[a * PANEL + s]
            start[s] = <int>(place_of(i, 0, d))
        for b in range(a, n):
            for v in range(VECTORS):
                covariance[v] = splat(0)
            for c in range(b, n):
                for v in range(VECTORS):
                    covariance[v] += (gaps.inverse[(c * (c + 1) // 2 + a) * VECTORS + v]
                                      * gaps.inverse[(c * (c + 1) // 2 + b) * VECTORS + v])
            for v in range(VECTORS):
                covariance[v] = covariance[v] * score[v]
            if gaps.alike[p]:
                i, j = index[a * PANEL], index[b * PANEL]
                total = 0
                for v in range(VECTORS):
                    total += lane_sum(covariance[v])
                sums[place_of(i, j, d)] += total
                continue
            for s in range(PANEL):
                j = index[b * PANEL + s]
                if j < d:
                    sums[start[s] + j] += lanes[s]


cdef inline void add_variances(
    const Block* block, const Mixture* mixture, Py_ssize_t k, double* sums
) noexcept nogil:
    """Add the variances of what the block's rows lack, times responsibilities."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* inverse_roots = mixture.margins.inverse_roots + k * (d + 1)
    cdef const vec* score
    cdef const vec* seen
    cdef vec total
    cdef Py_ssize_t i, p
    cdef int v
    for i in range(d):
        total = splat(0)
        for p in range(block.n_panels):
            score = block.score + p * block.score_stride + k * VECTORS
            seen = block.gaps.seen + (p * d + i) * VECTORS
            for v in range(VECTORS):
                total += score[v] * (1 - seen[v])
        sums[2 * i + 1 if mixture.structure == DIAG else d] += (
            lane_sum(total) * inverse_roots[i] * inverse_roots[i])


cdef inline void add_gap_moments(
    Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    """Add a block's moments about the means to `gaps.sums`, and its responsibilities to n_k.

    Each component has a block of its own, of the rows as they were filled in for it.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef Gaps* gaps = block.gaps
    cdef double* own = gaps.sums
    cdef Block part = block[0]
    cdef Mixture one = mixture[0]
    cdef vec* x
    cdef Py_ssize_t k, p
    cdef int v
    part.x, part.x_stride = gaps.filled, make_odd(d + 1) * VECTORS
    one.n_components, one.means = 1, mixture.margins.origin
    for k in range(mixture.n_components):
        part.score = block.score + k * VECTORS
        for p in range(block.n_panels):
            x = part.x + p * part.x_stride
            deviate(d, block.x + p * block.x_stride, gaps.seen + p * d * VECTORS,
                    mixture.means + k * (d + 1), x)
            if has_matrices(mixture):
                fill(gaps.n_slots[p], gaps.index + p * (d + 1) * PANEL, gaps.alike[p],
                     moves_of(block, mixture, k, p), x)
            for v in range(VECTORS):
                x[d * VECTORS + v] = splat(1)
        sum_responsibilities(1, &part, 0, sums + k)
        if has_matrices(mixture):
            full_components(1, &part, &one, 0, own)
            for p in range(block.n_panels):
                add_conditional(block, mixture, k, p, own)
        else:
            diag_components(1, mixture.structure == SPHERICAL, &part, &one, 0, own)
            add_variances(block, mixture, k, own)
        own += sums_of_component(mixture)


cdef inline void fold_gaps(const Mixture* mixture, const double* own, double* sums) noexcept nogil:
    """Add the sums of rows that lack values to the group's, tile by tile."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n = sums_of_component(mixture)
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t i, j, size
    sums += mixture.n_terms
    while k < mixture.n_components and mixture.structure != TIED:
        size = tile_size(mixture.n_components - k)
        for j in range(size):
            for i in range(n):
                sums[i * size + j] += own[i]
            own += n
        sums += size * n
        k += size
    while k < mixture.n_components:
        for i in range(d):
            for j in range(i, d):
                sums[mixture.n_components * d + i * d + j] += own[j - i]
            sums[k * d + i] += own[d - i]
            own += d - i + 1
        k += 1
