// One sweep of an optimizer over a chunk of a parameter: gradients are scaled and clipped, and taken by a rule.
#pragma once

#include "kernels/squares.hpp"
#include "kernels/update_rules.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Of the factors of a gradient, the first is a power of two: a coefficient near the smallest float would lose bits.
template <class T>
struct GradientScale {
    Vec<T> first, second;
    bool is_one = false;
    GradientScale() = default;
    explicit GradientScale(double coefficient) : is_one(coefficient == 1) {
        const double power = coefficient < kSmallCoefficient ? kCoefficientPower : 1.0;
        first = scalar<T>(power);
        second = scalar<T>(coefficient / power);
    }
    GradientScale(const T* column_scales, Index stride)
        : first(load(column_scales)), second(load(column_scales + stride)) {}
    template <class V>
    GM_INLINE_MEMBER V of(V g) const {
        return is_one ? g : g * first * second;
    }
    // The same of a tiny g.
    GM_INLINE_MEMBER Vec<T> of_tiny(Vec<T> g) const { return lowered_product(raised(g), second); }
};

template <class Rule>
concept TakesRaised = requires(Rule rule) { rule.takes_raised(); };

// Not zero, and below the limit.
template <class T>
GM_INLINE Mask<T> is_tiny(Vec<T> x, Vec<T> limit) {
    return (abs(x) < limit) & (x != zero<T>());
}

// How subnormal numbers are kept out of multiplications, all with the same bits: no gradient is tiny, or none matters;
// all are, and are raised; or each vector is looked at, and those with tiny numbers are taken carefully.
enum class Tiny { none, all, some };

// One vector: clipped, and taken by the rule.
template <class Rule, class T, Tiny tiny>
struct Update {
    Rule rule;
    Vec<T> tiny_gradient;
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
        if constexpr (tiny == Tiny::all) return rule.next_from_raised(old, raised(scale.of_tiny(load(g + at))));
        if constexpr (tiny == Tiny::some)
            if (any_tiny(at)) [[unlikely]]
                return next_carefully(old, at, scale);
        return next_of(old, at, scale);
    }

    template <class V>
    GM_INLINE_MEMBER V gradient(Index at, const GradientScale<T>& scale) const {
        const V scaled = scale.of(V(load(g + at)));
        // A NaN passes through both, as in torch.clamp.
        return clip_values ? min(limit, max(-limit, scaled)) : scaled;
    }

    GM_INLINE_MEMBER Vec<T> next_of(Vec<T> old, Index at, const GradientScale<T>& scale) const {
        return rule.next(old, gradient<Vec<T>>(at, scale), state1 + at, state2 + at);
    }

    // Out of the way of the loop.
    [[gnu::noinline]] Vec<T> next_carefully(Vec<T> old, Index at, const GradientScale<T>& scale) const {
        const Careful<T> careful = gradient<Careful<T>>(at, scale);
        if (rule.rests(old, careful.value(), state1 + at, state2 + at))
            return rule.next_at_rest(old, careful, state1 + at);
        return rule.next(Careful<T>(old), careful, state1 + at, state2 + at).value();
    }

    GM_INLINE_MEMBER bool any_tiny(Index at) const {
        const Vec<T> tiny_state = scalar<T>(sizeof(T) == 4 ? 0x1p-110 : 0x1p-1006);
        Mask<T> found = is_tiny(load(g + at), tiny_gradient);
        if (state1) found = found | is_tiny(load(state1 + at), tiny_state);
        if (state2) found = found | is_tiny(load(state2 + at), tiny_state);
        return any(found);
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
constexpr double kTinyGradient = sizeof(T) == 4 ? Rule::kTinyFloat : Rule::kTinyDouble;

template <class Rule, class T>
static void update_with(const UpdateSpec& spec, Index rows, Index vectors, T* w, const T* g, const T* column_scales,
                        T* state1, T* state2, double* weight_squares, double* update_squares, Index out_stride) {
    const Rule rule(spec);
    const Vec<T> limit = scalar<T>(spec.clip_limit);
    const Vec<T> tiny = scalar<T>(kTinyGradient<Rule, T> / (spec.gradient_scale < 1 ? spec.gradient_scale : 1));
    const Index width = vectors * kLanes<T>;
    const auto run = [&]<Tiny which>() {
        const Update<Rule, T, which> update{rule, tiny, limit, spec.clip_values, g, state1, state2};
        update_chunk(update, spec.gradient_scale, rows * width, vectors, w, column_scales, weight_squares,
                     update_squares, out_stride);
    };
    if constexpr (TakesRaised<Rule>) {
        constexpr double kSmallestScale = 0x1p-30;  // with it, what was raised is still no subnormal number
        const bool possible =
            rule.takes_raised() && spec.gradient_scale >= kSmallestScale && !spec.clip_values && !column_scales;
        if (possible && tiny_chunk(rows, width, g, width)) return run.template operator()<Tiny::all>();
        if (possible && !met_subnormal()) return run.template operator()<Tiny::none>();
    }
    run.template operator()<Tiny::some>();
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
