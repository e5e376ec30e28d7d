"""Nearest centres by products in single precision, with a bound on what they may be wrong by.

For a row z and a centre w, both less the middle of the centres and rounded to float,

    |z - w|^2 / 2 = |z|^2 / 2 - (z'w - |w|^2 / 2),

so the nearest centre has the largest z'w - |w|^2 / 2: one FMA for each feature, where a squared
difference takes two instructions. A row's best and second-best score are found, and where they are
farther apart than rounding can explain, the best one's centre has the label that the tiles of
log_density.pxd would give.

What rounding can explain: with u = 2^-24 and r = |z| + max |w|, a score is off by (D + 2) u r^2 / 2
at most (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and by u r^2 if z and w were
rounded from float64. The tiles' own squared distances are off by (D + 3) u' of themselves, u' that
of their precision. `margin` is above the sum of these for two scores, as r^2 <= 2 (|z|^2 + |w|^2).
"""

from libc.math cimport INFINITY
from libc.string cimport memcpy

from gaussmix._core.lanes cimport (
    COMPONENTS, FLOAT_PANEL, FLOATS, LOG_LOWEST, TILE, VECTORS, float_choice, float_max, float_min,
    float_root, float_row, float_splat, floats, real, transpose,
)
from gaussmix._core.layout cimport Mixture, make_odd, tile_size

cdef enum:
    SCREEN_ROWS = 256  # of a screen's block, at most
    SCREEN_BYTES = 24 * 1024  # of its rows, which stay in the first cache


cdef struct Screen:
    real scale  # a power of two by which rows and centres are multiplied: their squares fit a float
    const float* centers  # tile by tile, [feature][component]
    const float* halves  # (K,), half the squared norms
    float reach  # the largest squared norm of a centre
    float margin  # times |z|^2 + reach
    float least_margin  # products below the smallest normal number
    float limit  # of |z|^2 + reach: beyond, distances are near the floor of log-densities

cdef struct ScreenBlock:  # of rows, and the workspace of one thread
    floats* z  # [panel][feature][vector][lane]
    floats* squares  # [panel][vector], and so the others
    floats* best
    floats* second
    floats* winner


cdef inline double float_roundoff() noexcept nogil:
    """The unit roundoff of float."""
    return 2.0 ** -24


cdef inline double roundoff() noexcept nogil:
    """The unit roundoff of the rows' precision."""
    return float_roundoff() if sizeof(real) == sizeof(float) else 2.0 ** -53


cdef inline Py_ssize_t screen_rows(Py_ssize_t d) noexcept nogil:
    """Rows of a block: as many whole panels as fit the first cache."""
    cdef Py_ssize_t panels = SCREEN_BYTES // (
        make_odd(d) * <Py_ssize_t>(FLOAT_PANEL * sizeof(float)))
    return max(min(panels, <Py_ssize_t>(SCREEN_ROWS // FLOAT_PANEL)), <Py_ssize_t>1) * FLOAT_PANEL


cdef inline Py_ssize_t screen_vectors(Py_ssize_t d) noexcept nogil:
    """Vectors of a block's workspace."""
    return screen_rows(d) // FLOAT_PANEL * VECTORS * (make_odd(d) + 4)


cdef inline void place_screen(ScreenBlock* block, Py_ssize_t d, floats* memory) noexcept nogil:
    """Lay a block out in memory."""
    cdef Py_ssize_t vectors = screen_rows(d) // FLOAT_PANEL * VECTORS
    block.z = memory
    block.squares = memory + vectors * make_odd(d)
    block.best = block.squares + vectors
    block.second = block.best + vectors
    block.winner = block.second + vectors


cdef inline void pack_screen(Screen* screen, const Mixture* mixture, float* memory) noexcept nogil:
    """Fill memory, of K (D + 1) numbers, with packed centres, and the screen with its bounds."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n = mixture.n_components
    cdef float* centers = memory
    cdef float* halves = memory + n * d
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, i, k
    cdef double largest = 0
    cdef double square
    cdef float w
    while start < n:
        size = tile_size(n - start)
        for k in range(size):
            square = 0
            for i in range(d):
                w = <float>(mixture.means[(start + k) * (d + 1) + i] * screen.scale)
                centers[i * size + k] = w
                square += <double>w * w
            halves[start + k] = <float>(square / 2)
            largest = max(largest, square)
        centers += size * d
        start += size
    screen.centers, screen.halves = memory, halves
    screen.reach = <float>(largest * (1 + 4 * float_roundoff()))
    screen.margin = <float>(2.1 * (d + 8) * (float_roundoff() + roundoff()))
    screen.least_margin = <float>((d + 8) * 2.0 ** -147)
    screen.limit = <float>(-0.9 * LOG_LOWEST * screen.scale * screen.scale)


cdef inline void load_screen(
    const Screen* screen, const Mixture* mixture,
    const real* X,
    const real* end,  # of all rows
    const int* rows,  # (n_rows,), which rows of X, in order
    Py_ssize_t n_rows,
    real* copied,  # scratch, of a panel's rows and FLOATS numbers more
    ScreenBlock* block,  # OUT: z, squares
) noexcept nogil:
    """Copy rows into panels, centred and scaled. The last row is that of the lanes without one.

    Squares of FLOATS rows by FLOATS features are transposed in registers. So numbers beyond a row's
    last feature are read, too. At the end of all rows a copy has room for that; after the centre
    there are the means.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n_read = (d + FLOATS - 1) // FLOATS * FLOATS
    cdef real scale = <real>screen.scale
    cdef Py_ssize_t p, i, s
    cdef const real* x[FLOAT_PANEL]
    cdef floats part[FLOATS]
    cdef floats* z = block.z
    cdef floats square
    cdef int v
    for p in range((n_rows + FLOAT_PANEL - 1) // FLOAT_PANEL):
        for s in range(<Py_ssize_t>FLOAT_PANEL):
            x[s] = X + rows[min(p * FLOAT_PANEL + s, n_rows - 1)] * d
        if x[FLOAT_PANEL - 1] + n_read > end:
            for s in range(<Py_ssize_t>FLOAT_PANEL):
                memcpy(copied + s * d, x[s], d * sizeof(real))
                x[s] = copied + s * d
        for v in range(VECTORS):
            i = 0
            while i < d:
                for s in range(<Py_ssize_t>FLOATS):
                    part[s] = float_row(x[v * FLOATS + s] + i, mixture.center + i, scale)
                transpose(part)
                for s in range(min(<Py_ssize_t>FLOATS, d - i)):
                    z[(i + s) * VECTORS + v] = part[s]
                i += FLOATS
        for v in range(VECTORS):
            square = float_splat(0)
            for i in range(d):
                square += z[i * VECTORS + v] * z[i * VECTORS + v]
            block.squares[p * VECTORS + v] = square
            block.best[p * VECTORS + v] = float_splat(<float>-INFINITY)
            block.second[p * VECTORS + v] = float_splat(<float>-INFINITY)
            block.winner[p * VECTORS + v] = float_splat(0)
        z += make_odd(d) * VECTORS


cdef inline void screen_tile(
    const int size,  # centres in the tile, known when compiled
    const Screen* screen, ScreenBlock* block, Py_ssize_t n_panels, Py_ssize_t d, Py_ssize_t first,
) noexcept nogil:
    """Score the centres from `first` on, and keep each row's best two scores."""
    cdef const float* w
    cdef const floats* z = block.z
    cdef floats score[TILE]
    cdef floats best[VECTORS]
    cdef floats second[VECTORS]
    cdef floats winner[VECTORS]
    cdef Py_ssize_t p, i
    cdef int k, v
    for p in range(n_panels):
        w = screen.centers + first * d
        for k in range(size):
            for v in range(VECTORS):
                score[k * VECTORS + v] = float_splat(-screen.halves[first + k])
        for i in range(d):
            for k in range(size):
                for v in range(VECTORS):
                    score[k * VECTORS + v] += w[k] * z[i * VECTORS + v]
            w += size
        for v in range(VECTORS):
            best[v] = block.best[p * VECTORS + v]
            second[v] = block.second[p * VECTORS + v]
            winner[v] = block.winner[p * VECTORS + v]
        for k in range(size):
            for v in range(VECTORS):
                winner[v] = float_choice(
                    score[k * VECTORS + v], best[v], float_splat(<float>(first + k)), winner[v])
                second[v] = float_max(float_min(score[k * VECTORS + v], best[v]), second[v])
                best[v] = float_max(score[k * VECTORS + v], best[v])
        for v in range(VECTORS):
            block.best[p * VECTORS + v] = best[v]
            block.second[p * VECTORS + v] = second[v]
            block.winner[p * VECTORS + v] = winner[v]
        z += make_odd(d) * VECTORS


cdef inline void screen_panels(
    const Screen* screen, ScreenBlock* block, const Mixture* mixture, Py_ssize_t n_panels
) noexcept nogil:
    """Score all centres; sizes are spelled out, so that the compiler unrolls tiles.

    They are those of `tile_size`, which divides: for few features that takes as long as a tile.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n_tiles = (mixture.n_components + COMPONENTS - 1) // COMPONENTS
    cdef Py_ssize_t least = mixture.n_components // n_tiles
    cdef Py_ssize_t larger = mixture.n_components - n_tiles * least
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t i, size
    for i in range(n_tiles):
        size = least + (i < larger)
        if size == 6:
            screen_tile(6, screen, block, n_panels, d, k)
        elif size == 5:
            screen_tile(5, screen, block, n_panels, d, k)
        elif size == 4:
            screen_tile(4, screen, block, n_panels, d, k)
        elif size == 3:
            screen_tile(3, screen, block, n_panels, d, k)
        elif size == 2:
            screen_tile(2, screen, block, n_panels, d, k)
        else:
            screen_tile(1, screen, block, n_panels, d, k)
        k += size


cdef inline Py_ssize_t settle(
    const Screen* screen,
    ScreenBlock* block,  # INOUT: its scores become leads beyond the margin, and bounds
    const int* rows, Py_ssize_t n_rows,
    int* labels,  # OUT: at the rows that were screened
    float* bounds,  # OUT: at the same rows, a scaled distance below that of all other centres
    int* unsettled,  # OUT: rows whose label may be another one
) noexcept nogil:
    """Give rows the labels of their best scores; return how many are unsettled.

    A bound is the root of |z|^2 - 2 score less what all roundings add up to, that of centring the
    row too: 2 margins would do but for that. Infinity and NaN leave a row unsettled. A bound that
    is NaN excludes nothing.
    """
    cdef const float* leads = <const float*>block.best
    cdef const float* roots = <const float*>block.second
    cdef const float* winner = <const float*>block.winner
    cdef floats size, margin, lead, other
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t i, s
    for i in range((n_rows + FLOAT_PANEL - 1) // FLOAT_PANEL * VECTORS):
        size = block.squares[i] + screen.reach
        margin = screen.margin * size + screen.least_margin
        lead = float_choice(float_splat(screen.limit), size,
                            block.best[i] - block.second[i] - margin, float_splat(-1))
        other = float_choice(lead, float_splat(0), block.second[i], block.best[i])
        block.best[i] = lead
        block.second[i] = float_root(
            block.squares[i] - 2 * other - <float>2.5 * margin) * <float>(1 - 2.0 ** -22)
    for s in range(n_rows):
        labels[rows[s]] = <int>winner[s]
        bounds[rows[s]] = roots[s]
        unsettled[n] = rows[s]
        n += not leads[s] > 0
    return n
