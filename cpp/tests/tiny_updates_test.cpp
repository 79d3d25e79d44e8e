// Optimizers on numbers near the smallest ones, which are raised, go through double or leave weights at rest: plain
// loops give the same bits.
#include <algorithm>
#include <limits>

#include "check.hpp"

namespace gradiometer::test {
namespace {

// The plainest rule: all gradients of a chunk are tiny, and so are half of the weights.
template <class T>
void all_tiny(const KernelTable<T>& table, Report& report) {
    UpdateSpec spec{};
    spec.rule = UpdateRule::sgd;
    spec.learning_rate = 0.75;
    spec.gradient_scale = 0.6;
    constexpr Index height = 4000;
    Numbers numbers(3);
    const Index count = height * table.lanes;
    std::vector<T> w = numbers.array<T>(count), g = numbers.array<T>(count);
    scale(w, 0, count / 2, kSmallestExponent<T> + 11);
    scale(g, 0, count, kSmallestExponent<T> + 12);
    const std::vector<T> before = w;
    table.update(spec, height, 1, w.data(), g.data(), nullptr, nullptr, nullptr, nullptr, nullptr, 0);
    for (Index i = 0; i < count; ++i)
        report.equal(w[i], multiply_add(table, T(-0.75), g[i] * static_cast<T>(0.6), before[i]), "tiny gradient");
}

// One entry, as update_rules.hpp says it.
template <class T>
T updated(const KernelTable<T>& table, const UpdateSpec& spec, T w, T g, T& first, T& second) {
    const auto as = [](double x) { return static_cast<T>(x); };
    const auto fma = [&](T a, T b, T c) { return multiply_add(table, a, b, c); };
    g *= as(spec.gradient_scale);
    if (spec.clip_values) g = std::min(as(spec.clip_limit), std::max(-as(spec.clip_limit), g));
    if (spec.weight_decay != 0) g = fma(as(spec.weight_decay), w, g);
    if (spec.rule == UpdateRule::sgd) {
        first = fma(as(1 - spec.dampening), g, as(spec.momentum) * first);
        return fma(-as(spec.learning_rate), spec.nesterov ? fma(as(spec.momentum), first, g) : first, w);
    }
    T& squares = spec.rule == UpdateRule::rmsprop ? first : second;
    squares = fma(as(1 - spec.beta2) * g, g, as(spec.beta2) * squares);
    if (spec.rule == UpdateRule::rmsprop) {
        second = fma(as(spec.momentum), second, g / (std::sqrt(squares) + as(spec.epsilon)));
        return fma(-as(spec.learning_rate), second, w);
    }
    first = fma(as(1 - spec.beta1), g, as(spec.beta1) * first);
    const T root = fma(std::sqrt(squares), as(1 / std::sqrt(spec.correction2)), as(spec.epsilon));
    return fma(-as(spec.learning_rate / spec.correction1), first / root, w);
}

// Gradients, states and weights of all sizes from tiny to healthy. Each entry has its own exponent, or those of a
// vector share one and most mean squares are zero, so that whole vectors of weights stay as they are.
template <class T>
void optimizers(const KernelTable<T>& table, Report& report, const UpdateSpec& spec, bool alike) {
    constexpr Index height = 1000;
    const Index count = height * table.lanes;
    Numbers numbers(static_cast<uint64_t>(spec.rule) + 11);
    const auto all_sizes = [&](int lowest, int highest) {
        std::vector<T> out = numbers.array<T>(count);
        int exponent = 0;
        for (Index i = 0; i < count; ++i) {
            if (!alike || i % table.lanes == 0)
                exponent = lowest + static_cast<int>((numbers.next() + 1) / 2 * (highest - lowest));
            out[i] = std::ldexp(out[i], exponent);
        }
        return out;
    };
    constexpr int e = kSmallestExponent<T>;
    std::vector<T> w = all_sizes(alike ? -65 : e, 0), first = all_sizes(e, e / 3), second = all_sizes(e, e / 3);
    const std::vector<T> g = all_sizes(e, e / 4);
    // Some states cancel, but for a few bits, what is added to them.
    const bool is_sgd = spec.rule == UpdateRule::sgd;
    const double ratio = is_sgd ? -(1 - spec.dampening) / spec.momentum : -(1 - spec.beta1) / spec.beta1;
    for (Index i = 0; i < count; i += 3)
        if (spec.rule != UpdateRule::rmsprop)
            first[i] =
                static_cast<T>(ratio * spec.gradient_scale * static_cast<double>(g[i])) * (i % 2 ? 1 : 1 - kEpsilon<T>);
    if (spec.rule != UpdateRule::sgd) {
        std::vector<T>& squares = spec.rule == UpdateRule::rmsprop ? first : second;
        for (Index i = 0; i < count; ++i) squares[i] = alike && i / table.lanes % 4 != 0 ? T(0) : std::fabs(squares[i]);
    }
    std::vector<T> w_wanted = w, first_wanted = first, second_wanted = second;
    table.update(spec, height, 1, w.data(), g.data(), nullptr, first.data(), second.data(), nullptr, nullptr, 0);
    for (Index i = 0; i < count; ++i) {
        w_wanted[i] = updated(table, spec, w_wanted[i], g[i], first_wanted[i], second_wanted[i]);
        const std::string where = " of a tiny gradient " + at({{"rule", static_cast<Index>(spec.rule)}, {"i", i}});
        report.equal(w[i], w_wanted[i], "update" + where);
        report.equal(first[i], first_wanted[i], "first state" + where);
        if (spec.rule != UpdateRule::rmsprop || spec.momentum != 0)
            report.equal(second[i], second_wanted[i], "second state" + where);
    }
}

// A weight whose last bit is set, and a change just below half of that bit: rounded twice, it would become the next
// number. A tiny gradient beside it takes the vector through double.
template <class T>
void rounded_once(const KernelTable<T>& table, Report& report) {
    const T ulp = std::numeric_limits<T>::epsilon();
    UpdateSpec spec{};
    spec.rule = UpdateRule::sgd;
    spec.first_step = true;
    spec.gradient_scale = 1;
    spec.momentum = 0.5;
    spec.learning_rate = static_cast<double>(1 + ulp);
    for (const T sign : {T(1), T(-1)}) {
        const T weight = sign * (1 + ulp), gradient = -sign * (1 - ulp) * ulp / 2;
        std::vector<T> w(table.lanes, weight), g(table.lanes, gradient), state(table.lanes);
        g[0] = std::numeric_limits<T>::denorm_min();
        table.update(spec, 1, 1, w.data(), g.data(), nullptr, state.data(), nullptr, nullptr, nullptr, 0);
        report.equal(w[0], weight, "changed by a tiny gradient");
        const T wanted = multiply_add(table, -(1 + ulp), gradient, weight);
        for (Index i = 1; i < table.lanes; ++i) report.equal(w[i], wanted, "rounded twice");
    }
}

// Weights at the lower end of those that may rest, and gradients and states around the limit below which they do: with
// a limit that is four times as high, weights that should change would rest.
template <class T>
void edge_of_rest(const KernelTable<T>& table, Report& report, UpdateSpec spec) {
    // What is taken from a weight of 2^-60 without changing it; the rates make the limit low, so that squares vanish.
    constexpr int half_unit = -60 - std::numeric_limits<T>::digits - 1;
    Numbers numbers(17);
    const auto between = [&](double low, double high) { return low + (high - low) * (numbers.next() + 1) / 2; };
    for (int trial = 0; trial < 2000; ++trial) {
        const double taken = std::ldexp(between(1, 2), (sizeof(T) == 4 ? 10 : 450) + trial % 20);
        const bool is_sgd = spec.rule == UpdateRule::sgd;
        spec.learning_rate =
            is_sgd ? taken : taken * spec.epsilon * (spec.rule == UpdateRule::adam ? spec.correction1 : 1);
        std::vector<T> w(table.lanes), g(table.lanes), first(table.lanes), second(table.lanes);
        const double size = std::ldexp(between(0.1, 2), half_unit) / taken;
        for (Index i = 0; i < table.lanes; ++i) {
            const double sign = numbers.next() < 0 ? -1 : 1;
            w[i] = static_cast<T>(std::copysign(std::ldexp(1 + (i % 3) * double(kEpsilon<T>), -60), numbers.next()));
            g[i] = static_cast<T>(sign * size * between(0.5, 1));
            if (spec.rule != UpdateRule::rmsprop) first[i] = static_cast<T>(sign * size * between(0.5, 1));
        }
        std::vector<T> w_wanted = w, first_wanted = first, second_wanted = second;
        table.update(spec, 1, 1, w.data(), g.data(), nullptr, first.data(), second.data(), nullptr, nullptr, 0);
        for (Index i = 0; i < table.lanes; ++i) {
            w_wanted[i] = updated(table, spec, w_wanted[i], g[i], first_wanted[i], second_wanted[i]);
            report.equal(w[i], w_wanted[i], "weight that may rest");
            report.equal(first[i], first_wanted[i], "first state of a weight that may rest");
        }
    }
}

}  // namespace

template <class T>
void try_tiny_updates(const KernelTable<T>& table, Report& report) {
    all_tiny(table, report);
    UpdateSpec spec{};
    spec.learning_rate = 0.01;
    spec.momentum = 0.9;
    spec.beta1 = 0.9;
    spec.beta2 = 0.999;
    spec.epsilon = 1e-8;
    spec.correction1 = 0.1;
    spec.correction2 = 0.001;
    spec.clip_limit = 0.5;
    for (const UpdateRule rule : {UpdateRule::sgd, UpdateRule::adam, UpdateRule::rmsprop})
        for (const bool more : {false, true}) {
            spec.rule = rule;
            spec.gradient_scale = more ? 0.3 : 1;
            spec.weight_decay = more && rule != UpdateRule::rmsprop ? 1e-4 : 0;
            spec.nesterov = spec.clip_values = more;
            spec.momentum = 0.9;
            for (const bool alike : {false, true}) optimizers(table, report, spec, alike);
            if (rule == UpdateRule::sgd) continue;
            spec.momentum = 0;
            // Rates with which a change shows in small weights, or in none but in the mean squares.
            for (const double rate : {1e-16, 1e-7, 0.01, 1e3, sizeof(T) == 4 ? 1e10 : 1e140}) {
                spec.learning_rate = rate;
                optimizers(table, report, spec, true);
            }
            spec.learning_rate = 0.01;
        }
    rounded_once(table, report);
    spec.weight_decay = 0;
    spec.gradient_scale = 1;
    spec.clip_values = false;
    for (const UpdateRule rule : {UpdateRule::sgd, UpdateRule::adam, UpdateRule::rmsprop}) {
        spec.rule = rule;
        spec.momentum = rule == UpdateRule::sgd ? 0.9 : 0;
        edge_of_rest(table, report, spec);
    }
}

template void try_tiny_updates(const KernelTable<float>&, Report&);
template void try_tiny_updates(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
