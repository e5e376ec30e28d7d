"""The E-step's arithmetic: log-densities of a block of rows under every component.

A tile of components shares each load of x. The form is y_k = U_k'z - U_k'means_k with centred
rows z, whose rounding error grows with a row's distance from the centre in units of sigma, and
not with its square as in the expanded quadratic.
"""

from gaussmix._core.lanes cimport (
    DENSITY_COMPONENTS, DENSITY_TILE, VECTORS, real, splat, vec,
)
from gaussmix._core.layout cimport FULL, TIED, Block, Mixture


cdef inline void full_tile(
    const int size,  # components in the tile, known when compiled
    const Py_ssize_t d,
    const vec* x,  # a panel
    const real* u,  # [j][i <= j][component]
    const real* b,  # [j][component]
    const real* log_scales,
    vec* score,  # OUT
) noexcept nogil:
    """log_scale_k - 1/2 sum_j (sum_{i<=j} U_k[i, j] x_i - b_kj)^2 of one panel."""
    cdef vec y[DENSITY_TILE]
    cdef vec q[DENSITY_TILE]
    cdef Py_ssize_t i, j
    cdef int k, v
    for k in range(size * VECTORS):
        q[k] = splat(0)
    for j in range(d):
        for k in range(size):
            for v in range(VECTORS):
                y[k * VECTORS + v] = splat(-b[k])
        for i in range(j + 1):
            for k in range(size):
                for v in range(VECTORS):
                    y[k * VECTORS + v] += u[k] * x[i * VECTORS + v]
            u += size
        b += size
        for k in range(size * VECTORS):
            q[k] += y[k] * y[k]
    for k in range(size):
        for v in range(VECTORS):
            score[k * VECTORS + v] = log_scales[k] - <real>0.5 * q[k * VECTORS + v]


cdef inline void diag_tile(
    const int size,
    const Py_ssize_t d,
    const vec* x,
    const real* u,  # [j][component]
    const real* b,
    const real* log_scales,
    vec* score,
) noexcept nogil:
    """log_scale_k - 1/2 sum_j (u_kj x_j - b_kj)^2 of one panel."""
    cdef vec q[DENSITY_TILE]
    cdef vec y
    cdef Py_ssize_t j
    cdef int k, v
    for k in range(size * VECTORS):
        q[k] = splat(0)
    for j in range(d):
        for k in range(size):
            for v in range(VECTORS):
                y = u[k] * x[j * VECTORS + v] - b[k]
                q[k * VECTORS + v] += y * y
        u += size
        b += size
    for k in range(size):
        for v in range(VECTORS):
            score[k * VECTORS + v] = log_scales[k] - <real>0.5 * q[k * VECTORS + v]


cdef inline void tile_panels(
    const bint full, const int size, Block* block, const Mixture* mixture, const vec* x,
    Py_ssize_t first, const real* u, const real* b,
) noexcept nogil:
    """Run one tile, the components from `first`, over all panels of the block."""
    cdef vec* score = block.score + first * VECTORS
    cdef const real* log_scales = mixture.log_scales + first
    cdef Py_ssize_t _
    for _ in range(block.n_panels):
        if full:
            full_tile(size, mixture.n_features, x, u, b, log_scales, score)
        else:
            diag_tile(size, mixture.n_features, x, u, b, log_scales, score)
        x += block.x_stride
        score += block.score_stride


cdef inline void tiles(
    const bint full, Block* block, const Mixture* mixture, const vec* x
) noexcept nogil:
    """All components, tile by tile, the tile's constants staying in the cache."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t per_component = d * (d + 1) // 2 if full else d
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t left
    cdef const real* u
    cdef const real* b
    while k < mixture.n_components:
        u = mixture.factors + k * per_component
        b = mixture.offsets + k * d
        left = mixture.n_components - k
        # The size is spelled out, so that the compiler unrolls each tile into registers.
        if left >= DENSITY_COMPONENTS:
            tile_panels(full, DENSITY_COMPONENTS, block, mixture, x, k, u, b)
        elif left == 5:
            tile_panels(full, 5, block, mixture, x, k, u, b)
        elif left == 4:
            tile_panels(full, 4, block, mixture, x, k, u, b)
        elif left == 3:
            tile_panels(full, 3, block, mixture, x, k, u, b)
        elif left == 2:
            tile_panels(full, 2, block, mixture, x, k, u, b)
        else:
            tile_panels(full, 1, block, mixture, x, k, u, b)
        k += DENSITY_COMPONENTS


cdef inline void rotate(Block* block, const Mixture* mixture) noexcept nogil:
    """y = U'z of every row into the scratch, laid out as x: the tied factor, applied once."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const vec* x = block.x
    cdef vec* y = block.scratch
    cdef Py_ssize_t _, i, j
    cdef int v
    for _ in range(block.n_panels):
        for j in range(d * VECTORS):
            y[j] = splat(0)
        for i in range(d):
            for j in range(i, d):
                for v in range(VECTORS):
                    y[j * VECTORS + v] += mixture.rotation[i * d + j] * x[i * VECTORS + v]
        x += block.x_stride
        y += block.x_stride


cdef inline void score_rows(Block* block, const Mixture* mixture) noexcept nogil:
    """Log-densities of the block's rows into `score`."""
    if mixture.form == FULL:
        tiles(True, block, mixture, block.x)
    elif mixture.form == TIED:
        rotate(block, mixture)
        tiles(False, block, mixture, block.scratch)
    else:
        tiles(False, block, mixture, block.x)
