#include "network/layer_norm.hpp"

#include <algorithm>

namespace gradiometer {

template <class T>
void layer_norm_rows(Pass<T>& pass, RowRange mine, Index number, const T* z, Index z_stride, T* y, Index y_stride) {
    const Block& block = pass.plan.blocks[number];
    const Index stride = pass.work.stride(number);
    pass.kernels.layer_norm(mine.count(), block.width, z, z_stride, block.eps,
                            pass.parameters.values_or_null(block.gamma), pass.parameters.values_or_null(block.beta),
                            pass.work.normalized(number) + mine.begin * stride, stride, y, y_stride,
                            pass.work.row_inverse_std(block.layer_norm) + mine.begin);
}

template <class T>
void layer_norm_backward_rows(Pass<T>& pass, RowRange mine, Index number) {
    const Block& block = pass.plan.blocks[number];
    Workspace<T>& work = pass.work;
    const Index stride = work.stride(number);
    const Index chunk_stride = padded<T>(block.width);
    T* dy = work.delta(number);
    const T* normalized = work.normalized(number);
    for (Index r = mine.begin; r < mine.end && block.gamma != kNone; r += kRowChunk) {
        const Index at = r / kRowChunk * chunk_stride;
        pass.kernels.batch_norm_backward_chunk(std::min(kRowChunk, mine.end - r), block.width, dy + r * stride, stride,
                                               normalized + r * stride, stride, false,
                                               work.layer_norm_partial(block.layer_norm, 0) + at,
                                               work.layer_norm_partial(block.layer_norm, 1) + at);
    }
    const Index first = mine.begin * stride;
    pass.kernels.layer_norm_backward(mine.count(), block.width, dy + first, stride, normalized + first, stride,
                                     pass.parameters.values_or_null(block.gamma),
                                     work.row_inverse_std(block.layer_norm) + mine.begin);
}

template <class T>
void layer_norm_gradient(Pass<T>& pass, const ParameterTask& task, T* out) {
    const Block& block = pass.plan.blocks[pass.parameters.spec(task.parameter).block];
    const int which = task.parameter == block.gamma ? 1 : 0;
    const Index chunks = (pass.rows + kRowChunk - 1) / kRowChunk;
    pass.kernels.sum_chunks(chunks, task.vectors * pass.kernels.lanes,
                            pass.work.layer_norm_partial(block.layer_norm, which) + task.first_column,
                            padded<T>(block.width), out);
}

template <class T>
void layer_norm_evaluate(const Pass<T>& pass, const Block& block, Index rows, T* h, Index stride) {
    pass.kernels.layer_norm(rows, block.width, h, stride, block.eps, pass.parameters.values_or_null(block.gamma),
                            pass.parameters.values_or_null(block.beta), nullptr, 0, h, stride, nullptr);
}

#define GM_INSTANTIATE(T)                                                                 \
    template void layer_norm_rows(Pass<T>&, RowRange, Index, const T*, Index, T*, Index); \
    template void layer_norm_backward_rows(Pass<T>&, RowRange, Index);                    \
    template void layer_norm_gradient(Pass<T>&, const ParameterTask&, T*);                \
    template void layer_norm_evaluate(const Pass<T>&, const Block&, Index, T*, Index);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
