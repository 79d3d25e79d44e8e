#include "network/clip_adaptive.hpp"

#include <algorithm>
#include <cmath>

#include "network/measurement.hpp"

namespace gradiometer {
namespace {

// Columns first … end of a parameter: `chunk_of(chunk)` points at the squares of column 0, `stride` apart.
template <class T, class ChunkOf>
double norm_of_columns(const ParameterSpec& p, Index first, Index end, Index stride, ChunkOf chunk_of) {
    SquareSum sum;
    for (Index begin = 0, chunk = 0; begin < p.inner; begin += kInnerChunk, ++chunk) {
        const double* squares = chunk_of(chunk);
        for (Index j = first; j < end; ++j)
            sum += square_sum<T>([&](int which) { return squares[which * stride + j]; });
    }
    return sum.norm();
}

// What keeps a gradient within its limit; a NaN where the gradient is one.
double unit_coefficient(double gradient, double limit) {
    if (std::isnan(gradient)) return gradient;
    return gradient > limit ? limit / gradient : 1;
}

}  // namespace

template <class T>
void measure_weights_task(Pass<T>& pass, const ParameterTask& task) {
    const Index stride = padded<T>(pass.parameters.spec(task.parameter).columns);
    pass.kernels.column_squares(task.elements(), task.vectors, pass.parameters.all_values() + task.offset,
                                pass.work.weight_squares(task.parameter, task.chunk) + task.first_column, stride);
}

template <class T>
double decide_adaptive_clip(const Pass<T>& pass, const ClipSpec& spec) {
    double smallest = 1;
    for (Index i = 0; i < pass.parameters.count(); ++i) {
        const ParameterSpec& p = pass.parameters.spec(i);
        const Index stride = padded<T>(p.columns);
        T* factors = pass.work.clip_factors(i);
        // A unit is a column of a weight; biases, gamma and beta are one unit each.
        const Index step = p.is_weight ? 1 : p.columns;
        for (Index first = 0; first < p.columns; first += step) {
            const Index end = first + step;
            const double gradient = norm_of_columns<T>(p, first, end, stride,
                                                       [&](Index chunk) { return pass.work.gradient_sums(i, chunk); });
            const double weight = norm_of_columns<T>(p, first, end, stride,
                                                     [&](Index chunk) { return pass.work.weight_squares(i, chunk); });
            const double coefficient = unit_coefficient(gradient, spec.clip_factor * std::max(weight, spec.eps));
            if (coefficient < smallest || std::isnan(coefficient)) smallest = coefficient;
            const double power = coefficient < kSmallCoefficient ? kCoefficientPower : 1.0;
            std::fill(factors + first, factors + end, static_cast<T>(power));
            std::fill(factors + stride + first, factors + stride + end, static_cast<T>(coefficient / power));
        }
    }
    return smallest;
}

#define GM_INSTANTIATE(T)                                               \
    template void measure_weights_task(Pass<T>&, const ParameterTask&); \
    template double decide_adaptive_clip(const Pass<T>&, const ClipSpec&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
