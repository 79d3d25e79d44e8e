#include "network/batch_norm.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gradiometer {
namespace {

// How many rows are summed together before the threads read the sums of each other: few enough that two threads have
// whole groups of small batches, too, and up to 32, beyond which there is little more to gain.
Index rows_of_group(Index batch) {
    Index rows = kRowChunk;
    while (rows < 32 && 4 * rows <= batch) rows *= 2;
    return rows;
}

// Whether the rows of a group belong to more than one thread.
bool groups_are_split(Index batch, int threads) {
    for (int thread = 1; thread < threads; ++thread) {
        const Index begin = rows_of_thread(batch, thread, threads).begin;
        if (begin % rows_of_group(batch) != 0 && begin < batch) return true;
    }
    return false;
}

// Calls work(rows) for each group of rows in the thread that has the first of them, and the threads meet: whole groups
// come before the meeting; those that go on in the rows of another thread after it, and then the threads meet again.
template <class T, class Work>
void for_groups(Pass<T>& pass, Team& team, RowRange mine, Work work) {
    const Index rows = rows_of_group(pass.rows);
    const auto group_from = [&](Index row) { return RowRange{row, std::min(row + rows, pass.rows)}; };
    Index row = (mine.begin + rows - 1) / rows * rows;
    for (; row < mine.end && group_from(row).end <= mine.end; row += rows) work(group_from(row));
    team.meet([&] { pass.stopped = pass.interrupt.requested(); });
    if (pass.stopped || !groups_are_split(pass.rows, team.size())) return;
    if (row < mine.end) work(group_from(row));
    team.meet();
}

// Where the sums of the rows from `row` on stand among the partial results.
template <class T>
Index partial_at(const Block& block, Index row) {
    return row / kRowChunk * padded<T>(block.width);
}

}  // namespace

template <class T>
void take_batch_statistics(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    const Index width = block.width;
    const T* z = work.normalized(number);
    T* means = work.norm_partial(block.norm, 0);
    T* squares = work.norm_partial(block.norm, 1);
    for_groups(pass, team, mine, [&](RowRange group) {
        const Index at = partial_at<T>(block, group.begin);
        pass.kernels.batch_norm_group(group.count(), width, z + group.begin * stride, stride, means + at, squares + at);
    });
    if (pass.stopped) return;
    T* mean = work.norm_merged(block.norm, thread, 0);
    T* variance = work.norm_merged(block.norm, thread, 1);
    const Index rows = rows_of_group(pass.rows);
    pass.kernels.batch_norm_merge(pass.rows, rows, width, means, squares, partial_at<T>(block, rows), block.eps, mean,
                                  variance, work.norm_merged(block.norm, thread, 2));
    if (thread == 0) {
        RunningStatistics<T>& running = pass.running[block.norm];
        const double unbiased = static_cast<double>(pass.rows) / static_cast<double>(pass.rows - 1);
        for (Index j = 0; j < width; ++j) {
            running.batch_mean[j] = mean[j];
            running.batch_variance[j] = static_cast<T>(static_cast<double>(variance[j]) * unbiased);
        }
    }
}

template <class T>
void batch_norm_rows(Pass<T>& pass, int thread, RowRange some, Index number, T* y) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    T* z = work.normalized(number) + some.begin * stride;
    pass.kernels.batch_norm_apply(some.count(), block.width, z, stride, work.norm_merged(block.norm, thread, 0),
                                  work.norm_merged(block.norm, thread, 2), pass.parameters.values_or_null(block.gamma),
                                  pass.parameters.values_or_null(block.beta), z, stride, y, stride);
}

template <class T>
void batch_norm_backward_sums(Pass<T>& pass, RowRange mine, RowRange chunk, Index number, const T* dy) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    const Index group = chunk.begin - chunk.begin % rows_of_group(pass.rows);
    const bool adds = group >= mine.begin && group < chunk.begin;
    const Index at = partial_at<T>(block, adds ? group : chunk.begin);
    pass.kernels.batch_norm_backward_chunk(
        chunk.count(), block.width, dy, stride, work.normalized(number) + chunk.begin * stride, stride, adds,
        work.norm_partial(block.norm, 2) + at, work.norm_partial(block.norm, 3) + at);
}

template <class T>
void join_backward_sums(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index width = block.width;
    const auto add = [&](T* sums, Index group, Index chunk) {
        for (Index j = 0; j < width; ++j)
            sums[partial_at<T>(block, group) + j] += sums[partial_at<T>(block, chunk) + j];
    };
    for_groups(pass, team, mine, [&](RowRange group) {
        for (Index chunk = mine.end; chunk < group.end; chunk += kRowChunk)
            for (const int which : {2, 3}) add(work.norm_partial(block.norm, which), group.begin, chunk);
    });
    if (pass.stopped) return;
    const Index rows = rows_of_group(pass.rows);
    for (const int which : {0, 1})
        pass.kernels.sum_chunks((pass.rows + rows - 1) / rows, width, work.norm_partial(block.norm, 2 + which),
                                partial_at<T>(block, rows), work.norm_merged(block.norm, thread, which));
    if (thread == 0 && block.gamma != kNone) {
        std::copy_n(work.norm_merged(block.norm, thread, 0), width, pass.parameters.gradients(block.beta));
        std::copy_n(work.norm_merged(block.norm, thread, 1), width, pass.parameters.gradients(block.gamma));
    }
}

template <class T>
void batch_norm_backward_rows(Pass<T>& pass, int thread, RowRange mine, Index number, const T* dy,
                              ChunkSquares* squares) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    const T* normalized = work.normalized(number) + mine.begin * stride;
    T* dz = work.delta(number) + mine.begin * stride;
    for (Index r = 0; r < mine.count(); r += kRowChunk) {
        const Index rows = std::min(kRowChunk, mine.count() - r);
        pass.kernels.batch_norm_backward_apply(
            rows, block.width, pass.rows, dy + r * stride, stride, normalized + r * stride, stride,
            pass.parameters.values_or_null(block.gamma), work.norm_merged(block.norm, thread, 2),
            work.norm_merged(block.norm, thread, 0), work.norm_merged(block.norm, thread, 1), dz + r * stride, stride);
        if (squares) pass.kernels.row_chunk_squares(rows, block.width, dz + r * stride, stride, squares++);
    }
}

template <class T>
void batch_norm_evaluate(const Pass<T>& pass, const Block& block, Index rows, T* h, Index stride, T* inverse_std) {
    const RunningStatistics<T>& running = pass.running[block.norm];
    std::fill_n(inverse_std, padded<T>(block.width), T(0));
    for (Index j = 0; j < block.width; ++j)
        inverse_std[j] = static_cast<T>(1 / std::sqrt(static_cast<double>(running.variance[j]) + block.eps));
    pass.kernels.batch_norm_apply(rows, block.width, h, stride, running.mean.data(), inverse_std,
                                  pass.parameters.values_or_null(block.gamma),
                                  pass.parameters.values_or_null(block.beta), nullptr, 0, h, stride);
}

#define GM_INSTANTIATE(T)                                                                            \
    template void take_batch_statistics(Pass<T>&, Team&, int, RowRange, Index);                      \
    template void batch_norm_rows(Pass<T>&, int, RowRange, Index, T*);                               \
    template void batch_norm_backward_sums(Pass<T>&, RowRange, RowRange, Index, const T*);           \
    template void join_backward_sums(Pass<T>&, Team&, int, RowRange, Index);                         \
    template void batch_norm_backward_rows(Pass<T>&, int, RowRange, Index, const T*, ChunkSquares*); \
    template void batch_norm_evaluate(const Pass<T>&, const Block&, Index, T*, Index, T*);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
