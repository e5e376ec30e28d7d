"""Terms of the log-sum-exp beside the components, and what is told of rows: both change scores.

It is done between log-densities and log-sum-exp, panel by panel. Impossible terms get -inf.
"""

from libc.float cimport DBL_MIN, FLT_MIN
from libc.math cimport INFINITY

from gaussmix._core.lanes cimport (
    LANES, LN2, PANEL, VECTORS, gather, real, splat, vec, where_greater,
)
from gaussmix._core.layout cimport Block, Mixture
from gaussmix._core.vector_math cimport vector_log2

cdef struct Told:  # of all rows; `_core.told` says what it means
    const int* codes  # (N,), or NULL
    const int* owners  # (T,), the code that each term belongs to
    const void* priors  # (N, T), or NULL
    bint single  # whether priors are float32


cdef inline void add_noise(Block* block, const Mixture* mixture) noexcept nogil:
    """Set the score of the noise, the last term."""
    cdef vec* score = block.score + mixture.n_components * VECTORS
    cdef Py_ssize_t _
    cdef int v
    for _ in range(block.n_panels):
        for v in range(VECTORS):
            score[v] = splat(mixture.log_noise)
        score += block.score_stride


cdef inline void leave_owned(
    Block* block, const Mixture* mixture, const int* codes, const int* owners
) noexcept nogil:
    """Make every term impossible for a row that does not belong to the row's code."""
    cdef vec* score = block.score
    cdef vec code[VECTORS]
    cdef vec known[VECTORS]
    cdef vec owner, apart
    cdef real* lanes = <real*>code
    cdef Py_ssize_t p, k, s
    cdef int v
    for p in range(block.n_panels):
        for s in range(<Py_ssize_t>PANEL):
            lanes[s] = codes[s] if p * PANEL + s < block.n_rows else -1
        for v in range(VECTORS):
            known[v] = where_greater(splat(0), code[v], splat(0), splat(1))
        for k in range(mixture.n_terms):
            owner = splat(<real>owners[k])
            for v in range(VECTORS):
                apart = (code[v] - owner) * (code[v] - owner) * known[v]
                score[k * VECTORS + v] = where_greater(
                    apart, splat(0), splat(<real>-INFINITY), score[k * VECTORS + v])
        score += block.score_stride
        codes += PANEL


cdef inline void log2_of_priors(vec* x) noexcept nogil:
    """Replace VECTORS vectors, finite and >= 0, by their log2; it is -inf below normal numbers."""
    cdef vec least = splat(<real>(FLT_MIN if sizeof(real) == sizeof(float) else DBL_MIN))
    cdef vec log[VECTORS]
    cdef int v
    for v in range(VECTORS):
        log[v] = where_greater(splat(1), x[v], 1 / x[v], x[v])
    vector_log2(log, VECTORS)
    for v in range(VECTORS):
        log[v] = where_greater(splat(1), x[v], -log[v], log[v])
        x[v] = where_greater(least, x[v], splat(<real>-INFINITY), log[v])


cdef inline void multiply_priors(
    Block* block, const Mixture* mixture, const void* priors, const bint single, Py_ssize_t first
) noexcept nogil:
    """Add the logarithms of priors, those of the rows from `first`, to the scores."""
    cdef const double* doubles = <const double*>priors + first * mixture.n_terms
    cdef const float* floats = <const float*>priors + first * mixture.n_terms
    cdef const real* own = <const real*>priors + first * mixture.n_terms
    cdef real unit = <real>(LN2 / mixture.unit)
    cdef vec* score = block.score
    cdef vec log[VECTORS]
    cdef real* lanes = <real*>log
    cdef Py_ssize_t p, k, s, at, n_here
    cdef int v
    for p in range(block.n_panels):
        n_here = min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)
        for k in range(mixture.n_terms):
            at = p * PANEL * mixture.n_terms + k
            if n_here == PANEL and single == (sizeof(real) == sizeof(float)):
                for v in range(VECTORS):
                    log[v] = gather(
                        own + at + v * LANES * mixture.n_terms, mixture.n_terms)
            else:
                for s in range(<Py_ssize_t>PANEL):
                    if s >= n_here:
                        lanes[s] = 1
                    elif single:
                        lanes[s] = floats[at + s * mixture.n_terms]
                    else:
                        lanes[s] = <real>doubles[at + s * mixture.n_terms]
            log2_of_priors(log)
            for v in range(VECTORS):
                score[k * VECTORS + v] += log[v] * unit
        score += block.score_stride
