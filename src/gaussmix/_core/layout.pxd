"""How a block of rows and a mixture's constants lie in memory.

Samples are lanes: rows are copied, centred, into panels of PANEL samples, feature by feature,

    x[panel][feature][vector][lane],

so that every inner loop runs over samples. A feature of ones follows the last one: moments with
it are the sums of lower order. The scores (log-densities, then responsibilities) of a panel lie
the same way, score[panel][term][vector][lane], the terms being the components and then the noise.
Strides are odd numbers of vectors: with
even ones, the same feature of all panels would fall into one set of the cache.
"""

from gaussmix._core.arrays cimport FULL, TIED, Structure
from gaussmix._core.lanes cimport (
    COMPONENTS, LANES, PANEL, TRIANGLES, VECTORS, gather, gather_wide, prefetch, real, splat, vec,
)

cdef enum:
    GAP_TILE = 4  # columns or rows of a factor that are taken at once for rows that lack values
    FEW_FEATURES = 16  # with more, full factors leave the next block's rows no room in the cache

cdef struct Margins:  # what rows that lack values need, see `margins`
    Py_ssize_t width  # features, one that stands for none, and zeros to a multiple of GAP_TILE
    const real* factors  # (K, width, width), of a tied structure (width, width)
    const real* precisions  # (K, D + 1, D + 1), or (D + 1, D + 1), with a diagonal of ones
    const real* inverse_roots  # (K, D + 1), what that diagonal was, to the power -1/2
    const real* log_scales  # (K, D + 1), what a feature that is lacking adds to a log-density
    const real* log_weights  # (K,), the log-densities of a row without values
    const real* origin  # (D + 1,), zeros
    const real* roots  # [row][column][component], scaled U', whole vectors of components
    const real* lengths  # [feature][component], what features were divided by for it
    const real* lane_means  # [feature][component], relative to the centre
    Py_ssize_t n_groups  # of rows, in a window: rows that lack the same are gathered in it

cdef struct Gaps:  # the workspace of one thread for rows that lack values
    real* rows  # a block's, copied together
    double* weights
    real* out
    int* labels
    int* codes  # what is told of them
    char* priors
    vec* seen  # [panel][feature][vector][lane], 1 where there is a value, else 0
    int* index  # [panel][slot][lane], features that are lacking; D where there are no more
    int* n_slots  # [panel], the most that a row of the panel lacks
    bint* alike  # [panel], whether all rows lack the same
    vec* filled  # [panel][feature][vector][lane], rows less one component's mean, without gaps
    vec* moved  # [component][panel][slot][vector][lane], what gaps are filled with
    vec* whitened  # of one panel, the factor's product with it
    vec* gradient  # of one panel, the precision's product with it
    vec* lower  # of one panel, triangles in rows
    vec* inverse
    double* sums  # of a group, component by component

cdef struct Pattern:  # rows that lack the same, and the workspace of one thread: see `patterns`
    Py_ssize_t n_there
    Py_ssize_t n_lacking
    int* there  # features
    int* lacking
    int* columns  # which column of the factor stands where
    vec* factor  # (D, D) of one vector of components
    vec* inverse  # (D, D) of one vector of components
    vec* triangle  # table of the marginal factors' rows
    vec* shifts  # table of offsets
    vec* slopes  # table (n_lacking, n_there)
    vec* spread  # table of a triangle, conditional covariances
    vec* known_means  # table of means
    vec* n_k  # table
    vec* moments  # table of a triangle whose rows end with first moments
    vec* across  # table
    vec* totals  # table of a triangle as before, of all features
    real* center  # of the marginal mixture, as are these
    real* means
    real* offsets
    real* factors
    real* log_scales
    double* own  # sums of the rows

cdef struct Mixture:
    Structure structure
    double unit  # of log-densities: ln 2 where they will be exponentiated, otherwise 1
    Py_ssize_t n_components
    Py_ssize_t n_terms  # of the log-sum-exp: the components, and the noise if there is any
    Py_ssize_t n_features
    const real* center  # (D,)
    const real* means  # (K, D + 1) relative to the centre, the last 0
    const real* factors  # packed as the density's tiles read them; NULL where they are 1
    const real* offsets  # -U_k' means_k, packed likewise
    const real* rotation  # the tied factor, as `rotate` reads it
    const real* q_scales  # (K,), times the quadratic forms: 1/2, or half a sphere's precision
    const real* log_scales  # (K,)
    real log_noise  # the noise's log-density, the same everywhere
    const Margins* margins  # NULL if no row lacks values

cdef struct Block:  # of rows, and the workspace of one thread
    Py_ssize_t n_rows  # the last panel may hold fewer than PANEL
    Py_ssize_t n_panels
    Py_ssize_t x_stride  # vectors from panel to panel
    Py_ssize_t score_stride
    vec* x
    vec* score
    vec* weight  # [panel][vector], divided by the job's unit, 0 beyond the last row
    vec* row_max  # [panel][vector]: a row's largest log-density, then its log-likelihood
    vec* scratch  # `scratch_values` numbers for each row
    Gaps* gaps  # NULL if no row of the block lacks values


cdef inline Py_ssize_t make_odd(Py_ssize_t n) noexcept nogil:
    """The least odd number that is not below n."""
    return n | 1


cdef inline Py_ssize_t panel_features(const Mixture* mixture) noexcept nogil:
    """Features of a panel: D, the one of ones, and what fills the last tile of rotated rows."""
    cdef Py_ssize_t features = mixture.n_features + 1
    if mixture.structure == TIED:
        features = (features + COMPONENTS - 1) // COMPONENTS * COMPONENTS
    return make_odd(features)


cdef inline Py_ssize_t tile_size(Py_ssize_t left, Py_ssize_t most=COMPONENTS) noexcept nogil:
    """Components of the next tile, where `left` remain: few tiles, of nearly the same size."""
    cdef Py_ssize_t n_tiles = (left + most - 1) // most
    return (left + n_tiles - 1) // n_tiles


cdef inline Py_ssize_t density_tile(const Mixture* mixture, Py_ssize_t left) noexcept nogil:
    """Components of the next tile of log-densities, where `left` remain."""
    return tile_size(left, TRIANGLES if mixture.structure == FULL else COMPONENTS)


cdef inline int triangle_columns(const Py_ssize_t size) noexcept nogil:
    """Columns that a tile of triangles takes at once: with one component twice as many."""
    return 4 if size == 1 else 2


cdef inline void load_rows(
    Block* block,  # OUT: x, weight
    const Mixture* mixture,
    const real* X,  # (n_rows, D), or NULL
    const double* wide,  # (n_rows, D), instead of X in a build for float32, or NULL
    const vec* kept,  # full panels of these rows, not centred, or NULL
    const double* sample_weight,  # (n_rows,) or NULL
    double weight_unit,
) noexcept nogil:
    """Copy rows into panels, centred, and prefetch the next block's. Lanes without a row are 0."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t p, i, s, n_here
    cdef vec* x = block.x
    cdef real* lanes
    cdef bint prefetched = d <= FEW_FEATURES or mixture.structure != FULL
    cdef int v
    for p in range(block.n_panels):
        n_here = min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)
        for i in range(d if kept == NULL and prefetched else 0):
            if wide == NULL:
                prefetch(X + (block.n_panels * d + i) * PANEL)
            else:
                prefetch(wide + (block.n_panels * d + i) * PANEL)
                prefetch(wide + (block.n_panels * d + i) * PANEL + PANEL // 2)
        if n_here == PANEL and kept != NULL:
            for i in range(d):
                for v in range(VECTORS):
                    x[i * VECTORS + v] = kept[i * VECTORS + v] - mixture.center[i]
            kept += d * VECTORS
        elif n_here == PANEL and wide != NULL:
            for i in range(d):
                for v in range(VECTORS):
                    x[i * VECTORS + v] = gather_wide(wide + v * LANES * d + i, d, mixture.center[i])
        elif n_here == PANEL and d == 1:
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
                    if s >= n_here:
                        lanes[i * PANEL + s] = 0
                    elif wide == NULL:
                        lanes[i * PANEL + s] = X[s * d + i] - mixture.center[i]
                    else:
                        lanes[i * PANEL + s] = <real>(wide[s * d + i] - mixture.center[i])
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
        if wide == NULL:
            X += n_here * d
        else:
            wide += n_here * d
        if sample_weight != NULL:
            sample_weight += n_here


cdef inline void write_scores(const Block* block, const Mixture* mixture, real* out) noexcept nogil:
    """Copy scores from panels to rows, (n_rows, T)."""
    cdef const real* score = <const real*>block.score
    cdef Py_ssize_t p, s, k
    for p in range(block.n_panels):
        for s in range(min(<Py_ssize_t>PANEL, block.n_rows - p * PANEL)):
            for k in range(mixture.n_terms):
                out[k] = score[k * PANEL + s]
            out += mixture.n_terms
        score += make_odd(mixture.n_terms) * PANEL


cdef inline void write_row_max(
    const Block* block, const Mixture* mixture, real* out
) noexcept nogil:
    """Copy what `row_max` holds, in units of 1, to (n_rows,)."""
    cdef const real* row_max = <const real*>block.row_max
    cdef Py_ssize_t s
    for s in range(block.n_rows):
        out[s] = <real>(row_max[s] * mixture.unit)
