// The way back through elementwise layers: dL/dz = dL/dh · φ′, with φ′ as the forward pass stored it, or from h where h
// says it. The squares of dL/dz are summed in the same pass.
#pragma once

#include "kernels/squares.hpp"

namespace gradiometer::GM_ISA {
namespace {

// dz from dh and what was kept, one vector at a time. Each gives the bits that the φ′ of activation.hpp would.

template <class T>
struct FromSlope {
    explicit FromSlope(ActivationSpec) {}
    GM_INLINE_MEMBER Vec<T> at(Vec<T> dh, Vec<T> slope) const { return dh * slope; }
};

template <class T>
struct FromRelu {
    explicit FromRelu(ActivationSpec) {}
    GM_INLINE_MEMBER Vec<T> at(Vec<T> dh, Vec<T> h) const { return dh * keep(~(h <= zero<T>()), broadcast(T(1))); }
};

template <class T>
struct FromTanh {
    explicit FromTanh(ActivationSpec) {}
    GM_INLINE_MEMBER Vec<T> at(Vec<T> dh, Vec<T> h) const { return dh * fma(-h, h, broadcast(T(1))); }
};

template <class T>
struct FromSigmoid {
    explicit FromSigmoid(ActivationSpec) {}
    GM_INLINE_MEMBER Vec<T> at(Vec<T> dh, Vec<T> h) const { return dh * (h * (broadcast(T(1)) - h)); }
};

// One row; with `sums`, its squares go to the sixteen virtual lanes as add_row_squares would add them.
template <bool with_squares, class Rule, class T>
GM_INLINE void backpropagate_row(const Rule& rule, Index columns, const T* dh, const T* kept, T* dz,
                                 Squares<T> (&sums)[Lanes16<double>::kVectors]) {
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) {
        Lanes16<T> out;
        GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
            const Index at = j + v * kLanes<T>;
            out.part[v] = rule.at(load(dh + at), load(kept + at));
            store(dz + at, out.part[v]);
        }
        if constexpr (with_squares) {
            const Lanes16<double> wide = to_double(out);
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sums[v].add(wide.part[v]);
        }
    }
    if (j == columns) return;
    const Index rest = columns - j;
    for (; j < columns; j += kLanes<T>) store(dz + j, rule.at(load(dh + j), load(kept + j)));
    if constexpr (with_squares) add_row_squares(dz + columns - rest, rest, sums);
}

template <class Rule, class T>
static void backpropagate_with(ActivationSpec spec, Index rows, Index columns, const T* dh, Index dh_stride,
                               const T* kept, Index kept_stride, T* dz, Index dz_stride, double* squares) {
    const Rule rule(spec);
    Squares<T> sums[Lanes16<double>::kVectors];
    if (!squares) {
        for (Index r = 0; r < rows; ++r)
            backpropagate_row<false>(rule, columns, dh + r * dh_stride, kept + r * kept_stride, dz + r * dz_stride,
                                     sums);
        return;
    }
    for (Index begin = 0; begin < rows; begin += kRowChunk, squares += kSquareStatistics) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        for (auto& sum : sums) sum.clear();
        for (Index r = begin; r < end; ++r)
            backpropagate_row<true>(rule, columns, dh + r * dh_stride, kept + r * kept_stride, dz + r * dz_stride,
                                    sums);
        fold_squares(sums, squares);
    }
}

template <class T>
void backpropagate(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* dh, Index dh_stride,
                   const T* kept, Index kept_stride, T* dz, Index dz_stride, double* squares) {
#define GM_CASE(Rule) \
    return backpropagate_with<Rule<T>>(spec, rows, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride, squares);
    if (!from_output) GM_CASE(FromSlope)
    switch (spec.kind) {
        case ActivationKind::relu: GM_CASE(FromRelu)
        case ActivationKind::tanh: GM_CASE(FromTanh)
        case ActivationKind::sigmoid: GM_CASE(FromSigmoid)
        default: return;
    }
#undef GM_CASE
}

}  // namespace
}  // namespace gradiometer::GM_ISA
