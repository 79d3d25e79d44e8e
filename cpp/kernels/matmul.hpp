// Matrix products. Every output is one chain of fused multiply-adds, in order of the summed index, held in a register
// (or stored and taken up again, which changes no bit); so neither blocking nor threads can be seen in the result.
#pragma once

#include "kernels/pack.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Rows of the largest tile: rows × 2 vectors of accumulators, 2 of b and 1 of a fill the register file.
constexpr int kTileRows = GM_VECTOR_BYTES == 64   ? 12
                          : GM_VECTOR_BYTES == 32 ? 6
                                                  :
#ifdef GM_ISA_NEON
                                                  8;
#else
                                                  6;
#endif

// Steps of the inner index after which the accumulators are stored: a panel slice of this length stays in L1.
constexpr Index kInnerBlock = 256;

// How a tile finds a(i, t), for row i of the tile and step t: along a row, or down a column.
enum class Walk { along_rows, down_columns };

// c (Rows × Vectors) = start + Σ_t a(i, t) · b[t]. `start` is a row to begin every row of the tile with (null: zero);
// with `resume`, c itself is. Of the tiles that share b, one asks for the next one: hints that are not needed cost 1 to
// 4 %, though the loop has room for them.
template <Walk walk, bool fetches_b, int Rows, int Vectors, class T>
static void tile(Index steps, const T* __restrict a, Index a_stride, const T* __restrict b, Index b_stride,
                 const T* start, bool resume, T* __restrict c, Index c_stride, const Ahead<T>& ahead) {
    const T* written = ahead.written;
    if (written)
        GM_UNROLL for (int i = 0; i < Rows; ++i, written += c_stride) GM_UNROLL for (int v = 0; v < Vectors; ++v)
            prefetch_to_write(written + v * kLanes<T>);
    const T* read = ahead.read;
    if (read)
        GM_UNROLL for (int i = 0; i < Rows; ++i, read += c_stride) GM_UNROLL for (int v = 0; v < Vectors; ++v)
            prefetch(read + v * kLanes<T>);
    Vec<T> sum[Rows][Vectors];
    if (resume) {
        GM_UNROLL for (int i = 0; i < Rows; ++i) GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[i][v] =
            load(c + i * c_stride + v * kLanes<T>);
    } else {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            const Vec<T> first = start ? load(start + v * kLanes<T>) : zero<T>();
            GM_UNROLL for (int i = 0; i < Rows; ++i) sum[i][v] = first;
        }
    }
    const T* next_a = ahead.a;
    const T* next_b = ahead.b;
    for (Index t = 0; t < steps; ++t) {
        Vec<T> row[Vectors];
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            row[v] = load(b + v * kLanes<T>);
            if constexpr (fetches_b) prefetch(next_b + v * kLanes<T>);
        }
        if constexpr (walk == Walk::down_columns) {
            prefetch(next_a);
            next_a += a_stride;
        }
        next_b += b_stride;
        GM_UNROLL for (int i = 0; i < Rows; ++i) {
            const Vec<T> factor = broadcast(walk == Walk::along_rows ? a[i * a_stride] : a[i]);
            GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(factor, row[v], sum[i][v]);
        }
        a += walk == Walk::along_rows ? 1 : a_stride;
        b += b_stride;
    }
    GM_UNROLL for (int i = 0; i < Rows; ++i) GM_UNROLL for (int v = 0; v < Vectors; ++v)
        store(c + i * c_stride + v * kLanes<T>, sum[i][v]);
}

template <class T>
using Tile = void (*)(Index, const T*, Index, const T*, Index, const T*, bool, T*, Index, const Ahead<T>&);

template <Walk walk, bool fetches_b, int Vectors, class T>
GM_INLINE Tile<T> tile_of(Index rows) {
    switch (rows) {
#define GM_TILE(n) \
    case n: return tile<walk, fetches_b, (n <= kTileRows ? n : 1), Vectors, T>;
        GM_TILE(2)
        GM_TILE(3)
        GM_TILE(4)
        GM_TILE(5)
        GM_TILE(6)
#if GM_VECTOR_BYTES == 64 || defined(GM_ISA_NEON)
        GM_TILE(7)
        GM_TILE(8)
#endif
#if GM_VECTOR_BYTES == 64
        GM_TILE(9)
        GM_TILE(10)
        GM_TILE(11)
        GM_TILE(12)
#endif
#undef GM_TILE
        default: return tile<walk, fetches_b, 1, Vectors, T>;
    }
}

// Splits `rows` evenly into tiles, rather than into full ones and a small rest.
template <Walk walk, int Vectors, class T>
GM_INLINE void tiles(Index rows, Index steps, const T* a, Index a_stride, const T* b, Index b_stride, const T* start,
                     bool resume, T* c, Index c_stride, Ahead<T> ahead) {
    const Index count = (rows + kTileRows - 1) / kTileRows;
    const Index height = rows / count;
    const Index taller = rows % count;
    for (Index i = 0; i < count; ++i) {
        const Index size = height + (i < taller);
        const Tile<T> tile = i == 0 ? tile_of<walk, true, Vectors, T>(size) : tile_of<walk, false, Vectors, T>(size);
        tile(steps, a, a_stride, b, b_stride, start, resume, c, c_stride, ahead);
        a += walk == Walk::along_rows ? size * a_stride : size;
        c += size * c_stride;
        if (walk == Walk::down_columns) ahead.a += size;
        if (ahead.read) ahead.read += size * c_stride;
        if (ahead.written) ahead.written += size * c_stride;
    }
}

// All rows of the product with one slice of a panel: `steps` of its rows, from the k-th on.
template <class T>
GM_INLINE void multiply_slice(Index rows, Index k, Index steps, const T* a, Index a_stride, const T* slice,
                              Index vectors, const T* start, T* c, Index c_stride, const Ahead<T>& ahead) {
    const Index width = vectors * kLanes<T>;
    if (vectors == 2)
        tiles<Walk::along_rows, 2>(rows, steps, a + k, a_stride, slice, width, start, k > 0, c, c_stride, ahead);
    else
        tiles<Walk::along_rows, 1>(rows, steps, a + k, a_stride, slice, width, start, k > 0, c, c_stride, ahead);
}

template <class T>
GM_INLINE const T* offset_unless_null(const T* from, Index offset) {
    return from ? from + offset : nullptr;
}

template <class T>
void matmul(Index rows, Index inner, Index columns, const T* a, Index a_stride, const T* b, const T* bias, T* c,
            Index c_stride, const Ahead<T>& ahead) {
    for (Index panel = 0; panel < panel_count<T>(columns); ++panel) {
        const Index first = panel * kPanel<T>;
        const Index vectors = panel_vectors<T>(columns, panel);
        const Index width = vectors * kLanes<T>;
        const T* whole = b + first * inner;
        const T* next = panel + 1 < panel_count<T>(columns) ? whole + width * inner : ahead.b;
        for (Index k = 0; k < inner || k == 0; k += kInnerBlock) {
            const Index steps = inner - k < kInnerBlock ? inner - k : kInnerBlock;
            Ahead<T> of_slice{};
            of_slice.b = next + k * width;
            if (k == 0) of_slice.written = offset_unless_null(ahead.written, first);
            multiply_slice(rows, k, steps, a, a_stride, whole + k * width, vectors, bias ? bias + first : nullptr,
                           c + first, c_stride, of_slice);
        }
    }
}

// From the slice of b at (panel, k) to the next one: further along the panel, in the next panel, or in the next
// product.
template <class T>
GM_INLINE Index distance_to_next_slice(Index columns, Index inner, Index panel, Index k, Index to_next_product) {
    if (k + kInnerBlock < inner) return kInnerBlock * columns;
    return panel + 1 < panel_count<T>(columns) ? kPanel<T> * kPanel<T> - k * columns : to_next_product;
}

// The transpose is made slice by slice, in the first cache: keeping it beside b would take more time in memory.
template <class T>
void matmul_transposed(Index rows, Index inner, Index columns, Index begin, Index end, const T* a, Index a_stride,
                       const T* b, T* c, Index c_stride, const Ahead<T>& ahead) {
    alignas(kAlignment) T slice[kInnerBlock * kPanel<T>];
    // A small b waits in the second cache, so the products fetch the next one. Of a large one, each slice is fetched
    // while the one before it is transposed.
    const bool fits = inner <= kInnerBlock;
    for (Index panel = begin / kPanel<T>; panel < panel_count<T>(end); ++panel) {
        const Index first = panel * kPanel<T>;
        const Index vectors = panel_vectors<T>(columns, panel);
        for (Index k = 0; k < inner; k += kInnerBlock) {
            const Index steps = inner - k < kInnerBlock ? inner - k : kInnerBlock;
            const Index to_next = distance_to_next_slice<T>(columns, inner, panel, k, ahead.b - b);
            transposed_slice(columns, inner, b, k, k + steps, first, vectors * kLanes<T>, fits ? 0 : to_next, slice);
            Ahead<T> of_slice{};
            of_slice.b = fits ? ahead.b + first * inner : slice;
            if (k + steps == inner) {
                of_slice.read = offset_unless_null(ahead.read, first);
                of_slice.written = offset_unless_null(ahead.written, first);
            }
            multiply_slice(rows, k, steps, a, a_stride, slice, vectors, static_cast<const T*>(nullptr), c + first,
                           c_stride, of_slice);
        }
    }
}

template <class T>
void outer_product(Index rows, Index inner_begin, Index inner_end, const T* x, Index x_stride, const T* dy,
                   Index dy_stride, Index vectors, T* out, const Ahead<T>& ahead) {
    const Index height = inner_end - inner_begin;
    const Index width = vectors * kLanes<T>;
    if (vectors == 2)
        tiles<Walk::down_columns, 2>(height, rows, x + inner_begin, x_stride, dy, dy_stride,
                                     static_cast<const T*>(nullptr), false, out, width, ahead);
    else
        tiles<Walk::down_columns, 1>(height, rows, x + inner_begin, x_stride, dy, dy_stride,
                                     static_cast<const T*>(nullptr), false, out, width, ahead);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
