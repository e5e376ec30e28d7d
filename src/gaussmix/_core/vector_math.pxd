"""exp and log on vectors, and sums over their lanes."""

from gaussmix._core.lanes cimport (
    EXP_COEFFICIENTS, EXP_DEGREE, EXPONENT_LOWEST, LANES, LN2_HIGH, LN2_LOW, LOG_TERMS,
    MANTISSA_BITS, ROUNDER, bits_of, bits_t, from_bits, lane, lane_sums, real, splat, vec,
    where_greater,
)


cdef inline vec larger(vec a, vec b) noexcept nogil:
    """The larger of two, lane by lane; b where a is NaN."""
    return where_greater(a, b, a, b)


cdef inline void vector_exp(vec* x, const int n) noexcept nogil:
    """Replace n <= 4 vectors, all <= 0, by their exp, to about one unit in the last place.

    With m = round(x / ln 2) and f = x - m ln 2, exp(x) = 2^m exp(f): m is added to the exponent.
    Where that leaves the normal numbers, and for NaN, it is 0. Each step waits for the one before
    it, so several vectors go side by side, and even and odd terms of the polynomial.
    """
    cdef vec shifted[4]
    cdef vec f[4]
    cdef vec square[4]
    cdef vec even[4]
    cdef vec odd[4]
    cdef int even_top = (EXP_DEGREE - 1) // 2 * 2
    cdef int odd_top = EXP_DEGREE // 2 * 2 - 1
    cdef int i, j
    for i in range(n):
        shifted[i] = x[i] * <real>(1 / (LN2_HIGH + LN2_LOW)) + ROUNDER
    for i in range(n):
        f[i] = x[i] - (shifted[i] - ROUNDER) * LN2_HIGH
    for i in range(n):
        f[i] -= (shifted[i] - ROUNDER) * LN2_LOW
        square[i] = f[i] * f[i]
        even[i] = splat(EXP_COEFFICIENTS[even_top])
        odd[i] = splat(EXP_COEFFICIENTS[odd_top])
    for j in range(even_top - 2, -1, -2):
        for i in range(n):
            even[i] = even[i] * square[i] + EXP_COEFFICIENTS[j]
    for j in range(odd_top - 2, 0, -2):
        for i in range(n):
            odd[i] = odd[i] * square[i] + EXP_COEFFICIENTS[j]
    for i in range(n):
        even[i] += odd[i] * f[i]
        x[i] = from_bits(bits_of(even[i] * f[i] + 1) + (bits_of(shifted[i]) << MANTISSA_BITS))
        x[i] = where_greater(
            shifted[i], splat(ROUNDER + (EXPONENT_LOWEST - 1)), x[i], splat(0))


cdef inline void vector_log(vec* x, const int n) noexcept nogil:
    """Replace n <= 4 vectors, finite and >= 1, by their log.

    With x = 2^e m, 1/sqrt(2) <= m < sqrt(2) and g = (m - 1) / (m + 1):
    log(x) = e ln 2 + 2 (g + g^3/3 + g^5/5 + ...).
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
        # Adding e to the bits of the rounder, then taking it away, turns the integer to a number.
        exponent[i] = from_bits(bits_of(splat(ROUNDER)) + e) - ROUNDER
        series[i] = splat(<real>2.0 / (2 * LOG_TERMS + 1))
    for j in range(LOG_TERMS - 1, -1, -1):
        for i in range(n):
            series[i] = series[i] * (g[i] * g[i]) + <real>2.0 / (2 * j + 1)
    for i in range(n):
        x[i] = exponent[i] * LN2_HIGH + (series[i] * g[i] + exponent[i] * LN2_LOW)


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
