"""Rows of which some lack values, on several threads; a part of kernels.pyx.

Rows are taken in windows, whatever the number of threads. In a window groups of rows go through the
ordinary steps, without those that lack values. These are sorted by what they lack, and cut into
chunks. Rows that lack the same as enough others share constants; the rest is done row by row. Sums
of groups and chunks are added to the total window by window, in order.
"""

from cython.parallel cimport prange, threadid

from libc.stdint cimport uint64_t
from libc.string cimport memset

from gaussmix._core.gaps cimport fold_gaps, has_matrices, lacks_values, sums_of_component
from gaussmix._core.lanes cimport real
from gaussmix._core.layout cimport Block, Gaps, Mixture, Pattern
from gaussmix._core.patterns cimport fold_totals

cdef enum:
    FEWEST_ALIKE = 8  # rows that share constants, which otherwise cost more than they save
    WAVE_WINDOWS = 4  # of a wave, for each thread, at most
    KEY_BITS = 64

cdef uint64_t SPREAD_BITS = 0x9E3779B97F4A7C15ULL  # odd, near 2^64 divided by the golden ratio


cdef enum Phase:
    GROUPS
    SORTING
    CHUNK
    TOTAL


cdef struct Window:
    Py_ssize_t start  # its first row
    Py_ssize_t n_rows
    int* n_found  # [group], rows that lack values
    int* found  # which these are, those of group g from place g * GROUP_ROWS on
    uint64_t* keys  # of what each of them lacks, then the number of its pattern
    int* order  # the same rows, sorted
    int* pieces  # where in the order pieces begin, whose rows are taken together, and their end
    Py_ssize_t n_alike  # pieces of rows that lack the same, which come first
    int* chunks  # the piece that each chunk begins with, and their end
    Py_ssize_t n_chunks
    double* sums  # of groups, then of chunks


cdef struct Sorter:  # the workspace of one thread for the patterns of a window
    int* table  # of hashed keys: numbers of patterns, or -1
    uint64_t* keys
    int* first  # a row
    int* n_rows
    int* n_lacking
    int* begin
    int* by_lacking


cdef struct Wave:
    const Job* job
    const Mixture* mixture
    Window* windows
    Py_ssize_t n_windows
    double* total
    Py_ssize_t n_groups  # of a window
    Py_ssize_t block_rows
    real* workspace
    Py_ssize_t size  # of a thread's workspace
    Py_ssize_t stride  # from sums to sums
    Py_ssize_t width  # of the sums


cdef Py_ssize_t most_chunks(Py_ssize_t n_groups) noexcept nogil:
    """Chunks of a window at most: all but the last have GROUP_ROWS rows or more."""
    return n_groups + 1


cdef void place_window(
    Window* window, Py_ssize_t n_groups, Py_ssize_t stride, Places* memory
) noexcept nogil:
    """Set where a window's memory lies."""
    cdef size_t n_rows = n_groups * GROUP_ROWS
    window.n_found = <int*>place(memory, n_groups * sizeof(int))
    window.found = <int*>place(memory, n_rows * sizeof(int))
    window.keys = <uint64_t*>place(memory, n_rows * sizeof(uint64_t))
    window.order = <int*>place(memory, n_rows * sizeof(int))
    window.pieces = <int*>place(
        memory, (n_rows // FEWEST_ALIKE + 2 * n_groups + 2) * sizeof(int))
    window.chunks = <int*>place(memory, (most_chunks(n_groups) + 1) * sizeof(int))
    window.sums = <double*>place(
        memory, (n_groups + most_chunks(n_groups)) * stride * sizeof(double))


cdef void place_sorter(
    Sorter* sorter, const Mixture* mixture, Py_ssize_t n_groups, Places* memory
) noexcept nogil:
    """Set where the workspace for patterns lies."""
    cdef size_t n_rows = n_groups * GROUP_ROWS
    sorter.table = <int*>place(memory, 4 * n_rows * sizeof(int))
    sorter.keys = <uint64_t*>place(memory, n_rows * sizeof(uint64_t))
    sorter.first = <int*>place(memory, n_rows * sizeof(int))
    sorter.n_rows = <int*>place(memory, n_rows * sizeof(int))
    sorter.n_lacking = <int*>place(memory, n_rows * sizeof(int))
    sorter.begin = <int*>place(memory, n_rows * sizeof(int))
    sorter.by_lacking = <int*>place(memory, (mixture.n_features + 2) * sizeof(int))


cdef size_t gap_workspace(
    Gaps* gaps, Pattern* pattern, Sorter* sorter, const Mixture* mixture, Py_ssize_t block_rows,
    Py_ssize_t n_groups, char* start,
) noexcept nogil:
    """Set where the parts of a workspace lie that begins at `start`; return its size in bytes."""
    cdef Places memory = Places(start, 0)
    place_gaps(gaps, mixture, block_rows, &memory)
    place_pattern(pattern, mixture, &memory)
    place_sorter(sorter, mixture, n_groups, &memory)
    return memory.size


cdef run_windows(
    Job* job, Mixture* mixture, double* total, Py_ssize_t width, Py_ssize_t n_threads
):
    """Do a job for all rows, window by window, and add their sums to the total (width,)."""
    cdef Gaps gaps
    cdef Pattern pattern
    cdef Sorter sorter
    cdef Window window
    cdef Wave wave
    cdef Places memory = Places(NULL, 0)
    cdef Py_ssize_t n_all = (job.n_samples + GROUP_ROWS - 1) // GROUP_ROWS
    cdef Py_ssize_t n_groups = min(mixture.margins.n_groups, n_all)
    cdef Py_ssize_t window_rows = n_groups * GROUP_ROWS
    cdef Py_ssize_t n_windows = (n_all + n_groups - 1) // n_groups
    wave.job, wave.mixture, wave.total = job, mixture, total
    wave.n_groups, wave.width, wave.stride = n_groups, width, padded_width(width)
    wave.block_rows = rows_per_block(mixture, min(job.n_samples, <Py_ssize_t>GROUP_ROWS))
    place_window(&window, n_groups, wave.stride, &memory)
    cdef Py_ssize_t n_here = max(WAVE_BYTES // <Py_ssize_t>memory.size, <Py_ssize_t>1)
    n_here = min(min(n_here, <Py_ssize_t>WAVE_WINDOWS) * n_threads, n_windows)
    cdef Buffer window_buffer = Buffer(
        n_here * (sizeof(Window) + memory.size) + ALIGNMENT)
    cdef int threads = <int>min(n_threads, n_here * n_groups)
    wave.size = workspace_size(mixture, wave.block_rows) + gap_workspace(
        &gaps, &pattern, &sorter, mixture, wave.block_rows, n_groups, NULL) // sizeof(real)
    cdef Buffer work_buffer = Buffer(threads * wave.size * sizeof(real))
    wave.workspace = <real*>work_buffer.address
    memory = Places(<char*>window_buffer.address, 0)
    wave.windows = <Window*>place(&memory, n_here * sizeof(Window))
    cdef Py_ssize_t start, w
    for w in range(n_here):
        place_window(&wave.windows[w], n_groups, wave.stride, &memory)
    for start in range(0, n_windows, n_here):
        wave.n_windows = n_here = min(n_here, n_windows - start)
        for w in range(n_here):
            wave.windows[w].start = (start + w) * window_rows
            wave.windows[w].n_rows = min(window_rows, job.n_samples - wave.windows[w].start)
        do_phase(GROUPS, &wave, n_here * n_groups, threads)
        do_phase(SORTING, &wave, n_here, threads)
        do_phase(CHUNK, &wave, n_here * most_chunks(n_groups), threads)
        do_phase(TOTAL, &wave, (width + REDUCED_SUMS - 1) // REDUCED_SUMS, threads)
        PyErr_CheckSignals()


cdef do_phase(Phase phase, const Wave* wave, Py_ssize_t n, int threads):
    """Do n parts of a phase."""
    cdef Py_ssize_t i
    with nogil:
        if threads == 1:  # without OpenMP, as in `run_waves`
            for i in range(n):
                do_part(phase, wave, i, wave.workspace)
        else:
            for i in prange(n, num_threads=threads, schedule="dynamic", chunksize=1):
                do_part(phase, wave, i, wave.workspace + threadid() * wave.size)


cdef void do_part(Phase phase, const Wave* wave, Py_ssize_t i, real* workspace) noexcept nogil:
    """Do one part of a phase: a group, a window, a chunk, some sums."""
    cdef Py_ssize_t most = most_chunks(wave.n_groups)
    cdef Gaps gaps
    cdef Pattern pattern
    cdef Sorter sorter
    gap_workspace(
        &gaps, &pattern, &sorter, wave.mixture, wave.block_rows, wave.n_groups,
        <char*>(workspace + workspace_size(wave.mixture, wave.block_rows)))
    if phase == GROUPS:
        do_group_of_window(
            wave, &wave.windows[i // wave.n_groups], i % wave.n_groups, &gaps, workspace)
    elif phase == SORTING:
        sort_window(wave, &wave.windows[i], &sorter)
    elif phase == TOTAL:
        add_up(wave, i * REDUCED_SUMS, min((i + 1) * REDUCED_SUMS, wave.width))
    else:
        do_chunk(wave, &wave.windows[i // most], i % most, &gaps, &pattern, workspace)


cdef void do_group_of_window(
    const Wave* wave, Window* window, Py_ssize_t group, Gaps* gaps, real* workspace
) noexcept nogil:
    """Find a group's rows that lack values, and do the job for the others."""
    cdef const Job* job = wave.job
    cdef const Mixture* mixture = wave.mixture
    cdef Py_ssize_t first = group * GROUP_ROWS
    cdef Py_ssize_t n_rows = min(<Py_ssize_t>GROUP_ROWS, window.n_rows - first)
    cdef double* sums = window.sums + group * wave.stride
    cdef Block block
    cdef int complete[GROUP_ROWS]
    window.n_found[group] = 0
    if n_rows <= 0:
        return
    if not lacks_values(
        job.X + (window.start + first) * mixture.n_features, n_rows * mixture.n_features
    ):
        do_group(job, mixture, (window.start + first) // GROUP_ROWS, wave.block_rows, workspace,
                 sums, wave.width)
        return
    window.n_found[group] = find_lacking(
        job.X + window.start * mixture.n_features, mixture.n_features, first, n_rows,
        complete, window.found + first, window.keys + first)
    memset(sums, 0, wave.width * sizeof(double))
    block = empty_block(mixture, wave.block_rows, workspace)
    do_gathered(
        job, mixture, mixture, &block, gaps, window.start, complete,
        n_rows - window.n_found[group], NULL, wave.block_rows, sums, wave.width)
    finish_sums(job, mixture, sums, wave.width)


cdef int find_lacking(
    const real* X, Py_ssize_t d, Py_ssize_t first, Py_ssize_t n_rows, int* complete, int* found,
    uint64_t* keys,
) noexcept nogil:
    """Part rows from `first` into complete ones and others, whose keys say what they lack."""
    cdef const real* row = X + first * d
    cdef Py_ssize_t n_complete = 0
    cdef int n_found = 0
    cdef Py_ssize_t s, i
    cdef uint64_t key
    cdef real total
    for s in range(first, first + n_rows):
        total = 0
        for i in range(d):
            total += row[i]  # NaN only if a value is: infinity is refused before
        if total == total:
            complete[n_complete] = <int>s
            n_complete += 1
        else:
            key = 0
            for i in range(d):
                key ^= <uint64_t>(row[i] != row[i]) << (i % KEY_BITS)
            found[n_found] = <int>s
            keys[n_found] = key
            n_found += 1
        row += d
    return n_found


cdef bint lack_the_same(const real* one, const real* other, Py_ssize_t d) noexcept nogil:
    """Whether two rows lack the same values."""
    cdef int differing = 0
    cdef Py_ssize_t i
    for i in range(d):
        differing |= (one[i] != one[i]) != (other[i] != other[i])
    return not differing


cdef void sort_window(const Wave* wave, Window* window, Sorter* sorter) noexcept nogil:
    """Sort a window's rows that lack values by what they lack, and cut them into chunks."""
    cdef Py_ssize_t n_patterns = number_patterns(wave, window, sorter)
    cdef Py_ssize_t n_rows = order_patterns(wave, sorter, n_patterns, window)
    cdef Py_ssize_t g, at
    cdef int pattern
    for g in range(wave.n_groups):
        for at in range(g * GROUP_ROWS, g * GROUP_ROWS + window.n_found[g]):
            pattern = <int>window.keys[at]
            window.order[sorter.begin[pattern]] = window.found[at]
            sorter.begin[pattern] += 1
    cut_chunks(window, n_rows)


cdef Py_ssize_t number_patterns(
    const Wave* wave, Window* window, Sorter* sorter
) noexcept nogil:
    """Replace keys by numbers of patterns, in the order of their first rows; return how many."""
    cdef Py_ssize_t d = wave.mixture.n_features
    cdef const real* X = wave.job.X + window.start * d
    cdef Py_ssize_t n_rows = 0
    cdef Py_ssize_t n_patterns = 0
    cdef Py_ssize_t slots, g, at, slot, i
    cdef int bits = 1
    cdef int pattern
    cdef uint64_t key
    for g in range(wave.n_groups):
        n_rows += window.n_found[g]
    while (1 << bits) < 2 * n_rows:
        bits += 1
    slots = 1 << bits
    memset(sorter.table, 0xFF, slots * sizeof(int))
    for g in range(wave.n_groups):
        for at in range(g * GROUP_ROWS, g * GROUP_ROWS + window.n_found[g]):
            key = window.keys[at]
            slot = (key * SPREAD_BITS) >> (KEY_BITS - bits)
            while True:
                pattern = sorter.table[slot]
                if pattern < 0:
                    pattern = <int>n_patterns
                    n_patterns += 1
                    sorter.table[slot] = pattern
                    sorter.keys[pattern], sorter.first[pattern] = key, window.found[at]
                    sorter.n_rows[pattern] = sorter.n_lacking[pattern] = 0
                    for i in range(d):
                        sorter.n_lacking[pattern] += (
                            X[window.found[at] * d + i] != X[window.found[at] * d + i])
                    break
                if sorter.keys[pattern] == key and (d <= KEY_BITS or lack_the_same(
                    X + window.found[at] * d, X + sorter.first[pattern] * d, d
                )):
                    break
                slot = (slot + 1) & (slots - 1)
            sorter.n_rows[pattern] += 1
            window.keys[at] = pattern
    return n_patterns


cdef Py_ssize_t order_patterns(
    const Wave* wave, Sorter* sorter, Py_ssize_t n_patterns, Window* window
) noexcept nogil:
    """Find where rows of patterns begin, and pieces; return the number of rows.

    Patterns of many rows come first, each in pieces of its own. The others follow, those that lack
    the least first.
    """
    cdef Py_ssize_t d = wave.mixture.n_features
    cdef int* by_lacking = sorter.by_lacking
    cdef int fewest = FEWEST_ALIKE if has_matrices(wave.mixture) else GROUP_ROWS * GROUP_ROWS
    cdef Py_ssize_t n_pieces = 0
    cdef int n_rows = 0
    cdef Py_ssize_t p, i
    cdef int start
    memset(by_lacking, 0, (d + 2) * sizeof(int))
    for p in range(n_patterns):
        if sorter.n_rows[p] < fewest:
            by_lacking[sorter.n_lacking[p] + 1] += sorter.n_rows[p]
            continue
        sorter.begin[p] = start = n_rows
        n_rows += sorter.n_rows[p]
        while start < n_rows:
            window.pieces[n_pieces] = start
            n_pieces += 1
            start += GROUP_ROWS
    window.n_alike = n_pieces
    by_lacking[0] = start = n_rows
    for i in range(d + 1):
        by_lacking[i + 1] += by_lacking[i]
    for p in range(n_patterns):
        if sorter.n_rows[p] < fewest:
            sorter.begin[p] = by_lacking[sorter.n_lacking[p]]
            by_lacking[sorter.n_lacking[p]] += sorter.n_rows[p]
            n_rows += sorter.n_rows[p]
    while start < n_rows:
        window.pieces[n_pieces] = start
        n_pieces += 1
        start += GROUP_ROWS
    window.pieces[n_pieces] = n_rows
    return n_rows


cdef void cut_chunks(Window* window, Py_ssize_t n_rows) noexcept nogil:
    """Put pieces together to chunks of GROUP_ROWS rows or more."""
    cdef Py_ssize_t piece = 0
    cdef Py_ssize_t start
    window.n_chunks = 0
    while window.pieces[piece] < n_rows:
        window.chunks[window.n_chunks] = <int>piece
        window.n_chunks += 1
        start = window.pieces[piece]
        while window.pieces[piece] < min(start + GROUP_ROWS, n_rows):
            piece += 1
    window.chunks[window.n_chunks] = <int>piece


cdef void do_chunk(
    const Wave* wave, const Window* window, Py_ssize_t chunk, Gaps* gaps, Pattern* pattern,
    real* workspace,
) noexcept nogil:
    """Do the job for a chunk of rows that lack values."""
    cdef const Job* job = wave.job
    cdef const Mixture* mixture = wave.mixture
    cdef double* sums = window.sums + (wave.n_groups + chunk) * wave.stride
    cdef Block block
    cdef const int* rows
    cdef Py_ssize_t n_rows, p, i
    if chunk >= window.n_chunks:
        return
    memset(sums, 0, wave.width * sizeof(double))
    memset(gaps.sums, 0, mixture.n_components * sums_of_component(mixture) * sizeof(double))
    if has_matrices(mixture):
        memset(pattern.totals, 0, totals_size(mixture))
    block = empty_block(mixture, wave.block_rows, workspace)
    for p in range(window.chunks[chunk], window.chunks[chunk + 1]):
        rows = window.order + window.pieces[p]
        n_rows = window.pieces[p + 1] - window.pieces[p]
        if p < window.n_alike:
            do_alike(job, mixture, &block, gaps, pattern, window.start, rows, n_rows,
                     wave.block_rows, sums, wave.width)
        else:
            block.gaps = gaps
            do_gathered(job, mixture, mixture, &block, gaps, window.start, rows, n_rows, NULL,
                        wave.block_rows, sums, wave.width)
            block.gaps = NULL
    if job.task == ACCUMULATE:
        fold_gaps(mixture, gaps.sums, sums)
        if has_matrices(mixture):
            fold_totals(mixture, pattern, sums)
    for i in range(wave.width):
        sums[i] *= job.weight_unit


cdef void add_up(const Wave* wave, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Add the sums numbered from `first` to before `end` to the total.

    Those of a window's groups come before those of its chunks.
    """
    cdef const Window* window
    cdef Py_ssize_t w, n_groups
    for w in range(wave.n_windows):
        window = &wave.windows[w]
        n_groups = (window.n_rows + GROUP_ROWS - 1) // GROUP_ROWS
        reduce_groups(window.sums, n_groups, wave.stride, first, end, wave.total)
        reduce_groups(window.sums + wave.n_groups * wave.stride, window.n_chunks, wave.stride,
                      first, end, wave.total)
