"""The E-step's arithmetic: log-densities of a block of rows under every component.

A tile of components shares each load of x. The form is y_k = U_k'z - U_k'means_k with centred
rows z, whose rounding error grows with a row's distance from the centre in units of sigma, and
not with its square as in the expanded quadratic.
"""

from gaussmix._core.arrays cimport FULL, TIED
from gaussmix._core.lanes cimport COMPONENTS, TILE, TRIANGLES, VECTORS, real, splat, vec
from gaussmix._core.layout cimport Block, Mixture, density_tile, tile_size, triangle_columns


cdef enum Quadratic:  # the form of a tile's quadratic forms
    TRIANGULAR  # sum_j (sum_{i<=j} U_k[i, j] x_i + b_kj)^2
    FACTORS  # sum_j (u_kj x_j + b_kj)^2
    DISTANCES  # sum_j (x_j + b_kj)^2


cdef inline void start_columns(const int n, const real* b, vec* y) noexcept nogil:
    """Set the sums of n columns to b."""
    cdef int k, v
    for k in range(n):
        for v in range(VECTORS):
            y[k * VECTORS + v] = splat(b[k])


cdef inline void add_row(const int n, const real* u, const vec* x, vec* y) noexcept nogil:
    """Add u_k x to n columns."""
    cdef int k, v
    for k in range(n):
        for v in range(VECTORS):
            y[k * VECTORS + v] += u[k] * x[v]


cdef inline void add_squares(const int size, const vec* y, vec* q) noexcept nogil:
    """Add the squares of y to q, component by component."""
    cdef int k
    for k in range(size * VECTORS):
        q[k] += y[k] * y[k]


cdef inline void square_triangles(
    const int size,  # components in the tile, known when compiled
    const Py_ssize_t d,
    const vec* x,  # a panel
    const real* u,  # as `pack_triangles` leaves them
    const real* b,  # [j][component]
    vec* q,  # OUT: [component][vector]
) noexcept nogil:
    """Add the squares of y_k = U_k'x + b_k to q, several columns at once.

    The sums of these columns, and those of the squares, stay in registers. Columns that are left
    over are the first ones, which have few rows, and are taken one by one.
    """
    cdef int columns = triangle_columns(size)
    cdef vec y[2 * TRIANGLES * VECTORS]
    cdef Py_ssize_t j = 0
    cdef Py_ssize_t i
    cdef int c
    while j < d % columns:
        start_columns(size, b, y)
        for i in range(j + 1):
            add_row(size, u, x + i * VECTORS, y)
            u += size
        add_squares(size, y, q)
        b += size
        j += 1
    while j < d:
        start_columns(columns * size, b, y)
        for i in range(j + 1):
            add_row(columns * size, u, x + i * VECTORS, y)
            u += columns * size
        for c in range(1, columns):
            add_row((columns - c) * size, u, x + (j + c) * VECTORS, y + c * size * VECTORS)
            u += (columns - c) * size
        for c in range(columns):
            add_squares(size, y + c * size * VECTORS, q)
        b += columns * size
        j += columns


cdef inline void square_features(
    const Quadratic form,
    const int size,
    const Py_ssize_t d,
    const vec* x,
    const real* u,  # [j][component], unused where the factors are 1
    const real* b,
    vec* q,
) noexcept nogil:
    """Add the squares of y_k = u_k x + b_k to q, feature by feature."""
    cdef vec y
    cdef Py_ssize_t j
    cdef int k, v
    for j in range(d):
        for k in range(size):
            for v in range(VECTORS):
                y = x[j * VECTORS + v]
                if form == FACTORS:
                    y = y * u[k]
                y = y + b[k]
                q[k * VECTORS + v] += y * y
        u += size
        b += size


cdef inline void score_tile(
    const Quadratic form, const int size, const Py_ssize_t d, Block* block,
    const Mixture* mixture, const vec* x, Py_ssize_t first,
) noexcept nogil:
    """Score one tile, the components from `first`, over all panels: log_scale_k - q_scale_k q_k."""
    cdef const real* u = mixture.factors + first * (d * (d + 1) // 2 if form == TRIANGULAR else d)
    cdef const real* b = mixture.offsets + first * d
    cdef const real* log_scales = mixture.log_scales + first
    cdef const real* q_scales = mixture.q_scales + first
    cdef vec* score = block.score + first * VECTORS
    cdef vec q[TILE]
    cdef Py_ssize_t _
    cdef int k, v
    for _ in range(block.n_panels):
        for k in range(size * VECTORS):
            q[k] = splat(0)
        if form == TRIANGULAR:
            square_triangles(size, d, x, u, b, q)
        else:
            square_features(form, size, d, x, u, b, q)
        for k in range(size):
            for v in range(VECTORS):
                score[k * VECTORS + v] = log_scales[k] - q_scales[k] * q[k * VECTORS + v]
        x += block.x_stride
        score += block.score_stride


cdef inline void score_tiles(
    const Quadratic form, const Py_ssize_t d, Block* block, const Mixture* mixture, const vec* x
) noexcept nogil:
    """Score all components, tile by tile, so that a tile's constants stay in the cache."""
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t size
    while k < mixture.n_components:
        size = tile_size(mixture.n_components - k)
        # Sizes are spelled out, so that the compiler unrolls each tile into registers.
        if size == 6:
            score_tile(form, 6, d, block, mixture, x, k)
        elif size == 5:
            score_tile(form, 5, d, block, mixture, x, k)
        elif size == 4:
            score_tile(form, 4, d, block, mixture, x, k)
        elif size == 3:
            score_tile(form, 3, d, block, mixture, x, k)
        elif size == 2:
            score_tile(form, 2, d, block, mixture, x, k)
        else:
            score_tile(form, 1, d, block, mixture, x, k)
        k += size


cdef inline void score_triangle_tiles(
    const Py_ssize_t d, Block* block, const Mixture* mixture
) noexcept nogil:
    """Score all components with full factors, whose tiles are of TRIANGLES at most."""
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t size
    while k < mixture.n_components:
        size = density_tile(mixture, mixture.n_components - k)
        if size == TRIANGLES:
            score_tile(TRIANGULAR, TRIANGLES, d, block, mixture, block.x, k)
        elif TRIANGLES > 3 and size == 3:
            score_tile(TRIANGULAR, 3, d, block, mixture, block.x, k)
        elif TRIANGLES > 2 and size == 2:
            score_tile(TRIANGULAR, 2, d, block, mixture, block.x, k)
        else:
            score_tile(TRIANGULAR, 1, d, block, mixture, block.x, k)
        k += size


cdef inline void rotate(Block* block, const Mixture* mixture) noexcept nogil:
    """y = U'z of every row into the scratch, laid out as x: the tied factor, applied once.

    Features go COMPONENTS at a time. Factors 0 fill the last tile; their results are not read.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* u = mixture.rotation
    cdef const vec* x
    cdef vec* y
    cdef vec acc[TILE]
    cdef Py_ssize_t _, i
    cdef Py_ssize_t j = 0
    cdef int k, v
    while j < d:
        x = block.x
        y = block.scratch + j * VECTORS
        for _ in range(block.n_panels):
            for k in range(<int>TILE):
                acc[k] = splat(0)
            for i in range(min(j + COMPONENTS, d)):
                for k in range(<int>COMPONENTS):
                    for v in range(VECTORS):
                        acc[k * VECTORS + v] += u[i * COMPONENTS + k] * x[i * VECTORS + v]
            for k in range(<int>TILE):
                y[k] = acc[k]
            x += block.x_stride
            y += block.x_stride
        u += d * COMPONENTS
        j += COMPONENTS


cdef inline void score_rows(Block* block, const Mixture* mixture) noexcept nogil:
    """Find the log-densities of the block's rows, `score`."""
    cdef Py_ssize_t d = mixture.n_features
    if mixture.structure == TIED:
        rotate(block, mixture)
        score_tiles(DISTANCES, d, block, mixture, block.scratch)
    elif mixture.factors == NULL:
        score_tiles(DISTANCES, d, block, mixture, block.x)
    elif mixture.structure != FULL:
        score_tiles(FACTORS, d, block, mixture, block.x)
    elif d == 1:  # Loops as short as these gain from a length known when compiled.
        score_triangle_tiles(1, block, mixture)
    elif d == 2:
        score_triangle_tiles(2, block, mixture)
    elif d == 3:
        score_triangle_tiles(3, block, mixture)
    else:
        score_triangle_tiles(d, block, mixture)
