// One sweep of an optimizer over a chunk of a parameter, as in torch.optim. g is the gradient after clipping; all
// arithmetic is in T, as PyTorch's is.
#pragma once

#include "kernels/squares.hpp"
#include "kernels/tiny.hpp"

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
    bool has_momentum, nesterov, first;
    explicit SgdRule(const UpdateSpec& s)
        : rate(scalar<T>(s.learning_rate)),
          decay(scalar<T>(s.weight_decay)),
          momentum(scalar<T>(s.momentum)),
          damping(scalar<T>(1 - s.dampening)),
          has_momentum(s.momentum != 0),
          nesterov(s.nesterov),
          first(s.first_step) {}
    GM_INLINE_MEMBER Vec<T> next(Vec<T> w, Vec<T> g, T* state1, T*) const {
        g = fma(decay, w, g);
        if (has_momentum) {
            const Vec<T> buffer = first ? g : fma(damping, g, momentum * load(state1));
            store(state1, buffer);
            g = nesterov ? fma(momentum, buffer, g) : buffer;
        }
        return fma(-rate, g, w);
    }
    // The same from a tiny g, raised; for the plainest rule alone.
    bool takes_raised() const { return !has_momentum && !(decay.v[0] != 0) && rate.v[0] >= kTiny<T>; }
    GM_INLINE_MEMBER Vec<T> next_from_raised(Vec<T> w, Vec<T> g) const {
        return fma(-rate * broadcast<T>(RaiseConstants<T>::lower), fma(decay, w, g), w);
    }
};

// Adam (Kingma and Ba 2015); AdamW (Loshchilov and Hutter 2019) shrinks w by lr · weight_decay instead of adding to g.
template <class T>
struct AdamRule {
    Vec<T> step, shrink, decay, beta1, rest1, beta2, rest2, root_correction, epsilon;
    explicit AdamRule(const UpdateSpec& s)
        : step(scalar<T>(s.learning_rate / s.correction1)),
          shrink(scalar<T>(s.rule == UpdateRule::adamw ? 1 - s.learning_rate * s.weight_decay : 1)),
          decay(scalar<T>(s.rule == UpdateRule::adamw ? 0 : s.weight_decay)),
          beta1(scalar<T>(s.beta1)),
          rest1(scalar<T>(1 - s.beta1)),
          beta2(scalar<T>(s.beta2)),
          rest2(scalar<T>(1 - s.beta2)),
          root_correction(scalar<T>(1 / __builtin_sqrt(s.correction2))),
          epsilon(scalar<T>(s.epsilon)) {}
    GM_INLINE_MEMBER Vec<T> next(Vec<T> w, Vec<T> g, T* state1, T* state2) const {
        w = w * shrink;
        g = fma(decay, w, g);
        const Vec<T> mean = fma(rest1, g, beta1 * load(state1));
        const Vec<T> square = fma(rest2 * g, g, beta2 * load(state2));
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
    GM_INLINE_MEMBER Vec<T> next(Vec<T> w, Vec<T> g, T* state1, T* state2) const {
        const Vec<T> square = fma(rest * g, g, alpha * load(state1));
        store(state1, square);
        Vec<T> change = g / (sqrt(square) + epsilon);
        if (has_momentum) {
            change = fma(momentum, load(state2), change);
            store(state2, change);
        }
        return fma(-rate, change, w);
    }
};

// Of the factors of a gradient, the first is a power of two: a coefficient near the smallest float would lose bits.
template <class T>
struct GradientScale {
    Vec<T> first, second;
    GradientScale() = default;
    explicit GradientScale(double coefficient) {
        const double power = coefficient < kSmallCoefficient ? kCoefficientPower : 1.0;
        first = scalar<T>(power);
        second = scalar<T>(coefficient / power);
    }
    GradientScale(const T* column_scales, Index stride)
        : first(load(column_scales)), second(load(column_scales + stride)) {}
    GM_INLINE_MEMBER Vec<T> of(Vec<T> g) const { return g * first * second; }
    // The same of a tiny g.
    GM_INLINE_MEMBER Vec<T> of_tiny(Vec<T> g) const { return lowered_product(raised(g), second); }
};

template <class Rule>
concept TakesRaised = requires(Rule rule) { rule.takes_raised(); };

// One vector: clipped, and taken by the rule; `tiny` gradients without a multiplication of subnormal numbers, with the
// same bits.
template <class Rule, class T, bool tiny = false>
struct Update {
    Rule rule;
    Vec<T> limit;
    bool clip_values;
    const T* g;
    T* state1;
    T* state2;

    // Asks for what will be read and written a little later: the processor does not foresee enough by itself.
    GM_INLINE_MEMBER void fetch_ahead(const T* w, Index at) const {
        constexpr Index kAhead = 512;
        prefetch_to_write(w + at + kAhead);
        prefetch(g + at + kAhead);
        if (state1) prefetch_to_write(state1 + at + kAhead);
        if (state2) prefetch_to_write(state2 + at + kAhead);
    }

    GM_INLINE_MEMBER Vec<T> next(Vec<T> old, Index at, const GradientScale<T>& scale) const {
        if constexpr (tiny) return rule.next_from_raised(old, raised(scale.of_tiny(load(g + at))));
        Vec<T> gradient = scale.of(load(g + at));
        // A NaN passes through both, as in torch.clamp.
        if (clip_values) gradient = min(limit, max(-limit, gradient));
        return rule.next(old, gradient, state1 + at, state2 + at);
    }
};

// `Vectors` vectors of columns side by side, from `first` on: what differs from column to column.
template <int Vectors, bool measured, class T, class Updating>
static void update_columns(const Updating update, double gradient_scale, Index first, Index size, Index width, T* w,
                           const T* column_scales, double* weight_squares, double* update_squares, Index out_stride) {
    constexpr int kParts = Wide<T>::kParts;
    GradientScale<T> scales[Vectors];
    GM_UNROLL for (int v = 0; v < Vectors; ++v) scales[v] =
        column_scales ? GradientScale<T>(column_scales + first + v * kLanes<T>, out_stride)
                      : GradientScale<T>(gradient_scale);
    Squares<T> weights[Vectors * kParts], changes[Vectors * kParts];
    GM_UNROLL for (auto& sum : weights) sum.clear();
    GM_UNROLL for (auto& sum : changes) sum.clear();
    for (Index row = first; row < size; row += width) {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            const Index at = row + v * kLanes<T>;
            update.fetch_ahead(w, at);
            const Vec<T> old = load(w + at);
            const Wide<T> before = measured ? load_wide(w + at) : Wide<T>{};
            const Vec<T> changed = update.next(old, at, scales[v]);
            store(w + at, changed);
            if constexpr (measured) {
                const Wide<T> after = widen(changed);
                GM_UNROLL for (int part = 0; part < kParts; ++part) {
                    weights[v * kParts + part].add(before.part[part]);
                    changes[v * kParts + part].add(after.part[part] - before.part[part]);
                }
            }
        }
    }
    if constexpr (measured) {
        GM_UNROLL for (int part = 0; part < Vectors * kParts; ++part)
            GM_UNROLL for (int which = 0; which < kSquareSums<T>; ++which) {
            const Index at = which * out_stride + first + part * kLanes<double>;
            store(weight_squares + at, weights[part].sum(which));
            store(update_squares + at, changes[part].sum(which));
        }
    }
}

template <class T, class Updating>
GM_INLINE void update_chunk(const Updating& update, double gradient_scale, Index size, Index vectors, T* w,
                            const T* column_scales, double* weight_squares, double* update_squares, Index out_stride) {
    const Index width = vectors * kLanes<T>;
    if (!weight_squares && !column_scales) {
        const GradientScale<T> scale(gradient_scale);
        for (Index at = 0; at < size; at += kLanes<T>) {
            update.fetch_ahead(w, at);
            store(w + at, update.next(load(w + at), at, scale));
        }
        return;
    }
    for (Index v = 0; v < vectors; v += 2) {
        const bool pair = v + 1 < vectors;
        const auto columns = weight_squares
                                 ? pair ? update_columns<2, true, T, Updating> : update_columns<1, true, T, Updating>
                             : pair ? update_columns<2, false, T, Updating>
                                    : update_columns<1, false, T, Updating>;
        columns(update, gradient_scale, v * kLanes<T>, size, width, w, column_scales, weight_squares, update_squares,
                out_stride);
    }
}

template <class Rule, class T>
static void update_with(const UpdateSpec& spec, Index rows, Index vectors, T* w, const T* g, const T* column_scales,
                        T* state1, T* state2, double* weight_squares, double* update_squares, Index out_stride) {
    const Rule rule(spec);
    const Vec<T> limit = scalar<T>(spec.clip_limit);
    const Index size = rows * vectors * kLanes<T>;
    if constexpr (TakesRaised<Rule>) {
        constexpr double kSmallestScale = 0x1p-30;  // with it, what was raised is still no subnormal number
        const bool possible = rule.takes_raised() && !spec.clip_values && !column_scales;
        if (possible && spec.gradient_scale >= kSmallestScale &&
            tiny_chunk(rows, vectors * kLanes<T>, g, vectors * kLanes<T>)) {
            const Update<Rule, T, true> update{rule, limit, false, g, state1, state2};
            return update_chunk(update, spec.gradient_scale, size, vectors, w, column_scales, weight_squares,
                                update_squares, out_stride);
        }
    }
    const Update<Rule, T> update{rule, limit, spec.clip_values, g, state1, state2};
    update_chunk(update, spec.gradient_scale, size, vectors, w, column_scales, weight_squares, update_squares,
                 out_stride);
}

template <class T>
void update(const UpdateSpec& spec, Index rows, Index vectors, T* w, const T* g, const T* column_scales, T* state1,
            T* state2, double* weight_squares, double* update_squares, Index out_stride) {
#define GM_CASE(Rule)                                                                                     \
    return update_with<Rule<T>>(spec, rows, vectors, w, g, column_scales, state1, state2, weight_squares, \
                                update_squares, out_stride);
    switch (spec.rule) {
        case UpdateRule::sgd: GM_CASE(SgdRule)
        case UpdateRule::adam:
        case UpdateRule::adamw: GM_CASE(AdamRule)
        case UpdateRule::rmsprop: GM_CASE(RmspropRule)
    }
#undef GM_CASE
}

}  // namespace
}  // namespace gradiometer::GM_ISA
