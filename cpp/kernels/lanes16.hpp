// Sixteen virtual lanes: a row's entry j is added to lane j mod 16, and the lanes are folded in halves at the end.
// Every instruction set does the same additions in the same order, whatever the width of its vectors.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/lanes.hpp"

namespace gradiometer::GM_ISA {
namespace {

constexpr Index kVirtualLanes = 16;

template <class T>
struct Lanes16 {
    static constexpr Index kVectors = kVirtualLanes / kLanes<T>;
    Vec<T> part[kVectors];
};

template <class T>
GM_INLINE Lanes16<T> zero16() {
    Lanes16<T> out;
    for (Index v = 0; v < Lanes16<T>::kVectors; ++v) out.part[v] = zero<T>();
    return out;
}

template <class T>
GM_INLINE void add_to(Lanes16<T>& sum, const Lanes16<T>& x) {
    GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) sum.part[v] = sum.part[v] + x.part[v];
}

// The first folds: while the halves are whole vectors, these are added.
template <class T>
GM_INLINE Vec<T> fold_to_vector(const Lanes16<T>& lanes) {
    Lanes16<T> halves = lanes;
    GM_UNROLL for (Index count = Lanes16<T>::kVectors / 2; count > 0; count /= 2)
        GM_UNROLL for (Index v = 0; v < count; ++v) halves.part[v] = halves.part[v] + halves.part[v + count];
    return halves.part[0];
}

template <class T>
GM_INLINE T fold(const Lanes16<T>& lanes) {
    return fold_lanes<kLanes<T> / 2>(fold_to_vector(lanes), [](Vec<T> a, Vec<T> b) { return a + b; });
}

template <class T>
GM_INLINE Lanes16<T> load16(const T* from) {
    Lanes16<T> out;
    GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) out.part[v] = load(from + v * kLanes<T>);
    return out;
}

// Sixteen elements of a padded row, from `column` on; those at or beyond `columns` are zero. (Where T is double, the
// second half may lie beyond the padding and is not read.)
template <class T>
GM_INLINE Lanes16<T> load16(const T* row, Index column, Index columns) {
    Lanes16<T> out;
    const Index left = columns - column;
    for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
        const Index inside = left - v * kLanes<T>;
        if (inside >= kLanes<T>)
            out.part[v] = load(row + column + v * kLanes<T>);
        else if (inside > 0)
            out.part[v] = keep(first_lanes<T>(inside), load(row + column + v * kLanes<T>));
        else
            out.part[v] = zero<T>();
    }
    return out;
}

// A vector as doubles: itself, or the lower and the upper half of its floats.
template <class T>
struct Wide {
    static constexpr Index kParts = sizeof(double) / sizeof(T);
    Vec<double> part[kParts];
};

GM_INLINE Wide<double> widen(Vec<double> x) {
    return {{x}};
}

GM_INLINE Wide<float> widen(Vec<float> x) {
    return {{low_as_double(x), high_as_double(x)}};
}

// The same of a vector in memory.
template <class T>
GM_INLINE Wide<T> load_wide(const T* from) {
    Wide<T> out;
    GM_UNROLL for (Index part = 0; part < Wide<T>::kParts; ++part) out.part[part] =
        load_as_double(from + part * kLanes<double>);
    return out;
}

GM_INLINE Lanes16<double> to_double(const Lanes16<double>& x) {
    return x;
}

GM_INLINE Lanes16<double> to_double(const Lanes16<float>& x) {
    Lanes16<double> out;
    for (Index v = 0; v < Lanes16<float>::kVectors; ++v) {
        const Wide<float> wide = widen(x.part[v]);
        out.part[2 * v] = wide.part[0];
        out.part[2 * v + 1] = wide.part[1];
    }
    return out;
}

// Sixteen elements in memory as doubles.
template <class T>
GM_INLINE Lanes16<double> load16_as_double(const T* from) {
    Lanes16<double> out;
    GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) out.part[v] =
        load_as_double(from + v * kLanes<double>);
    return out;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
