#include "network/workspace.hpp"

#include <algorithm>

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
Workspace<T>::Workspace(const Plan& plan) : plan_(plan), gradient_squares_(plan.parameters.size()) {
    input_stride_ = row_stride<T>(plan.in_features);
    scratch_stride_ = row_stride<T>(plan.max_width);
    row_size_ = input_stride_;
    const auto place = [&](Index stride) {
        const Index offset = row_size_;
        row_size_ += stride;
        return offset;
    };
    for (const Block& block : plan.blocks) {
        strides_.push_back(row_stride<T>(block.width));
        output_offsets_.push_back(place(strides_.back()));
        normalized_offsets_.push_back(block.normalizes() ? place(strides_.back()) : 0);
    }
    for (const Index stride : strides_) delta_offsets_.push_back(place(stride));
    deltas_end_ = row_size_;
    input_gradient_offset_ = place(input_stride_);
    targets_offset_ = place(padded<T>(plan.out_features));
    for (const NormSpec& norm : plan.norms) {
        norm_offsets_.push_back(norm_size_);
        norm_size_ += padded<T>(norm.width);
    }
    for (const Index block : plan.layer_norm_blocks) {
        layer_norm_offsets_.push_back(layer_norm_size_);
        layer_norm_size_ += padded<T>(plan.blocks[block].width);
    }
    for (const Index block : plan.dense_blocks) {
        alive_offsets_.push_back(alive_size_);
        alive_size_ += padded<T>(plan.blocks[block].width);
    }
    for (const ParameterSpec& p : plan.parameters) {
        statistics_offsets_.push_back(statistics_size_);
        statistics_size_ += chunk_count(p.inner) * padded<T>(p.columns);
        factor_offsets_.push_back(factors_size_);
        factors_size_ += padded<T>(p.columns);
    }
}

template <class T>
void Workspace<T>::reserve(Index rows, int threads, Collect collect) {
    const bool more_rows = rows > rows_;
    const bool more_threads = threads > threads_;
    rows_ = std::max(rows, rows_);
    threads_ = std::max(threads, threads_);
    if (more_rows) {
        chunks_ = (rows_ + kRowChunk - 1) / kRowChunk;
        arena_ = AlignedArray<T>(rows_ * row_size_);
        scratch_ = AlignedArray<T>(rows_ * scratch_stride_);
        norm_partials_ = AlignedArray<T>(4 * chunks_ * norm_size_);
        row_inverse_std_ = AlignedArray<T>(static_cast<Index>(layer_norm_offsets_.size()) * rows_);
        layer_norm_partials_ = AlignedArray<T>(2 * chunks_ * layer_norm_size_);
        row_loss_ = AlignedArray<double>(rows_);
        row_scale_ = AlignedArray<double>(rows_);
        labels_ = AlignedArray<int64_t>(rows_);
        const Index dense = static_cast<Index>(plan_.dense_blocks.size());
        delta_squares_ = AlignedArray<ChunkSquares>(dense * chunks_);
        moments_ = AlignedArray<ActivationMoments>(dense * chunks_);
    }
    if (more_rows || more_threads) {
        norm_merged_ = AlignedArray<T>(threads_ * 3 * norm_size_);
        alive_ = AlignedArray<T>(threads_ * alive_size_);
    }
    const int wanted = collect == Collect::nothing ? 0
                       : collect == Collect::full  ? kColumnStatistics
                                                   : kSquareStatistics;
    if (wanted > column_count_) {
        column_count_ = wanted;
        gradient_statistics_ = AlignedArray<double>(statistics_size_ * column_count_);
        if (collect == Collect::full) update_statistics_ = AlignedArray<double>(statistics_size_ * 6);
    }
}

template <class T>
double* Workspace<T>::gradient_statistics(Index parameter, Index chunk) {
    const Index columns = padded<T>(plan_.parameters[parameter].columns);
    return gradient_statistics_.data() + (statistics_offsets_[parameter] + chunk * columns) * column_count_;
}

template <class T>
double* Workspace<T>::update_statistics(Index parameter, Index chunk) {
    const Index columns = padded<T>(plan_.parameters[parameter].columns);
    return update_statistics_.data() + (statistics_offsets_[parameter] + chunk * columns) * 6;
}

template <class T>
void Workspace<T>::reserve_adaptive_clip() {
    if (clip_factors_.size() > 0) return;
    weight_squares_ = AlignedArray<double>(statistics_size_ * kSquareStatistics);
    clip_factors_ = AlignedArray<T>(2 * factors_size_);
}

template <class T>
double* Workspace<T>::weight_squares(Index parameter, Index chunk) {
    const Index columns = padded<T>(plan_.parameters[parameter].columns);
    return weight_squares_.data() + (statistics_offsets_[parameter] + chunk * columns) * kSquareStatistics;
}

template class Workspace<float>;
template class Workspace<double>;

}  // namespace gradiometer
