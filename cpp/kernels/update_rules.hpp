// What an optimizer makes of a weight, a gradient and its states, as in torch.optim. All arithmetic is in T, as
// PyTorch's is. A rule takes vectors (Vec<T>), or careful ones where numbers are tiny.
//
// Where gradients vanish, what is taken from a weight is mostly too little to change it: the weight rests. A rule says
// when that is certain (rests), and does then what remains to be done (next_at_rest).
#pragma once

#include "kernels/tiny.hpp"
#include "simd/careful.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
GM_INLINE Vec<T> scalar(double x) {
    return broadcast(static_cast<T>(x));
}

// A weight that may rest is at least so large; then half a unit of its last place is twice as much as this.
constexpr double kRestingWeight = 0x1p-60;
template <class T>
constexpr double kTooLittle = kRestingWeight * (sizeof(T) == 4 ? 0x1p-26 : 0x1p-55);
// The square of what is below it is zero.
template <class T>
constexpr double kRootOfNothing = sizeof(T) == 4 ? 0x1p-75 : 0x1p-538;

// The limit of the gradients and states of which `taken` is taken from a weight, were they all 1.
template <class T>
GM_INLINE Vec<T> limit_at_rest(double taken) {
    const double limit = kTooLittle<T> / taken;
    return scalar<T>(limit > kRootOfNothing<T> ? kRootOfNothing<T> : limit);
}

template <class T>
GM_INLINE bool small(Vec<T> x, Vec<T> limit) {
    return !any(~(abs(x) < limit));
}

template <class T>
GM_INLINE bool may_rest(Vec<T> w) {
    return !any(~(abs(w) >= scalar<T>(kRestingWeight)));
}

template <class T>
GM_INLINE bool all_zero(Vec<T> x) {
    return !any(x != zero<T>());
}

// momentum m: buffer = m · buffer + (1 - dampening) · g (the first time, g); w -= lr · (nesterov ? g + m · buffer :
// buffer).
template <class T>
struct SgdRule {
    Vec<T> rate, decay, momentum, damping;
    Vec<T> at_rest;  // weights do, if gradient and buffer are below it
    bool has_decay, has_momentum, nesterov, first;
    explicit SgdRule(const UpdateSpec& s)
        : rate(scalar<T>(s.learning_rate)),
          decay(scalar<T>(s.weight_decay)),
          momentum(scalar<T>(s.momentum)),
          damping(scalar<T>(1 - s.dampening)),
          at_rest(limit_at_rest<T>(s.learning_rate * largest_sum(s))),
          has_decay(s.weight_decay != 0),
          has_momentum(s.momentum != 0),
          nesterov(s.nesterov),
          first(s.first_step) {}
    // Gradients below it may have products that are subnormal.
    static constexpr double kTinyFloat = 0x1p-100, kTinyDouble = 0x1p-996;
    template <class V>
    GM_INLINE_MEMBER V next(V w, V g, T* state1, T*) const {
        if (has_decay) g = fma(decay, w, g);
        if (has_momentum) {
            const V buffer = next_buffer(g, state1);
            store(state1, buffer);
            g = nesterov ? fma(momentum, buffer, g) : buffer;
        }
        return fma(-rate, g, w);
    }
    template <class V>
    GM_INLINE_MEMBER V next_buffer(V g, const T* state1) const {
        return first ? g : fma(damping, g, momentum * V(load(state1)));
    }
    // What is taken at most, by the learning rate, of a gradient and a buffer of 1.
    static double largest_sum(const UpdateSpec& s) {
        const double factor = 1 - s.dampening;
        return (1 + s.momentum) * (1 + s.momentum + (factor < 0 ? -factor : factor));
    }
    GM_INLINE_MEMBER bool rests(Vec<T> w, Vec<T> g, const T* state1, const T*) const {
        return !has_decay && may_rest(w) && small(g, at_rest) &&
               (!has_momentum || first || small(load(state1), at_rest));
    }
    template <class V>
    GM_INLINE_MEMBER Vec<T> next_at_rest(Vec<T> w, V g, T* state1) const {
        if (has_momentum) store(state1, next_buffer(g, state1));
        return w;
    }
    // The next w from a tiny g, raised; for the plainest rule alone.
    bool takes_raised() const { return !has_momentum && !has_decay && rate.v[0] >= kTiny<T>; }
    GM_INLINE_MEMBER Vec<T> next_from_raised(Vec<T> w, Vec<T> g) const {
        return fma(-rate * broadcast<T>(RaiseConstants<T, kRaise<T>>::lower), g, w);
    }
};

// Adam (Kingma and Ba 2015); AdamW (Loshchilov and Hutter 2019) shrinks w by lr · weight_decay instead of adding to g.
template <class T>
struct AdamRule {
    Vec<T> step, shrink, decay, beta1, rest1, beta2, rest2, root_correction, epsilon;
    Vec<T> at_rest;  // weights do, if gradient and mean are below it and the mean square is zero
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
          at_rest(limit_at_rest<T>(s.learning_rate / s.correction1 / s.epsilon)),
          has_decay(decay.v[0] != 0) {}
    static constexpr double kTinyFloat = 0x1p-52, kTinyDouble = 0x1p-500;  // of a square, a thousandth is taken
    template <class V>
    GM_INLINE_MEMBER V next(V w, V g, T* state1, T* state2) const {
        w = w * shrink;
        if (has_decay) g = fma(decay, w, g);
        const V mean = next_mean(g, state1);
        const V square = fma(rest2 * g, g, beta2 * V(load(state2)));
        store(state1, mean);
        store(state2, square);
        return fma(-step, mean / (fma(sqrt(square), root_correction, epsilon)), w);
    }
    template <class V>
    GM_INLINE_MEMBER V next_mean(V g, const T* state1) const {
        return fma(rest1, g, beta1 * V(load(state1)));
    }
    GM_INLINE_MEMBER bool rests(Vec<T> w, Vec<T> g, const T* state1, const T* state2) const {
        return !has_decay && may_rest(w * shrink) && all_zero(load(state2)) && small(g, at_rest) &&
               small(load(state1), at_rest);
    }
    template <class V>
    GM_INLINE_MEMBER Vec<T> next_at_rest(Vec<T> w, V g, T* state1) const {
        store(state1, next_mean(g, state1));
        return w * shrink;
    }
};

// RMSprop (Hinton 2012): state1 the running mean square, state2 the momentum buffer.
template <class T>
struct RmspropRule {
    Vec<T> rate, alpha, rest, epsilon, momentum;
    Vec<T> at_rest;  // weights do, if the gradient is below it and the mean square is zero
    bool has_momentum;
    explicit RmspropRule(const UpdateSpec& s)
        : rate(scalar<T>(s.learning_rate)),
          alpha(scalar<T>(s.beta2)),
          rest(scalar<T>(1 - s.beta2)),
          epsilon(scalar<T>(s.epsilon)),
          momentum(scalar<T>(s.momentum)),
          at_rest(limit_at_rest<T>(s.learning_rate / s.epsilon)),
          has_momentum(s.momentum != 0) {}
    static constexpr double kTinyFloat = 0x1p-52, kTinyDouble = 0x1p-500;
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
    GM_INLINE_MEMBER bool rests(Vec<T> w, Vec<T> g, const T* state1, const T*) const {
        return !has_momentum && may_rest(w) && all_zero(load(state1)) && small(g, at_rest);
    }
    template <class V>
    GM_INLINE_MEMBER Vec<T> next_at_rest(Vec<T> w, V, T*) const {
        return w;
    }
};

}  // namespace
}  // namespace gradiometer::GM_ISA
