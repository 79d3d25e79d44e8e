// Activations and their derivatives, as torch.nn has them. One small struct for each: at(z) gives φ(z), and φ′(z) where
// it is wanted. Comparisons are written so that a NaN comes out as a NaN.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/functions.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Of a vector; where tanh says so, of a group of vectors.
template <class T, class V = Vec<T>>
struct ValueAndSlope {
    V value;
    V slope;
};

// A function near zero: a straight line on either side of it, closer than tiny numbers could show. (A value that is not
// zero does not change at all.)
template <class T>
struct LinesAtZero {
    Vec<T> value;
    Vec<T> slope_above;
    Vec<T> slope_below;
};

// Whether the two are one: φ(0) and φ′(0) tell it.
template <class Phi>
concept SmoothAtZero = Phi::kSmoothAtZero;

template <class T>
GM_INLINE Vec<T> constant(double x) {
    return broadcast(static_cast<T>(x));
}

// Below far_begin(), φ(z) and φ′(z) fall like an exponential, and at(z) is not asked. Down to far_end(), they may be
// subnormal and are computed raised, by far_below(z); from there on they are zero, at_end(z). (Some processors take 150
// cycles for each operation that makes a subnormal.)
template <class Phi>
concept FallsToZero = requires(Phi phi) { phi.far_begin(); };

// z · 0, which of minus infinity is a NaN, as in PyTorch.
template <class T>
GM_INLINE ValueAndSlope<T> z_times_zero(Vec<T> z) {
    return {z * zero<T>(), zero<T>()};
}

// What falls like exp(z), or z exp(z).
template <class T>
struct FallsLikeExp {
    GM_INLINE_MEMBER static Vec<T> far_begin() { return constant<T>(sizeof(T) == 4 ? -87 : -708); }
    GM_INLINE_MEMBER static Vec<T> far_end() { return constant<T>(sizeof(T) == 4 ? -109 : -752); }
};
template <class T>
struct FallsLikeZExp : FallsLikeExp<T> {
    GM_INLINE_MEMBER ValueAndSlope<T> far_below(Vec<T> z) const {
        const Vec<T> power = raised_exp(z, zero<T>());
        return {z * power, power * (z + constant<T>(1))};
    }
    GM_INLINE_MEMBER ValueAndSlope<T> at_end(Vec<T> z) const { return z_times_zero(z); }
};

// Below it, z is near zero; kept well above the roots of subnormal numbers, which squares would come to.
template <class T>
constexpr T kNearZero = static_cast<T>(sizeof(T) == 4 ? 0x1p-40 : 0x1p-100);

template <class T>
struct Identity {
    explicit Identity(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const { return {z, constant<T>(1)}; }
};

template <class T>
struct Relu {
    explicit Relu(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Mask<T> off = z <= zero<T>();
        return {select(off, zero<T>(), z), select(off, zero<T>(), constant<T>(1))};
    }
};

template <class T>
struct LeakyRelu {
    Vec<T> negative_slope;
    explicit LeakyRelu(ActivationSpec spec) : negative_slope(constant<T>(spec.first)) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Mask<T> on = z > zero<T>();
        return {select(on, z, negative_slope * z), select(on, constant<T>(1), negative_slope)};
    }
    GM_INLINE_MEMBER LinesAtZero<T> lines_at_zero() const { return {zero<T>(), constant<T>(1), negative_slope}; }
};

// scale · (z > 0 ? z : alpha · (exp(z) - 1)): ELU with scale 1, SELU with the constants of Klambauer et al. 2017.
template <class T>
struct Elu {
    Vec<T> scale;
    Vec<T> scaled_alpha;
    explicit Elu(ActivationSpec spec)
        : scale(constant<T>(spec.second)), scaled_alpha(constant<T>(spec.first * spec.second)) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Mask<T> on = z > zero<T>();
        const Vec<T> below = select(on, zero<T>(), z);
        const Vec<T> factor = select(on, scale, scaled_alpha);
        const auto [power, shifted] = exp_and_expm1_of_negative(below);
        return {factor * select(on, z, shifted), factor * power};
    }
    GM_INLINE_MEMBER LinesAtZero<T> lines_at_zero() const { return {zero<T>(), scale, scaled_alpha}; }
};

// z · Φ(z), with Φ the normal distribution: ½ erfc(-z/√2), which keeps its accuracy far below zero.
template <class T>
struct Gelu {
    static constexpr bool kSmoothAtZero = true;
    explicit Gelu(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> half = constant<T>(0.5);
        // Above -far_begin, Φ is 1, and the density, which would become subnormal, nothing beside that.
        const Vec<T> bounded = min(-far_begin(), z);
        // exp(-½ z²) of anything so small is 1; its square would be subnormal.
        const Vec<T> distance = max(constant<T>(0x1p-30), abs(bounded));
        const MinusSquare<T> square = minus_square(distance);
        ExpReduction<T> reduced = reduce_exponent(half * square.number);
        reduced.rest = fma(half, square.correction, reduced.rest);
        const Vec<T> power = exp_if_normal(reduced);
        const Vec<T> x = root_half() * bounded;
        const Vec<T> tail = half * power * scaled_erfc(root_half() * distance);
        const Vec<T> far = select(x > zero<T>(), constant<T>(1) - tail, tail);
        const Vec<T> near = fma(half, erf_near_zero(x), half);
        const Vec<T> probability = select(abs(x) < constant<T>(kErfNearZero<T>), near, far);
        return {z * probability, fma(constant<T>(kDensityAtZero) * power, bounded, probability)};
    }
    GM_INLINE_MEMBER static Vec<T> far_begin() { return constant<T>(sizeof(T) == 4 ? -12.9 : -37.5); }
    GM_INLINE_MEMBER static Vec<T> far_end() { return constant<T>(sizeof(T) == 4 ? -14.55 : -38.68); }
    GM_INLINE_MEMBER ValueAndSlope<T> far_below(Vec<T> z) const {
        const Vec<T> half = constant<T>(0.5);
        const MinusSquare<T> square = minus_square(z);
        const Vec<T> power = raised_exp(half * square.number, half * square.correction);
        const Vec<T> probability = half * scaled_erfc(-root_half() * z);
        return {z * probability * power, fma(constant<T>(kDensityAtZero), z, probability) * power};
    }
    GM_INLINE_MEMBER ValueAndSlope<T> at_end(Vec<T> z) const { return z_times_zero(z); }

  private:
    static constexpr double kDensityAtZero = 0.39894228040143267794;
    GM_INLINE_MEMBER static Vec<T> root_half() { return constant<T>(0.70710678118654752440); }
};

// ½ z (1 + tanh u), u = √(2/π) (z + 0.044715 z³).
template <class T>
struct GeluTanh {
    static constexpr bool kSmoothAtZero = true;
    explicit GeluTanh(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> half = constant<T>(0.5);
        const Vec<T> one = constant<T>(1);
        const Vec<T> root = constant<T>(0.79788456080286535588);
        const Vec<T> cubic = constant<T>(0.044715);
        const Vec<T> square = z * z;
        const Vec<T> t = tanh(root * z * fma(cubic, square, one));
        const Vec<T> inner_slope = root * fma(constant<T>(3 * 0.044715), square, one);
        const Vec<T> flat = fma(-t, t, one);
        const Vec<T> tail = select(flat == zero<T>(), zero<T>(), half * z * flat * inner_slope);
        return {half * z * (one + t), fma(half, t, half) + tail};
    }
};

template <class T>
struct Silu : FallsLikeZExp<T> {
    static constexpr bool kSmoothAtZero = true;
    explicit Silu(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> one = constant<T>(1);
        const Vec<T> s = sigmoid_if_normal(z);
        return {z * s, s * fma(z, one - s, one)};
    }
};

// z · tanh(softplus(z)) = z · n / (n + 2) with n = w (w + 2) and w = exp(z).
template <class T>
struct Mish : FallsLikeZExp<T> {
    static constexpr bool kSmoothAtZero = true;
    explicit Mish(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        // Above, the quotient is 1 and its slope, n being e⁴⁰ (in double, e⁸⁰), nothing beside that.
        const Vec<T> bounded = min(constant<T>(sizeof(T) == 4 ? 20 : 40), z);
        const Vec<T> w = exp_if_normal(reduce_exponent(bounded));
        const Vec<T> n = fma(w, w, w + w);
        const Vec<T> below = n + constant<T>(2);
        const Vec<T> t = n / below;
        return {z * t, fma(bounded, constant<T>(4) * fma(w, w, w) / (below * below), t)};
    }
};

// log(1 + exp(beta z)) / beta, and z itself where beta z is above the threshold.
template <class T>
struct Softplus {
    static constexpr bool kSmoothAtZero = true;
    Vec<T> beta;
    Vec<T> threshold;
    T near_zero;
    explicit Softplus(ActivationSpec spec) : beta(constant<T>(spec.first)), threshold(constant<T>(spec.second)) {
        // Of a large beta or a threshold near zero, no z that this is meant for is near.
        near_zero = spec.first < 1024 && spec.second > 0x1p-20 ? kNearZero<T> : T(0);
    }
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> scaled = beta * z;
        const Mask<T> linear = scaled > threshold;
        return {select(linear, z, log1p_exp(scaled) / beta), select(linear, constant<T>(1), sigmoid(scaled))};
    }
};

template <class T>
struct Softsign {
    static constexpr bool kSmoothAtZero = true;
    explicit Softsign(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> one = constant<T>(1);
        const Vec<T> below = one + abs(z);
        return {z / below, one / (below * below)};
    }
};

template <class T>
struct Sigmoid : FallsLikeExp<T> {
    static constexpr bool kSmoothAtZero = true;
    explicit Sigmoid(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> s = sigmoid_if_normal(z);
        return {s, s * (constant<T>(1) - s)};
    }
    GM_INLINE_MEMBER ValueAndSlope<T> far_below(Vec<T> z) const {
        const Vec<T> power = raised_exp(z, zero<T>());
        return {power, power};
    }
    GM_INLINE_MEMBER ValueAndSlope<T> at_end(Vec<T>) const { return {zero<T>(), zero<T>()}; }
};

template <class T>
struct Tanh {
    static constexpr bool kSmoothAtZero = true;
    static constexpr bool kInGroups = GM_VECTOR_BYTES == 64;  // with 16 registers, groups take 1.7 times as long
    explicit Tanh(ActivationSpec) {}
    template <class V>
    GM_INLINE_MEMBER ValueAndSlope<T, V> at(V z) const {
        ValueAndSlope<T, V> out;  // part by part: of a group, compilers put copies on the stack
        out.value = tanh(z);
        out.slope = fma(-out.value, out.value, constant_of<V>(1));
        return out;
    }
};

template <class T>
struct Hardtanh {
    Vec<T> low;
    Vec<T> high;
    explicit Hardtanh(ActivationSpec spec) : low(constant<T>(spec.first)), high(constant<T>(spec.second)) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Mask<T> below = z <= low;
        const Mask<T> above = z >= high;
        return {select(below, low, select(above, high, z)), select(below | above, zero<T>(), constant<T>(1))};
    }
};

// 0 below -3, z above 3, z (z + 3) / 6 between.
template <class T>
struct Hardswish {
    static constexpr bool kSmoothAtZero = true;
    explicit Hardswish(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> three = constant<T>(3);
        const Vec<T> six = constant<T>(6);
        const Mask<T> below = z <= -three;
        const Mask<T> above = z >= three;
        return {select(below, zero<T>(), select(above, z, z * ((z + three) / six))),
                select(below, zero<T>(), select(above, constant<T>(1), (z + z + three) / six))};
    }
};

}  // namespace
}  // namespace gradiometer::GM_ISA
