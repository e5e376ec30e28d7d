"""How a block of rows and a mixture's constants lie in memory.

Samples are lanes: rows are copied, centred, into panels of PANEL samples, feature by feature,

    x[panel][feature][vector][lane],

so that every inner loop runs over samples. A feature of ones follows the last one: moments with
it are the sums of lower order. The scores (log-densities, then responsibilities) of a panel lie
the same way, score[panel][component][vector][lane]. Strides are odd numbers of vectors, or
equal features of all panels would fall into one set of the cache.
"""

from gaussmix._core.lanes cimport PANEL, VECTORS, real, vec

cdef enum Form:  # of the factors
    FULL  # a triangle per component
    TIED  # one triangle: rows are rotated by it first, then all is as DIAG with factors 1
    DIAG  # a number per component and feature
    SPHERICAL  # as DIAG, second moments summed over features

cdef struct Mixture:
    Form form
    Py_ssize_t n_components
    Py_ssize_t n_features
    const double* center  # (D,)
    const real* means  # (K, D + 1) relative to the centre, the last 0
    const real* factors  # packed as the density's tiles read them
    const real* offsets  # U_k' means_k, packed likewise
    const real* rotation  # (D, D), the tied factor
    const real* log_scales  # (K,)

cdef struct Block:  # of rows, and the workspace of one thread
    Py_ssize_t n_rows  # samples, of which the last panel may have fewer than it holds
    Py_ssize_t n_panels
    Py_ssize_t x_stride  # vectors from panel to panel
    Py_ssize_t score_stride
    vec* x
    vec* score
    vec* weight  # [panel][vector], in units of the job's, 0 beyond the last row
    vec* top  # [panel][vector]: a row's largest log-density, then its log-likelihood
    vec* scratch  # room for `scratch_values` numbers of each row


cdef inline Py_ssize_t odd(Py_ssize_t n) noexcept nogil:
    return n | 1


cdef inline void load_rows(
    Block* block,  # OUT: x, weight
    const Mixture* mixture,
    const real* X,  # (n_rows, D)
    const double* sample_weight,  # (n_rows,) or NULL
    double weight_unit,
) noexcept nogil:
    """Copy rows into panels, centred in double precision. Lanes without a row get zeros."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t p, i, s, n_here
    cdef real* x
    cdef real* w
    for p in range(block.n_panels):
        x = <real*>(block.x + p * block.x_stride)
        w = <real*>(block.weight + p * VECTORS)
        n_here = min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)
        for s in range(n_here):
            for i in range(d):
                x[i * PANEL + s] = <real>(X[s * d + i] - mixture.center[i])
            w[s] = 1 if sample_weight == NULL else <real>(sample_weight[s] / weight_unit)
        for s in range(n_here, PANEL):
            for i in range(d):
                x[i * PANEL + s] = 0
            w[s] = 0
        for s in range(PANEL):
            x[d * PANEL + s] = 1
        X += n_here * d
        if sample_weight != NULL:
            sample_weight += n_here
