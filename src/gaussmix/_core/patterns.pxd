"""Rows that all lack the same values: a mixture of the features that they have, and the way back.

Let x be scaled so that its precision P = U U' has a diagonal of ones. U' is lower triangular. Its
columns of what is lacking, m, are moved behind those of what is there, o, and rotations of rows
make it lower triangular again (Golub & Van Loan, Matrix Computations, 6.5.3):

    U'x = Q (A_oo      ) (x_o)
            (A_mo  A_mm) (x_m).

So A_oo is the factor of the marginal density of o. What is lacking has the conditional expectation
B x_o, B = -inv(A_mm) A_mo, and the conditional covariance C = inv(A_mm) inv(A_mm)'. Rows go through
the ordinary steps under the marginal mixture. Their moments n, f_o, S_oo are then completed once
for all of them: f_m = B f_o, S_mo = B S_oo, S_mm = B S_oo B' + n C.

Here components are lanes. What is called a table has [place][component] with whole vectors of
components.
"""

from gaussmix._core.arrays cimport FULL, TIED
from gaussmix._core.gaps cimport place_of
from gaussmix._core.lanes cimport LANES, LN2, VECTORS, inverse_root, maximum, real, splat, vec
from gaussmix._core.layout cimport (
    Mixture, Pattern, density_tile, tile_size, triangle_columns,
)
from gaussmix._core.moments cimport moments_per_component
from gaussmix._core.triangles cimport LOG_PIVOTS
from gaussmix._core.vector_math cimport vector_log2


cdef inline Py_ssize_t component_vectors(const Mixture* mixture) noexcept nogil:
    """Vectors that a number of every component takes."""
    return (mixture.n_components + LANES - 1) // LANES


cdef inline void split_features(
    const real* row, const Py_ssize_t d, Pattern* pattern
) noexcept nogil:
    """List the features that a row has and those that it lacks."""
    cdef Py_ssize_t i
    pattern.n_there = pattern.n_lacking = 0
    for i in range(d):
        if row[i] != row[i]:
            pattern.lacking[pattern.n_lacking] = <int>i
            pattern.n_lacking += 1
        else:
            pattern.there[pattern.n_there] = <int>i
            pattern.n_there += 1


cdef inline void rotate_behind(
    const Py_ssize_t d, const Py_ssize_t i, const Py_ssize_t last, int* columns, vec* a
) noexcept nogil:
    """Move column i of a lower triangle (d, d) behind the column `last`, and rotate rows.

    `columns` says which column stands where: none of them changes its place in memory.
    """
    cdef int moved = columns[i]
    cdef vec* row
    cdef vec* below
    cdef vec cosine, sine, inverse, one, other
    cdef Py_ssize_t r, c, q
    for c in range(i, last):
        columns[c] = columns[c + 1]
    columns[last] = moved
    for r in range(i, last):
        row = a + r * d
        below = row + d
        one, other = row[moved], below[moved]
        inverse = inverse_root(one * one + other * other)
        cosine, sine = other * inverse, one * inverse
        below[moved] = sine * one + cosine * other
        for c in range(r):
            q = columns[c]
            one, other = row[q], below[q]
            row[q] = cosine * one - sine * other
            below[q] = sine * one + cosine * other
        q = columns[r]
        row[q] = -sine * below[q]
        below[q] = cosine * below[q]


cdef inline void factorise_pattern(
    const Mixture* mixture, Pattern* pattern, const Py_ssize_t v
) noexcept nogil:
    """Find A for vector v of the components, in `pattern.factor`."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t width = component_vectors(mixture)
    cdef const vec* roots = <const vec*>mixture.margins.roots + v
    cdef Py_ssize_t r, c
    for r in range(d):
        pattern.columns[r] = <int>r
        for c in range(r + 1):
            pattern.factor[r * d + c] = roots[(r * d + c) * width]
    for r in range(pattern.n_lacking - 1, -1, -1):
        rotate_behind(
            d, pattern.lacking[r], pattern.n_there + r, pattern.columns, pattern.factor)


cdef inline void log_determinants(
    const Mixture* mixture, Pattern* pattern, const Py_ssize_t v
) noexcept nogil:
    """Find log-scales of vector v of the components: what is lacking no longer counts."""
    cdef Py_ssize_t d = mixture.n_features
    cdef real* log_scales = pattern.log_scales + v * LANES
    cdef const real* added
    cdef vec product
    cdef vec total = splat(0)
    cdef const real* lanes = <const real*>&total
    cdef Py_ssize_t a = 0
    cdef Py_ssize_t end, k
    while a < pattern.n_lacking:
        end = min(a + LOG_PIVOTS, pattern.n_lacking)
        product = splat(1)
        while a < end:
            product = product / pattern.factor[(pattern.n_there + a) * d + pattern.lacking[a]]
            a += 1
        product = maximum(product, splat(1))
        vector_log2(&product, 1)
        total += product
    for k in range(min(<Py_ssize_t>LANES, mixture.n_components - v * LANES)):
        added = mixture.margins.log_scales + (v * LANES + k) * (d + 1)
        log_scales[k] = mixture.log_scales[v * LANES + k]
        log_scales[k] += lanes[k] * <real>(LN2 / mixture.unit)
        for a in range(pattern.n_lacking):
            log_scales[k] += added[pattern.lacking[a]]
        if pattern.n_there == 0:
            log_scales[k] = mixture.margins.log_weights[v * LANES + k]


cdef inline void take_margin(
    const Mixture* mixture, Pattern* pattern, const Py_ssize_t v
) noexcept nogil:
    """Find the marginal factors, unscaled, and their offsets, of vector v of the components."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t width = component_vectors(mixture)
    cdef const vec* lengths = <const vec*>mixture.margins.lengths + v
    cdef const vec* means = <const vec*>mixture.margins.lane_means + v
    cdef vec* unscaled = pattern.triangle + v
    cdef vec offset, u
    cdef Py_ssize_t i, j, q
    for j in range(pattern.n_there):
        offset = splat(0)
        for i in range(j + 1):
            q = pattern.there[i]
            u = pattern.factor[j * d + q] * lengths[q * width]
            unscaled[0] = u
            offset -= u * means[q * width]
            unscaled += width
        pattern.shifts[j * width + v] = offset


cdef inline void take_regression(
    const Mixture* mixture, Pattern* pattern, const Py_ssize_t v
) noexcept nogil:
    """Find B and C, unscaled, of vector v of the components."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t width = component_vectors(mixture)
    cdef Py_ssize_t n = pattern.n_there
    cdef const vec* lengths = <const vec*>mixture.margins.lengths + v
    cdef const vec* row
    cdef vec* slopes = pattern.slopes + v
    cdef vec* inverse = pattern.inverse
    cdef vec* spread = pattern.spread + v
    cdef vec total, pivot, length
    cdef Py_ssize_t a, b, c, i
    for a in range(pattern.n_lacking):
        row = pattern.factor + (n + a) * d
        pivot = 1 / row[pattern.lacking[a]]
        for i in range(n):  # scaled: B = -inv(A_mm) A_mo, row by row
            total = -row[pattern.there[i]]
            for b in range(a):
                total -= row[pattern.lacking[b]] * slopes[(b * n + i) * width]
            slopes[(a * n + i) * width] = total * pivot
        for i in range(a + 1):
            total = splat(1) if i == a else splat(0)
            for b in range(i, a):
                total -= row[pattern.lacking[b]] * inverse[b * d + i]
            inverse[a * d + i] = total * pivot
    for a in range(pattern.n_lacking):
        length = 1 / lengths[pattern.lacking[a] * width]
        for i in range(n):
            slopes[(a * n + i) * width] *= length * lengths[pattern.there[i] * width]
        for b in range(a + 1):
            total = splat(0)
            for c in range(b + 1):
                total += inverse[a * d + c] * inverse[b * d + c]
            spread[(a * (a + 1) // 2 + b) * width] = (
                total * length / lengths[pattern.lacking[b] * width])


cdef inline void pack_margin(
    const Mixture* mixture, Pattern* pattern, Mixture* margin
) noexcept nogil:
    """Lay the marginal mixture's constants out as the tiles read them: see `packing`."""
    cdef Py_ssize_t n = pattern.n_there
    cdef Py_ssize_t lanes = component_vectors(mixture) * LANES
    cdef const real* triangle = <const real*>pattern.triangle
    cdef const real* shifts = <const real*>pattern.shifts
    cdef const real* found
    cdef real* factors = pattern.factors
    cdef real* offsets = pattern.offsets
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, columns, first, end, i, j, k
    margin[0] = mixture[0]
    margin.structure, margin.n_features, margin.margins = FULL, n, NULL
    margin.center, margin.means = pattern.center, pattern.means
    margin.factors, margin.offsets = pattern.factors, pattern.offsets
    margin.log_scales, margin.rotation = pattern.log_scales, NULL
    for i in range(n):
        pattern.center[i] = mixture.center[pattern.there[i]]
    for k in range(mixture.n_components):
        for i in range(n):
            pattern.means[k * (n + 1) + i] = mixture.means[
                k * (mixture.n_features + 1) + pattern.there[i]]
        pattern.means[k * (n + 1) + n] = 0
    while start < mixture.n_components:
        size = density_tile(margin, mixture.n_components - start)
        columns = triangle_columns(<int>size)
        for j in range(n):
            for k in range(size):
                offsets[k] = shifts[j * lanes + start + k]
            offsets += size
        first = 0
        while first < n:
            end = first + (1 if first < n % columns else columns)
            for i in range(end):
                for j in range(max(first, i), end):
                    found = triangle + (j * (j + 1) // 2 + i) * lanes + start
                    for k in range(size):
                        factors[k] = found[k]
                    factors += size
            first = end
        start += size


cdef inline void find_margin(
    const real* row, const Mixture* mixture, const bint regression, Pattern* pattern,
    Mixture* margin,
) noexcept nogil:
    """Find the mixture of what rows have that lack what `row` lacks, and the way back if wanted."""
    cdef Py_ssize_t v
    split_features(row, mixture.n_features, pattern)
    for v in range(component_vectors(mixture)):
        factorise_pattern(mixture, pattern, v)
        log_determinants(mixture, pattern, v)
        take_margin(mixture, pattern, v)
        if regression:
            take_regression(mixture, pattern, v)
    pack_margin(mixture, pattern, margin)


cdef inline void take_moments(
    const Mixture* margin, const double* own, Pattern* pattern
) noexcept nogil:
    """Turn raw moments of the features that are there into a table, about the means."""
    cdef Py_ssize_t n = margin.n_features
    cdef Py_ssize_t width = component_vectors(margin)
    cdef Py_ssize_t each = n + n * (n + 1) // 2
    cdef real* moments = <real*>pattern.moments
    cdef real* n_k = <real*>pattern.n_k
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, e, i, j, k, v
    for k in range(width * LANES):
        n_k[k] = <real>own[k] if k < margin.n_components else 0
    own += margin.n_terms
    while start < margin.n_components:
        size = tile_size(margin.n_components - start)
        for e in range(each):
            for k in range(size):
                moments[e * width * LANES + start + k] = <real>own[e * size + k]
        own += each * size
        start += size
    for e in range(each):
        for k in range(margin.n_components, width * LANES):
            moments[e * width * LANES + k] = 0
    for i in range(n):
        for j in range(i, n):
            for v in range(width):
                pattern.moments[place_of(i, j, n) * width + v] -= (
                    pattern.moments[place_of(i, n, n) * width + v]
                    * (<const vec*>pattern.known_means)[j * width + v])


cdef inline void complete_moments(
    const Mixture* mixture, const Mixture* margin, const double* own, Pattern* pattern
) noexcept nogil:
    """Add the completed moments of a pattern's rows to the totals."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t n = pattern.n_there
    cdef Py_ssize_t width = component_vectors(mixture)
    cdef const int* there = pattern.there
    cdef const int* lacking = pattern.lacking
    cdef const vec* slopes
    cdef vec* moments = pattern.moments
    cdef vec* totals = pattern.totals
    cdef vec* across = pattern.across
    cdef vec total
    cdef Py_ssize_t a, b, i, j, v, from_i, from_j
    for i in range(n):
        for v in range(width):
            (<vec*>pattern.known_means)[i * width + v] = (
                <const vec*>mixture.margins.lane_means)[there[i] * width + v]
    take_moments(margin, own, pattern)
    for i in range(n):
        for j in range(i, n + 1):
            from_i = place_of(i, j, n) * width
            from_j = place_of(there[i], there[j] if j < n else d, d) * width
            for v in range(width):
                totals[from_j + v] += moments[from_i + v]
    for a in range(pattern.n_lacking):
        slopes = pattern.slopes + a * n * width
        for j in range(n + 1):  # B S_oo, and B f_o
            for v in range(width):
                total = splat(0)
                for i in range(n):
                    total += slopes[i * width + v] * moments[
                        place_of(min(i, j), max(i, j), n) * width + v]
                across[j * width + v] = total
                if j < n:
                    from_j = place_of(min(there[j], lacking[a]), max(there[j], lacking[a]), d)
                else:
                    from_j = place_of(lacking[a], d, d)
                totals[from_j * width + v] += total
        for b in range(a + 1):
            slopes = pattern.slopes + b * n * width
            from_j = place_of(lacking[b], lacking[a], d) * width
            for v in range(width):
                total = pattern.n_k[v] * pattern.spread[(a * (a + 1) // 2 + b) * width + v]
                for j in range(n):
                    total += across[j * width + v] * slopes[j * width + v]
                totals[from_j + v] += total


cdef inline void fold_totals(
    const Mixture* mixture, const Pattern* pattern, double* sums
) noexcept nogil:
    """Add the totals to a group's sums, tile by tile."""
    cdef Py_ssize_t d = mixture.n_features
    cdef Py_ssize_t lanes = component_vectors(mixture) * LANES
    cdef const real* totals = <const real*>pattern.totals
    cdef double* second
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, e, i, j, k
    sums += mixture.n_terms
    while start < mixture.n_components and mixture.structure != TIED:
        size = tile_size(mixture.n_components - start)
        for e in range(d + d * (d + 1) // 2):
            for k in range(size):
                sums[e * size + k] += totals[e * lanes + start + k]
        sums += size * moments_per_component(mixture)
        start += size
    if mixture.structure == TIED:
        second = sums + mixture.n_components * d
        for i in range(d):
            for k in range(mixture.n_components):
                sums[k * d + i] += totals[place_of(i, d, d) * lanes + k]
            for j in range(i, d):
                for k in range(mixture.n_components):
                    second[i * d + j] += totals[place_of(i, j, d) * lanes + k]
