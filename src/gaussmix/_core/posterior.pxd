"""From log-densities to responsibilities (log-sum-exp) or to the most probable component.

Log-densities that become responsibilities are in units of ln 2: exponentials are powers of two.
"""

from gaussmix._core.lanes cimport (
    LANES, LN2, LOG_LOWEST, PANEL, VECTORS, maximum, real, splat, vec, where_equal,
    where_greater,
)
from gaussmix._core.layout cimport Block, Mixture
from gaussmix._core.vector_math cimport vector_exp2, vector_log2


cdef enum:
    LOG_FACTORS = 16  # sums at most whose product takes one logarithm
    EXPONENT_RANGE = 126  # 2 to this power is finite in any precision


cdef inline vec lowest() noexcept nogil:
    """LOG_LOWEST in units of ln 2."""
    return splat(<real>(LOG_LOWEST / LN2))


cdef inline void normalise(
    const bint responsibilities, Block* block, const Mixture* mixture
) noexcept nogil:
    """Replace `score` by responsibilities times the rows' weights, if these are wanted.

    If they are not, `score` is of no use any more. A row's log-likelihood is `row_max` plus the
    logarithm of what the scratch holds.

    The largest log-density is taken out first, so the sum of exponentials is at least 1. It is kept
    above `lowest`. A row that is impossible under all components has the sum 0, and belongs to all
    alike: `share` is its weight / T, and 0 for every other row.
    """
    cdef vec* score = block.score
    cdef vec largest[VECTORS]
    cdef vec total[VECTORS]
    cdef vec term[VECTORS]
    cdef vec scale[VECTORS]
    cdef vec share[VECTORS]
    cdef vec weight
    cdef vec equal_share = splat(<real>1 / <real>mixture.n_terms)
    cdef Py_ssize_t p, k
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            largest[v] = lowest()
            total[v] = splat(0)
        for k in range(mixture.n_terms):
            for v in range(VECTORS):
                largest[v] = maximum(score[k * VECTORS + v], largest[v])
        for k in range(mixture.n_terms):
            for v in range(VECTORS):
                term[v] = score[k * VECTORS + v] - largest[v]
            vector_exp2(term, VECTORS)
            for v in range(VECTORS):
                if responsibilities:
                    score[k * VECTORS + v] = term[v]
                total[v] += term[v]
        for v in range(VECTORS):
            weight = block.weight[p * VECTORS + v]
            share[v] = maximum(1 - total[v], splat(0)) * weight * equal_share
            total[v] = maximum(total[v], splat(1))
            scale[v] = weight / total[v]
            block.row_max[p * VECTORS + v] = largest[v]
            block.scratch[p * VECTORS + v] = total[v]
        for k in range(mixture.n_terms if responsibilities else 0):
            for v in range(VECTORS):
                score[k * VECTORS + v] = score[k * VECTORS + v] * scale[v] + share[v]
        score += block.score_stride


cdef inline void normalise_one(Block* block) noexcept nogil:
    """`normalise` for one component, to which every row belongs."""
    cdef vec* score = block.score
    cdef Py_ssize_t p
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            block.row_max[p * VECTORS + v] = maximum(score[v], lowest())
            block.scratch[p * VECTORS + v] = splat(1)
            score[v] = block.weight[p * VECTORS + v]
        score += block.score_stride


cdef inline void normalise_two(Block* block) noexcept nogil:
    """`normalise` for two components; the more probable one's exponential is 1."""
    cdef vec* score = block.score
    cdef vec first[VECTORS]
    cdef vec second[VECTORS]
    cdef vec term[VECTORS]
    cdef vec scale
    cdef Py_ssize_t p
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            first[v] = maximum(score[v], lowest())
            second[v] = maximum(score[VECTORS + v], lowest())
            term[v] = -maximum(first[v] - second[v], second[v] - first[v])
        vector_exp2(term, VECTORS)
        for v in range(VECTORS):
            scale = block.weight[p * VECTORS + v] / (1 + term[v])
            block.row_max[p * VECTORS + v] = maximum(first[v], second[v])
            block.scratch[p * VECTORS + v] = 1 + term[v]
            term[v] = term[v] * scale
            score[v] = where_greater(second[v], first[v], term[v], scale)
            score[VECTORS + v] = where_greater(second[v], first[v], scale, term[v])
        score += block.score_stride


cdef inline void add_log_sums(Block* block) noexcept nogil:
    """Add the logarithms of the sums in the scratch to `row_max`."""
    cdef vec* total = block.scratch
    cdef Py_ssize_t p, i
    for p in range(block.n_panels):
        vector_log2(total + p * VECTORS, VECTORS)
    for i in range(block.n_panels * VECTORS):
        block.row_max[i] += total[i]


cdef inline Py_ssize_t n_factors(Py_ssize_t n_terms) noexcept nogil:
    """How many sums, each at most T, have a finite product."""
    cdef Py_ssize_t bits = 1
    while n_terms >> bits:
        bits += 1
    return max(min(<Py_ssize_t>LOG_FACTORS, EXPONENT_RANGE // bits), <Py_ssize_t>1)


cdef inline void add_log_products(Block* block, const Mixture* mixture) noexcept nogil:
    """Add logarithms as `add_log_sums` does, where only their total over the rows is wanted.

    The rows' weights are 1 or 0. A logarithm is that of a product over several rows, and goes to
    the first of them.
    """
    cdef Py_ssize_t factors = n_factors(mixture.n_terms)
    cdef const vec* weight = block.weight
    cdef const vec* total = block.scratch
    cdef vec product[VECTORS]
    cdef Py_ssize_t p = 0
    cdef Py_ssize_t i
    cdef int v
    while p < block.n_panels:
        for v in range(VECTORS):
            product[v] = splat(1)
        for i in range(p, min(p + factors, block.n_panels)):
            for v in range(VECTORS):
                product[v] *= 1 + weight[i * VECTORS + v] * (total[i * VECTORS + v] - 1)
        vector_log2(product, VECTORS)
        for v in range(VECTORS):
            block.row_max[p * VECTORS + v] += product[v]
        p += factors


cdef inline void one_hot(Block* block, const Mixture* mixture, const int* labels) noexcept nogil:
    """Set `score` to a row's weight for the component of its label, and to 0 for all others.

    The rows' log-likelihoods are set to 0.
    """
    cdef real* score = <real*>block.score
    cdef const real* weight = <const real*>block.weight
    cdef Py_ssize_t p, i, s
    for p in range(block.n_panels):
        for i in range(mixture.n_terms * PANEL):
            score[i] = 0
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            if 0 <= labels[s] < mixture.n_terms:
                score[labels[s] * PANEL + s] = weight[s]
        for i in range(VECTORS):
            block.row_max[p * VECTORS + i] = splat(0)
        score += block.score_stride * LANES
        weight += PANEL
        labels += PANEL


cdef inline void find_argmax(
    const bint responsibilities, Block* block, const Mixture* mixture, int* labels
) noexcept nogil:
    """Find the most probable component of each row, the first of equals, for `labels`.

    Its log-density, kept above LOG_LOWEST, goes to `row_max`. If responsibilities are wanted,
    `score` becomes the row's weight for this component, and 0 for all others.
    """
    cdef vec* score = block.score
    cdef vec best[VECTORS]
    cdef vec winner[VECTORS]
    cdef vec larger
    cdef Py_ssize_t p, k, s
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            best[v] = splat(LOG_LOWEST)
            winner[v] = splat(0)
        for k in range(mixture.n_terms):
            for v in range(VECTORS):
                larger = maximum(score[k * VECTORS + v], best[v])
                winner[v] = where_equal(larger, best[v], winner[v], splat(<real>k))
                best[v] = larger
        for v in range(VECTORS):
            block.row_max[p * VECTORS + v] = best[v]
        for k in range(mixture.n_terms if responsibilities else 0):
            for v in range(VECTORS):
                score[k * VECTORS + v] = where_equal(
                    winner[v], splat(<real>k), block.weight[p * VECTORS + v], splat(0))
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            labels[p * PANEL + s] = <int>(<real*>winner)[s]
        score += block.score_stride
