"""The nearest centre of each row by a screen, with bounds between passes; a part of kernels.pyx.

Labels and sums are those of plain passes to the last bit: a row keeps its label without scores
only if no other centre can be nearer, and takes that of the screen only if rounding cannot explain
its lead; all others are scored by the tiles. Bounds are Hamerly's (Making k-means even faster,
2010): one number for each row, below its distance from all centres but its own. It shrinks by the
largest move of a centre, and a row is screened again where it reaches that from its own centre.
"""

from libc.string cimport memcpy

from gaussmix._core.lanes cimport (
    FLOAT_PANEL, LANES, LOG_LOWEST, PANEL, VECTORS, floats, gather, maximum, real, splat, vec,
)
from gaussmix._core.layout cimport Block, Mixture, load_rows
from gaussmix._core.moments cimport add_hard_moments
from gaussmix._core.screen cimport (
    Screen, ScreenBlock, float_roundoff, load_screen, place_screen, roundoff, screen_panels,
    screen_rows, screen_vectors, settle,
)
from gaussmix._core.vector_math cimport lane_sum


cdef struct Nearest:  # what passes over the same rows know
    Screen screen
    bint bounded  # whether there are bounds, of an earlier pass
    float* bounds  # (N,), scaled
    double move  # the largest move of a centre since then, scaled
    double second_move  # the largest but one
    Py_ssize_t mover  # the centre that moved most
    double norm  # the largest of the centres, scaled


cdef Py_ssize_t nearest_size(const Mixture* mixture, Py_ssize_t block_rows) noexcept nogil:
    """Numbers of a thread's workspace beside the block's, in whole cache lines."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n_bytes = screen_vectors(d) * <Py_ssize_t>sizeof(floats) + (
        block_rows * d * <Py_ssize_t>sizeof(real))
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
    n = find_doubtful(job.nearest, mixture, X, n_rows, labels, bounds, rows)
    while done < n:
        n_here = min(most, n - done)
        load_screen(&job.nearest.screen, mixture, X, rows + done, n_here, &screened)
        screen_panels(&job.nearest.screen, &screened, mixture,
                      (n_here + FLOAT_PANEL - 1) // FLOAT_PANEL)
        n_unsettled += settle(&job.nearest.screen, &screened, rows + done, n_here, labels, bounds,
                              unsettled + n_unsettled)
        done += n_here
    done = 0
    while done < n_unsettled:
        n_here = min(block_rows, n_unsettled - done)
        label_by_tiles(mixture, block, X, unsettled + done, n_here, labels,
                       <real*>(memory + screen_vectors(d) * <Py_ssize_t>sizeof(floats)))
        done += n_here
    if job.sample_weight != NULL:
        weight = job.sample_weight + row
    block.n_rows = n_rows
    add_hard_moments(block, mixture, labels, X, weight, job.weight_unit, sums)
    sums[width - 2] += n_unsettled
    sums[width - 1] += n


cdef Py_ssize_t find_doubtful(
    const Nearest* nearest, const Mixture* mixture, const real* X, Py_ssize_t n_rows,
    const int* labels, float* bounds, int* rows,
) noexcept nogil:
    """Find the rows that may have a new label, and move the bounds by the centres' moves.

    With u the roundoff of the rows, the tiles' squared distances are off by (D + 3) u of
    themselves, and so is that from a row's own centre here; centring a row and its bound moves
    it by u |z| each, |z| <= distance + norm. `slack` is above the sum of these.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef double scale = nearest.screen.scale
    cdef double slack = 3 * ((2 * d + 16) * roundoff() + float_roundoff() * float_roundoff())
    cdef double limit = nearest.screen.limit
    cdef double bound, reach, distance
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t s, k
    for s in range(n_rows):
        rows[n] = <int>s
        n += 1
        if not nearest.bounded:
            continue
        k = labels[s]
        bound = bounds[s] - (nearest.second_move if k == nearest.mover else nearest.move)
        bounds[s] = <float>(bound * (1 - 4 * float_roundoff())) if bound > 0 else -1
        reach = (bound - slack * nearest.norm) / (1 + slack)
        if reach > 0:
            distance = squared_distance(d, X + s * d, mixture.center, mixture.means + k * (d + 1))
            n -= distance * scale * scale < min(reach * reach, limit)
    return n


cdef double squared_distance(
    Py_ssize_t d, const real* x, const real* center, const real* mean
) noexcept nogil:
    """Squared distance of a row from the mean."""
    cdef vec total = splat(0)
    cdef vec y
    cdef real rest = 0
    cdef real difference
    cdef Py_ssize_t whole = d // LANES * LANES
    cdef Py_ssize_t i = 0
    while i < whole:
        y = (gather(x + i, 1) - gather(center + i, 1)) - gather(mean + i, 1)
        total += y * y
        i += LANES
    for i in range(whole, d):
        difference = (x[i] - center[i]) - mean[i]
        rest += difference * difference
    return rest + lane_sum(total) if whole > 0 else rest


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
    load_rows(block, mixture, copied, NULL, NULL, 1)
    find_densities(block, mixture)
    find_argmax(block, mixture, found)
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
