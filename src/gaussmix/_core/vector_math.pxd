"""2^x and log2 on vectors, and sums over their lanes.

Log-densities of which exponentials will be taken are in units of ln 2 (see `packing`): so no
multiple of ln 2 is taken off before the polynomial, and none is added after the logarithm.
"""

from gaussmix._core.lanes cimport (
    EXP2_COEFFICIENTS, EXP2_DEGREE, EXPONENT_LOWEST, LANES, LN2, LOG_TERMS, MANTISSA_BITS, ROUNDER,
    bits_of, bits_t, from_bits, lane, lane_sums, real, splat, vec, where_greater,
)


cdef inline void vector_exp2(vec* x, const int n) noexcept nogil:
    """Replace n <= 4 vectors, all <= 0, by 2^x, to about one unit in the last place.

    With m = round(x) and f = x - m, which is exact, 2^x = 2^m 2^f: m is added to the exponent.
    Where m < EXPONENT_LOWEST, and for NaN, the result is 0. Such a number is nothing beside 1, and
    its products with a row's weight and deviations might be denormal: each takes a hundred cycles.
    Each step waits for the one before it. So several vectors go side by side, and so do the
    polynomial's even and odd terms.
    """
    cdef vec shifted[4]
    cdef vec f[4]
    cdef vec square[4]
    cdef vec even[4]
    cdef vec odd[4]
    cdef int even_top = (EXP2_DEGREE - 1) // 2 * 2
    cdef int odd_top = EXP2_DEGREE // 2 * 2 - 1
    cdef int i, j
    for i in range(n):
        shifted[i] = x[i] + ROUNDER
    for i in range(n):
        f[i] = x[i] - (shifted[i] - ROUNDER)
        square[i] = f[i] * f[i]
        even[i] = splat(EXP2_COEFFICIENTS[even_top])
        odd[i] = splat(EXP2_COEFFICIENTS[odd_top])
    for j in range(even_top - 2, -1, -2):
        for i in range(n):
            even[i] = even[i] * square[i] + EXP2_COEFFICIENTS[j]
    for j in range(odd_top - 2, 0, -2):
        for i in range(n):
            odd[i] = odd[i] * square[i] + EXP2_COEFFICIENTS[j]
    for i in range(n):
        even[i] += odd[i] * f[i]
        x[i] = from_bits(bits_of(even[i] * f[i] + 1) + (bits_of(shifted[i]) << MANTISSA_BITS))
        x[i] = where_greater(
            shifted[i], splat(ROUNDER + (EXPONENT_LOWEST - 1)), x[i], splat(0))


cdef inline void vector_log2(vec* x, const int n) noexcept nogil:
    """Replace n <= 4 vectors, finite and >= 1, by their log2.

    With x = 2^e m, 1/sqrt(2) <= m < sqrt(2) and g = (m - 1) / (m + 1):
    log2(x) = e + 2 / ln 2 (g + g^3/3 + g^5/5 + ...).
    """
    cdef vec exponent[4]
    cdef vec g[4]
    cdef vec series[4]
    cdef bits_t e
    cdef vec m
    cdef int i, j
    for i in range(n):
        e = (bits_of(x[i]) - bits_of(splat(<real>0.7071067811865476))) >> MANTISSA_BITS
        m = from_bits(bits_of(x[i]) - (e << MANTISSA_BITS))
        g[i] = (m - 1) / (m + 1)
        # Adding e to the bits of the rounder, then taking it away, turns the integer into a number.
        exponent[i] = from_bits(bits_of(splat(ROUNDER)) + e) - ROUNDER
        series[i] = splat(<real>(2 / LN2 / (2 * LOG_TERMS + 1)))
    for j in range(LOG_TERMS - 1, -1, -1):
        for i in range(n):
            series[i] = series[i] * (g[i] * g[i]) + <real>(2 / LN2 / (2 * j + 1))
    for i in range(n):
        x[i] = exponent[i] + series[i] * g[i]


cdef inline double lane_sum(vec v) noexcept nogil:
    """Sum of the lanes."""
    cdef double total = lane(v, 0)
    cdef int i
    for i in range(1, LANES):
        total += lane(v, i)
    return total


cdef inline void add_lane_sums(const vec* vectors, const int n, double* sums) noexcept nogil:
    """Add the sum over the lanes of each of n vectors to n numbers."""
    cdef vec part[LANES]
    cdef vec totals
    cdef int start = 0
    cdef int i
    while start < n:
        for i in range(<int>LANES):
            part[i] = vectors[start + i] if start + i < n else splat(0)
        totals = lane_sums(part)
        for i in range(<int>LANES):
            if start + i < n:
                sums[start + i] += lane(totals, i)
        start += LANES
