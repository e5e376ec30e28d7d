"""From log-densities to responsibilities (log-sum-exp) or to the most probable component.

Log-densities that become responsibilities are in units of ln 2: exponentials are powers of two.
"""

from gaussmix._core.lanes cimport (
    LANES, LN2, LOG_LOWEST, PANEL, VECTORS, larger, real, splat, vec, where_greater,
)
from gaussmix._core.layout cimport Block, Mixture
from gaussmix._core.vector_math cimport vector_exp2, vector_log2


cdef enum:
    FACTORS = 16  # at most, sums whose product has one logarithm
    RANGE = 126  # a power of two that any precision has


cdef inline vec lowest() noexcept nogil:
    return splat(<real>(LOG_LOWEST / LN2))


cdef inline void normalise(
    const bint responsibilities, Block* block, const Mixture* mixture
) noexcept nogil:
    """Replace `score` by responsibilities times the rows' weights, or by nothing of use if they are
    not wanted. A row's log-likelihood is what `top` holds and the logarithm of what the scratch
    holds.

    The largest log-density is taken out first, so the sum of exponentials is at least 1. It is kept
    above `lowest`; a row impossible under all components, whose sum is 0, belongs to all alike:
    `share`, 0 for every other row.
    """
    cdef vec* score = block.score
    cdef vec largest[VECTORS]
    cdef vec total[VECTORS]
    cdef vec term[VECTORS]
    cdef vec scale[VECTORS]
    cdef vec share[VECTORS]
    cdef vec weight
    cdef vec equal_share = splat(<real>1 / <real>mixture.n_components)
    cdef Py_ssize_t p, k
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            largest[v] = lowest()
            total[v] = splat(0)
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                largest[v] = larger(score[k * VECTORS + v], largest[v])
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                term[v] = score[k * VECTORS + v] - largest[v]
            vector_exp2(term, VECTORS)
            for v in range(VECTORS):
                if responsibilities:
                    score[k * VECTORS + v] = term[v]
                total[v] += term[v]
        for v in range(VECTORS):
            weight = block.weight[p * VECTORS + v]
            share[v] = larger(1 - total[v], splat(0)) * weight * equal_share
            total[v] = larger(total[v], splat(1))
            scale[v] = weight / total[v]
            block.top[p * VECTORS + v] = largest[v]
            block.scratch[p * VECTORS + v] = total[v]
        for k in range(mixture.n_components if responsibilities else 0):
            for v in range(VECTORS):
                score[k * VECTORS + v] = score[k * VECTORS + v] * scale[v] + share[v]
        score += block.score_stride


cdef inline void normalise_one(Block* block) noexcept nogil:
    """`normalise` for one component, to which everything belongs."""
    cdef vec* score = block.score
    cdef Py_ssize_t p
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            block.top[p * VECTORS + v] = larger(score[v], lowest())
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
            first[v] = larger(score[v], lowest())
            second[v] = larger(score[VECTORS + v], lowest())
            term[v] = -larger(first[v] - second[v], second[v] - first[v])
        vector_exp2(term, VECTORS)
        for v in range(VECTORS):
            scale = block.weight[p * VECTORS + v] / (1 + term[v])
            block.top[p * VECTORS + v] = larger(first[v], second[v])
            block.scratch[p * VECTORS + v] = 1 + term[v]
            term[v] = term[v] * scale
            score[v] = where_greater(second[v], first[v], term[v], scale)
            score[VECTORS + v] = where_greater(second[v], first[v], scale, term[v])
        score += block.score_stride


cdef inline void add_logs(Block* block) noexcept nogil:
    """Add the logarithms of the sums in the scratch to `top`."""
    cdef vec* total = block.scratch
    cdef Py_ssize_t p, i
    for p in range(block.n_panels):
        vector_log2(total + p * VECTORS, VECTORS)
    for i in range(block.n_panels * VECTORS):
        block.top[i] += total[i]


cdef inline Py_ssize_t n_factors(Py_ssize_t n_components) noexcept nogil:
    """Sums, each at most K, whose product is no infinity."""
    cdef Py_ssize_t bits = 1
    while n_components >> bits:
        bits += 1
    return max(min(<Py_ssize_t>FACTORS, RANGE // bits), <Py_ssize_t>1)


cdef inline void add_logs_at_once(Block* block, const Mixture* mixture) noexcept nogil:
    """The same where only their total over the rows, of weight 1 or 0, is wanted: the logarithm of
    a product goes to the first of its rows."""
    cdef Py_ssize_t factors = n_factors(mixture.n_components)
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
            block.top[p * VECTORS + v] += product[v]
        p += factors


cdef inline void follow(Block* block, const Mixture* mixture, const int* labels) noexcept nogil:
    """Replace `score` by the rows' weights where their labels say, else by 0; no row has a
    log-likelihood."""
    cdef real* score = <real*>block.score
    cdef const real* weight = <const real*>block.weight
    cdef Py_ssize_t p, i, s
    for p in range(block.n_panels):
        for i in range(mixture.n_components * PANEL):
            score[i] = 0
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            if 0 <= labels[s] < mixture.n_components:
                score[labels[s] * PANEL + s] = weight[s]
        for i in range(VECTORS):
            block.top[p * VECTORS + i] = splat(0)
        score += block.score_stride * LANES
        weight += PANEL
        labels += PANEL


cdef inline void find_best(Block* block, const Mixture* mixture, int* labels) noexcept nogil:
    """The most probable component of each row into `labels`, the first of equals, and its
    log-density, kept above LOG_LOWEST, into `top`."""
    cdef vec* score = block.score
    cdef vec best[VECTORS]
    cdef vec winner[VECTORS]
    cdef vec term
    cdef Py_ssize_t p, k, s
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            best[v] = splat(LOG_LOWEST)
            winner[v] = splat(0)
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                term = score[k * VECTORS + v]
                winner[v] = where_greater(term, best[v], splat(<real>k), winner[v])
                best[v] = larger(term, best[v])
        for v in range(VECTORS):
            block.top[p * VECTORS + v] = best[v]
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            labels[p * PANEL + s] = <int>(<real*>winner)[s]
        score += block.score_stride
