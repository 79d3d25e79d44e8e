#include "network/network.hpp"

#include <algorithm>
#include <stdexcept>

#include "network/gradient.hpp"

namespace gradiometer {

template <class T>
Network<T>::Network(Index in_features, const std::vector<LayerSpec>& layers, uint64_t seed)
    : plan_(in_features, layers),
      seed_(seed),
      parameters_(plan_),
      work_(plan_, static_cast<Index>(parameters_.tasks().size())) {
    for (const NormSpec& norm : plan_.norms) {
        RunningStatistics<T> running;
        // Padded, for the kernels that read whole vectors.
        const Index width = padded<T>(norm.width);
        running.mean.assign(width, T(0));
        running.variance.assign(width, T(1));
        running.batch_mean.assign(width, T(0));
        running.batch_variance.assign(width, T(1));
        running_.push_back(running);
    }
    for (const Block& block : plan_.blocks)
        if (block.gamma != kNone) std::fill_n(parameters_.values(block.gamma), block.width, T(1));
}

template <class T>
void Network<T>::copy_parameter(Index i, T* out) {
    const std::lock_guard lock(mutex_);
    parameters_.unpack(i, parameters_.all_values(), out);
}

template <class T>
void Network<T>::copy_gradient(Index i, T* out) {
    const std::lock_guard lock(mutex_);
    parameters_.unpack(i, parameters_.all_gradients(), out);
}

template <class T>
void Network<T>::set_parameter(Index i, const T* row_major) {
    const std::lock_guard lock(mutex_);
    parameters_.set(i, row_major);
}

template <class T>
void Network<T>::copy_running(Index norm, T* mean, T* variance, int64_t* batches) {
    const std::lock_guard lock(mutex_);
    const RunningStatistics<T>& running = running_[norm];
    std::copy_n(running.mean.data(), plan_.norms[norm].width, mean);
    std::copy_n(running.variance.data(), plan_.norms[norm].width, variance);
    *batches = running.batches;
}

template <class T>
void Network<T>::set_running(Index norm, const T* mean, const T* variance, int64_t batches) {
    const std::lock_guard lock(mutex_);
    RunningStatistics<T>& running = running_[norm];
    std::copy_n(mean, plan_.norms[norm].width, running.mean.data());
    std::copy_n(variance, plan_.norms[norm].width, running.variance.data());
    running.batches = batches;
}

template <class T>
Pass<T> Network<T>::make_pass(Interrupt& interrupt) {
    return {kernels<T>(), plan_, parameters_, running_, work_, interrupt};
}

template <class T>
double Network<T>::estimated_time(Index rows, double passes) const {
    constexpr double kMultiplyAddsPerMicrosecond = 6e4;
    return plan_.work_per_row() * passes / 3 * static_cast<double>(rows) / kMultiplyAddsPerMicrosecond;
}

template <class T>
int Network<T>::threads_worth(Index rows, double passes, double share) const {
    const double shares = estimated_time(rows, passes) / share;
    return static_cast<int>(std::clamp<Index>(static_cast<Index>(shares), 1, num_threads()));
}

template <class T>
int Network<T>::threads_for(Index rows, double passes, double share) const {
    const Index chunks = (rows + kRowChunk - 1) / kRowChunk;
    return static_cast<int>(std::min<Index>(chunks, threads_worth(rows, passes, share)));
}

template <class T>
bool Network<T>::shares_products(Index rows) const {
    // Two meetings a product pay where weights come from beyond the second-level cache. (Batch norm has meetings of
    // its own, for which all threads need rows.)
    constexpr Index kLargeWeights = 2 * 1024 * 1024;
    const Index bytes = parameters_.layout_size() * static_cast<Index>(sizeof(T));
    return rows <= kRowChunk && bytes >= kLargeWeights && plan_.norms.empty();
}

template <class T>
void Network<T>::evaluate(Pass<T>& pass, T* out, Index out_stride) {
    const int threads = threads_for(pass.rows, 1, kWorthWaking);
    constexpr Index kRowsAtOnce = 64;
    const Index size = evaluation_scratch_size<T>(plan_, kRowsAtOnce);
    AlignedArray<T> scratch(threads * size);
    run_parallel(threads, [&](Team& team, int thread) {
        pass.kernels.forget_subnormals();
        const RowRange mine = rows_of_thread(pass.rows, thread, team.size());
        for (Index begin = mine.begin; begin < mine.end; begin += kRowsAtOnce) {
            if (thread == 0) pass.interrupt.poll(static_cast<double>(kRowsAtOnce) * plan_.work_per_row() / 3);
            if (pass.interrupt.requested()) return;
            evaluate_rows(pass, {begin, std::min(begin + kRowsAtOnce, mine.end)}, scratch.data() + thread * size, out,
                          out_stride);
        }
    });
    if (pass.interrupt.requested()) throw Interrupted();
}

template <class T>
void Network<T>::forward(const T* x, Index rows, bool training, T* out, const AskInterrupted& ask) {
    const std::lock_guard lock(mutex_);
    Interrupt interrupt(ask);
    Pass<T> pass = make_pass(interrupt);
    pass.rows = rows;
    pass.input = x;
    pass.input_stride = plan_.in_features;
    if (rows == 0) return;
    if (!training) return evaluate(pass, out, plan_.out_features);
    if (rows == 1 && !plan_.norms.empty())
        throw std::invalid_argument("batch norm needs more than one row in training: x has 1");
    const int threads = threads_for(rows, 1, kWorthWaking);
    ready_for_backward_ = false;
    gradients_measured_ = false;
    work_.reserve(rows, threads, Collect::full);
    work_.let_deltas_take_turns(false);
    // The caller may change x before it asks for the gradient.
    for (Index r = 0; r < rows; ++r)
        std::copy_n(x + r * plan_.in_features, plan_.in_features, work_.input() + r * work_.input_stride());
    pass.input = work_.input();
    pass.input_stride = work_.input_stride();
    pass.collect = Collect::full;
    pass.dropout_seed = seed_;
    pass.dropout_step = forward_count_;
    run_parallel(threads, [&](Team& team, int thread) {
        pass.kernels.forget_subnormals();
        forward_rows(pass, team, thread, rows_of_thread(rows, thread, team.size()));
        if (thread == 0) last_threads_ = team.size();
    });
    if (interrupt.requested()) throw Interrupted();
    kept_derivatives_.assign(work_.all_deltas(), work_.all_deltas() + work_.all_deltas_size());
    commit_running_statistics(pass);
    ++forward_count_;
    const Index last = static_cast<Index>(plan_.blocks.size()) - 1;
    for (Index r = 0; r < rows; ++r)
        std::copy_n(work_.output(last) + r * work_.stride(last), plan_.out_features, out + r * plan_.out_features);
    ready_for_backward_ = true;
    last_rows_ = rows;
}

template <class T>
void Network<T>::backward(const T* dy, Index rows, T* dx, const AskInterrupted& ask) {
    const std::lock_guard lock(mutex_);
    if (!ready_for_backward_) throw std::logic_error("backward needs a forward(x, training=True) before it");
    if (rows != last_rows_)
        throw std::invalid_argument("dy has " + std::to_string(rows) + " rows, the last forward(training=True) had " +
                                    std::to_string(last_rows_));
    gradients_measured_ = false;  // until all of them are those of this pass
    std::copy(kept_derivatives_.begin(), kept_derivatives_.end(), work_.all_deltas());
    Interrupt interrupt(ask);
    Pass<T> pass = make_pass(interrupt);
    pass.rows = rows;
    pass.input = work_.input();
    pass.input_stride = work_.input_stride();
    pass.collect = Collect::full;
    pass.wants_input_gradient = true;
    TaskRanges ranges(parameters_.size_before_task(), last_threads_);
    run_parallel(last_threads_, [&](Team& team, int thread) {
        pass.kernels.forget_subnormals();
        const RowRange mine = rows_of_thread(rows, thread, team.size());
        Index stride;
        T* gradient = output_gradient(pass, mine.begin, stride);
        for (Index r = 0; r < mine.count(); ++r) {
            T* row = gradient + r * stride;
            std::copy_n(dy + (mine.begin + r) * plan_.out_features, plan_.out_features, row);
            std::fill(row + plan_.out_features, row + padded<T>(plan_.out_features), T(0));
        }
        backward_rows(pass, team, thread, mine);
        team.meet([&] { pass.stopped = interrupt.requested(); });
        if (pass.stopped) return;
        GradientTasks<T> gradients(pass, thread);
        for (Index i; (i = ranges.next(thread)) >= 0;) gradients.take(i);
    });
    if (pass.stopped) throw Interrupted();
    gradients_measured_ = true;
    for (Index r = 0; r < rows; ++r)
        std::copy_n(work_.input_gradient() + r * work_.input_stride(), plan_.in_features, dx + r * plan_.in_features);
}

template class Network<float>;
template class Network<double>;

}  // namespace gradiometer
