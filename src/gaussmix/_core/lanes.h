/* Vector lanes: the one place that knows instruction sets and compilers.
 *
 * A build is compiled with GMX_SINGLE for float32, without it for float64, and with the compiler's
 * own flags for an instruction set. `gmx_vec` holds GMX_LANES numbers; arithmetic on it compiles
 * to SIMD. Where the compiler has no vector types, a vector is one number wide and all else stays.
 */
#ifndef GAUSSMIX_LANES_H
#define GAUSSMIX_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifdef GMX_SINGLE
#define GMX_REAL_BYTES 4
typedef float gmx_real;
typedef uint32_t gmx_uint;
typedef int32_t gmx_int;
#define GMX_MANTISSA_BITS 23
#define GMX_ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define GMX_EXPONENT_LOWEST -100 /* of what counts beside 1; products of less may be denormal */
#define GMX_SQUARES_LIMIT 1e9f /* squares of numbers up to it may be multiplied */
#define GMX_LOG_LOWEST -1e35f   /* log-densities are kept above it, so that a block's add up */
#define GMX_EXP2_DEGREE 6
#define GMX_LOG_TERMS 5
#define GMX_SQRT sqrtf
#else
#define GMX_REAL_BYTES 8
typedef double gmx_real;
typedef uint64_t gmx_uint;
typedef int64_t gmx_int;
#define GMX_MANTISSA_BITS 52
#define GMX_ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define GMX_EXPONENT_LOWEST -990
#define GMX_SQUARES_LIMIT 1e77
#define GMX_LOG_LOWEST -1e300
#define GMX_EXP2_DEGREE 11
#define GMX_LOG_TERMS 10
#define GMX_SQRT sqrt
#endif

#define GMX_LN2 0.6931471805599453

/* (2^x - 1) / x on |x| <= 1/2, interpolated at Chebyshev nodes in 60 digits: the relative error of
 * 2^x is 1e-8 in single and 2e-17 in double precision, before rounding. */
static const gmx_real gmx_exp2_coefficients[GMX_EXP2_DEGREE] = {
#ifdef GMX_SINGLE
    0.6931471824645996f, 0.24022650718688965f, 0.055503569543361664f,
    0.009618083015084267f, 0.0013390863314270973f, 0.00015453163359779865f,
#else
    0.6931471805599453, 0.24022650695910097, 0.0555041086648216, 0.009618129107606888,
    0.0013333558146416936, 0.0001540353044173605, 1.525273382983612e-05, 1.321544258792169e-06,
    1.0178062445845774e-07, 7.072585949269223e-09, 4.4549605981865186e-10,
#endif
};

/* Vectors are as wide as the registers, of which x86 has 16 before AVX-512 and Arm 32. */
#if defined(__AVX512F__)
#define GMX_VECTOR_BYTES 64
#define GMX_REGISTERS 32
#elif defined(__AVX__)
#define GMX_VECTOR_BYTES 32
#define GMX_REGISTERS 16
#elif defined(__aarch64__)
#define GMX_VECTOR_BYTES 16
#define GMX_REGISTERS 32
#else
#define GMX_VECTOR_BYTES 16
#define GMX_REGISTERS 16
#endif

#define GMX_VECTORS 2    /* vectors of samples side by side in a panel */
#define GMX_COMPONENTS 6 /* at most in a tile, so that GMX_VECTORS sums of each fit the registers */
/* at most in a tile of triangles, where the sums of two columns and of their squares do */
#define GMX_TRIANGLES ((GMX_REGISTERS - GMX_VECTORS - 1) / (3 * GMX_VECTORS))

#if defined(__GNUC__)

typedef gmx_real gmx_vec __attribute__((vector_size(GMX_VECTOR_BYTES), may_alias));
typedef gmx_uint gmx_bits_t __attribute__((vector_size(GMX_VECTOR_BYTES), may_alias));
#define GMX_LANES (GMX_VECTOR_BYTES / GMX_REAL_BYTES)
#define GMX_INLINE static inline __attribute__((always_inline))

GMX_INLINE gmx_bits_t gmx_bits(gmx_vec v) { return (gmx_bits_t)v; }
GMX_INLINE gmx_vec gmx_from_bits(gmx_bits_t b) { return (gmx_vec)b; }
GMX_INLINE gmx_vec gmx_splat(gmx_real s) { return s - (gmx_vec){0}; }
GMX_INLINE gmx_real gmx_lane(gmx_vec v, int lane) { return v[lane]; }

/* p[0], p[stride], p[2 stride], ... */
GMX_INLINE gmx_vec gmx_gather(const gmx_real *p, ptrdiff_t stride)
{
    gmx_vec out;
    for (int i = 0; i < GMX_LANES; i++)
        out[i] = p[i * stride];
    return out;
}

/* The same of doubles, less a number: what is subtracted first is rounded once. */
GMX_INLINE gmx_vec gmx_gather_wide(const double *p, ptrdiff_t stride, double center)
{
    gmx_vec out;
    for (int i = 0; i < GMX_LANES; i++)
        out[i] = (gmx_real)(p[i * stride] - center);
    return out;
}

/* Prefetch memory that will be read soon; the address may be beyond an array's end. */
GMX_INLINE void gmx_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

/* v, in a register from here on: a compiler short of them would read memory at every use. */
GMX_INLINE gmx_vec gmx_in_register(gmx_vec v)
{
#if defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* 1 / sqrt(v), lane by lane. */
GMX_INLINE gmx_vec gmx_inverse_root(gmx_vec v)
{
    gmx_vec out;
    for (int i = 0; i < GMX_LANES; i++)
        out[i] = GMX_SQRT(v[i]);
    return 1 / out;
}

/* x where a > b, else y, lane by lane; a comparison with NaN is false. Compilers make
 * a compare and a blend of the loop, and did not of masks by hand. */
GMX_INLINE gmx_vec gmx_where_greater(gmx_vec a, gmx_vec b, gmx_vec x, gmx_vec y)
{
    gmx_vec out;
    for (int i = 0; i < GMX_LANES; i++)
        out[i] = a[i] > b[i] ? x[i] : y[i];
    return out;
}

/* x where a == b, else y, lane by lane: by masks, since in the search for the largest of a row
 * compilers went lane by lane through a loop like the one above. */
GMX_INLINE gmx_vec gmx_where_equal(gmx_vec a, gmx_vec b, gmx_vec x, gmx_vec y)
{
    gmx_bits_t mask = (gmx_bits_t)(a == b);
    return (gmx_vec)(((gmx_bits_t)x & mask) | ((gmx_bits_t)y & ~mask));
}

/* The larger of two, lane by lane; b where either is NaN. */
GMX_INLINE gmx_vec gmx_maximum(gmx_vec a, gmx_vec b)
{
#if defined(__AVX512F__) && defined(GMX_SINGLE)
    return _mm512_max_ps(a, b);
#elif defined(__AVX512F__)
    return _mm512_max_pd(a, b);
#elif defined(__AVX__) && defined(GMX_SINGLE)
    return _mm256_max_ps(a, b);
#elif defined(__AVX__)
    return _mm256_max_pd(a, b);
#elif defined(__x86_64__) && defined(GMX_SINGLE)
    return _mm_max_ps(a, b);
#elif defined(__x86_64__)
    return _mm_max_pd(a, b);
#else
    return gmx_where_greater(a, b, a, b);
#endif
}

/* Vectors of float in builds of either precision. */
typedef float gmx_floats __attribute__((vector_size(GMX_VECTOR_BYTES), may_alias));
#define GMX_FLOATS (GMX_VECTOR_BYTES / 4)

GMX_INLINE gmx_floats gmx_float_splat(float s) { return s - (gmx_floats){0}; }

/* x where a > b, else y, lane by lane; a comparison with NaN is false. And square roots; NaN of
 * negative numbers. Where compilers unroll loops over lanes they go on lane by lane. */
#if defined(__AVX512F__)
GMX_INLINE gmx_floats gmx_float_choice(gmx_floats a, gmx_floats b, gmx_floats x, gmx_floats y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
GMX_INLINE gmx_floats gmx_float_root(gmx_floats v) { return _mm512_sqrt_ps(v); }
#elif defined(__AVX__)
GMX_INLINE gmx_floats gmx_float_choice(gmx_floats a, gmx_floats b, gmx_floats x, gmx_floats y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
GMX_INLINE gmx_floats gmx_float_root(gmx_floats v) { return _mm256_sqrt_ps(v); }
#else
GMX_INLINE gmx_floats gmx_float_choice(gmx_floats a, gmx_floats b, gmx_floats x, gmx_floats y)
{
    gmx_floats out;
    for (int i = 0; i < GMX_FLOATS; i++)
        out[i] = a[i] > b[i] ? x[i] : y[i];
    return out;
}
GMX_INLINE gmx_floats gmx_float_root(gmx_floats v)
{
    gmx_floats out;
    for (int i = 0; i < GMX_FLOATS; i++)
        out[i] = sqrtf(v[i]);
    return out;
}
#endif

/* The larger and the smaller of two, lane by lane; b where either is NaN. */
#if defined(__AVX512F__)
GMX_INLINE gmx_floats gmx_float_max(gmx_floats a, gmx_floats b) { return _mm512_max_ps(a, b); }
GMX_INLINE gmx_floats gmx_float_min(gmx_floats a, gmx_floats b) { return _mm512_min_ps(a, b); }
#elif defined(__AVX__)
GMX_INLINE gmx_floats gmx_float_max(gmx_floats a, gmx_floats b) { return _mm256_max_ps(a, b); }
GMX_INLINE gmx_floats gmx_float_min(gmx_floats a, gmx_floats b) { return _mm256_min_ps(a, b); }
#elif defined(__x86_64__)
GMX_INLINE gmx_floats gmx_float_max(gmx_floats a, gmx_floats b) { return _mm_max_ps(a, b); }
GMX_INLINE gmx_floats gmx_float_min(gmx_floats a, gmx_floats b) { return _mm_min_ps(a, b); }
#else
GMX_INLINE gmx_floats gmx_float_max(gmx_floats a, gmx_floats b)
{
    return gmx_float_choice(a, b, a, b);
}
GMX_INLINE gmx_floats gmx_float_min(gmx_floats a, gmx_floats b)
{
    return gmx_float_choice(b, a, a, b);
}
#endif

#if defined(__clang__)
#define GMX_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define GMX_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (gmx_bits_t){__VA_ARGS__})
#endif
#define GMX_2(m, i, s) m((i), s), m((i) + 1, s)
#define GMX_4(m, i, s) GMX_2(m, i, s), GMX_2(m, (i) + 2, s)
#define GMX_8(m, i, s) GMX_4(m, i, s), GMX_4(m, (i) + 4, s)
#if GMX_LANES == 2
#define GMX_EACH(m, s) GMX_2(m, 0, s)
#elif GMX_LANES == 4
#define GMX_EACH(m, s) GMX_4(m, 0, s)
#elif GMX_LANES == 8
#define GMX_EACH(m, s) GMX_8(m, 0, s)
#else
#define GMX_EACH(m, s) GMX_8(m, 0, s), GMX_8(m, 8, s)
#endif

/* Sums of neighbours: lane i is that of lanes i and i ^ s of a, or of b where i has the bit s. */
#define GMX_OWN(i, s) ((i) & (s) ? GMX_LANES + (i) : (i))
#define GMX_OTHER(i, s) (GMX_OWN(i, s) ^ (s))
#define GMX_PAIR_SUMS(a, b, s) \
    (GMX_SHUFFLE(a, b, GMX_EACH(GMX_OWN, s)) + GMX_SHUFFLE(a, b, GMX_EACH(GMX_OTHER, s)))

/* Lane i is the sum over all lanes of a[i], of which there are GMX_LANES; a is overwritten. */
GMX_INLINE gmx_vec gmx_lane_sums(gmx_vec *a)
{
    for (int i = 0; i < GMX_LANES / 2; i++)
        a[i] = GMX_PAIR_SUMS(a[2 * i], a[2 * i + 1], 1);
#if GMX_LANES >= 4
    for (int i = 0; i < GMX_LANES / 4; i++)
        a[i] = GMX_PAIR_SUMS(a[2 * i], a[2 * i + 1], 2);
#endif
#if GMX_LANES >= 8
    for (int i = 0; i < GMX_LANES / 8; i++)
        a[i] = GMX_PAIR_SUMS(a[2 * i], a[2 * i + 1], 4);
#endif
#if GMX_LANES >= 16
    a[0] = GMX_PAIR_SUMS(a[0], a[1], 8);
#endif
    return a[0];
}

#if GMX_FLOATS == 4
#define GMX_EACH_FLOAT(m, s) GMX_4(m, 0, s)
#elif GMX_FLOATS == 8
#define GMX_EACH_FLOAT(m, s) GMX_8(m, 0, s)
#else
#define GMX_EACH_FLOAT(m, s) GMX_8(m, 0, s), GMX_8(m, 8, s)
#endif
#if defined(__clang__)
#define GMX_SHUFFLE_FLOATS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef uint32_t gmx_places __attribute__((vector_size(GMX_VECTOR_BYTES)));
#define GMX_SHUFFLE_FLOATS(a, b, ...) __builtin_shuffle(a, b, (gmx_places){__VA_ARGS__})
#endif

/* Where rows i and i | s of a matrix change places with columns: the lanes of either. */
#define GMX_UPPER(i, s) ((i) & (s) ? GMX_FLOATS + ((i) ^ (s)) : (i))
#define GMX_LOWER(i, s) ((i) & (s) ? GMX_FLOATS + (i) : ((i) ^ (s)))
#define GMX_SWAP(a, s)                                                                    \
    _Pragma("GCC unroll 16") for (int i = 0; i < GMX_FLOATS; i++)                        \
        if (!(i & (s))) {                                                                 \
            gmx_floats upper = (a)[i], lower = (a)[i | (s)];                              \
            (a)[i] = GMX_SHUFFLE_FLOATS(upper, lower, GMX_EACH_FLOAT(GMX_UPPER, s));      \
            (a)[i | (s)] = GMX_SHUFFLE_FLOATS(upper, lower, GMX_EACH_FLOAT(GMX_LOWER, s)); \
        }

/* Transpose a square of floats, one bit of the places after the other. */
GMX_INLINE void gmx_transpose(gmx_floats *a)
{
    GMX_SWAP(a, 1)
    GMX_SWAP(a, 2)
#if GMX_FLOATS >= 8
    GMX_SWAP(a, 4)
#endif
#if GMX_FLOATS >= 16
    GMX_SWAP(a, 8)
#endif
}

/* (p - center) scale as floats, of GMX_FLOATS numbers side by side. */
GMX_INLINE gmx_floats gmx_float_row(const gmx_real *p, const gmx_real *center, gmx_real scale)
{
    gmx_vec x, c;
#ifdef GMX_SINGLE
    memcpy(&x, p, sizeof x);
    memcpy(&c, center, sizeof c);
    return (x - c) * scale;
#else
    typedef float half __attribute__((vector_size(GMX_VECTOR_BYTES / 2)));
    gmx_floats out;
    half parts[2];
    for (int i = 0; i < 2; i++) {
        memcpy(&x, p + i * GMX_LANES, sizeof x);
        memcpy(&c, center + i * GMX_LANES, sizeof c);
        parts[i] = __builtin_convertvector((x - c) * scale, half);
    }
    memcpy(&out, parts, sizeof out);
    return out;
#endif
}

/* All bits of the first n lanes, and none of the others. */
GMX_INLINE gmx_bits_t gmx_first_lanes(ptrdiff_t n)
{
    gmx_bits_t out;
    for (int i = 0; i < GMX_LANES; i++)
        out[i] = i < n ? (gmx_uint)-1 : 0;
    return out;
}

#else

typedef gmx_real gmx_vec;
typedef gmx_uint gmx_bits_t;
#define GMX_LANES 1
#define GMX_INLINE static __inline

GMX_INLINE gmx_bits_t gmx_bits(gmx_vec v) { gmx_bits_t b; memcpy(&b, &v, sizeof b); return b; }
GMX_INLINE gmx_vec gmx_from_bits(gmx_bits_t b) { gmx_vec v; memcpy(&v, &b, sizeof v); return v; }
GMX_INLINE gmx_vec gmx_splat(gmx_real s) { return s; }
GMX_INLINE gmx_real gmx_lane(gmx_vec v, int lane) { (void)lane; return v; }
GMX_INLINE gmx_vec gmx_where_greater(gmx_vec a, gmx_vec b, gmx_vec x, gmx_vec y)
{
    return a > b ? x : y;
}
GMX_INLINE gmx_vec gmx_where_equal(gmx_vec a, gmx_vec b, gmx_vec x, gmx_vec y)
{
    return a == b ? x : y;
}
GMX_INLINE gmx_vec gmx_inverse_root(gmx_vec v) { return 1 / GMX_SQRT(v); }
GMX_INLINE gmx_vec gmx_maximum(gmx_vec a, gmx_vec b) { return a > b ? a : b; }
GMX_INLINE gmx_vec gmx_lane_sums(gmx_vec *a) { return a[0]; }
GMX_INLINE gmx_vec gmx_in_register(gmx_vec v) { return v; }
GMX_INLINE void gmx_prefetch(const void *p) { (void)p; }
GMX_INLINE gmx_vec gmx_gather(const gmx_real *p, ptrdiff_t stride) { (void)stride; return *p; }
GMX_INLINE gmx_vec gmx_gather_wide(const double *p, ptrdiff_t stride, double center)
{
    (void)stride;
    return (gmx_real)(*p - center);
}

typedef float gmx_floats;
#define GMX_FLOATS 1

GMX_INLINE gmx_floats gmx_float_splat(float s) { return s; }
GMX_INLINE gmx_floats gmx_float_choice(gmx_floats a, gmx_floats b, gmx_floats x, gmx_floats y)
{
    return a > b ? x : y;
}
GMX_INLINE gmx_floats gmx_float_root(gmx_floats v) { return sqrtf(v); }
GMX_INLINE gmx_floats gmx_float_max(gmx_floats a, gmx_floats b) { return a > b ? a : b; }
GMX_INLINE gmx_floats gmx_float_min(gmx_floats a, gmx_floats b) { return a < b ? a : b; }
GMX_INLINE void gmx_transpose(gmx_floats *a) { (void)a; }
GMX_INLINE gmx_floats gmx_float_row(const gmx_real *p, const gmx_real *center, gmx_real scale)
{
    return (gmx_floats)((*p - *center) * scale);
}
GMX_INLINE gmx_bits_t gmx_first_lanes(ptrdiff_t n) { return n > 0 ? (gmx_uint)-1 : 0; }

#endif

#define GMX_PANEL (GMX_VECTORS * GMX_LANES)         /* samples in a panel */
#define GMX_FLOAT_PANEL (GMX_VECTORS * GMX_FLOATS) /* and in one of floats */

#endif
