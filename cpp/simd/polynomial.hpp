// Polynomials with constant coefficients, by Horner's rule.
#pragma once

#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <ptrdiff_t index, class T, ptrdiff_t count>
GM_INLINE Vec<T> horner_step(Vec<T> x, const T (&coefficients)[count]) {
    if constexpr (index == count - 1) {
        return broadcast<T>(coefficients[index]);
    } else {
        return fma(horner_step<index + 1>(x, coefficients), x, broadcast<T>(coefficients[index]));
    }
}

// coefficients[0] + coefficients[1] x + coefficients[2] x² + …
template <class T, ptrdiff_t count>
GM_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficients)[count]) {
    return horner_step<0>(x, coefficients);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
