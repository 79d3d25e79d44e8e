// exp, expm1, and the functions made of them: sigmoid and tanh. No branches, no tables, no flushing of subnormals.
//
// All of them write x = n ln 2 + r with |r| ≤ ½ ln 2, so that exp(x) = 2ⁿ exp(r), and
// exp(r) = 1 + r + r² q(r) with a minimax polynomial q (own Remez fits in 50 digits, weighted for the relative error
// of exp(r) - 1; coefficients rounded one after the other, the rest fitted anew each time).
#pragma once

#include "simd/polynomial.hpp"
#include "simd/subnormal.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// round_and_bias is 1.5 · 2^(mantissa bits) + the exponent's bias. A small number added to it is rounded to an integer
// n, and the last bits of the sum are the exponent field of 2ⁿ. ln2_high has so many trailing zeros that n · ln2_high
// is exact, also without fused multiply-add.
template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr int mantissa_bits = 23;
    static constexpr float round_and_bias = 12582912.0f + 127.0f;
    static constexpr float log2_e = 1.44269504f;
    static constexpr float ln2 = 0x1.62e43p-1f;
    static constexpr float ln2_high = 0x1.62e4p-1f;
    static constexpr float ln2_low = 0x1.7f7d1cp-20f;
    static constexpr float q[] = {0.5f, 0.166666657f, 0.0416664667f, 0.00833363924f, 0.00139349524f, 0.000196720561f};
    static constexpr float twice_q_of_double[] = {2 * q[0], 4 * q[1], 8 * q[2], 16 * q[3], 32 * q[4], 64 * q[5]};
    static constexpr float exp_is_zero = -104.0f;    // exp of all below rounds to zero
    static constexpr float exp_is_infinite = 89.0f;  // exp of all above overflows
    static constexpr float exp_may_be_subnormal = -80.0f;
    static constexpr float expm1_is_minus_one = -20.0f;
    static constexpr float expm1_is_identity = 0x1p-26f;
    static constexpr float tanh_is_one = 9.5f;
    static constexpr float rescue = 0x1p-100f;
};

template <>
struct ExpConstants<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr double round_and_bias = 6755399441055744.0 + 1023.0;
    static constexpr double log2_e = 1.4426950408889634074;
    static constexpr double ln2 = 0x1.62e42fefa39efp-1;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1;
    static constexpr double ln2_low = 0x1.ef35793c76730p-45;
    static constexpr double q[] = {0.5000000000000007,    0.16666666666666696,   0.0416666666665607,
                                   0.008333333333298196,  0.0013888888936235146, 0.0001984126995049437,
                                   2.480150036285968e-05, 2.755718644816102e-06, 2.762775316805376e-07,
                                   2.5124839100313023e-08};
    static constexpr double twice_q_of_double[] = {2 * q[0],  4 * q[1],   8 * q[2],   16 * q[3],  32 * q[4],
                                                   64 * q[5], 128 * q[6], 256 * q[7], 512 * q[8], 1024 * q[9]};
    static constexpr double exp_is_zero = -746.0;
    static constexpr double exp_is_infinite = 710.0;
    static constexpr double exp_may_be_subnormal = -700.0;
    static constexpr double expm1_is_minus_one = -40.0;
    static constexpr double expm1_is_identity = 0x1p-55;
    static constexpr double tanh_is_one = 20.0;
    static constexpr double rescue = 0x1p-100;
};

// x = n ln 2 + rest. power holds the bits of 2ⁿ where that is a normal number; more can be added to the exponent first.
template <class T>
struct ExpReduction {
    Vec<T> rest;
    Vec<T> n;
    Ints<T> power;
};

template <class T>
GM_INLINE ExpReduction<T> reduce_exponent(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> round_and_bias = broadcast<T>(C::round_and_bias);
    const Vec<T> shifted = fma(x, broadcast<T>(C::log2_e), round_and_bias);
    const Vec<T> n = shifted - round_and_bias;
    const Vec<T> exact = fma(n, broadcast<T>(-C::ln2_high), x);
    return {fma(n, broadcast<T>(-C::ln2_low), exact), n, bits_of(shifted) << C::mantissa_bits};
}

// exp(r) - 1 for |r| up to a little over ½ ln 2; exact for tiny r.
template <class T>
GM_INLINE Vec<T> expm1_of_rest(Vec<T> r) {
    return fma(r * r, polynomial(r, ExpConstants<T>::q), r);
}

// n as an addend to the exponent field.
template <class T>
GM_INLINE Ints<T> exponent_step(int n) {
    return broadcast_int<T>(static_cast<typename Native<T>::Integer>(n) *
                            (int64_t{1} << ExpConstants<T>::mantissa_bits));
}

// p · 2ⁿ for 0.5 < p < 2 and the n of a reduction of x ≥ exp_is_zero. 2ⁿ can be out of the normal numbers by itself, so
// a part of it is left to a last multiplication, the only rounding of a subnormal result.
template <class T>
GM_INLINE Vec<T> times_power(Vec<T> p, Vec<T> x, const ExpReduction<T>& reduced) {
    if constexpr (kScales) return scale(p, reduced.n);
    using C = ExpConstants<T>;
    const Mask<T> deep = x < broadcast<T>(C::exp_may_be_subnormal);
    const Ints<T> raised = {deep.v ? exponent_step<T>(100).v : exponent_step<T>(-1).v};
    const Vec<T> rest_of_power = select(deep, broadcast<T>(C::rescue), broadcast<T>(2));
    return p * from_bits<T>(reduced.power + raised) * rest_of_power;
}

// exp(x + correction) for exp_is_zero ≤ x ≤ exp_is_infinite or NaN, and a correction of at most 0.05 in magnitude.
template <class T>
GM_INLINE Vec<T> exp_in_range(Vec<T> x, Vec<T> correction) {
    const ExpReduction<T> reduced = reduce_exponent(x);
    return times_power(broadcast<T>(1) + expm1_of_rest(reduced.rest + correction), x, reduced);
}

// exp(x + correction) · 2^kRaise, never subnormal, for x from 1.1 exp_is_zero to 0 and a correction of at most 0.05 in
// magnitude.
template <class T>
GM_INLINE Vec<T> raised_exp(Vec<T> x, Vec<T> correction) {
    const ExpReduction<T> reduced = reduce_exponent(x);
    const Vec<T> p = broadcast<T>(1) + expm1_of_rest(reduced.rest + correction);
    return p * from_bits<T>(reduced.power + exponent_step<T>(kRaise<T>));
}

// exp(x), of the reduction of an x of which that is a normal number, or of NaN.
template <class T>
GM_INLINE Vec<T> exp_if_normal(const ExpReduction<T>& reduced) {
    const Vec<T> p = broadcast<T>(1) + expm1_of_rest(reduced.rest);
    if constexpr (kScales) return scale(p, reduced.n);
    return p * from_bits<T>(reduced.power);
}

// exp(x) for x ≤ exp_is_infinite or NaN. Where the result is zero, nothing underflows on the way to it, which takes
// many processors 150 cycles.
template <class T>
GM_INLINE Vec<T> exp_bounded(Vec<T> x) {
    const Mask<T> is_inside = ~(x < broadcast<T>(ExpConstants<T>::exp_is_zero));
    const Vec<T> inside = keep(is_inside, x);
    const ExpReduction<T> reduced = reduce_exponent(inside);
    return keep(is_inside, times_power(broadcast<T>(1) + expm1_of_rest(reduced.rest), inside, reduced));
}

template <class T>
GM_INLINE Vec<T> exp(Vec<T> x) {
    return exp_bounded(min(broadcast<T>(ExpConstants<T>::exp_is_infinite), x));
}

// exp(x) - 1 = (2ⁿ - 1) + 2ⁿ (exp(r) - 1), computed as twice its half, because 2ⁿ alone may overflow.
template <class T>
GM_INLINE Vec<T> expm1(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> inside = max(broadcast<T>(C::expm1_is_minus_one), min(broadcast<T>(C::exp_is_infinite), x));
    const ExpReduction<T> reduced = reduce_exponent(inside);
    const Vec<T> half_power = from_bits<T>(reduced.power + exponent_step<T>(-1));
    const Vec<T> half = fma(half_power, expm1_of_rest(reduced.rest), half_power - broadcast<T>(T(0.5)));
    return select(abs(x) < broadcast<T>(C::expm1_is_identity), x, half + half);
}

// exp(x) and exp(x) - 1 for x ≤ 0 or NaN, of one reduction.
template <class T>
struct ExpAndExpm1 {
    Vec<T> exp, expm1;
};

template <class T>
GM_INLINE ExpAndExpm1<T> exp_and_expm1_of_negative(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> one = broadcast<T>(1);
    const Mask<T> is_inside = ~(x < broadcast<T>(C::exp_is_zero));
    const Vec<T> inside = keep(is_inside, x);
    const ExpReduction<T> reduced = reduce_exponent(inside);
    const Vec<T> expm1_rest = expm1_of_rest(reduced.rest);
    const Vec<T> power = from_bits<T>(reduced.power);  // of a normal number, or not used
    const Vec<T> shifted = select(x < broadcast<T>(C::expm1_is_minus_one), -one, fma(power, expm1_rest, power - one));
    return {keep(is_inside, times_power(one + expm1_rest, inside, reduced)),
            select(x > broadcast<T>(-C::expm1_is_identity), x, shifted)};
}

// exp(-|x|), for what it adds to 1: where that is nothing, x being positive, it does not become subnormal.
template <class T>
GM_INLINE Vec<T> exp_of_minus_magnitude(Vec<T> x) {
    return exp_bounded(minus_abs(min(broadcast<T>(-ExpConstants<T>::exp_may_be_subnormal), x)));
}

// 1 / (1 + exp(-x)), of x and exp(-|x|), which does not overflow and keeps the subnormal results.
template <class T>
GM_INLINE Vec<T> sigmoid_of_power(Vec<T> x, Vec<T> power) {
    const Vec<T> one = broadcast<T>(1);
    return select(x < zero<T>(), power, one) / (one + power);
}

template <class T>
GM_INLINE Vec<T> sigmoid(Vec<T> x) {
    return sigmoid_of_power(x, exp_of_minus_magnitude(x));
}

// The same bits where exp(x) is not below the normal numbers, or x is NaN.
template <class T>
GM_INLINE Vec<T> sigmoid_if_normal(Vec<T> x) {
    const Vec<T> bounded = min(broadcast<T>(-ExpConstants<T>::exp_may_be_subnormal), x);
    return sigmoid_of_power(x, exp_if_normal(reduce_exponent(minus_abs(bounded))));
}

// With e = exp(2|x|) - 1: tanh|x| = e / (e + 2) = ½e / (½e + 1). Halves of all save the doubling of |x| and change no
// bit. ln 2 is rounded to one number, for what that loses grows with n, and where n is large, tanh is flat.
template <class V>
GM_INLINE V tanh(V x) {
    using C = ExpConstants<typename Kind<V>::T>;
    const V inside = min(constant_of<V>(C::tanh_is_one), abs(x));
    const V round_and_bias = constant_of<V>(C::round_and_bias);
    const V shifted = fma(inside, constant_of<V>(2 * C::log2_e), round_and_bias);
    const V n = shifted - round_and_bias;
    const V half_rest = fma(n, constant_of<V>(C::ln2 / -2), inside);
    const V half_expm1 = fma(half_rest * half_rest, polynomial(half_rest, C::twice_q_of_double), half_rest);
    const V power = from_bits<typename Kind<V>::T>(bits_of(shifted) << C::mantissa_bits);
    const V half = constant_of<V>(0.5);
    const V half_e = fma(power, half_expm1, fma(power, half, -half));
    return with_sign(half_e / (half_e + constant_of<V>(1)), x);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
