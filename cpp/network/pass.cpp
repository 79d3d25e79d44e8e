#include "network/pass.hpp"

#include <algorithm>
#include <chrono>

#include "network/layer_norm.hpp"

namespace gradiometer {

void Interrupt::poll(double work) {
    constexpr int64_t kInterval = 20'000'000;  // nanoseconds; asking takes Python's lock, so not more often
    constexpr double kWorkBetweenLooks = 2e6;  // a millisecond on a slow machine
    if (!asked_ || requested()) return;
    work_ += work;
    if (work_ < kWorkBetweenLooks) return;
    work_ = 0;
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

namespace {

// What the outer product of a weight's task reads.
template <class T>
struct Factors {
    const T* x;
    Index x_stride;
    const T* delta;
};

template <class T>
Factors<T> factors_of(Pass<T>& pass, const ParameterTask& task) {
    const Index block = pass.parameters.spec(task.parameter).block;
    const T* delta = pass.work.delta(block) + task.first_column;
    if (block == 0) return {pass.input, pass.input_stride, delta};
    return {pass.work.output(block - 1), pass.work.stride(block - 1), delta};
}

// The next task of a weight in the list: most likely what this thread does next.
template <class T>
const ParameterTask& next_weight_task(const Pass<T>& pass, Index number) {
    const std::vector<ParameterTask>& tasks = pass.parameters.tasks();
    for (size_t i = static_cast<size_t>(number) + 1; i < tasks.size(); ++i)
        if (pass.parameters.spec(tasks[i].parameter).is_weight) return tasks[i];
    return tasks[number];
}

// What to take from the other processors while a gradient is computed: its weights, if they are still in a cache when
// the update comes to them, or else the lines of the gradient itself.
template <class T>
const T* written_after_gradient(Pass<T>& pass, const ParameterTask& task) {
    constexpr Index kCacheBytes = 6 * 1024 * 1024;
    const bool fits = pass.parameters.layout_size() * static_cast<Index>(sizeof(T)) <= kCacheBytes;
    return (fits ? pass.parameters.all_values() : pass.parameters.all_gradients()) + task.offset;
}

}  // namespace

template <class T>
void gradient_task(Pass<T>& pass, Index number) {
    const ParameterTask& task = pass.parameters.tasks()[number];
    const ParameterSpec& p = pass.parameters.spec(task.parameter);
    const Block& block = pass.plan.blocks[p.block];
    Workspace<T>& work = pass.work;
    T* out = pass.parameters.gradients(0) + task.offset;
    const Factors<T> factors = factors_of(pass, task);
    const Index stride = work.stride(p.block);
    if (task.parameter == block.weight) {
        const ParameterTask& following = next_weight_task(pass, number);
        const Factors<T> next = factors_of(pass, following);
        pass.kernels.outer_product(
            pass.rows, task.inner_begin, task.inner_end, factors.x, factors.x_stride, factors.delta, stride,
            task.vectors, out,
            {.a = next.x + following.inner_begin, .b = next.delta, .written = written_after_gradient(pass, task)});
    } else if (task.parameter == block.bias) {
        pass.kernels.column_sums(pass.rows, task.vectors, factors.delta, stride, out);
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
    template void gradient_task(Pass<T>&, Index);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
