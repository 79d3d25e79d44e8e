// Layer norm in the passes: rows by themselves, so that the threads need not meet; only gamma's and beta's gradients
// are sums over the batch.
#pragma once

#include "network/pass.hpp"

namespace gradiometer {

// Forward: x̂ of z into normalized(number), and gamma · x̂ + beta into y.
template <class T>
void layer_norm_rows(Pass<T>& pass, RowRange mine, Index number, const T* z, Index z_stride, T* y, Index y_stride);

// Backward: dy, in delta(number), becomes dz. The sums for gamma and beta are taken for each chunk of rows.
template <class T>
void layer_norm_backward_rows(Pass<T>& pass, RowRange mine, Index number);

// The gradient of one task's part of gamma or beta, from the sums of the chunks.
template <class T>
void layer_norm_gradient(Pass<T>& pass, const ParameterTask& task, T* out);

// Evaluation, in place.
template <class T>
void layer_norm_evaluate(const Pass<T>& pass, const Block& block, Index rows, T* h, Index stride);

}  // namespace gradiometer
