// Residual connections (He et al. 2016): what is added where the body ends, and on the way back where it began.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
void residual(Index rows, Index columns, const T* x, Index x_stride, double scale, const T* f, Index f_stride, T* y,
              Index y_stride) {
    const Vec<T> factor = broadcast(static_cast<T>(scale));
    for (Index r = 0; r < rows; ++r) {
        const T* body = f + r * f_stride;
        T* out = y + r * y_stride;
        if (x) {
            const T* skipped = x + r * x_stride;
            for (Index j = 0; j < columns; j += kLanes<T>)
                store(out + j, fma(factor, load(body + j), load(skipped + j)));
        } else {
            for (Index j = 0; j < columns; j += kLanes<T>) store(out + j, factor * load(body + j));
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
