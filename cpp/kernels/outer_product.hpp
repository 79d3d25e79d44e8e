// The gradient of the weights: products of what goes into a layer and of its deltas, summed over the rows of the batch.
#pragma once

#include "kernels/tile.hpp"
#include "kernels/tiny.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Rows of x and a panel of dy that an outer product goes through at a time, at most: the first cache has them for all
// tiles.
constexpr Index kRowsInCache = 128;

// Fewer, where rows are a multiple of 256 bytes apart and so share a quarter of the cache's sets.
template <class T>
GM_INLINE Index rows_at_once(Index x_stride, Index dy_stride) {
    if (x_stride == 0) return kRowsInCache;  // as they were packed
    constexpr Index kFar = 256 / static_cast<Index>(sizeof(T));
    return x_stride % kFar == 0 || dy_stride % kFar == 0 ? kRowsInCache / 2 : kRowsInCache;
}

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

// What is raised before it is multiplied, and how far.
struct Raise {
    bool dy = false;
    bool x = false;
    int by = 0;
    bool nothing_left = false;  // all sums are so small that they round to zero
    bool operator==(const Raise&) const = default;
};

// Limits of the largest product, where both factors are raised by kRaise.
template <class T>
struct RaisedProduct {
    static constexpr T raise_one = T(0x1p65f);    // 2^-63: below it, dy is raised
    static constexpr T raise_both = T(0x1p-12f);  // 2^-140
    static constexpr T nothing = T(0x1p-22f);     // 2^-150, half of the smallest number
};

template <>
struct RaisedProduct<double> {
    static constexpr double raise_one = 0x1p513;  // 2^-511
    static constexpr double raise_both = 0;       // one suffices
    static constexpr double nothing = 0x1p-51;    // 2^-1075
};

// Whether the first entries say that some products are not tiny.
template <class T>
GM_INLINE bool products_begin(Index inner, const T* x, Index columns, const T* dy) {
    constexpr bool is_float = sizeof(T) == 4;
    constexpr T kLarger = is_float ? T(0x1p-12f) : static_cast<T>(0x1p-100);
    constexpr T kSmaller = is_float ? T(0x1p-51f) : static_cast<T>(0x1p-411);
    constexpr T kRoot = is_float ? T(0x1p-31f) : static_cast<T>(0x1p-255);
    return (begins_from(kLarger, inner, x) && begins_from(kSmaller, columns, dy)) ||
           (begins_from(kRoot, inner, x) && begins_from(kRoot, columns, dy));
}

// What is found in a chunk of x, looked for when it is first asked for.
template <class T>
class ChunkOfX {
  public:
    ChunkOfX(Index rows, Index inner, const T* x, Index x_stride)
        : rows_(x_stride ? rows : 1), columns_(x_stride ? inner : rows * inner), stride_(x_stride), x_(x) {}
    T largest() {
        if (largest_ < 0) largest_ = largest_entry(rows_, columns_, x_, stride_);
        return largest_;
    }
    bool has_subnormal() {
        if (subnormal_ < 0) subnormal_ = GM_ISA::has_subnormal(rows_, columns_, x_, stride_);
        return subnormal_ > 0;
    }

  private:
    Index rows_, columns_, stride_;
    const T* x_;
    T largest_ = -1;
    int subnormal_ = -1;
};

constexpr double kTooLargeToRaise = 0x1p60;

// Subnormal factors beside larger ones are raised, as far as the sums of all products leave room for it.
template <class T>
static Raise raise_of_mixed(Index rows, ChunkOfX<T>& of_x, const T* dy, Index dy_stride, Index columns) {
    const bool in_dy = has_subnormal(rows, columns, dy, dy_stride), in_x = of_x.has_subnormal();
    if (!in_dy && !in_x) return {};
    const T largest_dy = largest_entry(rows, columns, dy, dy_stride), largest_x = of_x.largest();
    constexpr T kRoom = power_of_two<T>((sizeof(T) == 4 ? 120 : 1000) - kRaiseMixed<T>);
    constexpr T kRoomForBoth = kRoom / power_of_two<T>(kRaiseMixed<T>);
    const T largest_sum = largest_x * largest_dy * static_cast<T>(rows);
    Raise raise{.by = kRaiseMixed<T>};
    raise.dy = in_dy && largest_dy < T(kTooLargeToRaise) && largest_sum < kRoom;
    raise.x = in_x && largest_x < T(kTooLargeToRaise) && largest_sum < (raise.dy ? kRoomForBoth : kRoom);
    return raise.dy || raise.x ? raise : Raise{};
}

// What is to be raised for the product of a chunk with `columns` columns of dy.
template <class T>
[[gnu::noinline]] static Raise what_to_raise(Index rows, Index inner, const T* x, ChunkOfX<T>& of_x, const T* dy,
                                             Index dy_stride, Index columns) {
    if (products_begin(inner, x, columns, dy)) return raise_of_mixed(rows, of_x, dy, dy_stride, columns);
    const T largest_dy = largest_entry(rows, columns, dy, dy_stride), largest_x = of_x.largest();
    if (largest_dy == 0 || largest_x == 0) return {};
    using Limits = RaisedProduct<T>;
    constexpr T kUp = power_of_two<T>(kRaise<T>);
    const T product = (largest_dy * kUp) * (largest_x * kUp);
    if (!(largest_dy < T(kTooLargeToRaise) && product < Limits::raise_one))
        return raise_of_mixed(rows, of_x, dy, dy_stride, columns);
    return {true, largest_x < kTiny<T> || product < Limits::raise_both, kRaise<T>,
            product * static_cast<T>(rows) < Limits::nothing};
}

template <class T>
GM_INLINE auto tiles_of(Index x_stride, Index vectors) {
    constexpr Walk down = Walk::down_columns, packed = Walk::packed;
    return x_stride       ? vectors == 2 ? tiles<down, 2, T> : tiles<down, 1, T>
           : vectors == 2 ? tiles<packed, 2, T>
                          : tiles<packed, 1, T>;
}

template <class T>
static void outer_product_plain(Index rows, Index inner, const T* x, Index x_stride, const T* dy, Index dy_stride,
                                Index vectors, T* out, Index out_stride, const Ahead<T>& ahead) {
    const Index most = rows_at_once<T>(x_stride, dy_stride);
    for (Index r = 0; r < rows; r += most) {
        const Index steps = rows - r < most ? rows - r : most;
        const Ahead<T> of_rows{.a = offset_unless_null(ahead.a, r * ahead.a_stride),
                               .a_stride = ahead.a_stride,
                               .b = offset_unless_null(ahead.b, r * dy_stride),
                               .written = r == 0 ? ahead.written : nullptr};
        tiles_of<T>(x_stride, vectors)(inner, steps, x + r * (x_stride ? x_stride : inner), x_stride,
                                       dy + r * dy_stride, dy_stride, nullptr, r > 0, out, out_stride, of_rows);
    }
}

template <class T>
[[gnu::noinline]] static void outer_product_raised(Raise raise, Index rows, Index inner, const T* x, Index x_stride,
                                                   const T* dy, Index dy_stride, Index vectors, T* out,
                                                   Index out_stride) {
    const Index width = vectors * kLanes<T>;
    if (raise.nothing_left) {
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < width; j += kLanes<T>) store(out + k * out_stride + j, zero<T>());
        return;
    }
    alignas(kAlignment) T raised_dy[kRowsInCache * kPanel<T>], raised_x[kRowsInCache * kInnerChunk];
    const Index most = rows_at_once<T>(x_stride, dy_stride);
    for (Index r = 0; r < rows; r += most) {
        const Index steps = rows - r < most ? rows - r : most;
        const T* from_x = x + r * (x_stride ? x_stride : inner);
        const T* from_dy = dy + r * dy_stride;
        Index stride_x = x_stride, stride_dy = dy_stride;
        if (raise.dy) {
            raise_rows(raise.by, steps, width, from_dy, dy_stride, raised_dy, kPanel<T>);
            from_dy = raised_dy;
            stride_dy = kPanel<T>;
        }
        if (raise.x) {
            if (x_stride)
                raise_rows(raise.by, steps, inner, from_x, x_stride, raised_x, kInnerChunk);
            else
                raise_rows(raise.by, 1, steps * inner, from_x, 0, raised_x, 0);
            from_x = raised_x;
            if (x_stride) stride_x = kInnerChunk;
        }
        tiles_of<T>(stride_x, vectors)(inner, steps, from_x, stride_x, from_dy, stride_dy, nullptr, r > 0, out,
                                       out_stride, {});
    }
    if (raise.dy) lower_rows(raise.by, inner, width, out, out_stride);
    if (raise.x) lower_rows(raise.by, inner, width, out, out_stride);
}

template <class T>
void outer_product(Index rows, Index inner, const T* x, Index x_stride, const T* dy, Index dy_stride, Index vectors,
                   T* out, const Ahead<T>& ahead) {
    // A cache line's columns are raised together, whatever the width of a panel.
    constexpr Index kAlike = kAlignment / static_cast<Index>(sizeof(T));
    const Index width = vectors * kLanes<T>;
    const Index first = width < kAlike ? width : kAlike;
    const Index rest = width - first;
    // As in matmul.hpp: if the processor has met subnormal numbers, it is done again with what is raised.
    const bool plain = kTellsSubnormals && !met_subnormal() && products_begin(inner, x, first, dy) &&
                       (rest == 0 || products_begin(inner, x, rest, dy + first));
    if (plain) {
        outer_product_plain(rows, inner, x, x_stride, dy, dy_stride, vectors, out, width, ahead);
        if (!met_subnormal()) [[likely]]
            return;
    }
    ChunkOfX<T> of_x(rows, inner, x, x_stride);
    const Raise raise = what_to_raise(rows, inner, x, of_x, dy, dy_stride, first);
    const Raise raise_rest = rest > 0 ? what_to_raise(rows, inner, x, of_x, dy + first, dy_stride, rest) : raise;
    if (raise.by == 0 && raise_rest.by == 0) {
        if (!plain) outer_product_plain(rows, inner, x, x_stride, dy, dy_stride, vectors, out, width, ahead);
    } else if (raise == raise_rest) {
        outer_product_raised(raise, rows, inner, x, x_stride, dy, dy_stride, vectors, out, width);
    } else {
        outer_product_raised(raise, rows, inner, x, x_stride, dy, dy_stride, 1, out, width);
        outer_product_raised(raise_rest, rows, inner, x, x_stride, dy + first, dy_stride, 1, out + first, width);
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
