// The table of kernels: every loop over a batch that the engine runs. One table for each instruction set and element
// type; dispatch.hpp chooses one when the library is loaded.
//
// Conventions
//   Row-major matrix   element (r, c) stands at p[r * stride + c]. "Padded" means that the row has room for the columns
//                      rounded up to a whole number of kAlignment bytes, and that kernels may read and write the room.
//                      What they leave there is finite where the input is, and zero in every gradient.
//   Panels             a matrix (inner × columns) stored as [columns / panel][inner][panel], the layout that a matrix
//                      product reads from front to back. The last panel is as wide as its columns, rounded up to a
//                      vector. kernels/panel.hpp has the arithmetic.
//   Chunks             rows of a batch are summed in chunks of kRowChunk, rows of a parameter in chunks of
//                      kInnerChunk; partial results of chunks are merged in order, so that neither the number of
//                      threads nor the width of a vector can be seen in a result.
//   SquareSums         three doubles: see meter/square_sum.hpp. A float fills only the middle one.
// Every output is overwritten, unless its comment says "accumulates".
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace gradiometer {

using Index = ptrdiff_t;

constexpr Index kAlignment = 64;    // bytes: a cache line, and the widest vector
constexpr Index kRowChunk = 8;      // rows of a batch
constexpr Index kInnerChunk = 128;  // rows of a parameter in panels; a multiple of every panel width

enum class ActivationKind : int {
    identity,
    relu,
    leaky_relu,
    elu,
    selu,
    gelu,
    gelu_tanh,
    silu,
    mish,
    softplus,
    softsign,
    sigmoid,
    tanh,
    hardtanh,
    hardswish,
};

// first, second: negative_slope; alpha; beta and threshold; min_val and max_val.
struct ActivationSpec {
    ActivationKind kind;
    double first;
    double second;
};

struct DropoutSpec {
    uint32_t key[2];  // the seed
    uint32_t layer;   // index in the network's list of layers
    uint32_t step;
    uint32_t threshold;  // a unit is kept when its random word is not below this
    bool keep_none;      // p = 1, for which no threshold stands
    double scale;        // of the survivors, 1 / (1 - p)
};

// How many sums of squares a norm needs: those of small, medium and large entries (see meter/square_sum.hpp); the
// square of a float always fits the medium one.
template <class T>
constexpr int kSquareSums = sizeof(T) == sizeof(float) ? 1 : 3;

enum class UpdateRule : int { sgd, adam, adamw, rmsprop };

// One optimizer step, as in torch.optim; see update_rules.hpp for the formulas.
struct UpdateSpec {
    UpdateRule rule;
    bool first_step;  // momentum buffers start as the gradient
    bool nesterov;
    bool clip_values;  // each entry to [-clip_limit, clip_limit], before anything else
    double clip_limit;
    double gradient_scale;  // clip coefficient
    double learning_rate;
    double weight_decay;
    double momentum;
    double dampening;
    double beta1, beta2, epsilon;     // RMSprop's alpha is beta2
    double correction1, correction2;  // 1 - beta1^t and 1 - beta2^t
};

// A coefficient below this is applied in two factors, the first of them this power of two.
constexpr double kSmallCoefficient = 0x1p-100;
constexpr double kCoefficientPower = 0x1p-64;

// Results for one chunk of rows.

// Sums of squares of the entries.
struct ChunkSquares {
    double small, medium, large;
};

// Statistics of the output of an activation.
struct ActivationMoments {
    double mean;
    double squared_deviations;  // from this chunk's own mean, in units of unit²
    double unit;                // 1, or where squares would leave the range of a double, a power of two
    double saturated;  // entries whose |derivative| is below the threshold: those of all rows that were measured
                       // together, in their first chunk
};

// What a chunk of one panel of a gradient consists of.
struct EntryCounts {
    double largest = 0;  // magnitude; a NaN where there is one
    Index zeros = 0, subnormals = 0, nonfinite = 0;
};

// What will be wanted after a product, and is asked for on the way; all of it hints: any address, or null. A product of
// a hundred rows takes as long as its data need to come from memory, if they are asked for in time.
template <class T>
struct Ahead {
    const T* a = nullptr;  // outer product: the x of the next one, at its first k, if that is another one
    Index a_stride = 0;    // and its stride
    const T* b = nullptr;  // the b, or dy, of the next product
    // b comes in blocks of so many rows, so far apart (0: in one piece).
    Index b_block = 0, b_distance = 0;
    // Rows laid out like c (for the outer product: like out) that are read or written next. Lines to be written are
    // taken away from the other processors: a store into a line that one of them holds waits for its answer, and so do
    // all stores behind it.
    const T* read = nullptr;
    const T* written = nullptr;
};

template <class T>
struct KernelTable {
    const char* isa;
    Index lanes;  // elements of a vector
    Index panel;  // columns of a full panel, two vectors

    // Kernels look closer at all data of a thread after the processor has met a subnormal number there, which costs
    // some time; until this is called. It shows in no result. (On x86 it clears the DE flag of MXCSR, no mode.)
    void (*forget_subnormals)();

    // ---- matrix products: matmul.hpp. One chain of fused multiply-adds for each output, in T, in order of the inner
    // ---- index (of the row, for the outer product).

    // c (rows × columns, padded) = bias + a (rows × inner) · b (inner × columns, panels). bias is padded, or null.
    void (*matmul)(Index rows, Index inner, Index columns, const T* a, Index a_stride, const T* b, const T* bias, T* c,
                   Index c_stride, const Ahead<T>& ahead);
    // c (rows × columns, padded) = a (rows × inner) · bᵀ, with b (columns × inner) in panels: the way back through a
    // layer. Of c, only the columns begin … end, whole panels, are computed.
    void (*matmul_transposed)(Index rows, Index inner, Index columns, Index begin, Index end, const T* a,
                              Index a_stride, const T* b, T* c, Index c_stride, const Ahead<T>& ahead);
    // A chunk of one panel, `vectors` wide (1 or 2): out[k][column] = Σ_r x[r][k] · dy[r][column] for k below `inner`;
    // x and dy point at the chunk's and the panel's first column. With a stride of 0, x is what pack_columns made of
    // it.
    void (*outer_product)(Index rows, Index inner, const T* x, Index x_stride, const T* dy, Index dy_stride,
                          Index vectors, T* out, const Ahead<T>& ahead);
    // `inner` columns of x in the order in which an outer product reads them: worth it where rows are far apart and
    // many panels meet the same columns. Writes rows × inner elements.
    void (*pack_columns)(Index rows, Index inner, const T* x, Index x_stride, T* out);
    // Row-major (columns × inner, as a state dict has a weight) to panels of the (inner × columns) matrix, and back.
    void (*pack_transposed)(Index inner, Index columns, const T* row_major, T* panels);
    void (*unpack_transposed)(Index inner, Index columns, const T* panels, T* row_major);

    // ---- activations: activate.hpp, dropout.hpp. All matrices padded.

    // h = φ(z), and derivative = φ′(z) unless null. h and derivative may be z itself.
    void (*activate)(ActivationSpec spec, Index rows, Index columns, const T* z, Index z_stride, T* h, Index h_stride,
                     T* derivative, Index derivative_stride);
    // h *= mask · scale in place; unless null, derivative *= the same, or = where `overwrite`.
    void (*dropout)(const DropoutSpec& spec, Index rows, Index first_row, Index columns, T* h, Index h_stride,
                    T* derivative, Index derivative_stride, bool overwrite);
    // dz = dh · φ′. `kept` is φ′, or with from_output h = φ(z), where slope_from_output(spec) says that it is enough.
    // dz may be dh or kept. Unless null, squares gets those of dz for each chunk of rows.
    void (*backpropagate)(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* dh,
                          Index dh_stride, const T* kept, Index kept_stride, T* dz, Index dz_stride,
                          ChunkSquares* squares);

    // ---- batch norm: batch_norm.hpp. A group is some chunks of rows; `rows` is at most one chunk in *_chunk.
    // Per-column arrays padded.

    // Mean of each column over a group of rows, and sum of squared deviations from it; in T.
    void (*batch_norm_group)(Index rows, Index columns, const T* z, Index stride, T* mean, T* squared_deviations);
    // Merges groups of `group` rows (each array groups × group_stride) in double: mean, biased variance,
    // 1 / sqrt(variance + eps).
    void (*batch_norm_merge)(Index batch, Index group, Index columns, const T* means, const T* squared_deviations,
                             Index group_stride, double eps, T* mean, T* variance, T* inverse_std);
    // normalized = (z - mean) · inverse_std, in place if the same; y = gamma · normalized + beta (null: 1 and 0).
    // normalized may be null.
    void (*batch_norm_apply)(Index rows, Index columns, const T* z, Index z_stride, const T* mean, const T* inverse_std,
                             const T* gamma, const T* beta, T* normalized, Index normalized_stride, T* y,
                             Index y_stride);
    // Column sums of dy and of dy · normalized over the chunk, in T; with `accumulate`, they are added to what is
    // there.
    void (*batch_norm_backward_chunk)(Index rows, Index columns, const T* dy, Index dy_stride, const T* normalized,
                                      Index normalized_stride, bool accumulate, T* sum, T* product_sum);
    // out = Σ over the chunks (or groups) of a chunk_stride-spaced array, in double, rounded to T.
    void (*sum_chunks)(Index chunks, Index columns, const T* partial, Index chunk_stride, T* out);
    // dz = gamma · inverse_std · (dy - sum / batch - normalized · product_sum / batch). dz may be dy or normalized.
    void (*batch_norm_backward_apply)(Index rows, Index columns, Index batch, const T* dy, Index dy_stride,
                                      const T* normalized, Index normalized_stride, const T* gamma,
                                      const T* inverse_std, const T* sum, const T* product_sum, T* dz, Index dz_stride);

    // ---- layer norm: layer_norm.hpp. Each row by itself; all matrices padded, per-column arrays too.

    // normalized = (z - mean) · inverse_std, with the mean and the biased variance of the row, eps inside the root;
    // y = gamma · normalized + beta (null: 1 and 0). inverse_std has an entry a row. It and normalized may be null;
    // normalized and y may be z.
    void (*layer_norm)(Index rows, Index columns, const T* z, Index z_stride, double eps, const T* gamma, const T* beta,
                       T* normalized, Index normalized_stride, T* y, Index y_stride, T* inverse_std);
    // dy becomes dz. The sums for gamma and beta are those of batch_norm_backward_chunk, taken before.
    void (*layer_norm_backward)(Index rows, Index columns, T* dy, Index dy_stride, const T* normalized,
                                Index normalized_stride, const T* gamma, const T* inverse_std);

    // ---- residual connections: residual.hpp. All matrices padded.

    // y = x + scale · f; x null: scale · f. y may be x or f.
    void (*residual)(Index rows, Index columns, const T* x, Index x_stride, double scale, const T* f, Index f_stride,
                     T* y, Index y_stride);

    // ---- losses: loss.hpp. row_scale[r] is the weight of row r in the total; row_loss is not yet weighted.
    // ---- gradient (padded; null: not wanted) = row_scale · dloss/dlogits.

    void (*cross_entropy)(Index rows, Index columns, const T* logits, Index stride, const int64_t* labels,
                          const double* row_scale, double* row_loss, T* gradient, Index gradient_stride);
    void (*bce_with_logits)(Index rows, Index columns, const T* logits, Index stride, const T* targets,
                            Index target_stride, const double* row_scale, double* row_loss, T* gradient,
                            Index gradient_stride);
    void (*mse)(Index rows, Index columns, const T* outputs, Index stride, const T* targets, Index target_stride,
                const double* row_scale, double* row_loss, T* gradient, Index gradient_stride);

    // ---- statistics: statistics.hpp. Sums in double, on 16 virtual lanes or one lane a column.

    // Sums of squares of each chunk of rows of a padded matrix.
    void (*row_chunk_squares)(Index rows, Index columns, const T* a, Index stride, ChunkSquares* out);
    // Sums of so many vectors of columns: a bias's gradient. In T, one chain of sums a column, in order of the rows.
    void (*column_sums)(Index rows, Index vectors, const T* a, Index stride, T* out);
    // Sums of squares of each column of a chunk (rows × vectors · lanes, dense): kSquareSums<T> of them,
    // out[number * out_stride + column].
    void (*column_squares)(Index rows, Index vectors, const T* a, double* out, Index out_stride);
    // The same of a chunk of one panel (1 or 2 vectors), and the sum of magnitudes of each column as one number more;
    // `counts` are of the first `columns` columns.
    void (*column_statistics)(Index rows, Index vectors, Index columns, const T* a, double* out, Index out_stride,
                              EntryCounts* counts);
    // Σ of one statistic over the columns and the chunks, whose rows of doubles lie chunk_stride apart.
    double (*sum_statistic)(Index chunks, Index columns, const double* statistic, Index chunk_stride);
    // The first entry of a flat array that is NaN or infinite, or -1.
    Index (*first_nonfinite)(Index count, const T* a);

    // ---- moments.hpp

    // Moments of each chunk of rows of h: up to eight rows of four columns are summed in T, all else in double; where
    // squares cancel or are out of T's range, everything. `kept` as in backpropagate (with from_output, the identity's
    // φ′ is 1). alive (padded, accumulates): nonzero in each column where φ′ was nonzero in any row.
    void (*activation_moments)(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* h,
                               Index h_stride, const T* kept, Index kept_stride, double threshold,
                               ActivationMoments* out, T* alive);
    // Columns that are zero in each of the threads' `alive`, which are `stride` apart.
    Index (*dead_columns)(Index columns, int threads, const T* alive, Index stride);

    // ---- optimizers: update.hpp

    // One chunk (rows × vectors · lanes, dense) of a parameter: w and the states are updated in place, g is read only.
    // column_scales (null: 1): two factors of g for each column, 2 × out_stride; they stand in for gradient_scale.
    // weight_squares and update_squares (null: not wanted): sums of squares of each column of w before, and of the
    // change of w; 3 × out_stride doubles.
    void (*update)(const UpdateSpec& spec, Index rows, Index vectors, T* w, const T* g, const T* column_scales,
                   T* state1, T* state2, double* weight_squares, double* update_squares, Index out_stride);

    // ---- for benchmarks: peak.hpp. Runs independent chains of multiply-adds on one vector, which is left in `out`
    // ---- (and says what they start from); returns the number of operations.
    Index (*fused_chains)(Index iterations, T* out);

    // ---- for tests of the vector functions

    // out = f(in), flat; name: "exp", "expm1", "log", "log1p", "sigmoid", "tanh", "erf", "erfc". False: no such name.
    bool (*evaluate)(const char* name, Index count, const T* in, T* out);
};

// Whether φ′(z) can be had from φ(z) with the same bits as from z, so that it need not be stored.
constexpr bool slope_from_output(ActivationSpec spec) {
    return spec.kind == ActivationKind::relu || spec.kind == ActivationKind::tanh ||
           spec.kind == ActivationKind::sigmoid;
}

// Columns, rounded up so that every row of a padded matrix starts on a cache line.
template <class T>
constexpr Index padded(Index columns) {
    constexpr Index step = kAlignment / static_cast<Index>(sizeof(T));
    return (columns + step - 1) / step * step;
}

}  // namespace gradiometer
