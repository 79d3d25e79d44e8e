#include "network/product.hpp"

#include <algorithm>

namespace gradiometer {
namespace {

struct ColumnRange {
    Index begin, end;
};

// Whole panels; all columns where a thread has its own rows.
template <class T>
ColumnRange columns_of_thread(const Pass<T>& pass, const Team& team, int thread, Index columns) {
    if (!pass.shares_products) return {0, columns};
    const Index panel = pass.kernels.panel;
    const Index panels = (columns + panel - 1) / panel;
    return {panels * thread / team.size() * panel, std::min(panels * (thread + 1) / team.size() * panel, columns)};
}

// A thread that only helps writes its columns of the product, and nothing after it.
template <class T>
Ahead<T> ahead_of_thread(const Pass<T>& pass, int thread, const Ahead<T>& ahead, const T* product) {
    return pass.only_helps(thread) ? Ahead<T>{.b = ahead.b, .written = product} : ahead;
}

// Calls the function, in all threads at the same time where they share the product.
template <class T, class Multiply>
void with_others(Pass<T>& pass, Team& team, const Multiply& multiply) {
    if (!pass.shares_products) return multiply();
    team.meet([&] { pass.stopped = pass.interrupt.requested(); });
    if (pass.stopped) return;
    multiply();
    team.meet();
}

}  // namespace

template <class T>
void forward_product(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number, const T* h, Index h_stride,
                     T* z, const Ahead<T>& ahead) {
    const Block& block = pass.plan.blocks[number];
    const T* bias = pass.parameters.values_or_null(block.bias);
    const ColumnRange columns = columns_of_thread(pass, team, thread, block.width);
    with_others(pass, team, [&] {
        T* out = z + columns.begin;
        pass.kernels.matmul(mine.count(), block.in_width, columns.end - columns.begin, h, h_stride,
                            pass.parameters.values(block.weight) + columns.begin * block.in_width,
                            bias ? bias + columns.begin : nullptr, out, pass.work.stride(number),
                            ahead_of_thread<T>(pass, thread, ahead, out));
    });
}

template <class T>
void backward_product(Pass<T>& pass, Team& team, int thread, RowRange mine, Index number, T* dh, Index dh_stride,
                      const Ahead<T>& ahead) {
    const Block& block = pass.plan.blocks[number];
    const Index stride = pass.work.stride(number);
    const ColumnRange columns = columns_of_thread(pass, team, thread, block.in_width);
    with_others(pass, team, [&] {
        pass.kernels.matmul_transposed(mine.count(), block.width, block.in_width, columns.begin, columns.end,
                                       pass.work.delta(number) + mine.begin * stride, stride,
                                       pass.parameters.values(block.weight), dh, dh_stride,
                                       ahead_of_thread<T>(pass, thread, ahead, dh));
    });
}

#define GM_INSTANTIATE(T)                                                                                       \
    template void forward_product(Pass<T>&, Team&, int, RowRange, Index, const T*, Index, T*, const Ahead<T>&); \
    template void backward_product(Pass<T>&, Team&, int, RowRange, Index, T*, Index, const Ahead<T>&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
