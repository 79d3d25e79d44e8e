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

template <class Rule, class T>
static void backpropagate_with(ActivationSpec spec, Index rows, Index columns, const T* dh, Index dh_stride,
                               const T* kept, Index kept_stride, T* dz, Index dz_stride, double* squares) {
    const Rule rule(spec);
    for (Index begin = 0; begin < rows; begin += kRowChunk) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        Squares<T> sums[Lanes16<double>::kVectors];
        for (auto& sum : sums) sum.clear();
        for (Index r = begin; r < end; ++r) {
            const T* above = dh + r * dh_stride;
            const T* row = kept + r * kept_stride;
            T* out = dz + r * dz_stride;
            for (Index j = 0; j < columns; j += kLanes<T>) store(out + j, rule.at(load(above + j), load(row + j)));
            if (squares) add_row_squares(out, columns, sums);
        }
        if (squares) {
            fold_squares(sums, squares);
            squares += kSquareStatistics;
        }
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
