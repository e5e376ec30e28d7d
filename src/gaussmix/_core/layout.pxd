"""How a block of rows and a mixture's constants lie in memory.

Samples are lanes: rows are copied, centred, into panels of PANEL samples, feature by feature,

    x[panel][feature][vector][lane],

so that every inner loop runs over samples. A feature of ones follows the last one: moments with
it are the sums of lower order. The scores (log-densities, then responsibilities) of a panel lie
the same way, score[panel][component][vector][lane]. Strides are odd numbers of vectors, or
equal features of all panels would fall into one set of the cache.
"""

from gaussmix._core.arrays cimport FULL, TIED, Form
from gaussmix._core.lanes cimport (
    COMPONENTS, LANES, PANEL, TRIANGLES, VECTORS, gather, prefetch, real, splat, vec,
)

cdef enum:
    FEW_FEATURES = 16  # up to which full factors leave the cache room for the next block's rows

cdef struct Mixture:
    Form form
    double unit  # of log-densities: ln 2 where they will be exponentiated, otherwise 1
    Py_ssize_t n_components
    Py_ssize_t n_features
    const real* center  # (D,)
    const real* means  # (K, D + 1) relative to the centre, the last 0
    const real* factors  # packed as the density's tiles read them; NULL where they are 1
    const real* offsets  # -U_k' means_k, packed likewise
    const real* rotation  # the tied factor, as `rotate` reads it
    const real* halves  # (K,), of which quadratic forms are taken
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


cdef inline Py_ssize_t panel_features(const Mixture* mixture) noexcept nogil:
    """Features that a panel has room for: the one of ones, and the tiles of rotated rows."""
    cdef Py_ssize_t features = mixture.n_features + 1
    if mixture.form == TIED:
        features = (features + COMPONENTS - 1) // COMPONENTS * COMPONENTS
    return odd(features)


cdef inline Py_ssize_t tile_size(Py_ssize_t left, Py_ssize_t most=COMPONENTS) noexcept nogil:
    """Components of the next tile, `left` being still to do: as few tiles as possible, alike."""
    cdef Py_ssize_t n_tiles = (left + most - 1) // most
    return (left + n_tiles - 1) // n_tiles


cdef inline Py_ssize_t density_tile(const Mixture* mixture, Py_ssize_t left) noexcept nogil:
    """The same for the tiles of the log-densities."""
    return tile_size(left, TRIANGLES if mixture.form == FULL else COMPONENTS)


cdef inline int triangle_columns(const Py_ssize_t size) noexcept nogil:
    """Columns of a tile of triangles that go together: one component has as many sums as two."""
    return 4 if size == 1 else 2


cdef inline void load_rows(
    Block* block,  # OUT: x, weight
    const Mixture* mixture,
    const real* X,  # (n_rows, D)
    const double* sample_weight,  # (n_rows,) or NULL
    double weight_unit,
) noexcept nogil:
    """Copy rows into panels, centred, and ask for the next block's. Lanes without a row are 0."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t p, i, s, n_here
    cdef vec* x = block.x
    cdef real* lanes
    cdef int v
    for p in range(block.n_panels):
        n_here = min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)
        for i in range(d if d <= FEW_FEATURES or mixture.form != FULL else 0):
            prefetch(X + (block.n_panels * d + i) * PANEL)
        if n_here == PANEL and d == 1:
            for v in range(VECTORS):
                x[v] = gather(X + v * LANES, 1) - mixture.center[0]
        elif n_here == PANEL:
            for i in range(d):
                for v in range(VECTORS):
                    x[i * VECTORS + v] = gather(X + v * LANES * d + i, d) - mixture.center[i]
        else:
            lanes = <real*>x
            for i in range(d):
                for s in range(PANEL):
                    lanes[i * PANEL + s] = X[s * d + i] - mixture.center[i] if s < n_here else 0
        for v in range(VECTORS):
            x[d * VECTORS + v] = splat(1)
        if n_here == PANEL and sample_weight == NULL:
            for v in range(VECTORS):
                block.weight[p * VECTORS + v] = splat(1)
        else:
            lanes = <real*>(block.weight + p * VECTORS)
            for s in range(PANEL):
                lanes[s] = s < n_here
                if sample_weight != NULL and s < n_here:
                    lanes[s] = <real>(sample_weight[s] / weight_unit)
        x += block.x_stride
        X += n_here * d
        if sample_weight != NULL:
            sample_weight += n_here
