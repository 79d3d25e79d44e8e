// Layer norm (Ba, Kiros and Hinton 2016). Each row by itself; the variance is two-pass, never E[x²] - E[x]². Sums over
// a row are taken in double on 16 virtual lanes, so that squares of large floats fit.
#pragma once

#include "kernels/lanes16.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
GM_INLINE double row_sum(const T* row, Index columns) {
    Lanes16<double> sum = zero16<double>();
    for (Index j = 0; j < columns; j += kVirtualLanes) {
        const Lanes16<double> x = to_double(load16(row, j, columns));
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sum.part[v] = sum.part[v] + x.part[v];
    }
    return fold(sum);
}

template <class T>
GM_INLINE double row_squared_deviations(const T* row, Index columns, double mean) {
    const Vec<double> center = broadcast(mean);
    Lanes16<double> sum = zero16<double>();
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) {
        const Lanes16<double> x = to_double(load16(row, j, columns));
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
            const Vec<double> deviation = x.part[v] - center;
            sum.part[v] = fma(deviation, deviation, sum.part[v]);
        }
    }
    if (j < columns) {
        const Lanes16<double> x = to_double(load16(row, j, columns));
        for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
            const Mask<double> inside = first_lanes<double>(columns - j - v * kLanes<double>);
            const Vec<double> deviation = keep(inside, x.part[v] - center);
            sum.part[v] = fma(deviation, deviation, sum.part[v]);
        }
    }
    return fold(sum);
}

// Nothing beyond the columns: kernels that sum over rows may read a whole last vector.
template <class T>
GM_INLINE Vec<T> inside_columns(Vec<T> x, Index column, Index columns) {
    return columns - column >= kLanes<T> ? x : keep(first_lanes<T>(columns - column), x);
}

template <class T>
void layer_norm(Index rows, Index columns, const T* z, Index z_stride, double eps, const T* gamma, const T* beta,
                T* normalized, Index normalized_stride, T* y, Index y_stride, T* inverse_std) {
    const double count = static_cast<double>(columns);
    for (Index r = 0; r < rows; ++r, z += z_stride, y += y_stride) {
        const double mean = row_sum(z, columns) / count;
        const double variance = row_squared_deviations(z, columns, mean) / count;
        const T inverse = static_cast<T>(1.0 / __builtin_sqrt(variance + eps));
        const Vec<T> center = broadcast(static_cast<T>(mean));
        const Vec<T> factor = broadcast(inverse);
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> x = inside_columns((load(z + j) - center) * factor, j, columns);
            if (normalized) store(normalized + r * normalized_stride + j, x);
            store(y + j, gamma ? fma(x, load(gamma + j), load(beta + j)) : x);
        }
        if (inverse_std) inverse_std[r] = inverse;
    }
}

template <class T>
void layer_norm_backward(Index rows, Index columns, T* dy, Index dy_stride, const T* normalized,
                         Index normalized_stride, const T* gamma, const T* inverse_std) {
    const double count = static_cast<double>(columns);
    for (Index r = 0; r < rows; ++r, dy += dy_stride, normalized += normalized_stride) {
        // dy · gamma is dL/dx̂; two averages over the row, through its mean and its variance, are taken away.
        Lanes16<double> sum = zero16<double>();
        Lanes16<double> products = zero16<double>();
        for (Index j = 0; j < columns; j += kVirtualLanes) {
            Lanes16<T> g = load16(dy, j, columns);
            if (gamma) {
                const Lanes16<T> scale = load16(gamma, j, columns);
                GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) g.part[v] = g.part[v] * scale.part[v];
            }
            const Lanes16<double> wide = to_double(g), x = to_double(load16(normalized, j, columns));
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
                sum.part[v] = sum.part[v] + wide.part[v];
                products.part[v] = fma(wide.part[v], x.part[v], products.part[v]);
            }
        }
        const Vec<T> mean = broadcast(static_cast<T>(fold(sum) / count));
        const Vec<T> product_mean = broadcast(static_cast<T>(fold(products) / count));
        const Vec<T> factor = broadcast(inverse_std[r]);
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> g = gamma ? load(dy + j) * load(gamma + j) : load(dy + j);
            const Vec<T> dz = factor * fma(-load(normalized + j), product_mean, g - mean);
            store(dy + j, inside_columns(dz, j, columns));
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
