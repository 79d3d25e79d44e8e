// Polynomials with constant coefficients, of a vector or of a group of vectors.
#pragma once

#include "simd/group.hpp"

namespace gradiometer::GM_ISA {
namespace {

// coefficients[first] + coefficients[first + step] x + coefficients[first + 2 step] x² + …
template <ptrdiff_t first, ptrdiff_t step, class V, class T, ptrdiff_t count>
GM_INLINE V horner(V x, const T (&coefficients)[count]) {
    const V c = constant_of<V>(coefficients[first]);
    if constexpr (first + step < count) {
        return fma(horner<first + step, step>(x, coefficients), x, c);
    } else {
        return c;
    }
}

// coefficients[0] + coefficients[1] x + coefficients[2] x² + …. Where it is long, the high powers, which have little
// weight, go in two chains side by side, and only the first three, which decide the rounding, one after the other.
template <class V, class T, ptrdiff_t count>
GM_INLINE V polynomial(V x, const T (&coefficients)[count]) {
    if constexpr (count < 9) {
        return horner<0, 1>(x, coefficients);
    } else {
        const V square = x * x;
        V sum = fma(x, horner<4, 2>(square, coefficients), horner<3, 2>(square, coefficients));
        for (ptrdiff_t i = 2; i >= 0; --i) sum = fma(sum, x, constant_of<V>(coefficients[i]));
        return sum;
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
