// The memory of one batch: activations, deltas, partial statistics. Allocated once for the largest batch seen, so that
// a step allocates nothing.
#pragma once

#include <vector>

#include "meter/square_sum.hpp"
#include "network/aligned_array.hpp"
#include "network/plan.hpp"

namespace gradiometer {

// How much a pass measures. `squares`: sums of squares of every gradient, which clipping needs too; `norms`: of the
// deltas as well; `full`: everything a recording can hold.
enum class Collect { nothing, squares, norms, full };

template <class T>
class Workspace {
  public:
    explicit Workspace(const Plan& plan);

    // Makes room for `rows` rows in `threads` threads; what an earlier batch left is lost if the room has to grow.
    void reserve(Index rows, int threads, Collect collect);

    // Row strides of the matrices below, in elements.
    Index input_stride() const { return input_stride_; }
    Index stride(Index block) const { return strides_[block]; }
    Index scratch_stride() const { return scratch_stride_; }

    T* input() { return arena_.data(); }  // rows × in_features: a batch that was gathered or must be padded
    // h, what a block hands on. At a fixed place: a block without elementwise layers has its product here.
    T* output(Index block) { return arena_.data() + rows_ * output_offsets_[block]; }
    // Forward leaves the derivative of the chain of elementwise layers here; backward overwrites it with dL/dz of the
    // block's dense layer, which the weight gradient reads.
    T* delta(Index block) { return arena_.data() + rows_ * delta_offsets_[block]; }
    // The deltas of all blocks, one after the other.
    T* all_deltas() { return delta(0); }
    Index all_deltas_size() const { return rows_ * (deltas_end_ - delta_offsets_[0]); }
    T* normalized(Index block) { return arena_.data() + rows_ * normalized_offsets_[block]; }  // of a norm
    T* input_gradient() { return arena_.data() + rows_ * input_gradient_offset_; }
    T* targets() { return arena_.data() + rows_ * targets_offset_; }  // rows × out_features, dense

    // Room for one matrix of the rows from `first_row` on, of any width of the network.
    T* scratch(Index first_row) { return scratch_.data() + first_row * scratch_stride_; }

    // Batch norm number `norm`: per-chunk partial results of all threads (chunks × padded width; two arrays for forward
    // and two for backward, which a fast thread may reach while a slow one still merges those of forward), and each
    // thread's own merged copy (three arrays; backward uses the first two again).
    T* norm_partial(Index norm, int which) {
        return norm_partials_.data() + chunks_ * 4 * norm_offsets_[norm] + which * chunks_ * padded_norm_width(norm);
    }
    T* norm_merged(Index norm, int thread, int which) {
        return norm_merged_.data() + thread * 3 * norm_size_ + 3 * norm_offsets_[norm] +
               which * padded_norm_width(norm);
    }

    // Layer norm number `norm`: 1 / std of each row; sums for gamma and beta of each chunk of rows (chunks × padded
    // width; 0: of dy, 1: of dy · x̂).
    T* row_inverse_std(Index norm) { return row_inverse_std_.data() + norm * rows_; }
    T* layer_norm_partial(Index norm, int which) {
        const Index width = padded<T>(plan_.blocks[plan_.layer_norm_blocks[norm]].width);
        return layer_norm_partials_.data() + chunks_ * 2 * layer_norm_offsets_[norm] + which * chunks_ * width;
    }

    double* row_loss() { return row_loss_.data(); }
    double* row_scale() { return row_scale_.data(); }
    int64_t* labels() { return labels_.data(); }

    // Of each chunk of rows of a dense layer: squares of its deltas, moments of its activation.
    ChunkSquares* delta_squares(Index dense) { return delta_squares_.data() + dense * chunks_; }
    ActivationMoments* moments(Index dense) { return moments_.data() + dense * chunks_; }
    T* alive(int thread, Index dense) { return alive_.data() + thread * alive_size_ + alive_offsets_[dense]; }

    // Statistics of the columns of a chunk of a parameter's gradient: column_statistics_count() × padded columns
    // doubles.
    int column_statistics_count() const { return column_count_; }
    double* gradient_statistics(Index parameter, Index chunk);
    double* update_statistics(Index parameter, Index chunk);  // weight squares, then update squares: 3 + 3

    // Sums of squares of whole parameters' gradients.
    SquareSum& gradient_squares(Index parameter) { return gradient_squares_[parameter]; }

    // For adaptive clipping: squares of the columns of a chunk of a parameter, three arrays; and two factors for each
    // column of a parameter, whose product its gradient is multiplied by. Both have padded columns.
    void reserve_adaptive_clip();
    double* weight_squares(Index parameter, Index chunk);
    T* clip_factors(Index parameter) { return clip_factors_.data() + 2 * factor_offsets_[parameter]; }

    Index chunks() const { return chunks_; }

  private:
    Index padded_norm_width(Index norm) const { return padded<T>(plan_.norms[norm].width); }

    const Plan& plan_;
    Index rows_ = 0, chunks_ = 0;
    int threads_ = 0;
    int column_count_ = 0;
    Index row_size_ = 0, input_stride_ = 0, scratch_stride_ = 0, norm_size_ = 0, alive_size_ = 0;
    Index input_gradient_offset_ = 0, targets_offset_ = 0, statistics_size_ = 0, deltas_end_ = 0;
    std::vector<Index> strides_, output_offsets_, delta_offsets_, normalized_offsets_, norm_offsets_, alive_offsets_;
    std::vector<Index> layer_norm_offsets_;
    std::vector<Index> statistics_offsets_;  // in columns of doubles, of each parameter
    std::vector<Index> factor_offsets_;      // in columns, of each parameter
    Index layer_norm_size_ = 0, factors_size_ = 0;
    AlignedArray<T> arena_, scratch_, norm_partials_, norm_merged_, alive_, row_inverse_std_, layer_norm_partials_,
        clip_factors_;
    AlignedArray<double> row_loss_, row_scale_, gradient_statistics_, update_statistics_, weight_squares_;
    std::vector<SquareSum> gradient_squares_;  // of each parameter
    AlignedArray<int64_t> labels_;
    AlignedArray<ChunkSquares> delta_squares_;
    AlignedArray<ActivationMoments> moments_;
};

}  // namespace gradiometer
