// Moving parameters between the layouts: row-major as a state dict has them, panels for the forward product, and panels
// of the transpose for the backward one.
#pragma once

#include "kernels/panel.hpp"

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

template <class T>
void transpose_chunk(Index inner, Index columns, Index inner_begin, Index inner_end, Index panel_index, const T* panels,
                     T* transposed_panels) {
    const Index width = panel_vectors<T>(columns, panel_index) * kLanes<T>;
    const Index used = panel_columns<T>(columns, panel_index);
    const Index first = panel_index * kPanel<T>;
    const T* from = panels + first * inner;
    for (Index k = inner_begin; k < inner_end; k += kLanes<T>) {
        // One vector of a panel of the transpose: `inner` is its column index.
        const Index panel = k / kPanel<T>;
        const Index to_width = panel_vectors<T>(inner, panel) * kLanes<T>;
        T* to = transposed_panels + panel * kPanel<T> * columns + first * to_width + k % kPanel<T>;
        for (Index column = 0; column < used; column += kLanes<T>) {
            Vec<T> square[kLanes<T>];
            GM_UNROLL for (Index i = 0; i < kLanes<T>; ++i) square[i] =
                k + i < inner_end ? load(from + (k + i) * width + column) : zero<T>();
            transpose(square);
            const Index count = used - column < kLanes<T> ? used - column : kLanes<T>;
            GM_UNROLL for (Index j = 0; j < kLanes<T>; ++j) if (j < count)
                store(to + (column + j) * to_width, square[j]);
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
