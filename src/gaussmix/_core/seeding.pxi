"""The choice of the next centre by greedy k-means++; a part of kernels.pyx."""

from gaussmix._core.lanes cimport real
from gaussmix._core.layout cimport tile_size

cdef enum:
    MOST_TOGETHER = 6  # candidates whose gains are summed side by side


cdef struct Choice:
    Py_ssize_t n_samples
    Py_ssize_t n_trials
    const double* sample_weight  # (N,) or NULL
    double* cumulated  # (N,), chances of the rows
    real* closest  # (N,), -1/2 the squared distances from the nearest centre; at first -infinite
    real* nearer  # (N, n_trials): `closest` to each candidate, then to the centres with it
    double* gains  # (n_trials,)


cdef inline double weight_in(const Choice* choice, Py_ssize_t row) noexcept nogil:
    """A row's weight."""
    return 1 if choice.sample_weight == NULL else choice.sample_weight[row]


cdef void cumulate(Choice* choice, bint first) noexcept nogil:
    """Cumulate the rows' chances to be drawn.

    They are weights for the first centre, then weights times squared distances; weights again
    where all of these are 0.
    """
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(choice.n_samples):
        total += weight_in(choice, i) * (1 if first else -choice.closest[i])
        choice.cumulated[i] = total
    if not (first or total > 0):
        cumulate(choice, True)


cdef Py_ssize_t drawn_row(const Choice* choice, double uniform) noexcept nogil:
    """The first row whose cumulated chance is at least a random part of the total."""
    cdef Py_ssize_t last = choice.n_samples - 1
    cdef double level = uniform * choice.cumulated[last]
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = last
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) // 2
        if choice.cumulated[middle] < level:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void find_gains(
    const int size, const Choice* choice, Py_ssize_t trial
) noexcept nogil:
    """Find how close a tile of `size` candidates leaves the rows."""
    cdef real* nearer = choice.nearer + trial
    cdef double[MOST_TOGETHER] gains  # in registers, where none waits for the memory
    cdef Py_ssize_t i
    cdef int t
    for t in range(size):
        gains[t] = 0
    for i in range(choice.n_samples):
        for t in range(size):
            nearer[t] = max(nearer[t], choice.closest[i])
            gains[t] += weight_in(choice, i) * nearer[t]
        nearer += choice.n_trials
    for t in range(size):
        choice.gains[trial + t] = gains[t]


cdef Py_ssize_t take_best(Choice* choice) noexcept nogil:
    """Make the candidate that leaves rows closest to centres a centre; return its number."""
    cdef Py_ssize_t n = choice.n_trials
    cdef Py_ssize_t best = 0
    cdef Py_ssize_t t = 0
    cdef Py_ssize_t i, size
    while t < n:
        size = tile_size(n - t, MOST_TOGETHER)
        if size == 6:
            find_gains(6, choice, t)
        elif size == 5:
            find_gains(5, choice, t)
        elif size == 4:
            find_gains(4, choice, t)
        elif size == 3:
            find_gains(3, choice, t)
        elif size == 2:
            find_gains(2, choice, t)
        else:
            find_gains(1, choice, t)
        t += size
    for t in range(n):
        if choice.gains[t] > choice.gains[best]:
            best = t
    for i in range(choice.n_samples):
        choice.closest[i] = choice.nearer[i * n + best]
    return best
