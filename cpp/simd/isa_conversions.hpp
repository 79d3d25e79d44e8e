// Floats and doubles of each other, for each instruction set: see isa.hpp. Included by vector.hpp.
#pragma once

namespace gradiometer::GM_ISA {
namespace {

// A vector of doubles from floats in memory.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE Vec<double> load_as_double(const float* from) {
    return {(Native<double>::Vector)_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from))};
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE Vec<double> load_as_double(const float* from) {
    return {(Native<double>::Vector)_mm256_cvtps_pd(_mm_loadu_ps(from))};
}
#else
GM_INLINE Vec<double> load_as_double(const float* from) {
    float half __attribute__((vector_size(GM_VECTOR_BYTES / 2)));
    __builtin_memcpy(&half, from, sizeof(half));
    return {__builtin_convertvector(half, Native<double>::Vector)};
}
#endif
GM_INLINE Vec<double> load_as_double(const double* from) {
    return load(from);
}

// The lower (upper) half of a vector of floats as doubles.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
template <int which>
GM_INLINE Vec<double> half_as_double(Vec<float> x) {
    return {
        (Native<double>::Vector)_mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, (__m512)x.v, which))};
}
GM_INLINE Vec<double> low_as_double(Vec<float> x) {
    return half_as_double<0>(x);
}
GM_INLINE Vec<double> high_as_double(Vec<float> x) {
    return half_as_double<1>(x);
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE Vec<double> low_as_double(Vec<float> x) {
    return {(Native<double>::Vector)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x.v))};
}
GM_INLINE Vec<double> high_as_double(Vec<float> x) {
    return {(Native<double>::Vector)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x.v, 1))};
}
#else
typedef float HalfOfFloats __attribute__((vector_size(GM_VECTOR_BYTES / 2)));
GM_INLINE Vec<double> low_as_double(Vec<float> x) {
    HalfOfFloats half[2];
    __builtin_memcpy(half, &x.v, sizeof(half));
    return {__builtin_convertvector(half[0], Native<double>::Vector)};
}
GM_INLINE Vec<double> high_as_double(Vec<float> x) {
    HalfOfFloats half[2];
    __builtin_memcpy(half, &x.v, sizeof(half));
    return {__builtin_convertvector(half[1], Native<double>::Vector)};
}
#endif

// The other way: both halves of a vector of floats, from doubles that are floats; and doubles rounded to such.
#if GM_VECTOR_BYTES == 64 && !defined(GM_EMULATE)
GM_INLINE __m256 half_as_floats(Vec<double> x) {
    return _mm512_maskz_cvtpd_ps(0xff, (__m512d)x.v);
}
GM_INLINE Vec<float> as_floats(Vec<double> low, Vec<double> high) {
    const __m512 lower = _mm512_castps256_ps512(half_as_floats(low));
    return {(Native<float>::Vector)_mm512_insertf32x8(lower, half_as_floats(high), 1)};
}
GM_INLINE Vec<double> rounded_to_float(Vec<double> x) {
    return {(Native<double>::Vector)_mm512_maskz_cvtps_pd(0xff, half_as_floats(x))};
}
#elif GM_VECTOR_BYTES == 32
GM_INLINE Vec<float> as_floats(Vec<double> low, Vec<double> high) {
    return {(Native<float>::Vector)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high.v), _mm256_cvtpd_ps((__m256d)low.v))};
}
GM_INLINE Vec<double> rounded_to_float(Vec<double> x) {
    return {(Native<double>::Vector)_mm256_cvtps_pd(_mm256_cvtpd_ps((__m256d)x.v))};
}
#else
GM_INLINE Vec<float> as_floats(Vec<double> low, Vec<double> high) {
    const HalfOfFloats half[2] = {__builtin_convertvector(low.v, HalfOfFloats),
                                  __builtin_convertvector(high.v, HalfOfFloats)};
    Vec<float> out;
    __builtin_memcpy(&out.v, half, sizeof(out.v));
    return out;
}
GM_INLINE Vec<double> rounded_to_float(Vec<double> x) {
    return {__builtin_convertvector(__builtin_convertvector(x.v, HalfOfFloats), Native<double>::Vector)};
}
#endif

}  // namespace
}  // namespace gradiometer::GM_ISA
