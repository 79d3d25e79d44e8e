// Several vectors that go through a function together. Its instructions are a chain, each waiting for the one before;
// in a group, the chains of all take turns, further than the processor looks ahead by itself. Lane by lane, the results
// have the bits that they have in single vectors.
#pragma once

#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

constexpr int kGroup = 4;

// Part is Vec<T>, Ints<T> or Mask<T>.
template <class Part>
struct Group {
    Part part[kGroup];
};

// The element type of a vector or a group of them, and which of the two it is.
template <class V>
struct Kind;

template <class T_>
struct Kind<Vec<T_>> {
    using T = T_;
    static constexpr bool is_group = false;
};

template <class T_>
struct Kind<Group<Vec<T_>>> {
    using T = T_;
    static constexpr bool is_group = true;
};

// The same constant in every lane.
template <class V>
GM_INLINE V constant_of(typename Kind<V>::T x) {
    if constexpr (Kind<V>::is_group) {
        V out;
        GM_UNROLL for (int i = 0; i < kGroup; ++i) out.part[i] = broadcast(x);
        return out;
    } else {
        return broadcast(x);
    }
}

template <class T>
GM_INLINE Group<Vec<T>> load_group(const T* from) {
    Group<Vec<T>> out;
    GM_UNROLL for (int i = 0; i < kGroup; ++i) out.part[i] = load(from + i * kLanes<T>);
    return out;
}

template <class T>
GM_INLINE void store(T* to, const Group<Vec<T>>& x) {
    GM_UNROLL for (int i = 0; i < kGroup; ++i) store(to + i * kLanes<T>, x.part[i]);
}

// The function, part by part.
template <class Function, class First, class... Others>
GM_INLINE auto each(const Function& function, const Group<First>& first, const Group<Others>&... others) {
    Group<decltype(function(first.part[0], others.part[0]...))> out;
    GM_UNROLL for (int i = 0; i < kGroup; ++i) out.part[i] = function(first.part[i], others.part[i]...);
    return out;
}

#define GM_ALIKE(name, ...) \
    template <class Part>   \
    GM_INLINE Group<Part> name(Group<Part> a __VA_OPT__(, ) __VA_ARGS__)
GM_ALIKE(operator+, Group<Part> b) {
    return each([](Part x, Part y) { return x + y; }, a, b);
}
GM_ALIKE(operator-, Group<Part> b) {
    return each([](Part x, Part y) { return x - y; }, a, b);
}
GM_ALIKE(operator*, Group<Part> b) {
    return each([](Part x, Part y) { return x * y; }, a, b);
}
GM_ALIKE(operator/, Group<Part> b) {
    return each([](Part x, Part y) { return x / y; }, a, b);
}
GM_ALIKE(min, Group<Part> b) {
    return each([](Part x, Part y) { return min(x, y); }, a, b);
}
GM_ALIKE(operator-) {
    return each([](Part x) { return -x; }, a);
}
GM_ALIKE(abs) {
    return each([](Part x) { return abs(x); }, a);
}
GM_ALIKE(with_sign, Group<Part> b) {
    return each([](Part x, Part y) { return with_sign(x, y); }, a, b);
}
GM_ALIKE(fma, Group<Part> b, Group<Part> c) {
    return each([](Part x, Part y, Part z) { return fma(x, y, z); }, a, b, c);
}
GM_ALIKE(operator<<, int bits) {
    return each([bits](Part x) { return x << bits; }, a);
}
#undef GM_ALIKE

template <class T>
GM_INLINE Group<Ints<T>> bits_of(Group<Vec<T>> x) {
    return each([](Vec<T> part) { return bits_of(part); }, x);
}

template <class T>
GM_INLINE Group<Vec<T>> from_bits(Group<Ints<T>> x) {
    return each([](Ints<T> part) { return from_bits<T>(part); }, x);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
