// Rows whose entries are all so small that products with them may be subnormal. Kernels that multiply look for them
// first, which takes no time where there are none, and multiply them raised: see simd/subnormal.hpp. What counts is the
// data of a chunk of rows, or of sixteen columns, alone, so neither threads nor the width of a vector can be seen.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Entries below it are tiny, and so are products: with room for weights and slopes before they are subnormal.
template <class T>
constexpr T kTiny = sizeof(T) == 4 ? T(0x1p-63f) : static_cast<T>(0x1p-511);

template <class T>
GM_INLINE Mask<T> is_subnormal(Vec<T> x) {
    const Mask<T> is_nonzero = bits_of(abs(x)) != broadcast_int<T>(0);
    return is_nonzero & (abs(x) < broadcast<T>(RaiseConstants<T>::smallest_normal));
}

// The largest magnitude; something not below any limit where there is a NaN.
template <class T>
GM_INLINE T largest_entry(Index rows, Index columns, const T* a, Index stride) {
    Ints<T> largest = broadcast_int<T>(0);  // of the bits, which are in the order of the magnitudes
    const auto take = [&](Vec<T> x) { largest = max(largest, bits_of(abs(x))); };
    for (Index r = 0; r < rows; ++r, a += stride) {
        Index j = 0;
        for (; j + kLanes<T> <= columns; j += kLanes<T>) take(load(a + j));
        if (j < columns) take(load_first(a + j, columns - j));
    }
    typename Native<T>::Integer top = 0;
    for (Index lane = 0; lane < kLanes<T>; ++lane) top = largest.v[lane] > top ? largest.v[lane] : top;
    T result;
    __builtin_memcpy(&result, &top, sizeof(result));
    return result;
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

// Rows that are alike: chunks that are tiny, at most `most` rows of them, or chunks that are not.
struct AlikeRows {
    Index end;
    bool tiny;
};

template <class T>
GM_INLINE AlikeRows alike_rows(T limit, Index begin, Index rows, Index columns, const T* a, Index stride, Index most) {
    const auto look = [&](Index r) {
        return tiny_chunk(rows - r < kRowChunk ? rows - r : kRowChunk, columns, a + r * stride, stride, limit);
    };
    const bool tiny = look(begin);
    Index end = begin + kRowChunk;
    while (end < rows && (!tiny || end - begin < most) && look(end) == tiny) end += kRowChunk;
    return {end < rows ? end : rows, tiny};
}

// Rows × columns entries, raised or lowered; `out` has whole vectors, and so has `a` where it is lowered in place.
template <class T>
GM_INLINE void raise_rows(Index rows, Index columns, const T* a, Index stride, T* out, Index out_stride) {
    for (Index r = 0; r < rows; ++r, a += stride, out += out_stride)
        for (Index j = 0; j < columns; j += kLanes<T>)
            store(out + j, raised(j + kLanes<T> <= columns ? load(a + j) : load_first(a + j, columns - j)));
}

template <class T>
GM_INLINE void lower_rows(Index rows, Index columns, T* a, Index stride) {
    for (Index r = 0; r < rows; ++r, a += stride)
        for (Index j = 0; j < columns; j += kLanes<T>) store(a + j, lowered(load(a + j)));
}

}  // namespace
}  // namespace gradiometer::GM_ISA
