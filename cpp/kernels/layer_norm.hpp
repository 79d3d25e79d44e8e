// Layer norm (Ba, Kiros and Hinton 2016). Each row by itself; the variance is two-pass, never E[x²] - E[x]². Sums over
// a row are taken in double on 16 virtual lanes, so that squares of large floats fit. Some rows are taken together, so
// that their chains of additions run at the same time.
#pragma once

#include "kernels/lanes16.hpp"

namespace gradiometer::GM_ISA {
namespace {

constexpr int kRowsTogether = GM_VECTOR_BYTES == 64 ? 4 : 2;

template <int Rows, class T>
GM_INLINE void row_means(const T* z, Index stride, Index columns, double (&mean)[Rows]) {
    Lanes16<double> sum[Rows];
    GM_UNROLL for (int r = 0; r < Rows; ++r) sum[r] = zero16<double>();
    for (Index j = 0; j < columns; j += kVirtualLanes) {
        GM_UNROLL for (int r = 0; r < Rows; ++r) {
            const Lanes16<double> x = to_double(load16(z + r * stride, j, columns));
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sum[r].part[v] = sum[r].part[v] + x.part[v];
        }
    }
    GM_UNROLL for (int r = 0; r < Rows; ++r) mean[r] = fold(sum[r]) / static_cast<double>(columns);
}

template <int Rows, class T>
GM_INLINE void row_variances(const T* z, Index stride, Index columns, const double (&mean)[Rows],
                             double (&variance)[Rows]) {
    Lanes16<double> sum[Rows];
    GM_UNROLL for (int r = 0; r < Rows; ++r) sum[r] = zero16<double>();
    Index j = 0;
    for (; j + kVirtualLanes <= columns; j += kVirtualLanes) {
        GM_UNROLL for (int r = 0; r < Rows; ++r) {
            const Lanes16<double> x = to_double(load16(z + r * stride, j, columns));
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
                const Vec<double> deviation = x.part[v] - broadcast(mean[r]);
                sum[r].part[v] = fma(deviation, deviation, sum[r].part[v]);
            }
        }
    }
    GM_UNROLL for (int r = 0; r < Rows; ++r) {
        if (j < columns) {
            const Lanes16<double> x = to_double(load16(z + r * stride, j, columns));
            for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
                const Mask<double> inside = first_lanes<double>(columns - j - v * kLanes<double>);
                const Vec<double> deviation = keep(inside, x.part[v] - broadcast(mean[r]));
                sum[r].part[v] = fma(deviation, deviation, sum[r].part[v]);
            }
        }
        variance[r] = fold(sum[r]) / static_cast<double>(columns);
    }
}

// Nothing beyond the columns: kernels that sum over rows may read a whole last vector.
template <class T>
GM_INLINE Vec<T> inside_columns(Vec<T> x, Index column, Index columns) {
    return columns - column >= kLanes<T> ? x : keep(first_lanes<T>(columns - column), x);
}

template <int Rows, class T>
GM_INLINE void layer_norm_rows(Index columns, const T* z, Index z_stride, double eps, const T* gamma, const T* beta,
                               T* normalized, Index normalized_stride, T* y, Index y_stride, T* inverse_std) {
    double mean[Rows], variance[Rows];
    row_means<Rows>(z, z_stride, columns, mean);
    row_variances<Rows>(z, z_stride, columns, mean, variance);
    GM_UNROLL for (int r = 0; r < Rows; ++r) {
        const T inverse = static_cast<T>(1.0 / __builtin_sqrt(variance[r] + eps));
        const Vec<T> center = broadcast(static_cast<T>(mean[r]));
        const Vec<T> factor = broadcast(inverse);
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> x = inside_columns((load(z + r * z_stride + j) - center) * factor, j, columns);
            if (normalized) store(normalized + r * normalized_stride + j, x);
            store(y + r * y_stride + j, gamma ? fma(x, load(gamma + j), load(beta + j)) : x);
        }
        if (inverse_std) inverse_std[r] = inverse;
    }
}

template <class T>
void layer_norm(Index rows, Index columns, const T* z, Index z_stride, double eps, const T* gamma, const T* beta,
                T* normalized, Index normalized_stride, T* y, Index y_stride, T* inverse_std) {
    const auto from = [&]<int Rows>(Index r) {
        layer_norm_rows<Rows>(columns, z + r * z_stride, z_stride, eps, gamma, beta,
                              normalized ? normalized + r * normalized_stride : nullptr, normalized_stride,
                              y + r * y_stride, y_stride, inverse_std ? inverse_std + r : nullptr);
    };
    Index r = 0;
    for (; r + kRowsTogether <= rows; r += kRowsTogether) from.template operator()<kRowsTogether>(r);
    for (; r < rows; ++r) from.template operator()<1>(r);
}

template <int Rows, class T>
GM_INLINE void layer_norm_backward_rows(Index columns, T* dy, Index dy_stride, const T* normalized,
                                        Index normalized_stride, const T* gamma, const T* inverse_std) {
    // dy · gamma is dL/dx̂; two averages over the row, through its mean and its variance, are taken away.
    Lanes16<double> sum[Rows], products[Rows];
    GM_UNROLL for (int r = 0; r < Rows; ++r) sum[r] = products[r] = zero16<double>();
    for (Index j = 0; j < columns; j += kVirtualLanes) {
        GM_UNROLL for (int r = 0; r < Rows; ++r) {
            Lanes16<T> g = load16(dy + r * dy_stride, j, columns);
            if (gamma) {
                const Lanes16<T> scale = load16(gamma, j, columns);
                GM_UNROLL for (Index v = 0; v < Lanes16<T>::kVectors; ++v) g.part[v] = g.part[v] * scale.part[v];
            }
            const Lanes16<double> wide = to_double(g);
            const Lanes16<double> x = to_double(load16(normalized + r * normalized_stride, j, columns));
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
                sum[r].part[v] = sum[r].part[v] + wide.part[v];
                products[r].part[v] = fma(wide.part[v], x.part[v], products[r].part[v]);
            }
        }
    }
    const double count = static_cast<double>(columns);
    GM_UNROLL for (int r = 0; r < Rows; ++r, dy += dy_stride, normalized += normalized_stride) {
        const Vec<T> mean = broadcast(static_cast<T>(fold(sum[r]) / count));
        const Vec<T> product_mean = broadcast(static_cast<T>(fold(products[r]) / count));
        const Vec<T> factor = broadcast(inverse_std[r]);
        for (Index j = 0; j < columns; j += kLanes<T>) {
            const Vec<T> g = gamma ? load(dy + j) * load(gamma + j) : load(dy + j);
            const Vec<T> dz = factor * fma(-load(normalized + j), product_mean, g - mean);
            store(dy + j, inside_columns(dz, j, columns));
        }
    }
}

template <class T>
void layer_norm_backward(Index rows, Index columns, T* dy, Index dy_stride, const T* normalized,
                         Index normalized_stride, const T* gamma, const T* inverse_std) {
    constexpr int kTogether = (kRowsTogether + 1) / 2;  // each has two sums
    Index r = 0;
    for (; r + kTogether <= rows; r += kTogether)
        layer_norm_backward_rows<kTogether>(columns, dy + r * dy_stride, dy_stride, normalized + r * normalized_stride,
                                            normalized_stride, gamma, inverse_std + r);
    for (; r < rows; ++r)
        layer_norm_backward_rows<1>(columns, dy + r * dy_stride, dy_stride, normalized + r * normalized_stride,
                                    normalized_stride, gamma, inverse_std + r);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
