// Batch norm (Ioffe and Szegedy 2015). Variances are two-pass within a group of rows and merged around the common mean
// (Chan et al. 1979), never E[x²] - E[x]².
#pragma once

#include "kernels/chunk.hpp"

namespace gradiometer::GM_ISA {
namespace {

// A sum over the rows of a group: chunk by chunk, and these in order. add(sum, row) is a sum with the term of that row.
template <class T, class Add>
GM_INLINE Vec<T> sum_of_group(Index rows, Add add) {
    Vec<T> sum = zero<T>();
    for (Index begin = 0; begin < rows; begin += kRowChunk) {
        Vec<T> chunk = zero<T>();
        for_rows(rows - begin < kRowChunk ? rows - begin : kRowChunk,
                 [&](Index r) __attribute__((always_inline)) { chunk = add(chunk, begin + r); });
        sum = sum + chunk;
    }
    return sum;
}

template <class T>
void batch_norm_group(Index rows, Index columns, const T* z, Index stride, T* mean, T* squared_deviations) {
    const Vec<T> count = broadcast(static_cast<T>(rows));
    for (Index j = 0; j < columns; j += kLanes<T>) {
        const auto value = [&](Index r) __attribute__((always_inline)) { return load(z + r * stride + j); };
        const Vec<T> center =
            sum_of_group<T>(rows, [&](Vec<T> sum, Index r) __attribute__((always_inline)) { return sum + value(r); }) /
            count;
        const Vec<T> squares = sum_of_group<T>(rows, [&](Vec<T> sum, Index r) __attribute__((always_inline)) {
            const Vec<T> deviation = value(r) - center;
            return fma(deviation, deviation, sum);
        });
        store(mean + j, center);
        store(squared_deviations + j, squares);
    }
}

// Columns at a time whose sums are in registers or the first cache.
constexpr Index kMergedColumns = 32;

template <class T>
void batch_norm_merge(Index batch, Index group, Index columns, const T* means, const T* squared_deviations,
                      Index group_stride, double eps, T* mean, T* variance, T* inverse_std) {
    const auto weight = [&](Index begin) __attribute__((always_inline)) {
        return static_cast<double>(batch - begin < group ? batch - begin : group);
    };
    for (Index first = 0; first < columns; first += kMergedColumns) {
        const Index width = columns - first < kMergedColumns ? columns - first : kMergedColumns;
        double center[kMergedColumns] = {};
        double squares[kMergedColumns] = {};
        for (Index begin = 0, at = first; begin < batch; begin += group, at += group_stride)
            for (Index j = 0; j < width; ++j) center[j] += weight(begin) * static_cast<double>(means[at + j]);
        for (Index j = 0; j < width; ++j) center[j] /= static_cast<double>(batch);
        for (Index begin = 0, at = first; begin < batch; begin += group, at += group_stride) {
            for (Index j = 0; j < width; ++j) {
                const double shift = static_cast<double>(means[at + j]) - center[j];
                squares[j] += static_cast<double>(squared_deviations[at + j]) + weight(begin) * shift * shift;
            }
        }
        for (Index j = 0; j < width; ++j) {
            const double biased = squares[j] / static_cast<double>(batch);
            mean[first + j] = static_cast<T>(center[j]);
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
                               Index normalized_stride, bool accumulate, T* sum, T* product_sum) {
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Vec<T> total = zero<T>();
        Vec<T> products = zero<T>();
        const auto add_row = [&](Index r) __attribute__((always_inline)) {
            const Vec<T> g = load(dy + r * dy_stride + j);
            total = total + g;
            products = fma(g, load(normalized + r * normalized_stride + j), products);
        };
        for_rows(rows, add_row);
        store(sum + j, accumulate ? load(sum + j) + total : total);
        store(product_sum + j, accumulate ? load(product_sum + j) + products : products);
    }
}

template <class T>
void sum_chunks(Index chunks, Index columns, const T* partial, Index chunk_stride, T* out) {
    for (Index first = 0; first < columns; first += kMergedColumns) {
        const Index width = columns - first < kMergedColumns ? columns - first : kMergedColumns;
        double sum[kMergedColumns] = {};
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
