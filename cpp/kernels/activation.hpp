// Activations and their derivatives, as torch.nn has them. One small struct for each: at(z) gives φ(z), and φ′(z) where
// it is wanted. Comparisons are written so that a NaN comes out as a NaN.
#pragma once

#include "kernels/tiny.hpp"
#include "simd/functions.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Of a vector; where tanh says so, of a group of vectors.
template <class T, class V = Vec<T>>
struct ValueAndSlope {
    V value;
    V slope;
};

template <class T>
GM_INLINE Vec<T> constant(double x) {
    return broadcast(static_cast<T>(x));
}

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
};

// scale · (z > 0 ? z : alpha · (exp(z) - 1)): ELU with scale 1, SELU with the constants of Klambauer et al. 2017.
template <class T>
struct Elu {
    Vec<T> alpha;
    Vec<T> scale;
    explicit Elu(ActivationSpec spec) : alpha(constant<T>(spec.first)), scale(constant<T>(spec.second)) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Mask<T> on = z > zero<T>();
        const Vec<T> below = select(on, zero<T>(), z);
        return {scale * select(on, z, alpha * expm1(below)), scale * select(on, constant<T>(1), alpha * exp(below))};
    }
};

// z · Φ(z), with Φ the normal distribution: ½ erfc(-z/√2), which keeps its accuracy far below zero.
template <class T>
struct Gelu {
    static constexpr bool kSmoothAtZero = true;
    explicit Gelu(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> half = constant<T>(0.5);
        const Vec<T> probability = half * erfc(constant<T>(-0.70710678118654752440) * z);
        const Vec<T> density = constant<T>(0.39894228040143267794) * exp(-half * z * z);
        // Where the density is zero, z may be infinite and the product would be a NaN.
        const Vec<T> weighted = select(density == zero<T>(), zero<T>(), z * density);
        return {z * probability, probability + weighted};
    }
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
struct Silu {
    static constexpr bool kSmoothAtZero = true;
    explicit Silu(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> one = constant<T>(1);
        const Vec<T> s = sigmoid(z);
        return {z * s, s * fma(z, one - s, one)};
    }
};

// z · tanh(softplus(z)).
template <class T>
struct Mish {
    static constexpr bool kSmoothAtZero = true;
    explicit Mish(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> t = tanh(log1p_exp(z));
        const Vec<T> flat = fma(-t, t, constant<T>(1));
        return {z * t, fma(z * sigmoid(z), flat, t)};
    }
};

// log(1 + exp(beta z)) / beta, and z itself where beta z is above the threshold.
template <class T>
struct Softplus {
    Vec<T> beta;
    Vec<T> threshold;
    explicit Softplus(ActivationSpec spec) : beta(constant<T>(spec.first)), threshold(constant<T>(spec.second)) {}
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
struct Sigmoid {
    static constexpr bool kSmoothAtZero = true;
    explicit Sigmoid(ActivationSpec) {}
    GM_INLINE_MEMBER ValueAndSlope<T> at(Vec<T> z) const {
        const Vec<T> s = sigmoid(z);
        return {s, s * (constant<T>(1) - s)};
    }
};

template <class T>
struct Tanh {
    static constexpr bool kSmoothAtZero = true;
    static constexpr bool kInGroups = GM_VECTOR_BYTES == 64;  // with 16 registers, groups take 1.7 times as long
    explicit Tanh(ActivationSpec) {}
    template <class V>
    GM_INLINE_MEMBER ValueAndSlope<T, V> at(V z) const {
        const V t = tanh(z);
        return {t, fma(-t, t, constant_of<V>(1))};
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
        return {select(below, zero<T>(), select(above, z, z * (z + three) / six)),
                select(below, zero<T>(), select(above, constant<T>(1), (z + z + three) / six))};
    }
};

template <class Phi>
concept InGroups = Phi::kInGroups;

// Functions that around 0 are a straight line: closer to it than any tiny number could show.
template <class Phi>
concept SmoothAtZero = Phi::kSmoothAtZero;

// Below it, they are: the squares of such numbers may be subnormal, but do not matter.
template <class T>
constexpr T kStraight = sizeof(T) == 4 ? T(0x1p-40) : kTiny<T>;

// Where z is small: φ(0) + φ′(0) z.
template <class Phi, class T>
static void activate_straight(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride, T* h,
                              Index h_stride, T* derivative, Index derivative_stride) {
    const auto [value, slope] = phi.at(zero<T>());
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> line = lowered(raised(load(z + r * z_stride + j)) * slope);
            store(h + r * h_stride + j, select(value == zero<T>(), line, value));
            if (derivative) store(derivative + r * derivative_stride + j, slope);
        }
}

template <class Phi, class T>
static void activate_rows(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride, T* h, Index h_stride,
                          T* derivative, Index derivative_stride) {
    for (Index r = 0; r < rows; ++r, z += z_stride, h += h_stride) {
        Index j = 0;
        if constexpr (InGroups<Phi>) {
            for (; j + kGroup * kLanes<T> <= columns; j += kGroup * kLanes<T>) {
                const auto out = phi.at(load_group(z + j));
                store(h + j, out.value);
                if (derivative) store(derivative + r * derivative_stride + j, out.slope);
            }
        }
        for (; j < columns; j += kLanes<T>) {
            const ValueAndSlope<T> out = phi.at(load(z + j));
            store(h + j, out.value);
            if (derivative) store(derivative + r * derivative_stride + j, out.slope);
        }
    }
}

// Run by run of rows that are alike.
template <class Phi, class T>
[[gnu::noinline]] static void activate_alike(const Phi& phi, Index rows, Index columns, const T* z, Index z_stride,
                                             T* h, Index h_stride, T* derivative, Index derivative_stride) {
    for (Index begin = 0; begin < rows;) {
        const AlikeRows alike = alike_rows(kStraight<T>, begin, rows, columns, z, z_stride, rows);
        const auto activate = alike.tiny ? activate_straight<Phi, T> : activate_rows<Phi, T>;
        activate(phi, alike.end - begin, columns, z + begin * z_stride, z_stride, h + begin * h_stride, h_stride,
                 derivative ? derivative + begin * derivative_stride : nullptr, derivative_stride);
        begin = alike.end;
    }
}

template <class Phi, class T>
static void activate_with(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h,
                          Index h_stride, T* derivative, Index derivative_stride) {
    const Phi phi(spec);
    if constexpr (SmoothAtZero<Phi>) {
        if (!all_begin_from(kStraight<T>, rows, columns, z, z_stride))
            return activate_alike(phi, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
    }
    activate_rows(phi, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
}

template <class T>
void activate(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h, Index h_stride,
              T* derivative, Index derivative_stride) {
#define GM_CASE(kind, Phi)     \
    case ActivationKind::kind: \
        return activate_with<Phi<T>>(spec, rows, columns, z, z_stride, h, h_stride, derivative, derivative_stride);
    switch (spec.kind) {
        GM_CASE(identity, Identity)
        GM_CASE(relu, Relu)
        GM_CASE(leaky_relu, LeakyRelu)
        GM_CASE(elu, Elu)
        GM_CASE(selu, Elu)
        GM_CASE(gelu, Gelu)
        GM_CASE(gelu_tanh, GeluTanh)
        GM_CASE(silu, Silu)
        GM_CASE(mish, Mish)
        GM_CASE(softplus, Softplus)
        GM_CASE(softsign, Softsign)
        GM_CASE(sigmoid, Sigmoid)
        GM_CASE(tanh, Tanh)
        GM_CASE(hardtanh, Hardtanh)
        GM_CASE(hardswish, Hardswish)
    }
#undef GM_CASE
}

}  // namespace
}  // namespace gradiometer::GM_ISA
