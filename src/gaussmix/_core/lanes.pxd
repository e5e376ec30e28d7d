"""Vector lanes as Cython sees them: `vec` is a vector of `real`, and arithmetic on it is SIMD."""

from libc.stdint cimport uint64_t

cdef extern from "lanes.h" nogil:
    ctypedef double real "gmx_real"
    ctypedef double vec "gmx_vec"
    ctypedef uint64_t bits_t "gmx_bits_t"

    vec splat "gmx_splat" (real value)
    real lane "gmx_lane" (vec v, int index)
    bits_t bits_of "gmx_bits" (vec v)
    vec from_bits "gmx_from_bits" (bits_t bits)
    vec where_greater "gmx_where_greater" (vec a, vec b, vec x, vec y)

    const int LANES "GMX_LANES"
    const int PANEL "GMX_PANEL"
    const int MANTISSA_BITS "GMX_MANTISSA_BITS"
    const int EXP_DEGREE "GMX_EXP_DEGREE"
    const int LOG_TERMS "GMX_LOG_TERMS"
    const real ROUNDER "GMX_ROUNDER"
    const real LN2_HIGH "GMX_LN2_HIGH"
    const real LN2_LOW "GMX_LN2_LOW"
    const real* EXP_COEFFICIENTS "gmx_exp_coefficients"
    const real EXP_LOWEST "GMX_EXP_LOWEST"
    const real LOG_LOWEST "GMX_LOG_LOWEST"

    # Sizes of arrays must be constants to the C compiler, which enums are to Cython.
    cdef enum:
        VECTORS "GMX_VECTORS"
        DENSITY_COMPONENTS "GMX_DENSITY_COMPONENTS"
        MOMENT_COMPONENTS "GMX_MOMENT_COMPONENTS"
        MOMENT_COLUMNS "GMX_MOMENT_COLUMNS"
        DENSITY_TILE "GMX_DENSITY_COMPONENTS * GMX_VECTORS"
        MOMENT_TILE "GMX_MOMENT_COMPONENTS * GMX_MOMENT_COLUMNS"
