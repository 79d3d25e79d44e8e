#include "network/residual.hpp"

#include <algorithm>

namespace gradiometer {

template <class T>
void join_rows(Pass<T>& pass, RowRange mine, const Join& join, Index width, const T* f, Index f_stride, T* y,
               Index y_stride) {
    const bool from_input = join.from == kNone;
    const Index x_stride = from_input ? pass.input_stride : pass.work.stride(join.from);
    const T* x = (from_input ? pass.input : pass.work.output(join.from)) + mine.begin * x_stride;
    pass.kernels.residual(mine.count(), width, x, x_stride, join.scale, f, f_stride, y, y_stride);
}

template <class T>
void join_backward_rows(Pass<T>& pass, RowRange mine, const Join& join, Index width, const T* dy, Index dy_stride,
                        T* df, Index df_stride) {
    pass.kernels.residual(mine.count(), width, nullptr, 0, join.scale, dy, dy_stride, df, df_stride);
}

template <class T>
void add_skipped_gradients(Pass<T>& pass, RowRange mine, Index block, T* gradient, Index stride) {
    for (const Index end : pass.plan.joins_from(block)) {
        const Index skipped_stride = pass.work.stride(end);
        const T* skipped = pass.work.delta(end) + mine.begin * skipped_stride;
        pass.kernels.residual(mine.count(), pass.plan.blocks[end].width, gradient, stride, 1.0, skipped, skipped_stride,
                              gradient, stride);
    }
}

template <class T>
void keep_skipped_rows(const Pass<T>& pass, Index rows, Index block, const T* h, T* kept, Index stride) {
    for (const Index end : pass.plan.joins_from(block))
        std::copy_n(h, rows * stride, kept + pass.plan.blocks[end].join->depth * rows * stride);
}

#define GM_INSTANTIATE(T)                                                                                 \
    template void join_rows(Pass<T>&, RowRange, const Join&, Index, const T*, Index, T*, Index);          \
    template void join_backward_rows(Pass<T>&, RowRange, const Join&, Index, const T*, Index, T*, Index); \
    template void add_skipped_gradients(Pass<T>&, RowRange, Index, T*, Index);                            \
    template void keep_skipped_rows(const Pass<T>&, Index, Index, const T*, T*, Index);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
