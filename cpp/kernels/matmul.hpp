// Products with the weights, forward and backward.
#pragma once

#include "kernels/pack.hpp"
#include "kernels/tile.hpp"
#include "kernels/tiny.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Steps of the inner index after which the accumulators are stored: a panel slice of this length stays in L1.
constexpr Index kInnerBlock = 256;

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

// What the sums of a panel's columns begin with, and what of the bias is added when they are done: what a chain of
// multiplications should not meet, subnormal numbers or, where the rows are raised, numbers too large for that. Each
// column is judged by itself, so no way to split the work shows.
template <class T>
struct PanelBias {
    alignas(kAlignment) T begin[kPanel<T>], rest[kPanel<T>];
    bool has_rest = false;

    PanelBias(int raise, const T* bias, Index vectors) {
        for (Index v = 0; v < vectors; ++v) {
            const Vec<T> b = load(bias + v * kLanes<T>);
            const Mask<T> apart = raise ? ~(abs(b) < broadcast(T(0x1p60f))) : is_subnormal(b);
            const Vec<T> first = keep(~apart, b);
            store(begin + v * kLanes<T>, raise == 0           ? first
                                         : raise == kRaise<T> ? raised(first)
                                                              : raised_by<kRaiseMixed<T>>(first));
            store(rest + v * kLanes<T>, keep(apart, b));
            has_rest = has_rest || any(apart);
        }
    }

    void add_rest(Index rows, Index vectors, T* c, Index c_stride) const {
        for (Index r = 0; r < rows; ++r, c += c_stride)
            for (Index j = 0; j < vectors * kLanes<T>; j += kLanes<T>) store(c + j, load(c + j) + load(rest + j));
    }
};

// The product of rows that are alike; raised ones are lowered when their sums are done.
template <class T>
static void matmul_alike(int raise, Index rows, Index inner, Index columns, const T* a, Index a_stride, const T* b,
                         const T* bias, T* c, Index c_stride, const Ahead<T>& ahead) {
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
        const bool is_done = k + steps == inner;
        if (!bias) {
            multiply_slice<T>(rows, k, steps, a, a_stride, slice, vectors, nullptr, c + first, c_stride, of_slice);
            if (is_done && raise) lower_rows(raise, rows, vectors * kLanes<T>, c + first, c_stride);
        } else {
            const PanelBias<T> parts(raise, bias + first, vectors);
            multiply_slice<T>(rows, k, steps, a, a_stride, slice, vectors, parts.begin, c + first, c_stride, of_slice);
            if (is_done && raise) lower_rows(raise, rows, vectors * kLanes<T>, c + first, c_stride);
            if (is_done && parts.has_rest) parts.add_rest(rows, vectors, c + first, c_stride);
        }
    }
}

// Calls multiply(raise, rows, first row, a, stride) with runs of rows that are alike; those that are raised are a copy,
// and their product is to be lowered. Rows that are too long for that stay as they are. With `plain_done`, rows that
// stay as they are have been multiplied.
template <class T, class Multiply>
[[gnu::noinline]] static void with_alike_rows(bool plain_done, Index rows, Index inner, const T* a, Index a_stride,
                                              const Multiply& multiply) {
    constexpr Index kCopied = 16 * 1024, kRowsCopied = 64;
    alignas(kAlignment) T copy[kCopied];
    const Index stride = (inner + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    const Index fitting = kCopied / stride / kRowChunk * kRowChunk;
    const Index most = fitting < kRowsCopied ? fitting : kRowsCopied;
    const auto raise_of = [&](Index r, Index count) {
        return most == 0 ? 0 : raise_of_chunk(count, inner, a + r * a_stride, a_stride);
    };
    for (Index begin = 0; begin < rows;) {
        const auto [end, raise] = alike_rows(begin, rows, most, raise_of);
        const Index count = end - begin;
        const T* from = a + begin * a_stride;
        if (raise) {
            raise_rows(raise, count, inner, from, a_stride, copy, stride);
            multiply(raise, count, begin, copy, stride);
        } else if (!plain_done) {
            multiply(0, count, begin, from, a_stride);
        }
        begin = end;
    }
}

// Whether rows are multiplied as they are at first, which costs no time where nothing is to be raised: unless they
// begin with tiny numbers, or subnormal ones have been met before. If the processor has met one then, what is to be
// raised is multiplied again.
template <class T>
GM_INLINE bool plain_at_first(Index rows, Index inner, const T* a, Index a_stride) {
    return kTellsSubnormals && !met_subnormal() && all_begin_from(kTiny<T>, rows, inner, a, a_stride);
}

// What is asked for ahead of the product's rows, from one of them on.
template <class T>
GM_INLINE Ahead<T> ahead_from(Ahead<T> ahead, Index rows, Index stride) {
    ahead.read = offset_unless_null(ahead.read, rows * stride);
    ahead.written = offset_unless_null(ahead.written, rows * stride);
    return ahead;
}

template <class T>
void matmul(Index rows, Index inner, Index columns, const T* a, Index a_stride, const T* b, const T* bias, T* c,
            Index c_stride, const Ahead<T>& ahead) {
    const bool plain = plain_at_first(rows, inner, a, a_stride);
    if (plain) {
        matmul_alike(0, rows, inner, columns, a, a_stride, b, bias, c, c_stride, ahead);
        if (!met_subnormal()) [[likely]]
            return;
    }
    with_alike_rows(plain, rows, inner, a, a_stride,
                    [&](int raise, Index count, Index first, const T* from, Index stride) {
                        matmul_alike(raise, count, inner, columns, from, stride, b, bias, c + first * c_stride,
                                     c_stride, ahead_from(ahead, first, c_stride));
                    });
}

// The transpose is made slice by slice, in the first cache: keeping it beside b would take more time in memory.
template <class T>
static void matmul_transposed_alike(Index rows, Index inner, Index columns, Index begin, Index end, const T* a,
                                    Index a_stride, const T* b, T* c, Index c_stride, const Ahead<T>& ahead) {
    alignas(kAlignment) T slice[kInnerBlock * kPanel<T>];
    // A small b waits in the second cache, so the products fetch the next one. Of a large one, they fetch the next
    // slice, if there are tiles enough to share that out; if not, it is fetched while the one before it is transposed.
    const bool fits = inner <= kInnerBlock;
    const bool shared_out = !fits && rows >= kInnerBlock / kPanel<T> * kTileRows;
    // Where a slice of the transpose stands in b.
    const auto slice_of = [&](Index panel, Index k) { return b + panel * kPanel<T> * kPanel<T> + k * columns; };
    for (Slices<T> slices(rows, inner, begin / kPanel<T>, panel_count<T>(end)); !slices.done();) {
        const Index panel = slices.panel(), k = slices.k(), steps = slices.steps();
        const Index first = panel * kPanel<T>;
        const Index vectors = panel_vectors<T>(columns, panel);
        slices.next();
        const T* next = slices.done() ? ahead.b : slice_of(slices.panel(), slices.k());
        transposed_slice(columns, inner, b, k, k + steps, first, vectors * kLanes<T>,
                         fits || shared_out ? 0 : next - slice_of(panel, k), slice);
        Ahead<T> of_slice{};
        if (fits) of_slice.b = offset_unless_null(ahead.b, first * inner);
        if (shared_out) {
            of_slice.b = next;
            of_slice.b_block = kPanel<T>;
            of_slice.b_distance = kPanel<T> * columns;
        }
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

template <class T>
void matmul_transposed(Index rows, Index inner, Index columns, Index begin, Index end, const T* a, Index a_stride,
                       const T* b, T* c, Index c_stride, const Ahead<T>& ahead) {
    const bool plain = plain_at_first(rows, inner, a, a_stride);
    if (plain) {
        matmul_transposed_alike(rows, inner, columns, begin, end, a, a_stride, b, c, c_stride, ahead);
        if (!met_subnormal()) [[likely]]
            return;
    }
    with_alike_rows(plain, rows, inner, a, a_stride,
                    [&](int raise, Index count, Index first, const T* from, Index stride) {
                        T* to = c + first * c_stride;
                        matmul_transposed_alike(count, inner, columns, begin, end, from, stride, b, to, c_stride,
                                                ahead_from(ahead, first, c_stride));
                        if (raise) lower_rows(raise, count, end - begin, to + begin, c_stride);
                    });
}

}  // namespace
}  // namespace gradiometer::GM_ISA
