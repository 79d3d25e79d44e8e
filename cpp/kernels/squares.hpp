// Sums of squares in double that neither overflow nor vanish. The square of a float always fits a double. Doubles are
// sorted by magnitude into three sums, the small ones scaled up and the large ones down before they are squared (Blue
// 1978); meter/square_sum.hpp puts the three together.
#pragma once

#include "kernels/lanes16.hpp"
#include "meter/square_sum.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
struct Squares;

template <>
struct Squares<float> {
    static constexpr int kSums = 1;
    Vec<double> medium;
    GM_INLINE_MEMBER void clear() { medium = zero<double>(); }
    GM_INLINE_MEMBER void add(Vec<double> x) { medium = fma(x, x, medium); }
    GM_INLINE_MEMBER Vec<double> sum(int which) const { return which == squares_medium ? medium : zero<double>(); }
};

template <>
struct Squares<double> {
    Vec<double> small, medium, large;
    GM_INLINE_MEMBER void clear() { small = medium = large = zero<double>(); }
    GM_INLINE_MEMBER void add(Vec<double> x) {
        const Vec<double> magnitude = abs(x);
        const Mask<double> is_small = magnitude < broadcast(kSmallSquareLimit);
        const Mask<double> is_large = magnitude > broadcast(kLargeSquareLimit);
        const Vec<double> up = keep(is_small, x * broadcast(kSmallSquareScale));
        const Vec<double> down = keep(is_large, x * broadcast(kLargeSquareScale));
        const Vec<double> plain = keep(~(is_small | is_large), x);
        small = fma(up, up, small);
        medium = fma(plain, plain, medium);
        large = fma(down, down, large);
    }
    GM_INLINE_MEMBER Vec<double> sum(int which) const {
        return which == squares_small ? small : which == squares_medium ? medium : large;
    }
};

}  // namespace
}  // namespace gradiometer::GM_ISA
