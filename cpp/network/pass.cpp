#include "network/pass.hpp"

#include <algorithm>
#include <chrono>

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

#define GM_INSTANTIATE(T) template void commit_running_statistics(Pass<T>&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
