// log, log1p, and log(1 + exp(x)).
//
// The argument is written as 2ᵏ (1 + f) with 1 + f between √½ and √2, so that its logarithm is k ln 2 + log(1 + f).
// Polynomials: own Remez fits in 50 digits of the relative error of log(1 + f), coefficients rounded one after the
// other.
#pragma once

#include "simd/exponential.hpp"
#include "simd/polynomial.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// integer_base is 2^(mantissa bits): a small integer in its last mantissa bits is added to it.
template <class T>
struct LogConstants;

template <>
struct LogConstants<float> {
    static constexpr int32_t root_half_bits = 0x3f3504f3;
    static constexpr int32_t one_bits = 0x3f800000;
    static constexpr float integer_base = 0x1p23f;
    static constexpr float bias = 127.0f;
    static constexpr float smallest_normal = 0x1p-126f;
    static constexpr float subnormal_scale = 0x1p24f;
    static constexpr float subnormal_exponent = 24.0f;
    static constexpr float log1p_is_identity = 0x1p-26f;
};

template <>
struct LogConstants<double> {
    static constexpr int64_t root_half_bits = 0x3fe6a09e667f3bcd;
    static constexpr int64_t one_bits = 0x3ff0000000000000;
    static constexpr double integer_base = 0x1p52;
    static constexpr double bias = 1023.0;
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr double subnormal_scale = 0x1p54;
    static constexpr double subnormal_exponent = 54.0;
    static constexpr double log1p_is_identity = 0x1p-55;
};

// k ln 2 + log(1 + f) = k ln 2 + f - f²/2 + f³ p(f).
GM_INLINE Vec<float> log_of_parts(Vec<float> k, Vec<float> f) {
    constexpr float p[] = {0.333333313f, -0.250008434f, 0.200012863f, -0.166225582f,
                           0.141996562f, -0.131662488f, 0.127805218f, -0.0764228106f};
    const Vec<float> square = f * f;
    const Vec<float> small = fma(f * square, polynomial(f, p), k * broadcast(ExpConstants<float>::ln2_low));
    const Vec<float> log1p_f = f + fma(broadcast(-0.5f), square, small);
    return fma(k, broadcast(ExpConstants<float>::ln2_high), log1p_f);
}

// k ln 2 + log(1 + f). With s = f / (2 + f): log(1 + f) = 2s + s³ p(s²) = f - f²/2 + s (f²/2 + s² p(s²)).
GM_INLINE Vec<double> log_of_parts(Vec<double> k, Vec<double> f) {
    constexpr double p[] = {0.6666666666666737,  0.3999999999939271,  0.2857142874777746, 0.22222197972165866,
                            0.18183597893675502, 0.15313135451081214, 0.14805640358171093};
    const Vec<double> s = f / (broadcast(2.0) + f);
    const Vec<double> s_square = s * s;
    const Vec<double> half_square = broadcast(0.5) * f * f;
    const Vec<double> bracket = fma(s_square, polynomial(s_square, p), half_square);
    const Vec<double> small = fma(s, bracket, k * broadcast(ExpConstants<double>::ln2_low));
    return fma(k, broadcast(ExpConstants<double>::ln2_high), f + (small - half_square));
}

// k + bias in the low bits, for a positive normal x.
template <class T>
GM_INLINE Ints<T> biased_log_exponent(Vec<T> x) {
    using C = LogConstants<T>;
    return logical_shift_right(bits_of(x) + broadcast_int<T>(C::one_bits - C::root_half_bits),
                               ExpConstants<T>::mantissa_bits);
}

// k as a number.
template <class T>
GM_INLINE Vec<T> unbiased(Ints<T> biased_exponent) {
    using C = LogConstants<T>;
    const Vec<T> base = broadcast<T>(C::integer_base);
    return from_bits<T>(biased_exponent | bits_of(base)) - broadcast<T>(C::integer_base + C::bias);
}

// The values of a logarithm where the argument is infinite, zero, negative or NaN, and `finite` elsewhere.
template <class T>
GM_INLINE Vec<T> with_special_logs(Vec<T> argument, Vec<T> pole, Vec<T> finite) {
    const Vec<T> infinity = broadcast<T>(T(__builtin_inf()));
    const Vec<T> below = select(argument == pole, -infinity, broadcast<T>(T(__builtin_nan(""))));
    return select(argument > pole, select(argument < infinity, finite, infinity), below);
}

template <class T>
GM_INLINE Vec<T> log(Vec<T> x) {
    using C = LogConstants<T>;
    const Mask<T> subnormal = x < broadcast<T>(C::smallest_normal);
    const Vec<T> normal = select(subnormal, x * broadcast<T>(C::subnormal_scale), x);
    const Ints<T> biased = biased_log_exponent(normal);
    const Vec<T> k = unbiased<T>(biased) - keep(subnormal, broadcast<T>(C::subnormal_exponent));
    const Ints<T> one = broadcast_int<T>(C::one_bits);
    const Vec<T> reduced = from_bits<T>(bits_of(normal) - (biased << ExpConstants<T>::mantissa_bits) + one);
    return with_special_logs(x, zero<T>(), log_of_parts(k, reduced - broadcast<T>(1)));
}

// f = 2⁻ᵏ (1 + x) - 1 = 2⁻ᵏ x + (2⁻ᵏ - 1) without the rounding of 1 + x. k may be so large that 2⁻ᵏ is not a normal
// number, hence 4 · 2⁻ᵏ and x / 4.
template <class T>
GM_INLINE Vec<T> log1p(Vec<T> x) {
    using C = LogConstants<T>;
    const Ints<T> biased = biased_log_exponent(broadcast<T>(1) + x);
    const Ints<T> four_bits = broadcast_int<T>(C::one_bits) + exponent_step<T>(int(C::bias) + 2);
    const Vec<T> four_power = from_bits<T>(four_bits - (biased << ExpConstants<T>::mantissa_bits));
    const Vec<T> quarter = broadcast<T>(T(0.25));
    const Vec<T> f = fma(four_power, quarter * x, fma(four_power, quarter, broadcast<T>(-1)));
    const Vec<T> finite = log_of_parts(unbiased<T>(biased), f);
    const Mask<T> tiny = abs(x) < broadcast<T>(C::log1p_is_identity);
    return with_special_logs(x, broadcast<T>(-1), select(tiny, x, finite));
}

// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)): neither overflows nor loses the small results.
template <class T>
GM_INLINE Vec<T> log1p_exp(Vec<T> x) {
    const Vec<T> one = broadcast<T>(1);
    const Vec<T> half = broadcast<T>(T(0.5));
    const Vec<T> power = exp_of_minus_magnitude(x);
    const Mask<T> upper = power > broadcast<T>(T(0.41421356237309504880));
    const Vec<T> f = select(upper, half * power - half, power);
    const Vec<T> positive = max(zero<T>(), x);
    return positive + log_of_parts(keep(upper, one), f);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
