// Moving parameters between the layouts: row-major as a state dict has them, and panels; and a slice of the panels of
// the transpose, for the product that goes backward.
#pragma once

#include "kernels/panel.hpp"
#include "simd/lanes.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
void pack_transposed(Index inner, Index columns, const T* row_major, T* panels) {
    for (Index panel = 0; panel < panel_count<T>(columns); ++panel) {
        const Index width = panel_vectors<T>(columns, panel) * kLanes<T>;
        const Index used = panel_columns<T>(columns, panel);
        const T* from = row_major + panel * kPanel<T> * inner;
        T* to = panels + panel * kPanel<T> * inner;
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < width; ++j) to[k * width + j] = j < used ? from[j * inner + k] : T(0);
    }
}

template <class T>
void unpack_transposed(Index inner, Index columns, const T* panels, T* row_major) {
    for (Index panel = 0; panel < panel_count<T>(columns); ++panel) {
        const Index width = panel_vectors<T>(columns, panel) * kLanes<T>;
        const Index used = panel_columns<T>(columns, panel);
        const T* from = panels + panel * kPanel<T> * inner;
        T* to = row_major + panel * kPanel<T> * inner;
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < used; ++j) to[j * inner + k] = from[k * width + j];
    }
}

// A square of a matrix whose rows are `stride` apart: its columns are put to rows of `out`. Of a square at the edge
// there are only so many rows, the others give zeros, and only so many columns. Unless it is 0, what stands `ahead`
// elements behind the entries is fetched into the second cache meanwhile.
template <bool at_edge, class T>
GM_INLINE void transposed_square(const T* from, Index stride, Index rows, Index columns, Index ahead, T* out,
                                 Index out_stride) {
    if (ahead) GM_UNROLL for (Index i = 0; i < kLanes<T>; ++i) prefetch(from + ahead + i * stride);
    Vec<T> square[kLanes<T>];
    GM_UNROLL for (Index i = 0; i < kLanes<T>; ++i, from += stride) square[i] =
        !at_edge || i < rows ? load(from) : zero<T>();
    transpose(square);
    GM_UNROLL for (Index j = 0; j < kLanes<T>; ++j) if (!at_edge || j < columns) store(out + j * out_stride, square[j]);
}

// A slice of one panel of the transpose (columns × inner): out[column - begin][k - first], for the columns begin … end
// of the (inner × columns) matrix and the `width` rows from `first` on. Rows beyond the matrix give zeros. `begin` is a
// multiple of a panel. `ahead` is that of transposed_square.
template <class T>
GM_INLINE void transposed_slice(Index inner, Index columns, const T* panels, Index begin, Index end, Index first,
                                Index width, Index ahead, T* out) {
    for (Index column = begin; column < end; column += kLanes<T>, out += kLanes<T> * width) {
        const Index panel = column / kPanel<T>;
        const Index stride = panel_vectors<T>(columns, panel) * kLanes<T>;
        const T* from = panels + panel * kPanel<T> * inner + column % kPanel<T> + first * stride;
        for (Index k = 0; k < width; k += kLanes<T>) {
            const bool at_edge = first + k + kLanes<T> > inner || column + kLanes<T> > end;
            (at_edge ? transposed_square<true, T> : transposed_square<false, T>)(from + k * stride, stride,
                                                                                 inner - first - k, end - column, ahead,
                                                                                 out + k, width);
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
