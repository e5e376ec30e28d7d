"""From log-densities to responsibilities (log-sum-exp) or to the most probable component."""

from gaussmix._core.lanes cimport LOG_LOWEST, PANEL, VECTORS, real, splat, vec, where_greater
from gaussmix._core.layout cimport Block, Mixture
from gaussmix._core.vector_math cimport vector_exp, vector_log


cdef inline void normalise(
    Block* block, const Mixture* mixture, const bint weighted
) noexcept nogil:
    """Replace `score` by responsibilities, times the rows' weights if wanted, and put the rows'
    log-likelihoods into `top`.

    The largest log-density is taken out first, so the sum of exponentials is at least 1. Values
    are kept above LOG_LOWEST: a row impossible under all components belongs to all alike.
    """
    cdef vec* score = block.score
    cdef vec largest[VECTORS]
    cdef vec total[VECTORS]
    cdef vec term
    cdef Py_ssize_t p, k
    cdef int v
    for p in range(block.n_panels):
        for v in range(VECTORS):
            largest[v] = splat(LOG_LOWEST)
            total[v] = splat(0)
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                term = score[k * VECTORS + v]
                largest[v] = where_greater(term, largest[v], term, largest[v])
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                term = score[k * VECTORS + v]
                term = where_greater(term, splat(LOG_LOWEST), term, splat(LOG_LOWEST))
                term = vector_exp(term - largest[v])
                score[k * VECTORS + v] = term
                total[v] += term
        for v in range(VECTORS):
            block.top[p * VECTORS + v] = largest[v] + vector_log(total[v])
            total[v] = 1 / total[v]
            if weighted:
                total[v] *= block.weight[p * VECTORS + v]
        for k in range(mixture.n_components):
            for v in range(VECTORS):
                score[k * VECTORS + v] *= total[v]
        score += block.score_stride


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
                best[v] = where_greater(term, best[v], term, best[v])
        for v in range(VECTORS):
            block.top[p * VECTORS + v] = best[v]
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            labels[p * PANEL + s] = <int>(<real*>winner)[s]
        score += block.score_stride
