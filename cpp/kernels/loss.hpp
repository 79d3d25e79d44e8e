// Losses of rows of outputs, and their gradients, as torch.nn.functional has them with a mean reduction.
#pragma once

#include "kernels/lanes16.hpp"
#include "simd/functions.hpp"

namespace gradiometer::GM_ISA {
namespace {

// The larger of two, lane by lane; a NaN where either is.
template <class T>
GM_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
    return select((b > a) | (b != b), b, a);
}

// The largest of a row; a NaN where there is one.
template <class T>
GM_INLINE T row_max(const T* row, Index columns) {
    const Vec<T> least = broadcast(-static_cast<T>(__builtin_inf()));
    Vec<T> largest = least;
    for (Index j = 0; j < columns; j += kLanes<T>)
        largest = larger(largest, select(first_lanes<T>(columns - j), load(row + j), least));
    return fold_lanes<kLanes<T> / 2>(largest, [](Vec<T> a, Vec<T> b) { return larger(a, b); });
}

// Stable softmax: exp(z - max) / Σ exp(z - max). Rows in groups of a vector, so that one logarithm serves them all.
template <class T>
void cross_entropy(Index rows, Index columns, const T* logits, Index stride, const int64_t* labels,
                   const double* row_scale, double* row_loss, T* gradient, Index gradient_stride) {
    for (Index begin = 0; begin < rows; begin += kLanes<T>) {
        const Index count = rows - begin < kLanes<T> ? rows - begin : kLanes<T>;
        T largest[kLanes<T>];
        T total[kLanes<T>] = {};
        for (Index i = 0; i < count; ++i) {
            const T* row = logits + (begin + i) * stride;
            T* out = gradient ? gradient + (begin + i) * gradient_stride : nullptr;  // holds the powers at first
            largest[i] = row_max(row, columns);
            const Vec<T> shift = broadcast(largest[i]);
            Lanes16<T> sum = zero16<T>();
            for (Index j = 0; j < columns; j += kVirtualLanes) {
                for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
                    const Index column = j + v * kLanes<T>;
                    if (column >= columns) break;
                    const Vec<T> power = keep(first_lanes<T>(columns - column), exp(load(row + column) - shift));
                    if (out) store(out + column, power);
                    sum.part[v] = sum.part[v] + power;
                }
            }
            total[i] = fold(sum);
            if (!out) continue;
            const T weight = static_cast<T>(row_scale[begin + i]);
            const Vec<T> scale = broadcast(weight) / broadcast(total[i]);
            for (Index j = 0; j < columns; j += kLanes<T>) store(out + j, load(out + j) * scale);
            out[labels[begin + i]] -= weight;
        }
        T logarithm[kLanes<T>];
        store(logarithm, log(load(total)));
        for (Index i = 0; i < count; ++i)
            row_loss[begin + i] = static_cast<double>(logarithm[i]) + static_cast<double>(largest[i]) -
                                  static_cast<double>(logits[(begin + i) * stride + labels[begin + i]]);
    }
}

// What an elementwise loss gives for one vector of outputs z and targets t.
template <class T>
struct LossAndSlope {
    Vec<T> loss;
    Vec<T> slope;
};

struct BceWithLogits {
    template <class T>
    static GM_INLINE_MEMBER LossAndSlope<T> at(Vec<T> z, Vec<T> t) {
        return {log1p_exp(z) - z * t, sigmoid(z) - t};
    }
};

struct Mse {
    template <class T>
    static GM_INLINE_MEMBER LossAndSlope<T> at(Vec<T> z, Vec<T> t) {
        const Vec<T> difference = z - t;
        return {difference * difference, difference + difference};
    }
};

// Mean over the columns of each row; targets need no padding.
template <class Loss, class T>
static void elementwise_loss(Index rows, Index columns, const T* outputs, Index stride, const T* targets,
                             Index target_stride, const double* row_scale, double* row_loss, T* gradient,
                             Index gradient_stride) {
    for (Index r = 0; r < rows; ++r) {
        const Vec<T> scale = broadcast(static_cast<T>(row_scale[r] / static_cast<double>(columns)));
        Lanes16<double> sum = zero16<double>();
        for (Index j = 0; j < columns; j += kVirtualLanes) {
            const Lanes16<T> z = load16(outputs + r * stride, j, columns);
            Lanes16<T> loss = zero16<T>();
            for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
                const Index column = j + v * kLanes<T>;
                const Index left = columns - column;
                if (left <= 0) break;
                const T* target = targets + r * target_stride + column;
                const LossAndSlope<T> out =
                    Loss::at(z.part[v], left < kLanes<T> ? load_first(target, left) : load(target));
                const Mask<T> inside = first_lanes<T>(left);
                loss.part[v] = keep(inside, out.loss);
                if (gradient) store(gradient + r * gradient_stride + column, keep(inside, out.slope * scale));
            }
            const Lanes16<double> wide = to_double(loss);
            for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sum.part[v] = sum.part[v] + wide.part[v];
        }
        row_loss[r] = fold(sum) / static_cast<double>(columns);
    }
}

template <class T>
void bce_with_logits(Index rows, Index columns, const T* logits, Index stride, const T* targets, Index target_stride,
                     const double* row_scale, double* row_loss, T* gradient, Index gradient_stride) {
    elementwise_loss<BceWithLogits>(rows, columns, logits, stride, targets, target_stride, row_scale, row_loss,
                                    gradient, gradient_stride);
}

template <class T>
void mse(Index rows, Index columns, const T* outputs, Index stride, const T* targets, Index target_stride,
         const double* row_scale, double* row_loss, T* gradient, Index gradient_stride) {
    elementwise_loss<Mse>(rows, columns, outputs, stride, targets, target_stride, row_scale, row_loss, gradient,
                          gradient_stride);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
