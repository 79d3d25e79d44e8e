#include "network/workspace.hpp"

#include <algorithm>
#include <utility>

namespace gradiometer {
namespace {

// Rows at a distance of a multiple of 1 KiB share few sets of the cache; one more line between them spreads them out.
template <class T>
Index row_stride(Index width) {
    const Index stride = padded<T>(width);
    constexpr Index kKibibyte = 1024 / static_cast<Index>(sizeof(T));
    return stride % kKibibyte == 0 ? stride + padded<T>(1) : stride;
}

Index chunk_count(Index inner) {
    return (inner + kInnerChunk - 1) / kInnerChunk;
}

}  // namespace

template <class T>
Workspace<T>::Workspace(const Plan& plan, Index tasks) : plan_(plan), tasks_(tasks) {
    layout_.input_stride = row_stride<T>(plan.in_features);
    layout_.scratch_stride = row_stride<T>(plan.max_width);
    layout_.row_size = layout_.input_stride;
    const auto place = [&](Index stride) {
        const Index offset = layout_.row_size;
        layout_.row_size += stride;
        return offset;
    };
    for (const Block& block : plan.blocks) {
        layout_.strides.push_back(row_stride<T>(block.width));
        layout_.output_offsets.push_back(place(layout_.strides.back()));
        const bool apart = block.layer_norm != kNone || (block.norm != kNone && block.stores_slope());
        layout_.normalized_offsets.push_back(apart ? place(layout_.strides.back()) : kNone);
    }
    for (const Index stride : layout_.strides) layout_.delta_offsets.push_back(place(stride));
    place_deltas_that_take_turns();
    for (size_t i = 0; i < plan.blocks.size(); ++i)
        if (layout_.normalized_offsets[i] == kNone) layout_.normalized_offsets[i] = layout_.delta_offsets[i];
    layout_.deltas_end = layout_.row_size;
    layout_.input_gradient_offset = place(layout_.input_stride);
    layout_.targets_offset = place(padded<T>(plan.out_features));
    for (const NormSpec& norm : plan.norms) {
        layout_.norm_offsets.push_back(layout_.norm_size);
        layout_.norm_size += padded<T>(norm.width);
        layout_.max_norm_width = std::max(layout_.max_norm_width, padded<T>(norm.width));
    }
    for (const Index block : plan.layer_norm_blocks) {
        layout_.layer_norm_offsets.push_back(layout_.layer_norm_size);
        layout_.layer_norm_size += padded<T>(plan.blocks[block].width);
    }
    for (const Index block : plan.dense_blocks) {
        layout_.alive_offsets.push_back(layout_.alive_size);
        layout_.alive_size += padded<T>(plan.blocks[block].width);
    }
    for (const ParameterSpec& p : plan.parameters) {
        layout_.sums_offsets.push_back(layout_.sums_size);
        layout_.sums_size += chunk_count(p.inner) * padded<T>(p.columns);
        layout_.factor_offsets.push_back(layout_.factors_size);
        layout_.factors_size += padded<T>(p.columns);
    }
}

template <class T>
void Workspace<T>::place_deltas_that_take_turns() {
    // What forward leaves there must stay, and so must what a residual connection skips to.
    for (const Block& block : plan_.blocks)
        if (block.normalizes() || block.stores_slope() || block.join) return;
    size_t widest[2] = {0, 1};
    for (size_t i = 0; i < layout_.strides.size(); ++i)
        if (layout_.strides[i] > layout_.strides[widest[i % 2]]) widest[i % 2] = i;
    even_delta_offset_ = layout_.delta_offsets[widest[0]];
    odd_delta_offset_ = layout_.delta_offsets[std::min(widest[1], layout_.strides.size() - 1)];
}

template <class T>
void Workspace<T>::reserve(Index rows, int threads, Collect collect) {
    const int wanted = collect == Collect::nothing ? 0 : collect == Collect::full ? kSquareSums<T> + 1 : kSquareSums<T>;
    const bool more_rows = rows > memory_.rows;
    const bool more_threads = threads > memory_.threads;
    const bool more_sums = wanted > memory_.column_sums;
    if (!more_rows && !more_threads && !more_sums) return;
    // If there is not enough of it, an exception leaves an empty memory, not one that says it suffices.
    WorkspaceMemory<T> memory = std::exchange(memory_, {});
    memory.rows = std::max(rows, memory.rows);
    memory.threads = std::max(threads, memory.threads);
    if (more_rows) {
        memory.chunks = (memory.rows + kRowChunk - 1) / kRowChunk;
        memory.arena = AlignedArray<T>(memory.rows * layout_.row_size);
        memory.scratch = AlignedArray<T>(memory.rows * layout_.scratch_stride);
        memory.norm_partials = AlignedArray<T>(8 * memory.chunks * layout_.max_norm_width);
        memory.row_inverse_std = AlignedArray<T>(static_cast<Index>(layout_.layer_norm_offsets.size()) * memory.rows);
        memory.layer_norm_partials = AlignedArray<T>(2 * memory.chunks * layout_.layer_norm_size);
        memory.row_loss = AlignedArray<double>(memory.rows);
        memory.row_scale = AlignedArray<double>(memory.rows);
        memory.labels = AlignedArray<int64_t>(memory.rows);
        memory.gradient_squares.resize(plan_.parameters.size());
        const Index dense = static_cast<Index>(plan_.dense_blocks.size());
        memory.delta_squares = AlignedArray<ChunkSquares>(dense * memory.chunks);
        memory.moments = AlignedArray<ActivationMoments>(dense * memory.chunks);
    }
    if (more_rows || more_threads) {
        memory.norm_merged = AlignedArray<T>(memory.threads * 3 * layout_.norm_size);
        memory.alive = AlignedArray<T>(memory.threads * layout_.alive_size);
        if (packs(std::max(layout_.input_stride, layout_.scratch_stride)))
            memory.packed = AlignedArray<T>(memory.threads * memory.rows * kInnerChunk);
    }
    if (more_sums) {
        memory.column_sums = wanted;
        memory.gradient_sums = AlignedArray<double>(layout_.sums_size * wanted);
        if (collect == Collect::full) {
            memory.update_squares = AlignedArray<double>(layout_.sums_size * 2 * kSquareSums<T>);
            memory.entry_counts.resize(tasks_);
        }
    }
    memory_ = std::move(memory);
}

template <class T>
void Workspace<T>::reserve_adaptive_clip() {
    if (memory_.clip_factors.size() > 0) return;
    memory_.weight_squares = AlignedArray<double>(layout_.sums_size * kSquareSums<T>);
    memory_.clip_factors = AlignedArray<T>(2 * layout_.factors_size);
}

template class Workspace<float>;
template class Workspace<double>;

}  // namespace gradiometer
