"""From log-densities to responsibilities (log-sum-exp) or to the most probable component."""

from gaussmix._core.lanes cimport LOG_LOWEST, PANEL, VECTORS, real, splat, vec, where_greater
from gaussmix._core.layout cimport Block, Mixture
from gaussmix._core.vector_math cimport larger, vector_exp, vector_log


cdef inline void normalise(
    Block* block, const Mixture* mixture, const bint weighted
) noexcept nogil:
    """Replace `score` by responsibilities, times the rows' weights if wanted, and put the rows'
    log-likelihoods into `top`.

    The largest log-density is taken out first, so the sum of exponentials is at least 1. It is kept
    above LOG_LOWEST; a row impossible under all components, whose sum is 0, belongs to all alike:
    `share`, 0 for every other row.
    """
    cdef vec* score = block.score
    cdef vec largest[VECTORS]
    cdef vec total[VECTORS]
    cdef vec term[VECTORS]
    cdef vec scale, share, weight
    cdef vec equal_share = splat(<real>1 / <real>mixture.n_components)
    cdef Py_ssize_t p, k
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            largest[v] = splat(LOG_LOWEST)
            total[v] = splat(0)
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                largest[v] = larger(score[k * VECTORS + v], largest[v])
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                term[v] = score[k * VECTORS + v] - largest[v]
            vector_exp(term, VECTORS)
            for v in range(VECTORS):
                score[k * VECTORS + v] = term[v]
                total[v] += term[v]
        for v in range(VECTORS):
            weight = block.weight[p * VECTORS + v] if weighted else splat(1)
            share = larger(1 - total[v], splat(0)) * weight * equal_share
            total[v] = larger(total[v], splat(1))
            scale = weight / total[v]
            block.top[p * VECTORS + v] = largest[v]
            block.scratch[p * VECTORS + v] = total[v]
            for k in range(mixture.n_components):
                score[k * VECTORS + v] = score[k * VECTORS + v] * scale + share
        score += block.score_stride
    add_logs(block)


cdef inline void add_logs(Block* block) noexcept nogil:
    """Add the logarithms of the sums in the scratch to `top`."""
    cdef vec* total = block.scratch
    cdef Py_ssize_t p, i
    for p in range(block.n_panels // 2):
        vector_log(total + 2 * p * VECTORS, 2 * VECTORS)
    if block.n_panels % 2:
        vector_log(total + (block.n_panels - 1) * VECTORS, VECTORS)
    for i in range(block.n_panels * VECTORS):
        block.top[i] += total[i]


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
