#include <algorithm>
#include <cmath>

#include "network/batch_norm.hpp"
#include "network/layer_norm.hpp"
#include "network/product.hpp"
#include "network/residual.hpp"

namespace gradiometer {
namespace {

// |φ′| is at most this, over all z: what `saturation` is measured against.
double largest_slope(const ActivationSpec& activation) {
    switch (activation.kind) {
        case ActivationKind::leaky_relu: return std::max(1.0, std::abs(activation.first));
        case ActivationKind::elu: return std::max(1.0, std::abs(activation.first * activation.second));
        case ActivationKind::selu: return activation.first * activation.second;
        case ActivationKind::gelu: return 1.128904145185155;  // at z = √2
        case ActivationKind::gelu_tanh: return 1.128993068658772;
        case ActivationKind::silu: return 1.099839320128867;
        case ActivationKind::mish: return 1.088498161251728;
        case ActivationKind::sigmoid: return 0.25;
        case ActivationKind::hardswish: return 1.5;
        default: return 1.0;
    }
}

constexpr double kSaturatedShare = 0.05;

template <class T>
struct Rows {
    const T* data;
    Index stride;
};

// `slope` has φ′; null: h tells it.
template <class T>
void measure(Pass<T>& pass, int thread, RowRange mine, Index dense, Index width, const ActivationSpec& activation,
             Rows<T> h, const T* slope) {
    pass.kernels.activation_moments(activation, !slope, mine.count(), width, h.data, h.stride, slope ? slope : h.data,
                                    h.stride, kSaturatedShare * largest_slope(activation),
                                    pass.work.moments(dense) + mine.begin / kRowChunk, pass.work.alive(thread, dense));
}

DropoutSpec dropout_spec(uint64_t seed, uint64_t step, const Elementwise& layer) {
    const double p = layer.drop_probability;
    DropoutSpec spec;
    spec.key[0] = static_cast<uint32_t>(seed);
    spec.key[1] = static_cast<uint32_t>(seed >> 32);
    spec.layer = static_cast<uint32_t>(layer.layer);
    spec.step = static_cast<uint32_t>(step);
    spec.keep_none = p >= 1;
    spec.threshold = spec.keep_none ? 0 : static_cast<uint32_t>(p * 0x1p32);
    spec.scale = spec.keep_none ? 0 : 1 / (1 - p);
    return spec;
}

// The activations and dropouts of a block: h from `from`, and in delta(block) the derivative of h by `from`, which may
// stand there itself. Where h tells the derivative, `from` may be h, and delta(block) is left alone.
template <class T>
void run_chain(Pass<T>& pass, int thread, RowRange mine, Index number, Rows<T> from) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    T* h = work.output(number) + mine.begin * stride;
    T* slope = work.delta(number) + mine.begin * stride;
    T* scratch = work.scratch(mine.begin);
    bool first = true;
    for (const Elementwise& layer : block.chain) {
        if (layer.is_dropout) {
            if (first)
                for (Index r = 0; r < mine.count(); ++r)
                    std::copy_n(from.data + r * from.stride, block.width, h + r * stride);
            pass.kernels.dropout(dropout_spec(pass.dropout_seed, pass.dropout_step, layer), mine.count(), mine.begin,
                                 block.width, h, stride, slope, stride, first);
        } else {
            const bool measured = layer.measures != kNone && pass.collect == Collect::full;
            T* own_slope = block.slope_from_output ? nullptr : first ? slope : scratch;
            const Rows<T> source = first ? from : Rows<T>{h, stride};
            pass.kernels.activate(layer.activation, mine.count(), block.width, source.data, source.stride, h, stride,
                                  own_slope, stride);
            if (measured)
                measure<T>(pass, thread, mine, layer.measures, block.width, layer.activation, {h, stride}, own_slope);
            if (!first)
                pass.kernels.backpropagate(layer.activation, false, mine.count(), block.width, scratch, stride, slope,
                                           stride, slope, stride, nullptr);
        }
        first = false;
    }
}

// Where a block's product goes, and where what the elementwise layers read.
template <class T>
struct Targets {
    T* z;
    T* after_norm;
};

template <class T>
Targets<T> targets(Pass<T>& pass, Index number, Index first_row) {
    const Block& block = pass.plan.blocks[number];
    const Index at = first_row * pass.work.stride(number);
    const bool in_output = block.chain.empty() || block.slope_from_output;
    T* after_norm = (in_output ? pass.work.output(number) : pass.work.delta(number)) + at;
    return {block.normalizes() ? pass.work.normalized(number) + at : after_norm, after_norm};
}

// All of a block but its product, which is `in` where there is one.
template <class T>
void finish_block(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number, Rows<T> in) {
    const Block& block = pass.plan.blocks[number];
    const Index stride = pass.work.stride(number);
    const auto [z, after_norm] = targets(pass, number, mine.begin);
    if (block.measures_output && pass.collect == Collect::full)
        measure<T>(pass, thread, mine, block.dense, block.width, {ActivationKind::identity, 0, 0}, in, nullptr);
    if (block.join) {
        join_rows(pass, mine, *block.join, block.width, in.data, in.stride, z, stride);
        in = {z, stride};
    }
    if (block.layer_norm != kNone) {
        layer_norm_rows(pass, mine, number, in.data, in.stride, after_norm, stride);
        in = {after_norm, stride};
    }
    if (block.norm != kNone) {
        if (in.data != z)
            for (Index r = 0; r < mine.count(); ++r) std::copy_n(in.data + r * in.stride, block.width, z + r * stride);
        take_batch_statistics(pass, team, thread, mine, number);
        if (pass.stopped) return;
        // A chunk goes through all that follows while it is in the first cache.
        for (RowRange chunk{mine.begin, mine.begin}; chunk.begin < mine.end; chunk.begin = chunk.end) {
            chunk.end = std::min(chunk.begin + kRowChunk, mine.end);
            T* y = after_norm + (chunk.begin - mine.begin) * stride;
            batch_norm_rows(pass, thread, chunk, number, y);
            if (!block.chain.empty()) run_chain(pass, thread, chunk, number, {y, stride});
        }
        return;
    }
    if (!block.chain.empty()) run_chain(pass, thread, mine, number, in);
}

}  // namespace

template <class T>
void forward_rows(Pass<T>& pass, Team& team, int thread, RowRange mine) {
    Workspace<T>& work = pass.work;
    Rows<T> in{pass.input + mine.begin * pass.input_stride, pass.input_stride};
    if (pass.collect == Collect::full && mine.begin == rows_of_thread(pass.rows, thread, team.size()).begin)
        for (size_t dense = 0; dense < pass.plan.dense_blocks.size(); ++dense)
            std::fill_n(work.alive(thread, dense), pass.plan.blocks[pass.plan.dense_blocks[dense]].width, T(0));
    for (Index number = 0; number < static_cast<Index>(pass.plan.blocks.size()); ++number) {
        const Block& block = pass.plan.blocks[number];
        if (thread == 0) pass.interrupt.poll(static_cast<double>(mine.count()) * block.work_per_row());
        if (pass.abandoned()) return;
        const Index stride = work.stride(number);
        if (block.dense != kNone) {
            const auto [z, after_norm] = targets(pass, number, mine.begin);
            forward_product(pass, team, thread, mine, number, in.data, in.stride, z,
                            {.b = pass.parameters.values(block.weight_after), .written = after_norm});
            in = {z, stride};
        }
        if (pass.stopped) return;
        if (!pass.only_helps(thread)) finish_block(pass, team, thread, mine, number, in);
        if (pass.stopped) return;
        in = {work.output(number) + mine.begin * stride, stride};
    }
}

template <class T>
Index evaluation_scratch_size(const Plan& plan, Index rows) {
    return ((2 + plan.residual_depth) * rows + 1) * padded<T>(plan.max_width);
}

template <class T>
void evaluate_rows(const Pass<T>& pass, RowRange mine, T* scratch, T* out, Index out_stride) {
    const Index stride = padded<T>(pass.plan.max_width);
    T* spare[2] = {scratch, scratch + mine.count() * stride};
    for (Index r = 0; r < mine.count(); ++r)
        std::copy_n(pass.input + (mine.begin + r) * pass.input_stride, pass.plan.in_features, spare[0] + r * stride);
    T* skipped = scratch + 2 * mine.count() * stride;
    T* inverse_std = scratch + (2 + pass.plan.residual_depth) * mine.count() * stride;
    keep_skipped_rows(pass, mine.count(), kNone, spare[0], skipped, stride);
    for (Index number = 0; number < static_cast<Index>(pass.plan.blocks.size()); ++number) {
        const Block& block = pass.plan.blocks[number];
        if (block.dense != kNone) {
            pass.kernels.matmul(mine.count(), block.in_width, block.width, spare[0], stride,
                                pass.parameters.values(block.weight), pass.parameters.values_or_null(block.bias),
                                spare[1], stride, {.b = pass.parameters.values(block.weight_after)});
            std::swap(spare[0], spare[1]);
        }
        if (block.join)
            pass.kernels.residual(mine.count(), block.width, skipped + block.join->depth * mine.count() * stride,
                                  stride, block.join->scale, spare[0], stride, spare[0], stride);
        if (block.layer_norm != kNone) layer_norm_evaluate(pass, block, mine.count(), spare[0], stride);
        if (block.norm != kNone) batch_norm_evaluate(pass, block, mine.count(), spare[0], stride, inverse_std);
        for (const Elementwise& layer : block.chain)
            if (!layer.is_dropout)
                pass.kernels.activate(layer.activation, mine.count(), block.width, spare[0], stride, spare[0], stride,
                                      nullptr, 0);
        keep_skipped_rows(pass, mine.count(), number, spare[0], skipped, stride);
    }
    for (Index r = 0; r < mine.count(); ++r)
        std::copy_n(spare[0] + r * stride, pass.plan.out_features, out + (mine.begin + r) * out_stride);
}

#define GM_INSTANTIATE(T)                                          \
    template void forward_rows(Pass<T>&, Team&, int, RowRange);    \
    template Index evaluation_scratch_size<T>(const Plan&, Index); \
    template void evaluate_rows(const Pass<T>&, RowRange, T*, T*, Index);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
