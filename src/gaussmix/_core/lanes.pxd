"""Vector lanes as Cython sees them: `vec` is a vector of `real`, and arithmetic on it is SIMD."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint64_t

cdef extern from "lanes.h" nogil:
    ctypedef double real "gmx_real"
    ctypedef double vec "gmx_vec"
    ctypedef uint64_t bits_t "gmx_bits_t"
    ctypedef float floats "gmx_floats"  # a vector of float in any build

    vec splat "gmx_splat" (real value)
    real lane "gmx_lane" (vec v, int index)
    bits_t bits_of "gmx_bits" (vec v)
    vec from_bits "gmx_from_bits" (bits_t bits)
    vec in_register "gmx_in_register" (vec v)
    vec gather "gmx_gather" (const real* values, ptrdiff_t stride)
    vec gather_wide "gmx_gather_wide" (const double* values, ptrdiff_t stride, double center)
    void prefetch "gmx_prefetch" (const void* p)
    vec lane_sums "gmx_lane_sums" (vec* vectors)
    vec inverse_root "gmx_inverse_root" (vec v)
    vec maximum "gmx_maximum" (vec a, vec b)
    vec where_greater "gmx_where_greater" (vec a, vec b, vec x, vec y)
    vec where_equal "gmx_where_equal" (vec a, vec b, vec x, vec y)
    floats float_splat "gmx_float_splat" (float value)
    floats float_choice "gmx_float_choice" (floats a, floats b, floats x, floats y)
    floats float_root "gmx_float_root" (floats v)
    floats float_max "gmx_float_max" (floats a, floats b)
    floats float_min "gmx_float_min" (floats a, floats b)
    floats float_row "gmx_float_row" (const real* p, const real* center, real scale)
    void transpose "gmx_transpose" (floats* square)
    bits_t first_lanes "gmx_first_lanes" (ptrdiff_t n)

    const int PANEL "GMX_PANEL"
    const int MANTISSA_BITS "GMX_MANTISSA_BITS"
    const int EXP2_DEGREE "GMX_EXP2_DEGREE"
    const int LOG_TERMS "GMX_LOG_TERMS"
    const real ROUNDER "GMX_ROUNDER"
    const double LN2 "GMX_LN2"
    const real* EXP2_COEFFICIENTS "gmx_exp2_coefficients"
    const real EXPONENT_LOWEST "GMX_EXPONENT_LOWEST"
    const real LOG_LOWEST "GMX_LOG_LOWEST"
    const real SQUARES_LIMIT "GMX_SQUARES_LIMIT"

    # Sizes of arrays must be constants to the C compiler, which enums are to Cython.
    cdef enum:
        LANES "GMX_LANES"
        VECTORS "GMX_VECTORS"
        COMPONENTS "GMX_COMPONENTS"
        FLOATS "GMX_FLOATS"
        FLOAT_PANEL "GMX_FLOAT_PANEL"
        REGISTERS "GMX_REGISTERS"
        TILE "GMX_COMPONENTS * GMX_VECTORS"
        TRIANGLES "GMX_TRIANGLES"
