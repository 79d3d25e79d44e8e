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
    for (Index t = 0; t < steps; ++t) {
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
    }
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

// The tiles share b, and share out what is to be asked for of the next one: all of it at once fills the buffers of the
// first cache, and what is asked for twice costs 1 to 4 %, though the loop has room for it.
template <Walk walk, int Vectors, class T>
GM_INLINE void tiles(Index rows, Index steps, const T* a, Index a_stride, const T* b, Index b_stride, const T* start,
                     bool resume, T* c, Index c_stride, Ahead<T> ahead) {
    const Split split(rows);
    const Index share = ahead.b ? (steps + split.count - 1) / split.count : 0;
    for (Index i = 0, left = steps; i < split.count; ++i, left -= share) {
        const Index size = split.size(i);
        tile_of<walk, Vectors, T>(size)(steps, a, a_stride, b, b_stride, start, resume, c, c_stride, ahead,
                                        left < share ? left : share);
        if (ahead.b) ahead.b += share * b_stride;
        a += walk == Walk::along_rows ? size * a_stride : walk == Walk::packed ? size * steps : size;
        c += size * c_stride;
        if (ahead.a) ahead.a += size;
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

// The order in which a product goes through the slices of b. Of a large left-hand matrix, as many columns as the second
// cache holds meet all panels before the next ones do.
template <class T>
class Slices {
  public:
    Slices(Index rows, Index inner, Index first_panel, Index end_panel)
        : inner_(inner), first_panel_(first_panel), end_panel_(end_panel), panel_(first_panel) {
        constexpr Index kCacheBytes = 512 * 1024;
        const Index fitting = kCacheBytes / (rows * static_cast<Index>(sizeof(T)));
        block_ = fitting < kInnerBlock ? kInnerBlock : fitting / kInnerBlock * kInnerBlock;
        if (first_panel == end_panel) done_ = true;
    }

    bool done() const { return done_; }
    Index panel() const { return panel_; }
    Index k() const { return k_; }
    Index steps() const { return inner_ - k_ < kInnerBlock ? inner_ - k_ : kInnerBlock; }

    void next() {
        k_ += kInnerBlock;
        if (k_ < inner_ && k_ < begin_ + block_) return;
        if (++panel_ == end_panel_) {
            panel_ = first_panel_;
            begin_ += block_;
            done_ = begin_ >= inner_;
        }
        k_ = begin_;
    }

  private:
    Index inner_, first_panel_, end_panel_, block_;
    Index begin_ = 0;  // of the columns that are being gone through
    Index panel_, k_ = 0;
    bool done_ = false;
};

template <class T>
void matmul(Index rows, Index inner, Index columns, const T* a, Index a_stride, const T* b, const T* bias, T* c,
            Index c_stride, const Ahead<T>& ahead) {
    for (Slices<T> slices(rows, inner, 0, panel_count<T>(columns)); !slices.done();) {
        const Index first = slices.panel() * kPanel<T>;
        const Index vectors = panel_vectors<T>(columns, slices.panel());
        const Index k = slices.k(), steps = slices.steps();
        const T* slice = b + first * inner + k * vectors * kLanes<T>;
        slices.next();
        Ahead<T> of_slice{};
        of_slice.b = slices.done() ? ahead.b
                                   : b + slices.panel() * kPanel<T> * inner +
                                         slices.k() * panel_vectors<T>(columns, slices.panel()) * kLanes<T>;
        if (k == 0)
            of_slice.written = offset_unless_null(ahead.written, first);
        else if (!slices.done() && slices.k() <= k)
            of_slice.read = c + slices.panel() * kPanel<T>;
        multiply_slice(rows, k, steps, a, a_stride, slice, vectors, bias ? bias + first : nullptr, c + first, c_stride,
                       of_slice);
    }
}

// The transpose is made slice by slice, in the first cache: keeping it beside b would take more time in memory.
template <class T>
void matmul_transposed(Index rows, Index inner, Index columns, Index begin, Index end, const T* a, Index a_stride,
                       const T* b, T* c, Index c_stride, const Ahead<T>& ahead) {
    alignas(kAlignment) T slice[kInnerBlock * kPanel<T>];
    // A small b waits in the second cache, so the products fetch the next one. Of a large one, each slice is fetched
    // while the one before it is transposed.
    const bool fits = inner <= kInnerBlock;
    // From the beginning of b to a slice of its transpose.
    const auto offset = [&](Index panel, Index k) { return panel * kPanel<T> * kPanel<T> + k * columns; };
    for (Slices<T> slices(rows, inner, begin / kPanel<T>, panel_count<T>(end)); !slices.done();) {
        const Index panel = slices.panel(), k = slices.k(), steps = slices.steps();
        const Index first = panel * kPanel<T>;
        const Index vectors = panel_vectors<T>(columns, panel);
        slices.next();
        const Index to_next = (slices.done() ? ahead.b - b : offset(slices.panel(), slices.k())) - offset(panel, k);
        transposed_slice(columns, inner, b, k, k + steps, first, vectors * kLanes<T>, fits ? 0 : to_next, slice);
        Ahead<T> of_slice{};
        if (fits) of_slice.b = offset_unless_null(ahead.b, first * inner);
        if (k + steps == inner) {
            of_slice.read = offset_unless_null(ahead.read, first);
            of_slice.written = offset_unless_null(ahead.written, first);
        } else if (!slices.done() && slices.k() > 0 && slices.k() <= k) {
            of_slice.read = c + slices.panel() * kPanel<T>;
        }
        multiply_slice(rows, k, steps, a, a_stride, slice, vectors, static_cast<const T*>(nullptr), c + first, c_stride,
                       of_slice);
    }
}

// Rows of x and a panel of dy that an outer product goes through at a time: the first cache has them for all tiles.
constexpr Index kRowsInCache = 128;

template <class T>
void pack_columns(Index rows, Index inner, const T* x, Index x_stride, T* out) {
    const Split split(inner);
    for (Index begin = 0; begin < rows; begin += kRowsInCache) {
        const Index end = begin + kRowsInCache < rows ? begin + kRowsInCache : rows;
        for (Index tile = 0, first = 0; tile < split.count; first += split.size(tile), ++tile)
            for (Index r = begin; r < end; ++r)
                for (Index k = 0; k < split.size(tile); ++k) *out++ = x[r * x_stride + first + k];
    }
}

template <class T>
void outer_product(Index rows, Index inner, const T* x, Index x_stride, const T* dy, Index dy_stride, Index vectors,
                   T* out, const Ahead<T>& ahead) {
    constexpr Walk down = Walk::down_columns, packed = Walk::packed;
    const auto multiply = x_stride       ? vectors == 2 ? tiles<down, 2, T> : tiles<down, 1, T>
                          : vectors == 2 ? tiles<packed, 2, T>
                                         : tiles<packed, 1, T>;
    for (Index r = 0; r < rows; r += kRowsInCache) {
        const Index steps = rows - r < kRowsInCache ? rows - r : kRowsInCache;
        const Ahead<T> of_rows{.a = offset_unless_null(ahead.a, r * ahead.a_stride),
                               .a_stride = ahead.a_stride,
                               .b = offset_unless_null(ahead.b, r * dy_stride),
                               .written = r == 0 ? ahead.written : nullptr};
        multiply(inner, steps, x + r * (x_stride ? x_stride : inner), x_stride, dy + r * dy_stride, dy_stride, nullptr,
                 r > 0, out, vectors * kLanes<T>, of_rows);
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
