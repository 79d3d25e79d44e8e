// erf and erfc.
//
// For x ≥ 0, erfc(x) = exp(-x²) p(t) / (x + 3) with t = (x - 3) / (x + 3), between -1 and 1, where the polynomial p
// loses no accuracy however large x is. Near zero erf(x) = x p(x²). Polynomials: own Remez fits in 50 digits of the
// relative error, leading coefficients rounded one after the other, the rest fitted anew each time.
#pragma once

#include "simd/exponential.hpp"
#include "simd/polynomial.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// In the constants below, erfc is the p of erfc, fitted up to erfc_is_zero, beyond which erfc rounds to zero; erf that
// of erf, up to kErfNearZero.
template <class T>
constexpr T kErfNearZero = T(0.65);

template <class T>
struct ErfConstants;

template <>
struct ErfConstants<float> {
    static constexpr float erfc_is_zero = 10.1f;
    static constexpr int32_t upper_half_bits = int32_t(0xfffff000);
    static constexpr float erfc[] = {1.07400692f,      -0.883394539f,   0.590227723f,    -0.31046471f,
                                     0.119536407f,     -0.0268452186f,  -0.00125832309f, 0.00307729794f,
                                     -0.000438178889f, -0.000298249564f};
    static constexpr float erf[] = {1.12837911f, -0.376120716f, 0.112751953f, -0.0264059491f, 0.0042010122f};
};

template <>
struct ErfConstants<double> {
    static constexpr double erfc_is_zero = 27.3;
    static constexpr int64_t upper_half_bits = int64_t(0xfffffffff8000000);
    static constexpr double erfc[] = {
        1.0740069070883398,      -0.8833944531698851,     0.5902283571040772,     -0.3104672619004173,
        0.11952776128844111,     -0.02682723462890385,    -0.001212416648534856,  0.0030340620593314795,
        -0.0005483094849639693,  -0.0002767782555517337,  0.00010756029440772135, 3.0399846408825086e-05,
        -1.7466214603066473e-05, -4.7533935983545154e-06, 2.7550895658430327e-06, 1.0049478653989324e-06,
        -3.922634164403797e-07,  -2.379531008476586e-07,  3.1328637461578054e-08, 5.0934108749843056e-08,
        6.5553562014580845e-09,  -6.712177426230023e-09,  -2.363227390760459e-09};
    static constexpr double erf[] = {1.1283791670955126,     -0.3761263890318311,     0.11283791670910669,
                                     -0.026866170633189544,  0.005223977462502863,    -0.0008548314255001683,
                                     0.00012054723890548515, -1.4907656617901127e-05, 1.6139817278809107e-06,
                                     -1.3126106535628455e-07};
};

// -x² as a number and its correction. Its rounding would spoil exp(-x²) far out; so x is cut into an upper half, whose
// square is exact, and a rest: x² = upper² + (x - upper) (x + upper).
template <class T>
struct MinusSquare {
    Vec<T> number;
    Vec<T> correction;
};

template <class T>
GM_INLINE MinusSquare<T> minus_square(Vec<T> x) {
    const Vec<T> upper = from_bits<T>(bits_of(x) & broadcast_int<T>(ErfConstants<T>::upper_half_bits));
    return {-(upper * upper), (upper - x) * (upper + x)};
}

// erfc(x) / exp(-x²) for kErfNearZero ≤ x < erfc_is_zero.
template <class T>
GM_INLINE Vec<T> scaled_erfc(Vec<T> x) {
    const Vec<T> three = broadcast<T>(3);
    const Vec<T> reciprocal = broadcast<T>(1) / (x + three);
    return polynomial((x - three) * reciprocal, ErfConstants<T>::erfc) * reciprocal;
}

// erfc(x) for x ≥ kErfNearZero (or NaN). Smaller x, whose squares would be subnormal, and those whose result is zero do
// not enter the calculation.
template <class T>
GM_INLINE Vec<T> erfc_of_positive(Vec<T> x) {
    const Mask<T> is_inside = ~(x >= broadcast<T>(ErfConstants<T>::erfc_is_zero));
    const Vec<T> inside = keep(is_inside, max(broadcast<T>(kErfNearZero<T>), x));
    const MinusSquare<T> square = minus_square(inside);
    return keep(is_inside, exp_in_range(square.number, square.correction) * scaled_erfc(inside));
}

// erf(x) for |x| up to kErfNearZero.
template <class T>
GM_INLINE Vec<T> erf_near_zero(Vec<T> x) {
    return x * polynomial(x * x, ErfConstants<T>::erf);
}

template <class T>
GM_INLINE Vec<T> erfc(Vec<T> x) {
    const Vec<T> magnitude = abs(x);
    const Vec<T> far = erfc_of_positive(magnitude);
    const Vec<T> far_signed = select(x < zero<T>(), broadcast<T>(2) - far, far);
    return select(magnitude < broadcast<T>(kErfNearZero<T>), broadcast<T>(1) - erf_near_zero(x), far_signed);
}

template <class T>
GM_INLINE Vec<T> erf(Vec<T> x) {
    const Vec<T> magnitude = abs(x);
    const Vec<T> far = broadcast<T>(1) - erfc_of_positive(magnitude);
    return copysign(select(magnitude < broadcast<T>(kErfNearZero<T>), erf_near_zero(magnitude), far), x);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
