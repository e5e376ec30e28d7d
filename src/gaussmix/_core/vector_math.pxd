"""exp and log on vectors, and sums over their lanes."""

from gaussmix._core.lanes cimport (
    EXP_COEFFICIENTS, EXP_DEGREE, EXP_LOWEST, LANES, LN2_HIGH, LN2_LOW, LOG_TERMS, MANTISSA_BITS,
    ROUNDER, bits_of, bits_t, from_bits, lane, real, splat, vec, where_greater,
)


cdef inline vec vector_exp(vec x) noexcept nogil:
    """exp(x) for x <= 0, to about one unit in the last place; 0 below the normal numbers.

    With n = round(x / ln 2) and f = x - n ln 2, exp(x) = 2^n exp(f): n is added to the exponent.
    """
    cdef vec shifted = x * <real>(1 / (LN2_HIGH + LN2_LOW)) + ROUNDER
    cdef vec n = shifted - ROUNDER
    cdef vec f = (x - n * LN2_HIGH) - n * LN2_LOW
    cdef vec p = splat(EXP_COEFFICIENTS[EXP_DEGREE - 1])
    cdef int i
    for i in range(EXP_DEGREE - 2, -1, -1):
        p = p * f + EXP_COEFFICIENTS[i]
    p = p * f + 1
    p = from_bits(bits_of(p) + (bits_of(shifted) << MANTISSA_BITS))
    return where_greater(x, splat(EXP_LOWEST), p, splat(0))


cdef inline vec vector_log(vec x) noexcept nogil:
    """log(x) for finite x >= 1.

    With x = 2^n m, 1/sqrt(2) <= m < sqrt(2) and g = (m - 1) / (m + 1):
    log(x) = n ln 2 + 2 (g + g^3/3 + g^5/5 + ...).
    """
    cdef bits_t n = (bits_of(x) - bits_of(splat(<real>0.7071067811865476))) >> MANTISSA_BITS
    cdef vec m = from_bits(bits_of(x) - (n << MANTISSA_BITS))
    cdef vec g = (m - 1) / (m + 1)
    cdef vec square = g * g
    cdef vec series = splat(<real>2.0 / (2 * LOG_TERMS + 1))
    cdef int i
    for i in range(LOG_TERMS - 1, -1, -1):
        series = series * square + <real>2.0 / (2 * i + 1)
    # Adding n to the bits of the rounder, then taking it away, turns the integer into a number.
    cdef vec exponent = from_bits(bits_of(splat(ROUNDER)) + n) - ROUNDER
    return exponent * LN2_HIGH + (series * g + exponent * LN2_LOW)


cdef inline double lane_sum(vec v) noexcept nogil:
    """Sum of the lanes."""
    cdef double total = lane(v, 0)
    cdef int i
    for i in range(1, LANES):
        total += lane(v, i)
    return total
