#include "network/measurement.hpp"

#include <algorithm>
#include <cmath>

namespace gradiometer {
namespace {

Index inner_chunks(const ParameterSpec& p) {
    return (p.inner + kInnerChunk - 1) / kInnerChunk;
}

// Σ over all columns of array number `which` of those that a parameter's chunks have.
template <class T>
double sum_of_columns(const Pass<T>& pass, Index parameter, int which, const double* chunk, const double* next_chunk) {
    const ParameterSpec& p = pass.plan.parameters[parameter];
    return pass.kernels.sum_statistic(inner_chunks(p), p.columns, chunk + which * padded<T>(p.columns),
                                      next_chunk - chunk);
}

template <class T>
double gradient_sum(const Pass<T>& pass, Index parameter, int which) {
    return sum_of_columns(pass, parameter, which, pass.work.gradient_sums(parameter, 0),
                          pass.work.gradient_sums(parameter, 1));
}

template <class T>
EntryCounts gradient_counts(const Pass<T>& pass, Index parameter) {
    EntryCounts total;
    for (Index task = pass.parameters.first_task(parameter); task < pass.parameters.first_task(parameter + 1); ++task) {
        const EntryCounts& counts = pass.work.entry_counts(task);
        if (counts.largest > total.largest || std::isnan(counts.largest)) total.largest = counts.largest;
        total.zeros += counts.zeros;
        total.subnormals += counts.subnormals;
        total.nonfinite += counts.nonfinite;
    }
    return total;
}

template <class T>
double delta_norm(const Pass<T>& pass, Index dense) {
    SquareSum sum;
    const ChunkSquares* chunk = pass.work.delta_squares(dense);
    for (Index row = 0; row < pass.rows; row += kRowChunk, ++chunk) sum += {chunk->small, chunk->medium, chunk->large};
    return sum.norm();
}

struct Moments {
    double mean, deviation, saturation;
};

// Chunks merged around the common mean.
Moments merge_moments(const ActivationMoments* chunks, Index rows, Index width) {
    const auto entries = [&](Index row) { return static_cast<double>(std::min(kRowChunk, rows - row) * width); };
    const double count = static_cast<double>(rows * width);
    double unit = 0;  // the largest of the chunks, in which all are added up
    for (Index row = 0; row < rows; row += kRowChunk) unit = std::max(unit, chunks[row / kRowChunk].unit);
    double mean = 0;  // in units
    for (Index row = 0; row < rows; row += kRowChunk) mean += entries(row) * (chunks[row / kRowChunk].mean / unit);
    mean /= count;
    double squares = 0;
    double saturated = 0;
    for (Index row = 0; row < rows; row += kRowChunk) {
        const ActivationMoments& chunk = chunks[row / kRowChunk];
        const double shift = chunk.mean / unit - mean;
        const double scale = chunk.unit / unit;
        squares += chunk.squared_deviations * (scale * scale) + entries(row) * shift * shift;
        saturated += chunk.saturated;
    }
    return {mean * unit, std::sqrt(squares / count) * unit, saturated / count};
}

template <class T>
void sum_gradient_squares(Pass<T>& pass, Index parameter) {
    pass.work.gradient_squares(parameter) =
        square_sum<T>([&](int which) { return gradient_sum(pass, parameter, which); });
}

}  // namespace

template <class T>
SquareSum update_squares(const Pass<T>& pass, Index parameter, int which) {
    return square_sum<T>([&](int number) {
        return sum_of_columns(pass, parameter, which * kSquareSums<T> + number, pass.work.update_squares(parameter, 0),
                              pass.work.update_squares(parameter, 1));
    });
}

LayerMeasurements::LayerMeasurements(const Plan& plan) : plan_(plan) {
    for (auto& field : values_) field.resize(plan.dense_blocks.size());
}

template <class T>
void LayerMeasurements::take_gradients(Pass<T>& pass, Index number, int threads) {
    const Block& block = plan_.blocks[number];
    for (const Index parameter : {block.weight, block.bias, block.gamma, block.beta})
        if (parameter != kNone) sum_gradient_squares(pass, parameter);
    if (pass.collect < Collect::norms || block.dense == kNone) return;
    const Index dense = block.dense;
    of(Field::grad_norm)[dense] = pass.work.gradient_squares(block.weight).norm();
    of(Field::delta_norm)[dense] = delta_norm(pass, dense);
    if (pass.collect != Collect::full) return;
    const double entries = static_cast<double>(block.in_width) * static_cast<double>(block.width);
    const EntryCounts counts = gradient_counts(pass, block.weight);
    of(Field::grad_max_abs)[dense] = counts.largest;
    of(Field::grad_mean_abs)[dense] = gradient_sum(pass, block.weight, kSquareSums<T>) / entries;
    of(Field::grad_zero_fraction)[dense] = static_cast<double>(counts.zeros) / entries;
    of(Field::grad_subnormal_fraction)[dense] = static_cast<double>(counts.subnormals) / entries;
    of(Field::grad_nonfinite)[dense] = static_cast<double>(counts.nonfinite);
    const Moments moments = merge_moments(pass.work.moments(dense), pass.rows, block.width);
    of(Field::activation_mean)[dense] = moments.mean;
    of(Field::activation_std)[dense] = moments.deviation;
    of(Field::saturation)[dense] = moments.saturation;
    const Index dead =
        pass.kernels.dead_columns(block.width, threads, pass.work.alive(0, dense), pass.work.alive_stride());
    of(Field::dead_fraction)[dense] = static_cast<double>(dead) / static_cast<double>(block.width);
}

template <class T>
void LayerMeasurements::take_update(const Pass<T>& pass, Index number) {
    const Block& block = plan_.blocks[number];
    if (block.dense == kNone) return;
    of(Field::weight_norm)[block.dense] = update_squares(pass, block.weight, 0).norm();
    of(Field::update_norm)[block.dense] = update_squares(pass, block.weight, 1).norm();
}

bool LayerMeasurements::all_finite(Collect collect) const {
    const auto finite = [&](Field field) {
        for (const double value : values_[static_cast<size_t>(field)])
            if (!std::isfinite(value)) return false;
        return true;
    };
    return finite(Field::grad_norm) && finite(Field::delta_norm) &&
           (collect != Collect::full || finite(Field::activation_mean));
}

std::array<const double*, kFieldCount> LayerMeasurements::fields(Collect collect, bool updated) const {
    std::array<const double*, kFieldCount> out{};
    for (int i = 0; i < kFieldCount; ++i) {
        const Field field = static_cast<Field>(i);
        const bool always = field == Field::grad_norm || field == Field::delta_norm;
        const bool of_update = field == Field::weight_norm || field == Field::update_norm;
        if (always || (collect == Collect::full && (updated || !of_update))) out[i] = values_[i].data();
    }
    return out;
}

template <class T>
NonfiniteSource find_nonfinite(Pass<T>& pass, const LayerMeasurements& measured, double loss) {
    const Plan& plan = pass.plan;
    const auto name_of = [&](Index block) {
        while (block > 0 && plan.blocks[block].dense == kNone) --block;
        const Index weight = plan.blocks[block].weight;
        return weight == kNone ? std::string() : plan.parameters[weight].name;
    };
    const auto rows_are_finite = [&](const T* rows, Index stride, Index width) {
        for (Index r = 0; r < pass.rows; ++r)
            if (pass.kernels.first_nonfinite(width, rows + r * stride) >= 0) return false;
        return true;
    };
    const Index blocks = static_cast<Index>(plan.blocks.size());
    std::vector<T> values;
    const auto parameter_is_finite = [&](Index i, const T* panels) {
        const ParameterSpec& p = plan.parameters[i];
        values.resize(p.inner * p.columns);
        pass.parameters.unpack(i, panels, values.data());
        return pass.kernels.first_nonfinite(p.inner * p.columns, values.data()) < 0;
    };
    for (Index i = 0; i < pass.parameters.count(); ++i)
        if (!parameter_is_finite(i, pass.parameters.all_values())) return {name_of(plan.parameters[i].block), "weight"};
    const auto measured_finite = [&](Field field, Index dense) { return std::isfinite(measured.at(field, dense)); };
    for (Index block = 0; block < blocks; ++block) {
        const Index dense = plan.blocks[block].dense;
        const bool inner = pass.collect == Collect::full && dense != kNone;
        if ((inner && !measured_finite(Field::activation_mean, dense)) ||
            !rows_are_finite(pass.work.output(block), pass.work.stride(block), plan.blocks[block].width))
            return {name_of(block), "activation"};
    }
    if (!std::isfinite(loss)) return {"", "loss"};
    for (Index i = pass.parameters.count() - 1; i >= 0; --i)
        if (!parameter_is_finite(i, pass.parameters.all_gradients()))
            return {name_of(plan.parameters[i].block), "gradient"};
    // Every entry is finite: it is a norm that is not.
    if (pass.collect >= Collect::norms)
        for (Index dense = static_cast<Index>(plan.dense_blocks.size()) - 1; dense >= 0; --dense)
            if (!measured_finite(Field::delta_norm, dense)) return {name_of(plan.dense_blocks[dense]), "gradient"};
    Index largest = 0;
    for (Index i = 1; i < pass.parameters.count(); ++i)
        if (pass.work.gradient_squares(i).norm() >= pass.work.gradient_squares(largest).norm()) largest = i;
    return {name_of(plan.parameters[largest].block), "gradient"};
}

#define GM_INSTANTIATE(T)                                                  \
    template SquareSum update_squares(const Pass<T>&, Index, int);         \
    template void LayerMeasurements::take_gradients(Pass<T>&, Index, int); \
    template void LayerMeasurements::take_update(const Pass<T>&, Index);   \
    template NonfiniteSource find_nonfinite(Pass<T>&, const LayerMeasurements&, double);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
