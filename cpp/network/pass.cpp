#include "network/pass.hpp"

#include <algorithm>
#include <chrono>

#include "network/layer_norm.hpp"

namespace gradiometer {

void Interrupt::poll() {
    constexpr int64_t kInterval = 20'000'000;  // nanoseconds; asking takes Python's lock, so not more often
    if (!asked_ || requested()) return;
    const int64_t now =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    if (now < next_) return;
    next_ = now + kInterval;
    if (asked_()) requested_.store(true, std::memory_order_relaxed);
}

RowRange rows_of_thread(Index rows, int thread, int threads) {
    const Index chunks = (rows + kRowChunk - 1) / kRowChunk;
    const Index begin = chunks * thread / threads * kRowChunk;
    const Index end = chunks * (thread + 1) / threads * kRowChunk;
    return {std::min(begin, rows), std::min(end, rows)};
}

template <class T>
void commit_running_statistics(Pass<T>& pass) {
    for (size_t i = 0; i < pass.running.size(); ++i) {
        RunningStatistics<T>& running = pass.running[i];
        const double momentum = pass.plan.blocks[pass.plan.norms[i].block].momentum;
        const auto blend = [&](T old, T batch) {
            return static_cast<T>((1 - momentum) * static_cast<double>(old) + momentum * static_cast<double>(batch));
        };
        for (size_t j = 0; j < running.mean.size(); ++j) {
            running.mean[j] = blend(running.mean[j], running.batch_mean[j]);
            running.variance[j] = blend(running.variance[j], running.batch_variance[j]);
        }
        ++running.batches;
    }
}

template <class T>
void gradient_task(Pass<T>& pass, const ParameterTask& task) {
    const ParameterSpec& p = pass.parameters.spec(task.parameter);
    const Block& block = pass.plan.blocks[p.block];
    Workspace<T>& work = pass.work;
    T* out = pass.parameters.gradients(0) + task.offset;
    const T* delta = work.delta(p.block) + task.first_column;
    const Index stride = work.stride(p.block);
    if (task.parameter == block.weight) {
        const T* x = p.block == 0 ? pass.input : work.output(p.block - 1);
        const Index x_stride = p.block == 0 ? pass.input_stride : work.stride(p.block - 1);
        pass.kernels.outer_product(pass.rows, task.inner_begin, task.inner_end, x, x_stride, delta, stride,
                                   task.vectors, out);
    } else if (task.parameter == block.bias) {
        pass.kernels.column_sums(pass.rows, task.vectors, delta, stride, out);
    } else if (block.layer_norm != kNone) {
        layer_norm_gradient(pass, task, out);
    }
    if (pass.collect == Collect::nothing) return;
    const bool everything = pass.collect == Collect::full && p.is_weight;
    pass.kernels.column_statistics(
        task.elements(), task.vectors, out, everything ? kColumnStatistics : kSquareStatistics,
        work.gradient_statistics(task.parameter, task.chunk) + task.first_column, padded<T>(p.columns));
}

#define GM_INSTANTIATE(T)                              \
    template void commit_running_statistics(Pass<T>&); \
    template void gradient_task(Pass<T>&, const ParameterTask&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
