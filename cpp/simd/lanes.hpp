// Lanes that change places: shuffles of two vectors, folding one, transposing a square of them. All of it is said in
// the compiler's vector extension, in patterns that compilers know as single instructions.
#pragma once

#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

#ifdef __clang__
#define GM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define GM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (typename Native<T>::Integers){__VA_ARGS__})
#endif

// What follows works in blocks of 16 bytes: shuffles that stay in their block are the fast ones.

// In every block: the lower (upper) halves of a and b, element by element: a0 b0 a1 b1 (a2 b2 a3 b3).
template <class T>
GM_INLINE Vec<T> interleave_low(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 2)
        return {GM_SHUFFLE(a.v, b.v, 0, 2)};
    else if constexpr (kLanes<T> == 4 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 4, 1, 5)};
    else if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 4, 2, 6)};
    else if constexpr (kLanes<T> == 8 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 8, 1, 9, 4, 12, 5, 13)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 0, 8, 2, 10, 4, 12, 6, 14)};
    else
        return {GM_SHUFFLE(a.v, b.v, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)};
}

template <class T>
GM_INLINE Vec<T> interleave_high(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 2)
        return {GM_SHUFFLE(a.v, b.v, 1, 3)};
    else if constexpr (kLanes<T> == 4 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 2, 6, 3, 7)};
    else if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 1, 5, 3, 7)};
    else if constexpr (kLanes<T> == 8 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 2, 10, 3, 11, 6, 14, 7, 15)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 1, 9, 3, 11, 5, 13, 7, 15)};
    else
        return {GM_SHUFFLE(a.v, b.v, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)};
}

// In every block of floats: the first (last) two of a, then those of b.
template <class T>
GM_INLINE Vec<T> first_pairs(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 4, 5)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 8, 9, 4, 5, 12, 13)};
    else
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)};
}

template <class T>
GM_INLINE Vec<T> last_pairs(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 2, 3, 6, 7)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 2, 3, 10, 11, 6, 7, 14, 15)};
    else
        return {GM_SHUFFLE(a.v, b.v, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)};
}

// The blocks of even (odd) number of a, then those of b; for vectors of more than one block.
template <class T>
GM_INLINE Vec<T> even_blocks(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 4, 5)};
    else if constexpr (kLanes<T> == 8 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 2, 3, 8, 9, 10, 11)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 4, 5, 8, 9, 12, 13)};
    else
        return {GM_SHUFFLE(a.v, b.v, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)};
}

template <class T>
GM_INLINE Vec<T> odd_blocks(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, b.v, 2, 3, 6, 7)};
    else if constexpr (kLanes<T> == 8 && sizeof(T) == 4)
        return {GM_SHUFFLE(a.v, b.v, 4, 5, 6, 7, 12, 13, 14, 15)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, b.v, 2, 3, 6, 7, 10, 11, 14, 15)};
    else
        return {GM_SHUFFLE(a.v, b.v, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)};
}

// Lanes half … 2 · half - 1 moved down to 0 … half - 1, for half a power of two below kLanes; the others are any.
template <ptrdiff_t half, class T>
GM_INLINE Vec<T> upper_lanes(Vec<T> a) {
    if constexpr (kLanes<T> == 2)
        return {GM_SHUFFLE(a.v, a.v, 1, 1)};
    else if constexpr (kLanes<T> == 4)
        return {GM_SHUFFLE(a.v, a.v, half, (half + 1) & 3, half, (half + 1) & 3)};
    else if constexpr (kLanes<T> == 8)
        return {GM_SHUFFLE(a.v, a.v, half, (half + 1) & 7, (half + 2) & 7, (half + 3) & 7, 0, 1, 2, 3)};
    else
        return {GM_SHUFFLE(a.v, a.v, half, (half + 1) & 15, (half + 2) & 15, (half + 3) & 15, (half + 4) & 15,
                           (half + 5) & 15, (half + 6) & 15, (half + 7) & 15, 0, 1, 2, 3, 4, 5, 6, 7)};
}
#undef GM_SHUFFLE

// The lanes combined in halves: lane j with lane j + half, for half = kLanes / 2, …, 1.
template <ptrdiff_t half, class T, class Combine>
GM_INLINE T fold_lanes(Vec<T> a, Combine combine) {
    if constexpr (half == 0)
        return a.v[0];
    else
        return fold_lanes<half / 2>(combine(a, upper_lanes<half>(a)), combine);
}

// The rows of one block's height as columns: afterwards, block b of rows[c] is column c of what stood in the blocks b.
GM_INLINE void transpose_blocks(Vec<double>* rows) {
    const Vec<double> low = interleave_low(rows[0], rows[1]);
    rows[1] = interleave_high(rows[0], rows[1]);
    rows[0] = low;
}

GM_INLINE void transpose_blocks(Vec<float>* rows) {
    const Vec<float> low = interleave_low(rows[0], rows[1]), high = interleave_high(rows[0], rows[1]);
    const Vec<float> next_low = interleave_low(rows[2], rows[3]), next_high = interleave_high(rows[2], rows[3]);
    rows[0] = first_pairs(low, next_low);
    rows[1] = last_pairs(low, next_low);
    rows[2] = first_pairs(high, next_high);
    rows[3] = last_pairs(high, next_high);
}

// kLanes vectors as the rows of a square: afterwards they are its columns. First each block is transposed, then the
// square of blocks.
template <class T>
GM_INLINE void transpose(Vec<T> (&rows)[kLanes<T>]) {
    constexpr ptrdiff_t kBlock = 16 / sizeof(T);
    constexpr ptrdiff_t kBlocks = kLanes<T> / kBlock;
    GM_UNROLL for (ptrdiff_t first = 0; first < kLanes<T>; first += kBlock) transpose_blocks(rows + first);
    if constexpr (kBlocks > 1) {
        GM_UNROLL for (ptrdiff_t column = 0; column < kBlock; ++column) {
            GM_UNROLL for (ptrdiff_t stage = 1; stage < kBlocks; stage *= 2) {
                Vec<T> next[kBlocks];
                GM_UNROLL for (ptrdiff_t i = 0; i < kBlocks / 2; ++i) {
                    const Vec<T> a = rows[2 * i * kBlock + column], b = rows[(2 * i + 1) * kBlock + column];
                    next[i] = even_blocks(a, b);
                    next[i + kBlocks / 2] = odd_blocks(a, b);
                }
                GM_UNROLL for (ptrdiff_t i = 0; i < kBlocks; ++i) rows[i * kBlock + column] = next[i];
            }
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
