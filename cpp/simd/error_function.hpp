// erf and erfc.
//
// Rational functions: own Remez fits in 50 to 70 digits of the relative error. All coefficients are positive where the
// arguments are, so that no sum cancels.
#pragma once

#include "simd/exponential.hpp"
#include "simd/polynomial.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
struct ErfConstants;

// exp(x²) erfc(x) is numerator(x) / denominator(x) up to erfc_is_zero, beyond which erfc rounds to zero.
template <>
struct ErfConstants<float> {
    static constexpr float erfc_is_zero = 10.1f;
    static constexpr int32_t upper_half_bits = int32_t(0xfffff000);
    static constexpr float numerator[] = {1.0f, 1.2384274f, 0.731621967f, 0.229227321f, 0.0327983163f};
    static constexpr float denominator[] = {1.0f,        2.36680714f,  2.40226849f,
                                            1.32540188f, 0.406321247f, 0.0581328032f};
};

template <>
struct ErfConstants<double> {
    static constexpr double erfc_is_zero = 27.3;
    static constexpr int64_t upper_half_bits = int64_t(0xfffffffff8000000);
    static constexpr double numerator[] = {1.0,
                                           2.3410161754727015,
                                           2.716877293564355,
                                           2.019752149114805,
                                           1.0551970900586898,
                                           0.40297280593784873,
                                           0.11377263862133677,
                                           0.023478379669561893,
                                           0.003402159585993889,
                                           0.0003148082386477399,
                                           1.4300256888140007e-05};
    static constexpr double denominator[] = {1.0,
                                             3.4693953425682147,
                                             5.631670720536512,
                                             5.657269501605758,
                                             3.9169337024235995,
                                             1.9681330776689032,
                                             0.7347788847698713,
                                             0.20465916350467392,
                                             0.04189333599913582,
                                             0.006042844132211304,
                                             0.0005579830748889586,
                                             2.5346545390315837e-05};
};

// erfc(x) for x ≥ 0 (or NaN). The rounding of x² would spoil exp(-x²) far out; so x is cut into an upper half, whose
// square is exact, and a rest: x² = upper² + (x - upper) (x + upper).
template <class T>
GM_INLINE Vec<T> erfc_of_positive(Vec<T> x) {
    using C = ErfConstants<T>;
    const Vec<T> inside = min(broadcast<T>(C::erfc_is_zero), x);
    const Vec<T> upper = from_bits<T>(bits_of(inside) & broadcast_int<T>(C::upper_half_bits));
    const Vec<T> power = exp_in_range(-(upper * upper), (upper - inside) * (upper + inside));
    return power * (polynomial(inside, C::numerator) / polynomial(inside, C::denominator));
}

template <class T>
GM_INLINE Vec<T> erfc(Vec<T> x) {
    const Vec<T> positive = erfc_of_positive(abs(x));
    return select(x < zero<T>(), broadcast<T>(2) - positive, positive);
}

// x p(x²) / q(x²) up to where erf rounds to one.
GM_INLINE Vec<float> erf(Vec<float> x) {
    constexpr float p[] = {1.12837915f,    0.190783726f,   0.0527902736f,
                           0.00377960497f, 0.000284808537f, 2.04197202e-6f};
    constexpr float q[] = {1.0f,          0.502410395f,   0.11425748f,
                           0.0149974291f, 0.00116521173f, 3.80040843e-5f};
    const Vec<float> inside = min(broadcast(3.93f), abs(x));
    const Vec<float> square = inside * inside;
    const Vec<float> y = inside * (polynomial(square, p) / polynomial(square, q));
    return copysign(min(broadcast(1.0f), y), x);
}

// x p(x²) near zero, 1 - erfc(x) elsewhere.
GM_INLINE Vec<double> erf(Vec<double> x) {
    constexpr double p[] = {1.1283791670955126,     -0.3761263890318311,   0.11283791670910669,
                            -0.026866170633189544,  0.005223977462502863,  -0.0008548314255001683,
                            0.00012054723890548515, -1.4907656617901127e-05, 1.6139817278809107e-06,
                            -1.3126106535628455e-07};
    const Vec<double> magnitude = abs(x);
    const Vec<double> near_zero = magnitude * polynomial(magnitude * magnitude, p);
    const Vec<double> far = broadcast(1.0) - erfc_of_positive(magnitude);
    return copysign(select(magnitude < broadcast(0.65), near_zero, far), x);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
