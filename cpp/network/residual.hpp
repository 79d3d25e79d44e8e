// Residual connections, y = x + scale · f(x), in the passes: what is added where the body ends, and on the way back
// where it began.
#pragma once

#include "network/pass.hpp"

namespace gradiometer {

// Forward: y of the block that ends a connection, from f.
template <class T>
void join_rows(Pass<T>& pass, RowRange mine, const Join& join, Index width, const T* f, Index f_stride, T* y,
               Index y_stride);

// Backward: dL/df = scale · dL/dy into the body.
template <class T>
void join_backward_rows(Pass<T>& pass, RowRange mine, const Join& join, Index width, const T* dy, Index dy_stride,
                        T* df, Index df_stride);

// Backward: the gradients that went around the bodies which begin with the output of `block` (kNone: the input) are
// added to those that came through them, which stand in `gradient`.
template <class T>
void add_skipped_gradients(Pass<T>& pass, RowRange mine, Index block, T* gradient, Index stride);

// Evaluation: what connections that begin with the output of `block` skip is kept, a matrix of `rows` × stride for each
// connection around another.
template <class T>
void keep_skipped_rows(const Pass<T>& pass, Index rows, Index block, const T* h, T* kept, Index stride);

}  // namespace gradiometer
