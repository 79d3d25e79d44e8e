// The way back through elementwise layers: dL/dz = dL/dh · φ′. The squares of dL/dz are summed in the same pass.
#pragma once

#include "kernels/slopes.hpp"
#include "kernels/squares.hpp"

namespace gradiometer::GM_ISA {
namespace {

// One row; with `sums`, its squares go to the sixteen virtual lanes as add_row_squares would add them.
template <bool with_squares, class Slope, class T>
GM_INLINE void backpropagate_row(const Slope& slope, Index columns, const T* dh, const T* kept, T* dz,
                                 Squares<T> (&sums)[Lanes16<double>::kVectors]) {
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) {
        Lanes16<T> out;
        GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
            const Index at = j + v * kLanes<T>;
            out.part[v] = load(dh + at) * slope.of(load(kept + at));
            store(dz + at, out.part[v]);
        }
        if constexpr (with_squares) {
            const Lanes16<double> wide = to_double(out);
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sums[v].add(wide.part[v]);
        }
    }
    if (j == columns) return;
    const Index rest = columns - j;
    for (; j < columns; j += kLanes<T>) store(dz + j, load(dh + j) * slope.of(load(kept + j)));
    if constexpr (with_squares) add_row_squares(dz + columns - rest, rest, sums);
}

template <class Slope, class T>
static void backpropagate_with(Slope slope, Index rows, Index columns, const T* dh, Index dh_stride, const T* kept,
                               Index kept_stride, T* dz, Index dz_stride, ChunkSquares* squares) {
    Squares<T> sums[Lanes16<double>::kVectors];
    if (!squares) {
        for (Index r = 0; r < rows; ++r)
            backpropagate_row<false>(slope, columns, dh + r * dh_stride, kept + r * kept_stride, dz + r * dz_stride,
                                     sums);
        return;
    }
    for (Index begin = 0; begin < rows; begin += kRowChunk, ++squares) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        for (auto& sum : sums) sum.clear();
        for (Index r = begin; r < end; ++r)
            backpropagate_row<true>(slope, columns, dh + r * dh_stride, kept + r * kept_stride, dz + r * dz_stride,
                                    sums);
        fold_squares(sums, *squares);
    }
}

template <class T>
void backpropagate(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* dh, Index dh_stride,
                   const T* kept, Index kept_stride, T* dz, Index dz_stride, ChunkSquares* squares) {
    with_slope<T>(spec, from_output, [&](auto slope) {
        backpropagate_with(slope, rows, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride, squares);
    });
}

}  // namespace
}  // namespace gradiometer::GM_ISA
