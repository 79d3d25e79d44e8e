// Batch norm (Ioffe and Szegedy 2015). Variances are two-pass within a chunk of rows and merged around the common mean
// (Chan et al. 1979), never E[x²] - E[x]².
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
void batch_norm_chunk(Index rows, Index columns, const T* z, Index stride, T* mean, T* squared_deviations) {
    const Vec<T> count = broadcast(static_cast<T>(rows));
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Vec<T> sum = zero<T>();
        for (Index r = 0; r < rows; ++r) sum = sum + load(z + r * stride + j);
        const Vec<T> center = sum / count;
        Vec<T> squares = zero<T>();
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> deviation = load(z + r * stride + j) - center;
            squares = fma(deviation, deviation, squares);
        }
        store(mean + j, center);
        store(squared_deviations + j, squares);
    }
}

GM_INLINE Index chunk_rows(Index batch, Index chunk) {
    const Index left = batch - chunk * kRowChunk;
    return left < kRowChunk ? left : kRowChunk;
}

template <class T>
void batch_norm_merge(Index batch, Index columns, const T* means, const T* squared_deviations, Index chunk_stride,
                      double eps, T* mean, T* variance, T* inverse_std) {
    const Index chunks = (batch + kRowChunk - 1) / kRowChunk;
    constexpr Index kBlock = 32;  // columns at a time, so that the sums stay in registers or L1
    for (Index first = 0; first < columns; first += kBlock) {
        const Index width = columns - first < kBlock ? columns - first : kBlock;
        double sum[kBlock] = {};
        double squares[kBlock] = {};
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            const double weight = static_cast<double>(chunk_rows(batch, chunk));
            const T* chunk_mean = means + chunk * chunk_stride + first;
            for (Index j = 0; j < width; ++j) sum[j] += weight * static_cast<double>(chunk_mean[j]);
        }
        for (Index j = 0; j < width; ++j) sum[j] /= static_cast<double>(batch);
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            const double weight = static_cast<double>(chunk_rows(batch, chunk));
            const T* chunk_mean = means + chunk * chunk_stride + first;
            const T* chunk_squares = squared_deviations + chunk * chunk_stride + first;
            for (Index j = 0; j < width; ++j) {
                const double shift = static_cast<double>(chunk_mean[j]) - sum[j];
                squares[j] += static_cast<double>(chunk_squares[j]) + weight * shift * shift;
            }
        }
        for (Index j = 0; j < width; ++j) {
            const double biased = squares[j] / static_cast<double>(batch);
            mean[first + j] = static_cast<T>(sum[j]);
            variance[first + j] = static_cast<T>(biased);
            inverse_std[first + j] = static_cast<T>(1.0 / __builtin_sqrt(biased + eps));
        }
    }
}

template <class T>
void batch_norm_apply(Index rows, Index columns, const T* z, Index z_stride, const T* mean, const T* inverse_std,
                      const T* gamma, const T* beta, T* normalized, Index normalized_stride, T* y, Index y_stride) {
    for (Index j = 0; j < columns; j += kLanes<T>) {
        const Vec<T> center = load(mean + j);
        const Vec<T> scale = load(inverse_std + j);
        const Vec<T> factor = gamma ? load(gamma + j) : zero<T>();
        const Vec<T> shift = gamma ? load(beta + j) : zero<T>();
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> x = (load(z + r * z_stride + j) - center) * scale;
            if (normalized) store(normalized + r * normalized_stride + j, x);
            store(y + r * y_stride + j, gamma ? fma(x, factor, shift) : x);
        }
    }
}

template <class T>
void batch_norm_backward_chunk(Index rows, Index columns, const T* dy, Index dy_stride, const T* normalized,
                               Index normalized_stride, T* sum, T* product_sum) {
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Vec<T> total = zero<T>();
        Vec<T> products = zero<T>();
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> g = load(dy + r * dy_stride + j);
            total = total + g;
            products = fma(g, load(normalized + r * normalized_stride + j), products);
        }
        store(sum + j, total);
        store(product_sum + j, products);
    }
}

template <class T>
void sum_chunks(Index chunks, Index columns, const T* partial, Index chunk_stride, T* out) {
    constexpr Index kBlock = 32;
    for (Index first = 0; first < columns; first += kBlock) {
        const Index width = columns - first < kBlock ? columns - first : kBlock;
        double sum[kBlock] = {};
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            const T* row = partial + chunk * chunk_stride + first;
            for (Index j = 0; j < width; ++j) sum[j] += static_cast<double>(row[j]);
        }
        for (Index j = 0; j < width; ++j) out[first + j] = static_cast<T>(sum[j]);
    }
}

template <class T>
void batch_norm_backward_apply(Index rows, Index columns, Index batch, const T* dy, Index dy_stride,
                               const T* normalized, Index normalized_stride, const T* gamma, const T* inverse_std,
                               const T* sum, const T* product_sum, T* dz, Index dz_stride) {
    const Vec<T> count = broadcast(static_cast<T>(batch));
    for (Index j = 0; j < columns; j += kLanes<T>) {
        const Vec<T> scale = gamma ? load(gamma + j) * load(inverse_std + j) : load(inverse_std + j);
        const Vec<T> mean = load(sum + j) / count;
        const Vec<T> product_mean = load(product_sum + j) / count;
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> x = load(normalized + r * normalized_stride + j);
            const Vec<T> centered = load(dy + r * dy_stride + j) - mean;
            store(dz + r * dz_stride + j, scale * fma(-x, product_mean, centered));
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
