"""A density's constants in the order and precision in which the tiles read them."""

from gaussmix._core.arrays cimport DIAG, FULL, SPHERICAL, TIED
from gaussmix._core.estimates cimport Constants
from gaussmix._core.lanes cimport COMPONENTS, SQUARES_LIMIT, real
from gaussmix._core.layout cimport Mixture, density_tile, triangle_columns


cdef inline Py_ssize_t packed_size(const Mixture* mixture) noexcept nogil:
    """Numbers that a packed density takes at most."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t factors = d * (d + 1) // 2 if mixture.structure == FULL else d
    cdef Py_ssize_t rotation = d * (d + COMPONENTS) if mixture.structure == TIED else 0
    return d + rotation + mixture.n_components * (d + 1 + factors + d + 2)


cdef inline void pack(Mixture* mixture, const Constants* given, real* memory) noexcept nogil:
    """Fill `memory` with a density's constants, and the mixture with where they are.

    The centre is rounded to the build's precision, and the means are relative to the rounded one.
    Log-densities will be in units of `mixture.unit`.
    """
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n = mixture.n_components
    cdef Py_ssize_t i, k
    cdef bint unit = has_unit_factors(mixture, given)
    cdef real* center = memory
    cdef real* means = center + d
    cdef real* q_scales = means + n * (d + 1)
    cdef real* log_scales = q_scales + n
    cdef real* offsets = log_scales + n
    cdef real* factors = offsets + n * d
    mixture.center, mixture.means = center, means
    mixture.q_scales, mixture.log_scales = q_scales, log_scales
    mixture.offsets = offsets
    mixture.factors = NULL if unit else factors
    mixture.rotation = factors if mixture.structure == TIED else NULL
    for i in range(d):
        center[i] = <real>given.center[i]
    for k in range(n):
        for i in range(d):
            means[k * (d + 1) + i] = <real>centred(mixture, given, k, i)
        means[k * (d + 1) + d] = 0
        q_scales[k] = <real>(0.5 / mixture.unit)
        if unit and mixture.structure == SPHERICAL:
            q_scales[k] = <real>(0.5 * given.factors[k] * given.factors[k] / mixture.unit)
        log_scales[k] = <real>(given.log_scales[k] / mixture.unit)
    pack_tiles(mixture, given, unit, offsets, factors)
    if mixture.structure == TIED:
        pack_rotation(mixture, given, factors)


cdef inline bint has_unit_factors(const Mixture* mixture, const Constants* given) noexcept nogil:
    """Whether a quadratic form is a sum of squared differences, times a number of the component.

    It is one under a tied structure, whose factor is applied to the rows before, and for spheres
    whose factors can be squared: neither the squares nor those of distances of the order of
    sigma leave the range of the precision.
    """
    cdef Py_ssize_t k
    if mixture.structure != SPHERICAL:
        return mixture.structure == TIED
    for k in range(mixture.n_components):
        if not 1 / <double>SQUARES_LIMIT < given.factors[k] < SQUARES_LIMIT:
            return False
    return True


cdef inline double centred(
    const Mixture* mixture, const Constants* given, Py_ssize_t k, Py_ssize_t i
) noexcept nogil:
    """Component k's mean of feature i, relative to the rounded centre."""
    return given.means[k * mixture.n_features + i] + (given.center[i] - mixture.center[i])


cdef inline double factor(
    const Mixture* mixture, const Constants* given, Py_ssize_t k, Py_ssize_t i, Py_ssize_t j
) noexcept nogil:
    """Element [i, j] of component k's factor; [j, j] if the factor is diagonal."""
    cdef Py_ssize_t d = mixture.n_features
    if mixture.structure == FULL:
        return given.factors[(k * d + i) * d + j]
    if mixture.structure == TIED:
        return given.factors[i * d + j]
    return given.factors[k * d + j if mixture.structure == DIAG else k]


cdef inline void pack_tiles(
    const Mixture* mixture, const Constants* given, bint unit, real* offsets, real* factors
) noexcept nogil:
    """Pack -U_k' means_k, [j][component], and the factors: [j][component], or triangles."""
    cdef Py_ssize_t d = mixture.n_features
    cdef bint triangles = mixture.structure == FULL or mixture.structure == TIED
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, i, j, k
    cdef double offset
    while start < mixture.n_components:
        size = density_tile(mixture, mixture.n_components - start)
        for j in range(d):
            for k in range(start, start + size):
                offset = 0
                for i in range(0 if triangles else j, j + 1):
                    offset -= centred(mixture, given, k, i) * (
                        factor(mixture, given, k, i, j) if triangles or not unit else 1)
                offsets[k - start] = <real>offset
            offsets += size
        if mixture.structure == FULL:
            pack_triangles(mixture, given, start, size, factors)
            factors += size * (d * (d + 1) // 2)
        elif not unit:
            for j in range(d):
                for k in range(size):
                    factors[k] = <real>factor(mixture, given, start + k, j, j)
                factors += size
        start += size


cdef inline void pack_triangles(
    const Mixture* mixture, const Constants* given, Py_ssize_t start, Py_ssize_t size, real* factors
) noexcept nogil:
    """Pack a tile's triangles: [columns j taken at once][i <= j][column][component]."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t columns = triangle_columns(size)
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t end, i, j, k
    while first < d:
        end = first + (1 if first < d % columns else columns)
        for i in range(end):
            for j in range(max(first, i), end):
                for k in range(size):
                    factors[k] = <real>factor(mixture, given, start + k, i, j)
                factors += size
        first = end


cdef inline void pack_rotation(
    const Mixture* mixture, const Constants* given, real* rotation
) noexcept nogil:
    """Pack the tied factor, [tile of columns][row][column], with zeros to fill the last tile."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t j = 0
    cdef Py_ssize_t i, c
    while j < d:
        for i in range(d):
            for c in range(<Py_ssize_t>COMPONENTS):
                rotation[c] = <real>given.factors[i * d + j + c] if j + c < d else 0
            rotation += COMPONENTS
        j += COMPONENTS
