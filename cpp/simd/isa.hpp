// What the compiler's vector extension cannot say, for each instruction set: fused multiply-add, square root, minimum
// and maximum, parts of a vector, flags. With isa_conversions.hpp the only intrinsics of the project. Included by
// vector.hpp.
//
// GM_EMULATE compiles the vectors of one instruction set for a narrower machine (AVX-512 on one with AVX2), so that a
// developer without the machine can still run every line above this file at that width.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace gradiometer::GM_ISA {
namespace {

#if GM_VECTOR_BYTES == 64 && defined(GM_EMULATE)

#define GM_HALVES(type, intrinsic, ...)                           \
    type half[2];                                                 \
    for (int i = 0; i < 2; ++i) half[i] = intrinsic(__VA_ARGS__); \
    decltype(a) result;                                           \
    __builtin_memcpy(&result.v, half, sizeof(result.v));          \
    return result;

GM_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    __m256 x[2], y[2], z[2];
    __builtin_memcpy(x, &a.v, sizeof(x));
    __builtin_memcpy(y, &b.v, sizeof(y));
    __builtin_memcpy(z, &c.v, sizeof(z));
    GM_HALVES(__m256, _mm256_fmadd_ps, x[i], y[i], z[i])
}
GM_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    __m256d x[2], y[2], z[2];
    __builtin_memcpy(x, &a.v, sizeof(x));
    __builtin_memcpy(y, &b.v, sizeof(y));
    __builtin_memcpy(z, &c.v, sizeof(z));
    GM_HALVES(__m256d, _mm256_fmadd_pd, x[i], y[i], z[i])
}
GM_INLINE Vec<float> sqrt(Vec<float> a) {
    __m256 x[2];
    __builtin_memcpy(x, &a.v, sizeof(x));
    GM_HALVES(__m256, _mm256_sqrt_ps, x[i])
}
GM_INLINE Vec<double> sqrt(Vec<double> a) {
    __m256d x[2];
    __builtin_memcpy(x, &a.v, sizeof(x));
    GM_HALVES(__m256d, _mm256_sqrt_pd, x[i])
}
#undef GM_HALVES

#elif GM_VECTOR_BYTES == 64

GM_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return {(Native<float>::Vector)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
}
GM_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {(Native<double>::Vector)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)};
}
// All lanes are asked for; the form without a mask makes GCC 12 warn of a variable of its own header.
GM_INLINE Vec<float> sqrt(Vec<float> a) {
    return {(Native<float>::Vector)_mm512_maskz_sqrt_ps(0xffff, (__m512)a.v)};
}
GM_INLINE Vec<double> sqrt(Vec<double> a) {
    return {(Native<double>::Vector)_mm512_maskz_sqrt_pd(0xff, (__m512d)a.v)};
}

#elif GM_VECTOR_BYTES == 32

GM_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return {(Native<float>::Vector)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
}
GM_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {(Native<double>::Vector)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
}
GM_INLINE Vec<float> sqrt(Vec<float> a) {
    return {(Native<float>::Vector)_mm256_sqrt_ps((__m256)a.v)};
}
GM_INLINE Vec<double> sqrt(Vec<double> a) {
    return {(Native<double>::Vector)_mm256_sqrt_pd((__m256d)a.v)};
}

#elif defined(GM_ISA_NEON)

GM_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return {(Native<float>::Vector)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
}
GM_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {(Native<double>::Vector)vfmaq_f64((float64x2_t)c.v, (float64x2_t)a.v, (float64x2_t)b.v)};
}
GM_INLINE Vec<float> sqrt(Vec<float> a) {
    return {(Native<float>::Vector)vsqrtq_f32((float32x4_t)a.v)};
}
GM_INLINE Vec<double> sqrt(Vec<double> a) {
    return {(Native<double>::Vector)vsqrtq_f64((float64x2_t)a.v)};
}

#else

// The baseline has no fused multiply-add: the product is rounded before the sum. Results on it are as accurate, but not
// the same to the bit as on the others.
template <class T>
GM_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
    return a * b + c;
}
GM_INLINE Vec<float> sqrt(Vec<float> a) {
    for (ptrdiff_t lane = 0; lane < kLanes<float>; ++lane) a.v[lane] = __builtin_sqrtf(a.v[lane]);
    return a;
}
GM_INLINE Vec<double> sqrt(Vec<double> a) {
    for (ptrdiff_t lane = 0; lane < kLanes<double>; ++lane) a.v[lane] = __builtin_sqrt(a.v[lane]);
    return a;
}

#endif

// Whether a fused multiply-add is one rounding, so that it can tell the error of a product.
#if GM_VECTOR_BYTES >= 32 || defined(GM_ISA_NEON)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// Whether there is an instruction for x · 2ⁿ, n a whole number in T, rounded once and subnormal where it must be.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
constexpr bool kScales = true;
GM_INLINE Vec<float> scale(Vec<float> x, Vec<float> n) {
    return {(Native<float>::Vector)_mm512_maskz_scalef_ps(0xffff, (__m512)x.v, (__m512)n.v)};
}
GM_INLINE Vec<double> scale(Vec<double> x, Vec<double> n) {
    return {(Native<double>::Vector)_mm512_maskz_scalef_pd(0xff, (__m512d)x.v, (__m512d)n.v)};
}
#else
constexpr bool kScales = false;
#endif

// The smaller (larger) of the two; b where either is a NaN, as x86 has it, though no compiler sees that in `?:`.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE Vec<float> min(Vec<float> a, Vec<float> b) {
    return {(Native<float>::Vector)_mm512_maskz_min_ps(0xffff, (__m512)a.v, (__m512)b.v)};
}
GM_INLINE Vec<double> min(Vec<double> a, Vec<double> b) {
    return {(Native<double>::Vector)_mm512_maskz_min_pd(0xff, (__m512d)a.v, (__m512d)b.v)};
}
GM_INLINE Vec<float> max(Vec<float> a, Vec<float> b) {
    return {(Native<float>::Vector)_mm512_maskz_max_ps(0xffff, (__m512)a.v, (__m512)b.v)};
}
GM_INLINE Vec<double> max(Vec<double> a, Vec<double> b) {
    return {(Native<double>::Vector)_mm512_maskz_max_pd(0xff, (__m512d)a.v, (__m512d)b.v)};
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE Vec<float> min(Vec<float> a, Vec<float> b) {
    return {(Native<float>::Vector)_mm256_min_ps((__m256)a.v, (__m256)b.v)};
}
GM_INLINE Vec<double> min(Vec<double> a, Vec<double> b) {
    return {(Native<double>::Vector)_mm256_min_pd((__m256d)a.v, (__m256d)b.v)};
}
GM_INLINE Vec<float> max(Vec<float> a, Vec<float> b) {
    return {(Native<float>::Vector)_mm256_max_ps((__m256)a.v, (__m256)b.v)};
}
GM_INLINE Vec<double> max(Vec<double> a, Vec<double> b) {
    return {(Native<double>::Vector)_mm256_max_pd((__m256d)a.v, (__m256d)b.v)};
}
#else
template <class T>
GM_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
    return {a.v < b.v ? a.v : b.v};
}
template <class T>
GM_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
    return {a.v > b.v ? a.v : b.v};
}
#endif

// The larger of |a| and |b|. Where b is a NaN, it is |a|; where a is one, |b| or the NaN.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
constexpr int kLargerMagnitude = 0b1011;
GM_INLINE Vec<float> max_magnitude(Vec<float> a, Vec<float> b) {
    return {(Native<float>::Vector)_mm512_maskz_range_ps(0xffff, (__m512)a.v, (__m512)b.v, kLargerMagnitude)};
}
GM_INLINE Vec<double> max_magnitude(Vec<double> a, Vec<double> b) {
    return {(Native<double>::Vector)_mm512_maskz_range_pd(0xff, (__m512d)a.v, (__m512d)b.v, kLargerMagnitude)};
}
#else
template <class T>
GM_INLINE Vec<T> max_magnitude(Vec<T> a, Vec<T> b) {
    return max(abs(b), abs(a));
}
#endif

// The larger of two integers, and the smaller of two without a sign.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE Ints<float> max(Ints<float> a, Ints<float> b) {
    return {(Native<float>::Integers)_mm512_maskz_max_epi32(0xffff, (__m512i)a.v, (__m512i)b.v)};
}
GM_INLINE Ints<double> max(Ints<double> a, Ints<double> b) {
    return {(Native<double>::Integers)_mm512_maskz_max_epi64(0xff, (__m512i)a.v, (__m512i)b.v)};
}
GM_INLINE Ints<float> min_unsigned(Ints<float> a, Ints<float> b) {
    return {(Native<float>::Integers)_mm512_maskz_min_epu32(0xffff, (__m512i)a.v, (__m512i)b.v)};
}
GM_INLINE Ints<double> min_unsigned(Ints<double> a, Ints<double> b) {
    return {(Native<double>::Integers)_mm512_maskz_min_epu64(0xff, (__m512i)a.v, (__m512i)b.v)};
}
#else
template <class T>
GM_INLINE Ints<T> max(Ints<T> a, Ints<T> b) {
    return {a.v > b.v ? a.v : b.v};
}
template <class T>
GM_INLINE Ints<T> min_unsigned(Ints<T> a, Ints<T> b) {
    using Unsigned = typename Native<T>::Unsigned;
    return {reinterpret_cast<Unsigned>(a.v) < reinterpret_cast<Unsigned>(b.v) ? a.v : b.v};
}
#endif

// The products, 64 bits long, of the lower halves of 64-bit lanes, without signs.
GM_INLINE Ints<double> multiply_lower_halves(Ints<double> a, Ints<double> b) {
    using Integers = Native<double>::Integers;
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
    return {(Integers)_mm512_maskz_mul_epu32(0xff, (__m512i)a.v, (__m512i)b.v)};
#elif GM_VECTOR_BYTES == 32
    return {(Integers)_mm256_mul_epu32((__m256i)a.v, (__m256i)b.v)};
#elif defined(GM_ISA_NEON)
    return {(Integers)vmull_u32(vmovn_u64((uint64x2_t)a.v), vmovn_u64((uint64x2_t)b.v))};
#elif GM_VECTOR_BYTES == 16
    return {(Integers)_mm_mul_epu32((__m128i)a.v, (__m128i)b.v)};
#else
    using Unsigned = Native<double>::Unsigned;
    return {(Integers)(((Unsigned)a.v & 0xffffffffu) * ((Unsigned)b.v & 0xffffffffu))};
#endif
}

// Reads the first `count` (0 … kLanes<T>) elements and nothing beyond; the other lanes are zero.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE Vec<float> load_first(const float* from, ptrdiff_t count) {
    return {(Native<float>::Vector)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from)};
}
GM_INLINE Vec<double> load_first(const double* from, ptrdiff_t count) {
    return {(Native<double>::Vector)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from)};
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE Vec<float> load_first(const float* from, ptrdiff_t count) {
    return {(Native<float>::Vector)_mm256_maskload_ps(from, (__m256i)first_lanes<float>(count).v)};
}
GM_INLINE Vec<double> load_first(const double* from, ptrdiff_t count) {
    return {(Native<double>::Vector)_mm256_maskload_pd(from, (__m256i)first_lanes<double>(count).v)};
}
#else
template <class T>
GM_INLINE Vec<T> load_first(const T* from, ptrdiff_t count) {
    T lanes[kLanes<T>] = {};
    for (ptrdiff_t lane = 0; lane < count; ++lane) lanes[lane] = from[lane];
    return load(lanes);
}
#endif

// Whether an operation of this thread has had a subnormal operand since it forgot the last one. Processors that do not
// say that are not slowed down by such numbers, as far as we know.
#if defined(__x86_64__)
constexpr bool kTellsSubnormals = true;
constexpr unsigned kMetSubnormal = 0x0002;  // of the flags in MXCSR
GM_INLINE bool met_subnormal() {
    __asm__ volatile("" ::: "memory");
    return (_mm_getcsr() & kMetSubnormal) != 0;
}
static inline void forget_subnormals() {
    const unsigned state = _mm_getcsr();
    if (state & kMetSubnormal) _mm_setcsr(state & ~kMetSubnormal);
}
// As if an operation had had one: for what makes subnormal numbers without one.
static inline void remember_subnormals() {
    const unsigned state = _mm_getcsr();
    if (!(state & kMetSubnormal)) _mm_setcsr(state | kMetSubnormal);
}
#else
constexpr bool kTellsSubnormals = false;
GM_INLINE bool met_subnormal() {
    return false;
}
static inline void forget_subnormals() {}
static inline void remember_subnormals() {}
#endif

// Whether the mask is true in any lane.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE bool any(Mask<float> mask) {
    return _mm512_movepi32_mask((__m512i)mask.v) != 0;
}
GM_INLINE bool any(Mask<double> mask) {
    return _mm512_movepi64_mask((__m512i)mask.v) != 0;
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE bool any(Mask<float> mask) {
    return _mm256_movemask_ps((__m256)mask.v) != 0;
}
GM_INLINE bool any(Mask<double> mask) {
    return _mm256_movemask_pd((__m256d)mask.v) != 0;
}
#else
template <class T>
GM_INLINE bool any(Mask<T> mask) {
    uint64_t words[GM_VECTOR_BYTES / 8], all = 0;
    __builtin_memcpy(words, &mask.v, sizeof(words));
    GM_UNROLL for (int i = 0; i < GM_VECTOR_BYTES / 8; ++i) all |= words[i];
    return all != 0;
}
#endif

// Whether in any lane 0 ≤ x < begin or x > end. (On AVX-512 by itself: there, a mask that is more than the condition of
// a selection costs two operations.)
GM_INLINE bool any_outside(Ints<double> x, Ints<double> begin, Ints<double> end) {
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
    return (_mm512_cmplt_epu64_mask((__m512i)x.v, (__m512i)begin.v) |
            _mm512_cmpgt_epi64_mask((__m512i)x.v, (__m512i)end.v)) != 0;
#else
    return any(~unsigned_at_least<double>(x, begin) | Mask<double>{x.v > end.v});
#endif
}

}  // namespace
}  // namespace gradiometer::GM_ISA
