// What an optimizer makes of a weight, a gradient and its states, as in torch.optim. All arithmetic is in T, as
// PyTorch's is. A rule takes vectors (Vec<T>), or CarefulFloats where numbers are tiny.
#pragma once

#include "kernels/tiny.hpp"
#include "simd/careful.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
GM_INLINE Vec<T> scalar(double x) {
    return broadcast(static_cast<T>(x));
}

// momentum m: buffer = m · buffer + (1 - dampening) · g (the first time, g); w -= lr · (nesterov ? g + m · buffer :
// buffer).
template <class T>
struct SgdRule {
    Vec<T> rate, decay, momentum, damping;
    bool has_decay, has_momentum, nesterov, first;
    explicit SgdRule(const UpdateSpec& s)
        : rate(scalar<T>(s.learning_rate)),
          decay(scalar<T>(s.weight_decay)),
          momentum(scalar<T>(s.momentum)),
          damping(scalar<T>(1 - s.dampening)),
          has_decay(s.weight_decay != 0),
          has_momentum(s.momentum != 0),
          nesterov(s.nesterov),
          first(s.first_step) {}
    // Below it, the products of a gradient may be subnormal.
    static constexpr double kTinyGradient = 0x1p-100;
    template <class V>
    GM_INLINE_MEMBER V next(V w, V g, T* state1, T*) const {
        if (has_decay) g = fma(decay, w, g);
        if (has_momentum) {
            const V buffer = first ? g : fma(damping, g, momentum * V(load(state1)));
            store(state1, buffer);
            g = nesterov ? fma(momentum, buffer, g) : buffer;
        }
        return fma(-rate, g, w);
    }
    // The same from a tiny g, raised; for the plainest rule alone.
    bool takes_raised() const { return !has_momentum && !has_decay && rate.v[0] >= kTiny<T>; }
    GM_INLINE_MEMBER Vec<T> next_from_raised(Vec<T> w, Vec<T> g) const {
        return fma(-rate * broadcast<T>(RaiseConstants<T>::lower), g, w);
    }
};

// Adam (Kingma and Ba 2015); AdamW (Loshchilov and Hutter 2019) shrinks w by lr · weight_decay instead of adding to g.
template <class T>
struct AdamRule {
    Vec<T> step, shrink, decay, beta1, rest1, beta2, rest2, root_correction, epsilon;
    bool has_decay;
    explicit AdamRule(const UpdateSpec& s)
        : step(scalar<T>(s.learning_rate / s.correction1)),
          shrink(scalar<T>(s.rule == UpdateRule::adamw ? 1 - s.learning_rate * s.weight_decay : 1)),
          decay(scalar<T>(s.rule == UpdateRule::adamw ? 0 : s.weight_decay)),
          beta1(scalar<T>(s.beta1)),
          rest1(scalar<T>(1 - s.beta1)),
          beta2(scalar<T>(s.beta2)),
          rest2(scalar<T>(1 - s.beta2)),
          root_correction(scalar<T>(1 / __builtin_sqrt(s.correction2))),
          epsilon(scalar<T>(s.epsilon)),
          has_decay(decay.v[0] != 0) {}
    static constexpr double kTinyGradient = 0x1p-52;  // of its square, a thousandth is taken
    template <class V>
    GM_INLINE_MEMBER V next(V w, V g, T* state1, T* state2) const {
        w = w * shrink;
        if (has_decay) g = fma(decay, w, g);
        const V mean = fma(rest1, g, beta1 * V(load(state1)));
        const V square = fma(rest2 * g, g, beta2 * V(load(state2)));
        store(state1, mean);
        store(state2, square);
        return fma(-step, mean / (fma(sqrt(square), root_correction, epsilon)), w);
    }
};

// RMSprop (Hinton 2012): state1 the running mean square, state2 the momentum buffer.
template <class T>
struct RmspropRule {
    Vec<T> rate, alpha, rest, epsilon, momentum;
    bool has_momentum;
    explicit RmspropRule(const UpdateSpec& s)
        : rate(scalar<T>(s.learning_rate)),
          alpha(scalar<T>(s.beta2)),
          rest(scalar<T>(1 - s.beta2)),
          epsilon(scalar<T>(s.epsilon)),
          momentum(scalar<T>(s.momentum)),
          has_momentum(s.momentum != 0) {}
    static constexpr double kTinyGradient = 0x1p-52;
    template <class V>
    GM_INLINE_MEMBER V next(V w, V g, T* state1, T* state2) const {
        const V square = fma(rest * g, g, alpha * V(load(state1)));
        store(state1, square);
        V change = g / (sqrt(square) + epsilon);
        if (has_momentum) {
            change = fma(momentum, V(load(state2)), change);
            store(state2, change);
        }
        return fma(-rate, change, w);
    }
};

}  // namespace
}  // namespace gradiometer::GM_ISA
