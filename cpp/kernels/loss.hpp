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

// One vector for each of kLanes rows, folded: lane i of the result combines the lanes of rows[i], in the order of
// fold_lanes. One fold after the other would wait for itself, four times a row.
template <class T, class Combine>
GM_INLINE Vec<T> fold_rows(Vec<T> (&rows)[kLanes<T>], Combine combine) {
    transpose(rows);
    GM_UNROLL for (Index half = kLanes<T> / 2; half > 0; half /= 2) {
        GM_UNROLL for (Index i = 0; i < half; ++i) rows[i] = combine(rows[i], rows[i + half]);
    }
    return rows[0];
}

// The largest entry of each of the first `count` rows; a NaN where there is one.
template <class T>
GM_INLINE Vec<T> largest_of_rows(Index count, Index columns, const T* rows, Index stride) {
    const Vec<T> least = broadcast(-static_cast<T>(__builtin_inf()));
    Vec<T> largest[kLanes<T>];
    for (Index i = 0; i < kLanes<T>; ++i) {
        largest[i] = least;
        if (i >= count) continue;
        for (Index j = 0; j < columns; j += kLanes<T>)
            largest[i] = larger(largest[i], select(first_lanes<T>(columns - j), load(rows + i * stride + j), least));
    }
    return fold_rows<T>(largest, [](Vec<T> a, Vec<T> b) { return larger(a, b); });
}

// The sums of exp(z - shift) of each of the first `count` rows. The powers themselves go to `out`, unless it is null.
template <class T>
GM_INLINE Vec<T> powers_of_rows(Index count, Index columns, const T* rows, Index stride, const T* shifts, T* out,
                                Index out_stride) {
    Vec<T> total[kLanes<T>] = {};
    for (Index i = 0; i < count; ++i, rows += stride, out += out ? out_stride : 0) {
        const Vec<T> shift = broadcast(shifts[i]);
        Lanes16<T> sum = zero16<T>();
        for (Index j = 0; j < columns; j += kVirtualLanes) {
            for (Index v = 0; v < Lanes16<T>::kVectors; ++v) {
                const Index column = j + v * kLanes<T>;
                if (column >= columns) break;
                const Vec<T> power = keep(first_lanes<T>(columns - column), exp(load(rows + column) - shift));
                if (out) store(out + column, power);
                sum.part[v] = sum.part[v] + power;
            }
        }
        total[i] = fold_to_vector(sum);
    }
    return fold_rows<T>(total, [](Vec<T> a, Vec<T> b) { return a + b; });
}

// Stable softmax: exp(z - max) / Σ exp(z - max). Rows in groups of a vector: what there is one of in a row is computed
// for all of them at once.
template <class T>
void cross_entropy(Index rows, Index columns, const T* logits, Index stride, const int64_t* labels,
                   const double* row_scale, double* row_loss, T* gradient, Index gradient_stride) {
    for (Index begin = 0; begin < rows; begin += kLanes<T>) {
        const Index count = rows - begin < kLanes<T> ? rows - begin : kLanes<T>;
        const T* z = logits + begin * stride;
        T* out = gradient ? gradient + begin * gradient_stride : nullptr;
        T largest[kLanes<T>], logarithm[kLanes<T>], weights[kLanes<T>] = {}, scales[kLanes<T>];
        store(largest, largest_of_rows(count, columns, z, stride));
        const Vec<T> total = powers_of_rows(count, columns, z, stride, largest, out, gradient_stride);
        store(logarithm, log(total));
        for (Index i = 0; i < count; ++i) {
            weights[i] = static_cast<T>(row_scale[begin + i]);
            row_loss[begin + i] = static_cast<double>(logarithm[i]) + static_cast<double>(largest[i]) -
                                  static_cast<double>(z[i * stride + labels[begin + i]]);
        }
        if (!out) continue;
        store(scales, load(weights) / total);
        for (Index i = 0; i < count; ++i, out += gradient_stride) {
            const Vec<T> scale = broadcast(scales[i]);
            for (Index j = 0; j < columns; j += kLanes<T>) store(out + j, load(out + j) * scale);
            out[labels[begin + i]] -= weights[i];
        }
    }
}

// What an elementwise loss gives for one vector of outputs z and targets t; its derivative is the slope times
// kSlopeFactor, which goes into the scale, where it cannot overflow.
template <class T>
struct LossAndSlope {
    Vec<T> loss;
    Vec<T> slope;
};

struct BceWithLogits {
    static constexpr double kSlopeFactor = 1;
    template <class T>
    static GM_INLINE_MEMBER LossAndSlope<T> at(Vec<T> z, Vec<T> t) {
        return {log1p_exp(z) - z * t, sigmoid(z) - t};
    }
};

struct Mse {
    static constexpr double kSlopeFactor = 2;
    template <class T>
    static GM_INLINE_MEMBER LossAndSlope<T> at(Vec<T> z, Vec<T> t) {
        const Vec<T> difference = z - t;
        return {difference * difference, difference};
    }
};

// Mean over the columns of each row; targets need no padding.
template <class Loss, class T>
static void elementwise_loss(Index rows, Index columns, const T* outputs, Index stride, const T* targets,
                             Index target_stride, const double* row_scale, double* row_loss, T* gradient,
                             Index gradient_stride) {
    for (Index r = 0; r < rows; ++r) {
        const Vec<T> scale =
            broadcast(static_cast<T>(Loss::kSlopeFactor * row_scale[r] / static_cast<double>(columns)));
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
