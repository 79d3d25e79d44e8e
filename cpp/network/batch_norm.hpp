// Batch norm in the passes: the only layer for which the threads meet on their way through the network. What they read
// of each other is the sums of groups of up to 32 rows. Where a group has rows of several threads, the thread with the
// first of them reads the rows (on the way back, the sums of the chunks) of the others, and they meet once more.
#pragma once

#include "network/pass.hpp"

namespace gradiometer {

// Forward: mean and variance of each column of z, which stands in normalized(number), over all rows of the batch.
// pass.stopped tells whether they came to be.
template <class T>
void take_batch_statistics(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number);

// Forward: z, which stands in normalized(number), becomes x̂; y = gamma · x̂ + beta.
template <class T>
void batch_norm_rows(Pass<T>& pass, int thread, RowRange some, Index number, T* y);

// Backward: the sums of a chunk of the thread's rows, whose dy stands at `dy`. Chunks come in order.
template <class T>
void batch_norm_backward_sums(Pass<T>& pass, RowRange mine, RowRange chunk, Index number, const T* dy);

// Backward, after that: the sums over the batch, which become gamma's and beta's gradients. pass.stopped tells whether
// they came to be.
template <class T>
void join_backward_sums(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number);

// Backward: dz, in delta(number), from dy. Unless null, squares gets those of dz for each chunk of rows.
template <class T>
void batch_norm_backward_rows(Pass<T>& pass, int thread, RowRange mine, Index number, const T* dy,
                              ChunkSquares* squares);

// Evaluation, in place; with room for a padded row.
template <class T>
void batch_norm_evaluate(const Pass<T>& pass, const Block& block, Index rows, T* h, Index stride, T* inverse_std);

}  // namespace gradiometer
