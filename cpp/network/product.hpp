// The two products of a dense layer: each thread for its own rows, or, where a batch has too few rows to share out, all
// threads for the same rows, a part of the columns each.
#pragma once

#include "network/pass.hpp"

namespace gradiometer {

// z (rows × width) = h · W + bias for the rows of the range; h and z are at the first of them. Where products are
// shared, the threads meet before and after, and pass.stopped says whether to go on.
template <class T>
void forward_product(Pass<T>& pass, Team& team, int thread, RowRange mine, Index block, const T* h, Index h_stride,
                     T* z, const Ahead<T>& ahead);

// dh (rows × in_width) = delta(block) · Wᵀ, likewise.
template <class T>
void backward_product(Pass<T>& pass, Team& team, int thread, RowRange mine, Index block, T* dh, Index dh_stride,
                      const Ahead<T>& ahead);

}  // namespace gradiometer
