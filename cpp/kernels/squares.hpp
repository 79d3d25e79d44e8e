// Sums of squares in double that neither overflow nor vanish. The square of a float always fits a double. Doubles are
// sorted by magnitude into three sums, the small ones scaled up and the large ones down before they are squared (Blue
// 1978); meter/square_sum.hpp puts the three together.
#pragma once

#include "kernels/lanes16.hpp"
#include "meter/square_sum.hpp"
#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
struct Squares;

template <>
struct Squares<float> {
    Vec<double> medium;
    GM_INLINE_MEMBER void clear() { medium = zero<double>(); }
    GM_INLINE_MEMBER void add(Vec<double> x) { medium = fma(x, x, medium); }
    GM_INLINE_MEMBER Vec<double> sum(int) const { return medium; }
};

template <>
struct Squares<double> {
    Vec<double> small, medium, large;
    GM_INLINE_MEMBER void clear() { small = medium = large = zero<double>(); }
    GM_INLINE_MEMBER void add(Vec<double> x) {
        // Zeros, less one, are negative.
        const Vec<double> magnitude = abs(x);
        const Ints<double> one = broadcast_int<double>(1);
        if (any_outside(bits_of(magnitude) - one, bits_of(broadcast(kSmallSquareLimit)) - one,
                        bits_of(broadcast(kLargeSquareLimit)) - one)) [[unlikely]]
            return add_sorted(x, magnitude);
        medium = fma(x, x, medium);
    }
    GM_INLINE_MEMBER void add_sorted(Vec<double> x, Vec<double> magnitude) {
        const Mask<double> is_small = magnitude < broadcast(kSmallSquareLimit);
        const Mask<double> is_large = magnitude > broadcast(kLargeSquareLimit);
        const Vec<double> up = keep(is_small, raised_magnitude_by<kSmallSquareRaise>(magnitude));
        const Vec<double> down = keep(is_large, x * broadcast(kLargeSquareScale));
        const Vec<double> plain = keep(~(is_small | is_large), x);
        small = fma(up, up, small);
        medium = fma(plain, plain, medium);
        large = fma(down, down, large);
    }
    GM_INLINE_MEMBER Vec<double> sum(int which) const { return which == 0 ? small : which == 1 ? medium : large; }
};

// Adds the squares of a padded row to sixteen virtual lanes.
template <class T>
GM_INLINE void add_row_squares(const T* row, Index columns, Squares<T> (&sums)[Lanes16<double>::kVectors]) {
    const auto add = [&](const Lanes16<double>& x) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sums[v].add(x.part[v]);
    };
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) add(load16_as_double(row + j));
    if (j < columns) add(to_double(load16(row, j, columns)));
}

// The lanes folded: one number for each kind of square.
template <class T>
GM_INLINE void fold_squares(const Squares<T> (&sums)[Lanes16<double>::kVectors], ChunkSquares& out) {
    const auto folded = [&](int which) __attribute__((always_inline)) {
        Lanes16<double> lanes;
        for (Index v = 0; v < Lanes16<double>::kVectors; ++v) lanes.part[v] = sums[v].sum(which);
        return fold(lanes);
    };
    if constexpr (kSquareSums<T> == 1)
        out = {0, folded(0), 0};
    else
        out = {folded(0), folded(1), folded(2)};
}

}  // namespace
}  // namespace gradiometer::GM_ISA
