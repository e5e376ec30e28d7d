"""The M-step's sums: weighted moments of a block of rows, added to a group's.

The left factor is centred on the component's present mean, w_ki = r_k (z_i - m_ki), and shared by
a tile of columns: raw_k[i, j] += w_ki z_j. What is too much, sum(w_ki) m_kj, is taken off once per
group. So rounding errors grow with spread / sigma, not with its square, though one factor alone is
centred.

A group's moments are float64, flat: n_k (T), the noise's last, then tile by tile of components what
the structure needs, [row][column][component of the tile], and a tied structure's triangle at the
end.
`moments_order` says where each belongs in the statistics.
"""

from gaussmix._core.arrays cimport DIAG, FULL, SPHERICAL, TIED
from gaussmix._core.lanes cimport (
    COMPONENTS, LANES, REGISTERS, VECTORS, in_register, real, splat, vec,
)
from gaussmix._core.layout cimport Block, Mixture, panel_features, tile_size
from gaussmix._core.vector_math cimport add_lane_sums, lane_sum

cdef enum:
    HARD_TILE = 8  # features of a row that are added at once, whatever they are added to
    FEW_CLUSTERS = 12  # see `sums_are_few`


cdef inline Py_ssize_t scratch_values(const Mixture* mixture) noexcept nogil:
    """Numbers for each row in a block's scratch."""
    cdef Py_ssize_t rotated = panel_features(mixture) if mixture.structure == TIED else 0
    return max(rotated, <Py_ssize_t>COMPONENTS)


cdef inline Py_ssize_t moments_per_component(const Mixture* mixture) noexcept nogil:
    """Sums of a component beside n_k: first moments, and second ones unless they are tied."""
    cdef Py_ssize_t d = mixture.n_features
    if mixture.structure == FULL:
        return d + d * (d + 1) // 2
    return d + second_moments(mixture)


cdef inline Py_ssize_t second_moments(const Mixture* mixture) noexcept nogil:
    """Second moments of a component in the statistics."""
    cdef Py_ssize_t d = mixture.n_features
    if mixture.structure == FULL:
        return d * d
    if mixture.structure == DIAG:
        return d
    return 1 if mixture.structure == SPHERICAL else 0


cdef inline Py_ssize_t n_moments(const Mixture* mixture) noexcept nogil:
    """Sums of a group without the totals."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t own = mixture.n_terms + mixture.n_components * moments_per_component(mixture)
    return own + d * d if mixture.structure == TIED else own


cdef inline void first_tile(
    const int size, const Block* block, const Mixture* mixture,
    Py_ssize_t component, Py_ssize_t i, double* sums,  # [component]
) noexcept nogil:
    """Add the sums of w_ki z_i over the block's rows, for a tile of `size` components.

    The w_ki stay in the scratch, [panel][component], for the other tiles of row i.
    """
    # With few sums every addition would wait for the one before: two sets of sums take turns.
    cdef int sets = VECTORS if size * (VECTORS + 1) + 2 <= REGISTERS else 1
    # To the compiler, the store of a vector may change anything but local variables.
    cdef Py_ssize_t n_panels = block.n_panels
    cdef Py_ssize_t x_stride = block.x_stride
    cdef Py_ssize_t score_stride = block.score_stride
    cdef const vec* score = block.score + component * VECTORS
    cdef const vec* x = block.x + i * VECTORS
    cdef vec* w = block.scratch
    cdef vec acc[COMPONENTS * VECTORS]
    cdef vec means[COMPONENTS]
    cdef vec weighted, z
    cdef Py_ssize_t _
    cdef int k, v
    for k in range(size * sets):
        acc[k] = splat(0)
    for k in range(size):
        means[k] = splat(mixture.means[(component + k) * (mixture.n_features + 1) + i])
    for _ in range(n_panels):
        for v in range(VECTORS):
            z = in_register(x[v])
            for k in range(size):
                weighted = score[k * VECTORS + v] * (z - means[k])
                w[k * VECTORS + v] = weighted
                acc[v % sets * size + k] += weighted * z
        x += x_stride
        score += score_stride
        w += size * VECTORS
    for k in range(size * (sets - 1)):
        acc[k] += acc[size + k]
    add_lane_sums(acc, size, sums)


cdef inline void moment_tile(
    const int size, const int columns, const Block* block, Py_ssize_t j,
    double* sums,  # [column][component]
) noexcept nogil:
    """Add the sums of w_k z_j over the block's rows, for `columns` columns from j.

    The scratch holds the w_k of a tile of `size` components.
    """
    cdef int n = size * columns
    cdef int sets = VECTORS if n * VECTORS + VECTORS < REGISTERS else 1  # as above
    cdef const vec* x = block.x + j * VECTORS
    cdef const vec* w = block.scratch
    cdef vec acc[REGISTERS]
    cdef vec weighted, first
    cdef Py_ssize_t _
    cdef int k, c, v
    for k in range(n * sets):
        acc[k] = splat(0)
    for _ in range(block.n_panels):
        for v in range(VECTORS):
            first = in_register(x[v])
            for k in range(size):
                weighted = in_register(w[k * VECTORS + v])
                acc[v % sets * n + k] += weighted * first
                for c in range(1, columns):
                    acc[v % sets * n + c * size + k] += weighted * x[c * VECTORS + v]
        x += block.x_stride
        w += size * VECTORS
    for k in range(n * (sets - 1)):
        acc[k] += acc[n + k]
    add_lane_sums(acc, n, sums)


cdef inline int max_columns(const int size) noexcept nogil:
    """The most columns that a tile may have.

    Its sums, the operands of its shorter side and one operand of the other side fit the registers,
    and one register is left.
    """
    return max((REGISTERS - 2) // size - 1, (REGISTERS - 2) // (size + 1))


cdef inline int next_tile(
    const int size, const Block* block, Py_ssize_t j, Py_ssize_t end, double* sums
) noexcept nogil:
    """Do the next tile of columns from j to `end`, and return how many it has.

    The sizes are spelled out, so that the compiler unrolls each tile into registers.
    """
    if end - j >= max_columns(size):
        moment_tile(size, max_columns(size), block, j, sums)
        return max_columns(size)
    if max_columns(size) > 6 and end - j >= 6:
        moment_tile(size, 6, block, j, sums)
        return 6
    if max_columns(size) > 3 and end - j >= 3:
        moment_tile(size, 3, block, j, sums)
        return 3
    if max_columns(size) > 2 and end - j >= 2:
        moment_tile(size, 2, block, j, sums)
        return 2
    moment_tile(size, 1, block, j, sums)
    return 1


cdef inline void full_components(
    const int size, const Block* block, const Mixture* mixture, Py_ssize_t component, double* sums
) noexcept nogil:
    """Add the moments of a tile of components: rows i of the triangle, with the column of ones."""
    cdef Py_ssize_t end = mixture.n_features + 1
    cdef Py_ssize_t i, j
    cdef int columns
    for i in range(mixture.n_features):
        first_tile(size, block, mixture, component, i, sums)
        sums += size
        j = i + 1
        while j < end:
            columns = next_tile(size, block, j, end, sums)
            sums += columns * size
            j += columns


cdef inline void diag_components(
    const int size, const bint spherical, const Block* block, const Mixture* mixture,
    Py_ssize_t component, double* sums,
) noexcept nogil:
    """Add the sums of r_k (x_j - m_kj) and of r_k (x_j - m_kj)^2, feature by feature.

    The squares of spherical components are summed over all features.
    """
    cdef const vec* x
    cdef const vec* score
    cdef vec acc[2 * COMPONENTS]
    cdef vec means[COMPONENTS]
    cdef vec deviation, weighted
    cdef Py_ssize_t _, j
    cdef int k, v
    for k in range(size):
        acc[size + k] = splat(0)
    for j in range(mixture.n_features):
        x = block.x + j * VECTORS
        score = block.score + component * VECTORS
        for k in range(size):
            means[k] = splat(mixture.means[(component + k) * (mixture.n_features + 1) + j])
            acc[k] = splat(0)
        for _ in range(block.n_panels):
            for v in range(VECTORS):
                for k in range(size):
                    deviation = x[v] - means[k]
                    weighted = score[k * VECTORS + v] * deviation
                    acc[k] += weighted
                    acc[size + k] += weighted * deviation
            x += block.x_stride
            score += block.score_stride
        if spherical:
            add_lane_sums(acc, size, sums)
            sums += size
        else:
            add_lane_sums(acc, 2 * size, sums)
            sums += 2 * size
            for k in range(size):
                acc[size + k] = splat(0)
    if spherical:
        add_lane_sums(acc + size, size, sums)


cdef inline void sum_responsibilities(
    const int size, const Block* block, Py_ssize_t component, double* sums
) noexcept nogil:
    """Add the sums of the responsibilities."""
    cdef const vec* score = block.score + component * VECTORS
    cdef vec acc[COMPONENTS]
    cdef vec together
    cdef Py_ssize_t _
    cdef int k, v
    for k in range(size):
        acc[k] = splat(0)
    for _ in range(block.n_panels):
        for k in range(size):
            together = score[k * VECTORS]
            for v in range(1, VECTORS):
                together = together + score[k * VECTORS + v]
            acc[k] += together
        score += block.score_stride
    add_lane_sums(acc, size, sums)


cdef inline void first_moments(
    const int size, const bint pooled, const Block* block, const Mixture* mixture,
    Py_ssize_t component, Py_ssize_t i, double* sums,
) noexcept nogil:
    """Add the sums of r_k (x_i - m_ki) of a tile of components to their first moments.

    If they are to be pooled, sums over k are added to the scratch, [panel], row by row.
    """
    cdef Py_ssize_t n_panels = block.n_panels
    cdef Py_ssize_t x_stride = block.x_stride
    cdef Py_ssize_t score_stride = block.score_stride
    cdef const vec* x = block.x + i * VECTORS
    cdef const vec* score = block.score + component * VECTORS
    cdef vec* pools = block.scratch
    cdef vec acc[COMPONENTS]
    cdef vec means[COMPONENTS]
    cdef vec deviation, total
    cdef double first[COMPONENTS]
    cdef Py_ssize_t _
    cdef int k, v
    for k in range(size):
        first[k] = 0
        acc[k] = splat(0)
        means[k] = splat(mixture.means[(component + k) * (mixture.n_features + 1) + i])
    for _ in range(n_panels):
        for v in range(VECTORS):
            if pooled:
                total = pools[v]
            for k in range(size):
                deviation = x[v] - means[k]
                acc[k] += score[k * VECTORS + v] * deviation
                if pooled:
                    total += score[k * VECTORS + v] * deviation
            if pooled:
                pools[v] = total
        x += x_stride
        score += score_stride
        pools += VECTORS
    add_lane_sums(acc, size, first)
    for k in range(size):
        sums[k * mixture.n_features + i] += first[k]


cdef inline void component_moments(
    const int size, const bint hard, const Block* block, const Mixture* mixture,
    Py_ssize_t component, Py_ssize_t i, double* sums,
) noexcept nogil:
    """Add the sums of a tile of components.

    Of hard assignment, and under a tied structure, only those of feature i.
    """
    cdef double* own = sums + mixture.n_terms + component * moments_per_component(mixture)
    if i == 0:
        sum_responsibilities(size, block, component, sums + component)
    if hard:
        own = sums + mixture.n_terms + component * mixture.n_features
        first_moments(size, False, block, mixture, component, i, own)
    elif mixture.structure == FULL:
        full_components(size, block, mixture, component, own)
    elif mixture.structure == TIED:
        first_moments(size, True, block, mixture, component, i, own)
    elif mixture.structure == DIAG:
        diag_components(size, False, block, mixture, component, own)
    else:
        diag_components(size, True, block, mixture, component, own)


cdef inline void all_components(
    const bint hard, const Block* block, const Mixture* mixture, Py_ssize_t i, double* sums
) noexcept nogil:
    """Add the sums of all components; sizes are spelled out, so that the compiler unrolls tiles."""
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t size
    while k < mixture.n_components:
        size = tile_size(mixture.n_components - k)
        if size == 6:
            component_moments(6, hard, block, mixture, k, i, sums)
        elif size == 5:
            component_moments(5, hard, block, mixture, k, i, sums)
        elif size == 4:
            component_moments(4, hard, block, mixture, k, i, sums)
        elif size == 3:
            component_moments(3, hard, block, mixture, k, i, sums)
        elif size == 2:
            component_moments(2, hard, block, mixture, k, i, sums)
        else:
            component_moments(1, hard, block, mixture, k, i, sums)
        k += size


cdef inline void tied_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    """Add the first moments of every component, and the one triangle of second moments."""
    cdef Py_ssize_t d = mixture.n_features
    cdef double* second = sums + mixture.n_terms + mixture.n_components * d
    cdef Py_ssize_t i, j, p
    for i in range(d):
        for p in range(block.n_panels * VECTORS):
            block.scratch[p] = splat(0)
        all_components(False, block, mixture, i, sums)
        j = i
        while j < d:
            j += next_tile(1, block, j, d, second + i * d + j)


cdef inline void add_totals(
    const Block* block, const Mixture* mixture, double* totals
) noexcept nogil:
    """Add the weighted log-likelihood of the rows, which `row_max` holds, and their weight."""
    cdef vec log_likelihood = splat(0)
    cdef vec weight = splat(0)
    cdef Py_ssize_t p
    for p in range(block.n_panels * VECTORS):
        log_likelihood += block.weight[p] * block.row_max[p]
        weight += block.weight[p]
    totals[0] += lane_sum(log_likelihood) * mixture.unit
    totals[1] += lane_sum(weight)


cdef inline void add_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    """Add a block's moments, its scores being responsibilities times weights, to a group's."""
    if mixture.structure == TIED:
        tied_moments(block, mixture, sums)
    else:
        all_components(False, block, mixture, 0, sums)
    if mixture.n_terms > mixture.n_components:
        sum_responsibilities(1, block, mixture.n_components, sums + mixture.n_components)


cdef inline void centre_moments(const Mixture* mixture, double* sums) noexcept nogil:
    """Turn a group's raw second moments into those about the means: take off first_ki m_kj."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t size
    sums += mixture.n_terms
    if mixture.structure == TIED:
        for k in range(mixture.n_components):
            centre_pooled(mixture, k, sums + k * d, sums + mixture.n_components * d)
    elif mixture.structure == FULL:
        while k < mixture.n_components:
            size = tile_size(mixture.n_components - k)
            centre_tile(mixture, k, size, sums)
            sums += size * moments_per_component(mixture)
            k += size


cdef inline void centre_tile(
    const Mixture* mixture, Py_ssize_t component, Py_ssize_t size, double* sums
) noexcept nogil:
    """Centre the triangles of a tile, whose rows end with their first moments."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* means = mixture.means + component * (d + 1)
    cdef const double* first
    cdef Py_ssize_t i, j, k
    for i in range(d):
        first = sums + (d - i) * size
        for j in range(i, d):
            for k in range(size):
                sums[k] -= first[k] * means[k * (d + 1) + j]
            sums += size
        sums += size


cdef inline void centre_pooled(
    const Mixture* mixture, Py_ssize_t k, const double* first, double* second
) noexcept nogil:
    """Take component k's first_i m_j off the triangle of a tied structure."""
    cdef Py_ssize_t d = mixture.n_features
    cdef const real* mean = mixture.means + k * (d + 1)
    cdef Py_ssize_t i, j
    for i in range(d):
        for j in range(i, d):
            second[i * d + j] -= first[i] * mean[j]


cdef inline void moments_order(const Mixture* mixture, Py_ssize_t* order) noexcept nogil:
    """Where each sum of a group belongs in n_k, first and second moments, laid end to end."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t first = mixture.n_terms
    cdef Py_ssize_t second = first + mixture.n_components * d
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t i, size
    for i in range(n_moments(mixture) if mixture.structure == TIED else mixture.n_terms):
        order[i] = i
    order += mixture.n_terms
    while mixture.structure != TIED and k < mixture.n_components:
        size = tile_size(mixture.n_components - k)
        tile_order(mixture, size, first, second, order)
        order += size * moments_per_component(mixture)
        first += size * d
        second += size * second_moments(mixture)
        k += size


cdef inline void tile_order(
    const Mixture* mixture, Py_ssize_t size, Py_ssize_t first, Py_ssize_t second, Py_ssize_t* order
) noexcept nogil:
    """Where the sums of a tile belong, whose first and second moments begin at these numbers."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t step = second_moments(mixture)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t i, j, k
    for i in range(d):
        if mixture.structure == FULL:
            for j in range(i, d):
                for k in range(size):
                    order[at + k] = second + k * step + i * d + j
                at += size
        for k in range(size):
            order[at + k] = first + k * d + i
        at += size
        if mixture.structure == DIAG:
            for k in range(size):
                order[at + k] = second + k * step + i
            at += size
    if mixture.structure == SPHERICAL:
        for k in range(size):
            order[at + k] = second + k


cdef inline bint sums_are_few(const Mixture* mixture) noexcept nogil:
    """Whether adding the rows to all components takes less time than to one each.

    One row's sum waits for the row before it, if both are of one component.
    """
    cdef Py_ssize_t n_sums = mixture.n_terms * mixture.n_features
    return mixture.n_terms <= min(FEW_CLUSTERS, 3 * LANES) and n_sums <= 10 * LANES


cdef inline void add_first_moments(
    const Block* block, const Mixture* mixture, double* sums
) noexcept nogil:
    """Add a block's weights and first moments, its scores being as `find_argmax` leaves them."""
    cdef Py_ssize_t i
    for i in range(mixture.n_features):
        all_components(True, block, mixture, i, sums)


cdef inline void add_hard_moments(
    const Block* block, const Mixture* mixture, const int* labels,
    const real* X, const double* sample_weight, double weight_unit, double* sums,
) noexcept nogil:
    """Add weights and first moments of a block's rows, each to the component of its label."""
    cdef Py_ssize_t d = mixture.n_features
    cdef double* first = sums + mixture.n_terms
    cdef const real* mean
    cdef double[HARD_TILE] moved
    cdef double weight
    cdef Py_ssize_t s, i, j, k
    for s in range(block.n_rows):
        k = labels[s]
        mean = mixture.means + k * (d + 1)
        weight = 1 if sample_weight == NULL else sample_weight[s] / weight_unit
        sums[k] += weight
        i = 0
        while i + HARD_TILE <= d:
            for j in range(<Py_ssize_t>HARD_TILE):
                moved[j] = weight * (
                    (<double>X[s * d + i + j] - mixture.center[i + j]) - mean[i + j])
            for j in range(<Py_ssize_t>HARD_TILE):
                first[k * d + i + j] += moved[j]
            i += HARD_TILE
        while i < d:
            first[k * d + i] += weight * ((<double>X[s * d + i] - mixture.center[i]) - mean[i])
            i += 1
