// The derivative of an activation from what the forward pass kept: φ′ itself, or h = φ(z), where h says it
// (slope_from_output). Each gives the bits that the φ′ of activation.hpp has.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
struct KeptSlope {
    GM_INLINE_MEMBER Vec<T> of(Vec<T> slope) const { return slope; }
};

template <class T>
struct SlopeOfIdentity {
    GM_INLINE_MEMBER Vec<T> of(Vec<T>) const { return broadcast(T(1)); }
};

template <class T>
struct SlopeOfRelu {
    GM_INLINE_MEMBER Vec<T> of(Vec<T> h) const { return keep(~(h <= zero<T>()), broadcast(T(1))); }
};

template <class T>
struct SlopeOfTanh {
    static constexpr bool kFallsWithMagnitude = true;  // of h: where |h| is the largest, |φ′| is the least
    GM_INLINE_MEMBER Vec<T> of(Vec<T> h) const { return fma(-h, h, broadcast(T(1))); }
};

template <class T>
struct SlopeOfSigmoid {
    GM_INLINE_MEMBER Vec<T> of(Vec<T> h) const { return h * (broadcast(T(1)) - h); }
};

template <class Slope>
concept FallsWithMagnitude = Slope::kFallsWithMagnitude;

// Calls the function with the rule that gives the slope.
template <class T, class Function>
GM_INLINE void with_slope(ActivationSpec spec, bool from_output, const Function& function) {
    if (!from_output) return function(KeptSlope<T>());
    switch (spec.kind) {
        case ActivationKind::identity: return function(SlopeOfIdentity<T>());
        case ActivationKind::relu: return function(SlopeOfRelu<T>());
        case ActivationKind::tanh: return function(SlopeOfTanh<T>());
        case ActivationKind::sigmoid: return function(SlopeOfSigmoid<T>());
        default: return;
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
