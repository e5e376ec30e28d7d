"""The nearest centre of each row by a screen, with bounds between passes; a part of kernels.pyx.

Labels and sums are those of plain passes to the last bit: a row keeps its label without scores
only if no other centre can be nearer, and takes that of the screen only if rounding cannot explain
its lead; all others are scored by the tiles. Bounds are Hamerly's (Making k-means even faster,
2010): one number for each row, below its distance from all centres but its own. It shrinks by the
largest move of a centre, and a row is screened again where it reaches that from its own centre.
"""

from libc.string cimport memcpy

from gaussmix._core.lanes cimport (
    FLOAT_PANEL, FLOATS, LANES, LOG_LOWEST, PANEL, VECTORS, bits_of, bits_t, first_lanes,
    float_choice, float_min, float_splat, floats, from_bits, gather, lane_sums, maximum, real,
    splat, vec,
)
from gaussmix._core.layout cimport Block, Mixture, load_rows
from gaussmix._core.moments cimport add_hard_moments
from gaussmix._core.screen cimport (
    Screen, ScreenBlock, float_roundoff, load_screen, place_screen, roundoff, screen_panels,
    screen_rows, screen_vectors, settle,
)


cdef double LEAST_REACH = 1e-15  # squares of it have all digits in float


cdef struct Nearest:  # what passes over the same rows know
    Screen screen
    bint bounded  # whether there are bounds, of an earlier pass
    float* bounds  # (N,), scaled
    float* moves  # (K,), the largest move of another centre since then, scaled
    double norm  # the largest of the centres, scaled


cdef Py_ssize_t nearest_size(const Mixture* mixture, Py_ssize_t block_rows) noexcept nogil:
    """Numbers of a thread's workspace beside the block's, in whole cache lines."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n_copied = max(block_rows, <Py_ssize_t>FLOAT_PANEL) * d + FLOATS
    cdef Py_ssize_t n_bytes = screen_vectors(d) * <Py_ssize_t>sizeof(floats) + (
        n_copied * <Py_ssize_t>sizeof(real))
    return (n_bytes + CACHE_LINE - 1) // CACHE_LINE * (CACHE_LINE // <Py_ssize_t>sizeof(real))


cdef void find_nearest_rows(
    const Job* job, const Mixture* mixture, Block* block, Py_ssize_t row, Py_ssize_t n_rows,
    Py_ssize_t block_rows, char* memory, double* sums, Py_ssize_t width,
) noexcept nogil:
    """Find the labels of a group's rows, and add the rows to the sums of their centres.

    The two totals count rows that were left to the tiles, and those that were screened.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* X = job.X + row * d
    cdef const real* end = job.X + job.n_samples * d
    cdef real* copied = <real*>(memory + screen_vectors(d) * <Py_ssize_t>sizeof(floats))
    cdef const double* weight = NULL
    cdef int* labels = job.labels + row
    cdef float* bounds = job.nearest.bounds + row
    cdef int rows[GROUP_ROWS]
    cdef int unsettled[GROUP_ROWS]
    cdef ScreenBlock screened
    cdef Py_ssize_t most = screen_rows(d)
    cdef Py_ssize_t n_unsettled = 0
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t n, n_here
    place_screen(&screened, d, <floats*>memory)
    n = find_doubtful(job.nearest, mixture, X, end, n_rows, labels, copied, bounds, rows)
    while done < n:
        n_here = min(most, n - done)
        load_screen(&job.nearest.screen, mixture, X, end, rows + done, n_here, copied, &screened)
        screen_panels(&job.nearest.screen, &screened, mixture,
                      (n_here + FLOAT_PANEL - 1) // FLOAT_PANEL)
        n_unsettled += settle(&job.nearest.screen, &screened, rows + done, n_here, labels, bounds,
                              unsettled + n_unsettled)
        done += n_here
    done = 0
    while done < n_unsettled:
        n_here = min(block_rows, n_unsettled - done)
        label_by_tiles(mixture, block, X, unsettled + done, n_here, labels, copied)
        done += n_here
    if job.sample_weight != NULL:
        weight = job.sample_weight + row
    block.n_rows = n_rows
    add_hard_moments(block, mixture, labels, X, weight, job.weight_unit, sums)
    sums[width - 2] += n_unsettled
    sums[width - 1] += n


cdef Py_ssize_t find_doubtful(
    const Nearest* nearest, const Mixture* mixture,
    const real* X,
    const real* end,  # of all rows
    Py_ssize_t n_rows,
    const int* labels,
    real* copied,  # scratch, of FLOATS rows and FLOATS numbers more
    float* bounds,  # INOUT: there is room for whole vectors
    int* rows,  # OUT
) noexcept nogil:
    """Find the rows that may have a new label, and move the bounds by the centres' moves.

    With u the roundoff of the rows, the tiles' squared distances are off by (D + 3) u of
    themselves, and so is that from a row's own centre here; centring a row and its bound moves
    it by u |z| each, |z| <= distance + norm. `slack` is above the sum of these. What is done in
    float loses a few of its roundoffs more. So small numbers as to lose digits exclude nothing.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef double slack = 3 * ((2 * d + 16) * roundoff() + float_roundoff() * float_roundoff())
    cdef float lost = <float>(slack * nearest.norm * (1 + 4 * float_roundoff()))
    cdef float kept = <float>((1 - 16 * float_roundoff()) / (1 + slack))
    cdef floats squares, bound, reach
    cdef floats moves
    cdef floats* held
    cdef const float* certain = <const float*>&reach
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t s = 0
    cdef Py_ssize_t i
    if not nearest.bounded:
        for i in range(n_rows):
            rows[i] = <int>i
        return n_rows
    while s < n_rows:
        find_own_squares(nearest, mixture, X + s * d, end, min(<Py_ssize_t>FLOATS, n_rows - s),
                         labels + s, copied, <float*>&squares, <float*>&moves)
        held = <floats*>(bounds + s)
        bound = held[0] - moves
        bound = float_choice(
            bound, float_splat(0), bound * <float>(1 - 4 * float_roundoff()), float_splat(-1))
        held[0] = bound
        reach = (bound - lost) * kept
        reach = float_choice(reach, float_splat(<float>LEAST_REACH), reach, float_splat(0))
        reach = float_min(reach * reach, float_splat(nearest.screen.limit))
        reach = float_choice(reach, squares, float_splat(1), float_splat(0))
        for i in range(min(<Py_ssize_t>FLOATS, n_rows - s)):
            rows[n] = <int>(s + i)
            n += not certain[i] > 0
        s += FLOATS
    return n


cdef void find_own_squares(
    const Nearest* nearest, const Mixture* mixture, const real* X, const real* end,
    Py_ssize_t n_rows, const int* labels, real* copied,
    float* squares,  # OUT: (FLOATS,), scaled squared distances of rows from their own centres
    float* moves,  # OUT: (FLOATS,), how far another centre may have moved
) noexcept nogil:
    """Find what at most FLOATS rows need: lanes beyond the last row hold anything."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t whole = d // LANES * LANES
    cdef bits_t rest = first_lanes(d - whole)
    cdef real scale = <real>nearest.screen.scale
    cdef const real* mean
    cdef vec parts[LANES]
    cdef vec total, y
    cdef const real* lanes = <const real*>parts
    cdef Py_ssize_t i, s, k
    if n_rows < FLOATS or X + FLOATS * d + LANES > end:
        memcpy(copied, X, n_rows * d * sizeof(real))
        X = copied
    for s in range(<Py_ssize_t>FLOATS):
        k = labels[min(s, n_rows - 1)]
        moves[s] = nearest.moves[k]
        mean = mixture.means + k * (d + 1)
        total = splat(0)
        i = 0
        while i < whole:
            y = (gather(X + i, 1) - gather(mixture.center + i, 1)) - gather(mean + i, 1)
            total += y * y
            i += LANES
        if i < d:  # of what is read beyond, nothing is left
            y = (gather(X + i, 1) - gather(mixture.center + i, 1)) - gather(mean + i, 1)
            y = from_bits(bits_of(y) & rest)
            total += y * y
        parts[s % LANES] = total
        X += d
        if s % LANES == LANES - 1:
            parts[0] = lane_sums(parts) * scale * scale
            for i in range(<Py_ssize_t>LANES):
                squares[s - (LANES - 1) + i] = <float>lanes[i]


cdef void label_by_tiles(
    const Mixture* mixture, Block* block, const real* X, const int* rows, Py_ssize_t n_rows,
    int* labels, real* copied,
) noexcept nogil:
    """Give some rows the labels that the tiles give them."""
    cdef Py_ssize_t d = mixture.n_features
    cdef int found[BLOCK_ROWS]
    cdef Py_ssize_t i
    for i in range(n_rows):
        memcpy(copied + i * d, X + rows[i] * d, d * sizeof(real))
    set_rows_of_block(block, n_rows)
    load_rows(block, mixture, copied, NULL, NULL, NULL, 1)
    find_densities(block, mixture)
    find_argmax(False, block, mixture, found)
    for i in range(n_rows):
        labels[rows[i]] = found[i]


cdef void find_own_densities(
    Block* block, const Mixture* mixture, const int* labels
) noexcept nogil:
    """Find what `find_argmax` leaves in `row_max`, of rows whose labels are known."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* mean[PANEL]
    cdef real lanes[PANEL]
    cdef vec q[VECTORS]
    cdef vec y
    cdef const vec* x = block.x
    cdef Py_ssize_t p, i, s
    cdef int v
    for p in range(block.n_panels):
        for s in range(<Py_ssize_t>PANEL):
            mean[s] = mixture.means + labels[min(p * PANEL + s, block.n_rows - 1)] * (d + 1)
        for v in range(VECTORS):
            q[v] = splat(0)
        for i in range(d):
            for s in range(<Py_ssize_t>PANEL):
                lanes[s] = mean[s][i]
            for v in range(VECTORS):
                y = x[i * VECTORS + v] - gather(&lanes[v * LANES], 1)
                q[v] += y * y
        for v in range(VECTORS):
            block.row_max[p * VECTORS + v] = maximum(
                mixture.log_scales[0] - mixture.q_scales[0] * q[v], splat(LOG_LOWEST))
        x += block.x_stride
