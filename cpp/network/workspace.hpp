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

// Where everything stands: what depends on the layers alone. Offsets are in elements, of matrices for each row.
struct WorkspaceLayout {
    Index row_size = 0, input_stride = 0, scratch_stride = 0, alive_size = 0;
    Index norm_size = 0, max_norm_width = 0;
    Index input_gradient_offset = 0, targets_offset = 0, sums_size = 0, deltas_end = 0;
    std::vector<Index> strides, output_offsets, delta_offsets, normalized_offsets, norm_offsets, alive_offsets;
    std::vector<Index> layer_norm_offsets;
    std::vector<Index> sums_offsets;    // in columns of doubles, of each parameter
    std::vector<Index> factor_offsets;  // in columns, of each parameter
    Index layer_norm_size = 0, factors_size = 0;
    bool operator==(const WorkspaceLayout&) const = default;
};

// The memory itself, and for how much it suffices.
template <class T>
struct WorkspaceMemory {
    Index rows = 0, chunks = 0;
    int threads = 0;
    int column_sums = 0;
    AlignedArray<T> arena, scratch, packed, norm_partials, norm_merged, alive, row_inverse_std, layer_norm_partials,
        clip_factors;
    AlignedArray<double> row_loss, row_scale, gradient_sums, update_squares, weight_squares;
    std::vector<SquareSum> gradient_squares;  // of each parameter
    AlignedArray<int64_t> labels;
    AlignedArray<ChunkSquares> delta_squares;
    AlignedArray<ActivationMoments> moments;
    std::vector<EntryCounts> entry_counts;
};

template <class T>
class Workspace {
  public:
    // Of a network whose parameters make so many tasks.
    Workspace(const Plan& plan, Index tasks);

    // Makes room for `rows` rows in `threads` threads; what an earlier batch left is lost if the room has to grow.
    void reserve(Index rows, int threads, Collect collect);

    // Row strides of the matrices below, in elements.
    Index input_stride() const { return layout_.input_stride; }
    Index stride(Index block) const { return layout_.strides[block]; }
    Index scratch_stride() const { return layout_.scratch_stride; }

    T* input() { return memory_.arena.data(); }  // rows × in_features: a batch that was gathered or must be padded
    // h, what a block hands on. At a fixed place: a block without elementwise layers has its product here.
    T* output(Index block) { return memory_.arena.data() + memory_.rows * layout_.output_offsets[block]; }
    // Forward leaves the derivative of the chain of elementwise layers here, or, if that need not be stored, what batch
    // norm normalized; backward overwrites it with dL/dz of the block's dense layer, which the weight gradient reads.
    T* delta(Index block) {
        const Index shared = block % 2 ? odd_delta_offset_ : even_delta_offset_;
        return memory_.arena.data() + memory_.rows * (deltas_take_turns_ ? shared : layout_.delta_offsets[block]);
    }
    // Whether the deltas of all blocks stand at two places by turns, which stay in the cache. Nothing is done where
    // some of them are needed for longer.
    void let_deltas_take_turns(bool wanted) { deltas_take_turns_ = wanted && even_delta_offset_ != kNone; }
    // The deltas of all blocks, one after the other, where they do not take turns.
    T* all_deltas() { return memory_.arena.data() + memory_.rows * layout_.delta_offsets[0]; }
    Index all_deltas_size() const { return memory_.rows * (layout_.deltas_end - layout_.delta_offsets[0]); }
    T* normalized(Index block) {
        return memory_.arena.data() + memory_.rows * layout_.normalized_offsets[block];
    }  // of a norm
    T* input_gradient() { return memory_.arena.data() + memory_.rows * layout_.input_gradient_offset; }
    T* targets() { return memory_.arena.data() + memory_.rows * layout_.targets_offset; }  // rows × out_features, dense

    // Room for one matrix of the rows from `first_row` on, of any width of the network.
    T* scratch(Index first_row) { return memory_.scratch.data() + first_row * layout_.scratch_stride; }

    // Whether columns of a matrix are packed before an outer product goes down them: no processor foresees the next one
    // of rows that are so far apart. There is room for a chunk of columns of each thread.
    static bool packs(Index stride) { return stride * static_cast<Index>(sizeof(T)) > 2048; }
    T* packed_columns(int thread) { return memory_.packed.data() + thread * memory_.rows * kInnerChunk; }

    // Batch norm number `norm`: partial sums of all threads (chunks × padded width; 0 and 1: forward, 2 and 3:
    // backward), those of a group at the place of its first chunk, and each thread's own merged copy (three arrays;
    // backward uses the first two again). Norms take turns at two sets of partial sums, which so stay in the cache: a
    // fast thread may reach the next norm, or the way back, while a slow one still merges, but there it meets it.
    T* norm_partial(Index norm, int which) {
        return memory_.norm_partials.data() + (norm % 2 * 4 + which) * memory_.chunks * layout_.max_norm_width;
    }
    T* norm_merged(Index norm, int thread, int which) {
        return memory_.norm_merged.data() + thread * 3 * layout_.norm_size + 3 * layout_.norm_offsets[norm] +
               which * padded_norm_width(norm);
    }

    // Layer norm number `norm`: 1 / std of each row; sums for gamma and beta of each chunk of rows (chunks × padded
    // width; 0: of dy, 1: of dy · x̂).
    T* row_inverse_std(Index norm) { return memory_.row_inverse_std.data() + norm * memory_.rows; }
    T* layer_norm_partial(Index norm, int which) {
        const Index width = padded<T>(plan_.blocks[plan_.layer_norm_blocks[norm]].width);
        return memory_.layer_norm_partials.data() + memory_.chunks * 2 * layout_.layer_norm_offsets[norm] +
               which * memory_.chunks * width;
    }

    double* row_loss() { return memory_.row_loss.data(); }
    double* row_scale() { return memory_.row_scale.data(); }
    int64_t* labels() { return memory_.labels.data(); }

    // Of each chunk of rows of a dense layer: squares of its deltas, moments of its activation.
    ChunkSquares* delta_squares(Index dense) { return memory_.delta_squares.data() + dense * memory_.chunks; }
    ActivationMoments* moments(Index dense) { return memory_.moments.data() + dense * memory_.chunks; }
    T* alive(int thread, Index dense) {
        return memory_.alive.data() + thread * alive_stride() + layout_.alive_offsets[dense];
    }
    Index alive_stride() const { return layout_.alive_size; }  // from a thread's to the next one's

    // Sums of the columns of a chunk of a parameter's gradient, arrays of padded columns: squares, and with
    // Collect::full magnitudes. Of its weights before the update and of the change: twice the squares.
    double* gradient_sums(Index parameter, Index chunk) {
        return memory_.gradient_sums.data() + sums_offset(parameter, chunk) * memory_.column_sums;
    }
    double* update_squares(Index parameter, Index chunk) {
        return memory_.update_squares.data() + sums_offset(parameter, chunk) * 2 * kSquareSums<T>;
    }
    // What the gradient that a task computed consists of.
    EntryCounts& entry_counts(Index task) { return memory_.entry_counts[task]; }

    // Sums of squares of whole parameters' gradients.
    SquareSum& gradient_squares(Index parameter) { return memory_.gradient_squares[parameter]; }

    // For adaptive clipping: squares of the columns of a chunk of a parameter; and two factors for each
    // column of a parameter, whose product its gradient is multiplied by. Both have padded columns.
    void reserve_adaptive_clip();
    double* weight_squares(Index parameter, Index chunk) {
        return memory_.weight_squares.data() + sums_offset(parameter, chunk) * kSquareSums<T>;
    }
    T* clip_factors(Index parameter) { return memory_.clip_factors.data() + 2 * layout_.factor_offsets[parameter]; }

    Index chunks() const { return memory_.chunks; }

    // Works in other memory until it is called again with the same: networks of one layout, which a thread takes by
    // turns, need the memory of one. What the batch before left is not there.
    void exchange_memory(WorkspaceMemory<T>& other) { std::swap(memory_, other); }
    const WorkspaceLayout& layout() const { return layout_; }

  private:
    void place_deltas_that_take_turns();
    Index sums_offset(Index parameter, Index chunk) const {
        return layout_.sums_offsets[parameter] + chunk * padded<T>(plan_.parameters[parameter].columns);
    }
    Index padded_norm_width(Index norm) const { return padded<T>(plan_.norms[norm].width); }

    const Plan& plan_;
    Index tasks_;
    WorkspaceLayout layout_;
    // Two deltas are enough where only the product and the gradient right behind it read them: of blocks with even and
    // with odd numbers, at the place of the widest. kNone: they are not.
    Index even_delta_offset_ = kNone, odd_delta_offset_ = kNone;
    bool deltas_take_turns_ = false;
    WorkspaceMemory<T> memory_;
};

}  // namespace gradiometer
