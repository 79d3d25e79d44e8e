// The innermost loop of all matrix products. Every output is one chain of fused multiply-adds, in order of the summed
// index, held in a register (or stored and taken up again, which changes no bit); so neither blocking nor threads can
// be seen in the result.
#pragma once

#include "kernels/panel.hpp"

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

// How a tile finds a(i, t), for row i of the tile and step t: along a row, down a column, or one after the other, as
// pack_columns has put them.
enum class Walk { along_rows, down_columns, packed };

// Hides from the compiler where a pointer came from: it would keep the address of each row of a tile on the stack, and
// move one there and back in every step of the loop.
template <class P>
GM_INLINE void forget_origin(P*& pointer) {
    __asm__("" : "+r"(pointer));
}

// c (Rows × Vectors) = start + Σ_t a(i, t) · b[t]. `start` is a row to begin every row of the tile with (null: zero);
// with `resume`, c itself is. Of the next b, `fetched` rows are asked for.
template <Walk walk, int Rows, int Vectors, class T>
static void tile(Index steps, const T* __restrict a, Index a_stride, const T* __restrict b, Index b_stride,
                 const T* start, bool resume, T* __restrict c, Index c_stride, const Ahead<T>& ahead, Index fetched) {
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
        const T* from = c;
        GM_UNROLL for (int i = 0; i < Rows; ++i, from += c_stride) {
            GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[i][v] = load(from + v * kLanes<T>);
            forget_origin(from);
        }
    } else {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            const Vec<T> first = start ? load(start + v * kLanes<T>) : zero<T>();
            GM_UNROLL for (int i = 0; i < Rows; ++i) sum[i][v] = first;
        }
    }
    // Rows of a are found from every fourth one: there are not enough registers for the distance of each.
    constexpr int kBases = walk == Walk::along_rows ? (Rows + 3) / 4 : 1;
    const T* base[kBases];
    GM_UNROLL for (int i = 0; i < kBases; ++i) {
        base[i] = a + 4 * i * a_stride;
        forget_origin(base[i]);
    }
    const T* next_a = ahead.a;
    const T* next_b = ahead.b;
    Index t = 0;
    do {  // at least once: a way around the loop would cost copies of all sums before and after it
        Vec<T> row[Vectors];
        GM_UNROLL for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * kLanes<T>);
        if (t < fetched) {
            GM_UNROLL for (int v = 0; v < Vectors; ++v) prefetch(next_b + v * kLanes<T>);
            next_b += b_stride;
        }
        if constexpr (walk != Walk::along_rows) {
            if (next_a) {
                prefetch(next_a);
                next_a += ahead.a_stride;
            }
        }
        GM_UNROLL for (int i = 0; i < Rows; ++i) {
            const Vec<T> factor = broadcast(walk == Walk::along_rows ? base[i / 4][i % 4 * a_stride] : base[0][i]);
            GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(factor, row[v], sum[i][v]);
        }
        GM_UNROLL for (int i = 0; i < kBases; ++i) base[i] += walk == Walk::along_rows ? 1
                                                              : walk == Walk::packed   ? Rows
                                                                                       : a_stride;
        b += b_stride;
    } while (++t < steps);
    T* to = c;
    GM_UNROLL for (int i = 0; i < Rows; ++i, to += c_stride) {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) store(to + v * kLanes<T>, sum[i][v]);
        forget_origin(to);
    }
}

template <class T>
using Tile = void (*)(Index, const T*, Index, const T*, Index, const T*, bool, T*, Index, const Ahead<T>&, Index);

template <Walk walk, int Vectors, class T>
GM_INLINE Tile<T> tile_of(Index rows) {
    switch (rows) {
#define GM_TILE(n) \
    case n: return tile<walk, (n <= kTileRows ? n : 1), Vectors, T>;
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
        default: return tile<walk, 1, Vectors, T>;
    }
}

// Rows in tiles of the same size, give or take one, rather than in full ones and a small rest.
struct Split {
    explicit Split(Index rows)
        : count((rows + kTileRows - 1) / kTileRows), height(rows / count), taller(rows % count) {}
    Index size(Index tile) const { return height + (tile < taller); }

    Index count, height, taller;
};

// Rows of the next b that each tile asks for. Where b comes in blocks, the shares of some tiles make one.
GM_INLINE Index share_of(Index steps, Index tiles, Index block) {
    const Index even = (steps + tiles - 1) / tiles;
    if (block == 0) return even;
    Index share = block;
    while (share / 2 >= even) share /= 2;
    return share;
}

// The tiles share b, and share out what is to be asked for of the next one: all of it at once fills the buffers of the
// first cache, and what is asked for twice costs 1 to 4 %, though the loop has room for it.
template <Walk walk, int Vectors, class T>
GM_INLINE void tiles(Index rows, Index steps, const T* a, Index a_stride, const T* b, Index b_stride, const T* start,
                     bool resume, T* c, Index c_stride, Ahead<T> ahead) {
    const Split split(rows);
    const Index share = ahead.b ? share_of(steps, split.count, ahead.b_block) : 0;
    for (Index i = 0, left = steps; i < split.count; ++i, left -= share) {
        const Index size = split.size(i);
        tile_of<walk, Vectors, T>(size)(steps, a, a_stride, b, b_stride, start, resume, c, c_stride, ahead,
                                        left < share ? left : share);
        if (ahead.b) {
            ahead.b += share * b_stride;
            const Index asked = (i + 1) * share;
            if (ahead.b_block && asked % ahead.b_block == 0) ahead.b += ahead.b_distance - ahead.b_block * b_stride;
        }
        a += walk == Walk::along_rows ? size * a_stride : walk == Walk::packed ? size * steps : size;
        c += size * c_stride;
        if (ahead.a) ahead.a += size;
        if (ahead.read) ahead.read += size * c_stride;
        if (ahead.written) ahead.written += size * c_stride;
    }
}

template <class T>
GM_INLINE const T* offset_unless_null(const T* from, Index offset) {
    return from ? from + offset : nullptr;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
