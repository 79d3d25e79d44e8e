// The way back through elementwise layers: dL/dz = dL/dh · φ′. The squares of dL/dz are summed in the same pass.
#pragma once

#include "kernels/slopes.hpp"
#include "kernels/squares.hpp"
#include "kernels/tiny.hpp"

namespace gradiometer::GM_ISA {
namespace {

// How the numbers of a chunk are multiplied, all with the same bits: as they are; raised, where all are tiny; or, where
// the processor has met subnormal ones, each vector after a look at it.
enum class Way { plain, tiny, careful };

template <Way way, class T>
GM_INLINE Vec<T> times_slope(Vec<T> dh, Vec<T> slope) {
    if constexpr (way == Way::tiny) return lowered_product(raised(dh), slope);
    if constexpr (way == Way::careful)
        if (may_be_subnormal(dh, slope)) return careful_product(dh, slope);
    return dh * slope;
}

// One row; with `sums`, its squares go to the sixteen virtual lanes as add_row_squares would add them.
template <Way way, bool with_squares, class Slope, class T>
GM_INLINE void backpropagate_row(const Slope& slope, Index columns, const T* dh, const T* kept, T* dz,
                                 Squares<T> (&sums)[Lanes16<double>::kVectors]) {
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) {
        Lanes16<T> out;
        GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
            const Index at = j + v * kLanes<T>;
            out.part[v] = times_slope<way>(load(dh + at), slope.of(load(kept + at)));
            store(dz + at, out.part[v]);
        }
        if constexpr (with_squares) {
            const Lanes16<double> wide = to_double(out);
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sums[v].add(wide.part[v]);
        }
    }
    if (j == columns) return;
    const Index rest = columns - j;
    for (; j < columns; j += kLanes<T>) store(dz + j, times_slope<way>(load(dh + j), slope.of(load(kept + j))));
    if constexpr (with_squares) add_row_squares(dz + columns - rest, rest, sums);
}

template <Way way, class Slope, class T>
GM_INLINE void backpropagate_chunk(Slope slope, Index rows, Index columns, const T* dh, Index dh_stride, const T* kept,
                                   Index kept_stride, T* dz, Index dz_stride, ChunkSquares* squares) {
    Squares<T> sums[Lanes16<double>::kVectors];
    if (!squares) {
        for (Index r = 0; r < rows; ++r)
            backpropagate_row<way, false>(slope, columns, dh + r * dh_stride, kept + r * kept_stride,
                                          dz + r * dz_stride, sums);
        return;
    }
    for (auto& sum : sums) sum.clear();
    for (Index r = 0; r < rows; ++r)
        backpropagate_row<way, true>(slope, columns, dh + r * dh_stride, kept + r * kept_stride, dz + r * dz_stride,
                                     sums);
    fold_squares(sums, *squares);
}

// Out of the way of the loop.
template <class Slope, class T>
[[gnu::noinline]] static void backpropagate_carefully(Slope slope, Index rows, Index columns, const T* dh,
                                                      Index dh_stride, const T* kept, Index kept_stride, T* dz,
                                                      Index dz_stride, ChunkSquares* squares) {
    backpropagate_chunk<Way::careful>(slope, rows, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride, squares);
}

template <class Slope, class T>
static void backpropagate_with(Slope slope, Index rows, Index columns, const T* dh, Index dh_stride, const T* kept,
                               Index kept_stride, T* dz, Index dz_stride, ChunkSquares* squares) {
    const bool carefully = met_subnormal();
    for (Index begin = 0; begin < rows; begin += kRowChunk) {
        const Index count = rows - begin < kRowChunk ? rows - begin : kRowChunk;
        if (tiny_chunk(count, columns, dh, dh_stride))
            backpropagate_chunk<Way::tiny>(slope, count, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride,
                                           squares);
        else if (carefully) [[unlikely]]
            backpropagate_carefully(slope, count, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride, squares);
        else
            backpropagate_chunk<Way::plain>(slope, count, columns, dh, dh_stride, kept, kept_stride, dz, dz_stride,
                                            squares);
        dh += count * dh_stride;
        kept += count * kept_stride;
        dz += count * dz_stride;
        if (squares) ++squares;
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
