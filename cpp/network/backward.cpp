#include <algorithm>

#include "network/batch_norm.hpp"
#include "network/gradient.hpp"
#include "network/layer_norm.hpp"
#include "network/product.hpp"
#include "network/residual.hpp"

namespace gradiometer {
namespace {

// Where dL/dh of a block is to be put: into its delta, where it becomes dL/dz, unless what backward has yet to read
// stands there.
template <class T>
T* gradient_target(Pass<T>& pass, Index number, Index first_row) {
    Workspace<T>& work = pass.work;
    const Block& block = pass.plan.blocks[number];
    return block.norm != kNone || block.stores_slope() ? work.scratch(first_row)
                                                       : work.delta(number) + first_row * work.stride(number);
}

// What the block before reads and writes when the product of this one has given it dL/dh.
template <class T>
Ahead<T> wanted_after_product(const Pass<T>& pass, Index number, Index first_row) {
    Ahead<T> ahead;
    ahead.b = pass.parameters.values(pass.plan.blocks[number].weight_before);
    if (number == 0) return ahead;
    const Index at = first_row * pass.work.stride(number - 1);
    if (pass.plan.blocks[number - 1].slope_from_output) ahead.read = pass.work.output(number - 1) + at;
    ahead.written = pass.work.delta(number - 1) + at;
    return ahead;
}

// dz = dL/dh times the derivative of the chain of elementwise layers, if there are any; dz may be dh.
template <class T>
void backpropagate_chain(Pass<T>& pass, RowRange some, Index number, const T* dh, T* dz, ChunkSquares* squares) {
    const Block& block = pass.plan.blocks[number];
    if (block.chain.empty()) return;
    const Index stride = pass.work.stride(number);
    const T* kept =
        (block.slope_from_output ? pass.work.output(number) : pass.work.delta(number)) + some.begin * stride;
    pass.kernels.backpropagate(block.chain[0].activation, block.slope_from_output, some.count(), block.width, dh,
                               stride, kept, stride, dz, stride, squares);
}

// From dL/dh of a block with batch norm to dz, in delta(block). A chunk of rows goes through all steps on either side
// of the threads' meeting while it is in the first cache.
template <class T>
void normalize_backward(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number, T* dy,
                        ChunkSquares* squares) {
    const Index stride = pass.work.stride(number);
    for (RowRange chunk{mine.begin, mine.begin}; chunk.begin < mine.end; chunk.begin = chunk.end) {
        chunk.end = std::min(chunk.begin + kRowChunk, mine.end);
        T* rows = dy + (chunk.begin - mine.begin) * stride;
        backpropagate_chain<T>(pass, chunk, number, rows, rows, nullptr);
        batch_norm_backward_sums<T>(pass, mine, chunk, number, rows);
    }
    join_backward_sums(pass, team, thread, mine, number);
    if (!pass.stopped) batch_norm_backward_rows<T>(pass, thread, mine, number, dy, squares);
}

// From dL/dh of a block, which gradient_target says where to find, to the delta of its dense layer.
template <class T>
void begin_block(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    T* dh = gradient_target(pass, number, mine.begin);
    T* delta = work.delta(number) + mine.begin * stride;
    const bool measured = block.dense != kNone && pass.collect >= Collect::norms;
    ChunkSquares* squares = measured ? work.delta_squares(block.dense) + mine.begin / kRowChunk : nullptr;
    if (block.norm != kNone) return normalize_backward(pass, team, thread, mine, number, dh, squares);
    const bool squares_in_chain = !block.chain.empty() && block.layer_norm == kNone;
    backpropagate_chain<T>(pass, mine, number, dh, delta, squares_in_chain ? squares : nullptr);
    if (block.layer_norm != kNone) layer_norm_backward_rows(pass, mine, number);
    if (squares && !squares_in_chain) pass.kernels.row_chunk_squares(mine.count(), block.width, delta, stride, squares);
}

// From the delta of a block to dL/dh of the one before, or to that of the input.
template <class T>
void hand_on(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    T* before = number == 0 ? work.input_gradient() + mine.begin * work.input_stride()
                            : gradient_target(pass, number - 1, mine.begin);
    const Index before_stride = number == 0 ? work.input_stride() : work.stride(number - 1);
    if (block.dense != kNone)
        backward_product(pass, team, thread, mine, number, before, before_stride,
                         wanted_after_product(pass, number, mine.begin));
    if (pass.stopped || pass.only_helps(thread)) return;
    const Index stride = work.stride(number);
    const T* delta = work.delta(number) + mine.begin * stride;
    if (block.join)
        join_backward_rows(pass, mine, *block.join, block.width, delta, stride, before, before_stride);
    else if (block.dense == kNone)
        for (Index r = 0; r < mine.count(); ++r)
            std::copy_n(delta + r * stride, padded<T>(block.width), before + r * before_stride);
    add_skipped_gradients(pass, mine, number - 1, before, before_stride);
}

}  // namespace

template <class T>
T* output_gradient(Pass<T>& pass, Index first_row, Index& stride) {
    const Index last = static_cast<Index>(pass.plan.blocks.size()) - 1;
    stride = pass.work.stride(last);
    return gradient_target(pass, last, first_row);
}

template <class T>
void backward_rows(Pass<T>& pass, Team& team, int thread, RowRange mine) {
    GradientTasks<T> gradients(pass, thread);
    for (Index number = static_cast<Index>(pass.plan.blocks.size()) - 1; number >= 0; --number) {
        const double work = static_cast<double>(mine.count()) * pass.plan.blocks[number].work_per_row();
        if (thread == 0) pass.interrupt.poll(pass.gradients_follow ? 2 * work : work);
        if (pass.abandoned()) return;
        if (!pass.only_helps(thread)) begin_block(pass, team, thread, mine, number);
        if (pass.stopped) return;
        if (number > 0 || pass.wants_input_gradient) hand_on(pass, team, thread, mine, number);
        if (pass.stopped) return;
        if (pass.gradients_follow) gradients.take_block(number);
    }
}

#define GM_INSTANTIATE(T)                                 \
    template T* output_gradient(Pass<T>&, Index, Index&); \
    template void backward_rows(Pass<T>&, Team&, int, RowRange);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
