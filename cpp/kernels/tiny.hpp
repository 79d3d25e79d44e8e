// Rows with which products would be subnormal, or have subnormal factors: many processors are slow then. Kernels that
// multiply look for them first, or are told by the processor afterwards, neither of which takes time where there are
// none, and multiply such rows raised: see simd/subnormal.hpp. What counts is the data of a chunk of rows, or of
// sixteen columns, alone, so neither threads nor the width of a vector can be seen.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Entries below it are tiny, and so are products: with room for weights and slopes before they are subnormal.
template <class T>
constexpr T kTiny = sizeof(T) == 4 ? T(0x1p-63f) : static_cast<T>(0x1p-511);

// Beside subnormal entries, none is so large in a chunk that is raised; so there is room for their sums.
template <class T>
constexpr T kMixedLimit = T(0x1p16f);

template <class T>
GM_INLINE Mask<T> is_subnormal(Vec<T> x) {
    const Mask<T> is_nonzero = bits_of(abs(x)) != broadcast_int<T>(0);
    return is_nonzero & (abs(x) < broadcast<T>(kSmallestNormal<T>));
}

template <class T, class Take>
GM_INLINE void each_vector(Index rows, Index columns, const T* a, Index stride, const Take& take) {
    for (Index r = 0; r < rows; ++r, a += stride) {
        Index j = 0;
        for (; j + kLanes<T> <= columns; j += kLanes<T>) take(load(a + j));
        if (j < columns) take(load_first(a + j, columns - j));
    }
}

// The largest magnitude; something not below any limit where there is a NaN.
template <class T>
static T largest_entry(Index rows, Index columns, const T* a, Index stride) {
    Ints<T> largest = broadcast_int<T>(0);  // of the bits, which are in the order of the magnitudes
    each_vector(rows, columns, a, stride, [&](Vec<T> x) { largest = max(largest, bits_of(abs(x))); });
    typename Native<T>::Integer top = 0;
    for (Index lane = 0; lane < kLanes<T>; ++lane) top = largest.v[lane] > top ? largest.v[lane] : top;
    T result;
    __builtin_memcpy(&result, &top, sizeof(result));
    return result;
}

template <class T>
static bool has_subnormal(Index rows, Index columns, const T* a, Index stride) {
    const Ints<T> one = broadcast_int<T>(1);
    Ints<T> smallest =
        bits_of(broadcast(kSmallestNormal<T>));  // of the bits, less one: zero is the largest number then
    each_vector(rows, columns, a, stride, [&](Vec<T> x) { smallest = min_unsigned(smallest, bits_of(abs(x)) - one); });
    return any(smallest < bits_of(broadcast(kSmallestNormal<T>)) - one);
}

// Whether one of a row's first entries is at least the limit: so it is nearly always, where any entry is.
template <class T>
GM_INLINE bool begins_from(T limit, Index columns, const T* a) {
    if (columns >= kLanes<T>) return any(abs(load(a)) >= broadcast(limit));
    for (Index j = 0; j < columns; ++j)
        if (a[j] >= limit || a[j] <= -limit) return true;
    return false;
}

// Whether all chunks of rows begin so.
template <class T>
GM_INLINE bool all_begin_from(T limit, Index rows, Index columns, const T* a, Index stride) {
    for (Index r = 0; r < rows; r += kRowChunk)
        if (!begins_from(limit, columns, a + r * stride)) return false;
    return true;
}

// Whether all entries are below the limit, and some are not zero.
template <class T>
[[gnu::noinline]] static bool all_below(T limit, Index rows, Index columns, const T* a, Index stride) {
    const Vec<T> bound = broadcast(limit);
    Ints<T> bits = broadcast_int<T>(0);  // of all entries
    for (Index r = 0; r < rows; ++r, a += stride) {
        Mask<T> larger = {};
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> x = abs(columns - j < kLanes<T> ? load_first(a + j, columns - j) : load(a + j));
            larger = larger | ~(x < bound);
            bits = bits | bits_of(x);
        }
        if (any(larger)) return false;
    }
    return any(bits != broadcast_int<T>(0));
}

template <class T>
GM_INLINE bool tiny_chunk(Index rows, Index columns, const T* a, Index stride, T limit = kTiny<T>) {
    return !begins_from(limit, columns, a) && all_below(limit, rows, columns, a, stride);
}

// By how many powers of two a chunk of rows is raised before it is multiplied.
template <class T>
GM_INLINE int raise_of_chunk(Index rows, Index columns, const T* a, Index stride) {
    if (tiny_chunk(rows, columns, a, stride)) return kRaise<T>;
    if (!has_subnormal(rows, columns, a, stride)) return 0;
    return largest_entry(rows, columns, a, stride) < kMixedLimit<T> ? kRaiseMixed<T> : 0;
}

// Rows whose chunks are of the same kind; at most `most` of them, unless their kind is 0.
struct AlikeRows {
    Index end;
    int kind;
};

template <class KindOfChunk>
GM_INLINE AlikeRows alike_rows(Index begin, Index rows, Index most, const KindOfChunk& kind_of_chunk) {
    const auto look = [&](Index r) { return kind_of_chunk(r, rows - r < kRowChunk ? rows - r : kRowChunk); };
    const int kind = look(begin);
    Index end = begin + kRowChunk;
    while (end < rows && (kind == 0 || end - begin < most) && look(end) == kind) end += kRowChunk;
    return {end < rows ? end : rows, kind};
}

// Rows × columns entries, raised or lowered; `out` has whole vectors, and so has `a` where it is lowered in place.
template <class T>
GM_INLINE void raise_rows(int raise, Index rows, Index columns, const T* a, Index stride, T* out, Index out_stride) {
    const auto by = [&]<int n>() {
        for (Index r = 0; r < rows; ++r, a += stride, out += out_stride)
            for (Index j = 0; j < columns; j += kLanes<T>)
                store(out + j, raised_by<n>(j + kLanes<T> <= columns ? load(a + j) : load_first(a + j, columns - j)));
    };
    raise == kRaise<T> ? by.template operator()<kRaise<T>>() : by.template operator()<kRaiseMixed<T>>();
}

template <class T>
GM_INLINE void lower_rows(int raise, Index rows, Index columns, T* a, Index stride) {
    const auto by = [&]<int n>() {
        for (Index r = 0; r < rows; ++r, a += stride)
            for (Index j = 0; j < columns; j += kLanes<T>) store(a + j, lowered_by<n>(load(a + j)));
    };
    raise == kRaise<T> ? by.template operator()<kRaise<T>>() : by.template operator()<kRaiseMixed<T>>();
}

}  // namespace
}  // namespace gradiometer::GM_ISA
