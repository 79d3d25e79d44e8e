// One training step, as each thread of the team sees it.
#include <algorithm>
#include <cmath>
#include <exception>
#include <stdexcept>

#include "network/borrowed_memory.hpp"
#include "network/clip_adaptive.hpp"
#include "network/gradient.hpp"
#include "network/trainer.hpp"

namespace gradiometer {

template <class T>
Collect Trainer<T>::collect_for(int64_t step) const {
    if (recorder_->wants(step)) return recorder_->mode() == RecordMode::full ? Collect::full : Collect::norms;
    const bool clips = spec_.clip.kind != ClipSpec::Kind::none;
    const bool watches = recorder_->mode() != RecordMode::nothing || spec_.on_nonfinite != OnNonfinite::record;
    return clips || watches ? Collect::squares : Collect::nothing;
}

// Scales of the rows (1 / rows, or weight / Σ weights), labels and targets of the batch, into the workspace.
template <class T>
void Trainer<T>::fill_targets(const Batch<T>& batch) {
    Workspace<T>& work = network_->work_;
    const Examples<T>& from = batch.examples;
    double total = static_cast<double>(batch.count);
    if (from.weights) {
        total = 0;
        for (Index i = 0; i < batch.count; ++i) total += from.weights[batch.row(i)];  // above 0, as was checked
    }
    const Index width = network_->plan_.out_features;
    for (Index i = 0; i < batch.count; ++i) {
        const int64_t row = batch.row(i);
        work.row_scale()[i] = (from.weights ? from.weights[row] : 1.0) / total;
        if (from.labels) work.labels()[i] = from.label(row, width);
        if (from.targets) std::copy_n(from.targets + row * width, width, work.targets() + i * width);
    }
}

template <class T>
void Trainer<T>::gather_inputs(const Batch<T>& batch, RowRange mine) {
    Workspace<T>& work = network_->work_;
    const Index width = network_->plan_.in_features;
    for (Index i = mine.begin; i < mine.end; ++i)
        std::copy_n(batch.examples.x + batch.row(i) * width, width, work.input() + i * work.input_stride());
}

template <class T>
void Trainer<T>::loss_rows(Pass<T>& pass, RowRange mine) {
    Workspace<T>& work = pass.work;
    const Index last = static_cast<Index>(pass.plan.blocks.size()) - 1;
    const Index width = pass.plan.out_features;
    const Index stride = work.stride(last);
    const T* out = work.output(last) + mine.begin * stride;
    Index gradient_stride;
    T* gradient = output_gradient(pass, mine.begin, gradient_stride);
    const double* scale = work.row_scale() + mine.begin;
    double* loss = work.row_loss() + mine.begin;
    const T* targets = work.targets() + mine.begin * width;
    switch (spec_.loss) {
        case LossKind::cross_entropy:
            return pass.kernels.cross_entropy(mine.count(), width, out, stride, work.labels() + mine.begin, scale, loss,
                                              gradient, gradient_stride);
        case LossKind::bce_with_logits:
            return pass.kernels.bce_with_logits(mine.count(), width, out, stride, targets, width, scale, loss, gradient,
                                                gradient_stride);
        case LossKind::mse:
            return pass.kernels.mse(mine.count(), width, out, stride, targets, width, scale, loss, gradient,
                                    gradient_stride);
    }
}

template <class T>
double Trainer<T>::total_loss(Index rows) const {
    double loss = 0;
    for (Index i = 0; i < rows; ++i) loss += network_->work_.row_scale()[i] * network_->work_.row_loss()[i];
    return loss;
}

// Rows that go through the whole network together: as many as stay in the cache beside a layer's weights; all of them
// where the weights themselves are too large for it, so that they are read once.
template <class T>
Index Trainer<T>::row_block() const {
    constexpr Index kCacheBytes = 128 * 1024;
    const Plan& plan = network_->plan_;
    if (!plan.norms.empty()) return PTRDIFF_MAX;
    Index widest = 1;
    for (const Block& block : plan.blocks) {
        const Index bytes = block.in_width * block.width * static_cast<Index>(sizeof(T));
        if (block.dense != kNone && bytes > 2 * kCacheBytes) return PTRDIFF_MAX;
        widest = std::max(widest, block.width);
    }
    const Index rows = kCacheBytes / (2 * widest * static_cast<Index>(sizeof(T)));
    return std::max<Index>(rows / kRowChunk, 4) * kRowChunk;
}

template <class T>
void Trainer<T>::judge(Pass<T>& pass, double loss) {
    source_.reset();
    refused_ = refused_by_clip_ = false;
    if (pass.collect == Collect::nothing) {
        clip_.coefficient = 1;
        clip_.per_parameter.assign(pass.parameters.count(), 1.0);
        return;
    }
    decide_clip(pass, spec_.clip, clip_);
    bool finite = std::isfinite(clip_.total_norm) && (std::isfinite(loss) || !loss_known_);
    if (pass.collect >= Collect::norms) finite = finite && measurements_.all_finite(pass.collect);
    if (finite) return;
    source_ = find_nonfinite(pass, measurements_, loss_known_ ? loss : 0);
    refused_by_clip_ = spec_.clip.error_if_nonfinite && !std::isfinite(clip_.total_norm);
    refused_ = refused_by_clip_ || spec_.on_nonfinite != OnNonfinite::record;
}

template <class T>
void Trainer<T>::compute_gradients(Pass<T>& pass, TaskRanges& ranges, int thread) {
    GradientTasks<T> gradients(pass, thread);
    for (Index i; (i = ranges.next(thread)) >= 0;) {
        const ParameterTask& task = pass.parameters.tasks()[i];
        const Index multiply_adds = pass.rows * task.elements() * task.vectors * pass.kernels.lanes;
        if (thread == 0) pass.interrupt.poll(static_cast<double>(multiply_adds));
        if (pass.interrupt.requested()) return;
        gradients.take(i);
    }
}

template <class T>
void Trainer<T>::measure_weights(Pass<T>& pass, TaskRanges& ranges, int thread) {
    for (Index i; (i = ranges.next(thread)) >= 0;) measure_weights_task(pass, pass.parameters.tasks()[i]);
}

template <class T>
void Trainer<T>::update(Pass<T>& pass, double learning_rate, TaskRanges& ranges, int thread) {
    UpdateSpec update = optimizer_.next_update(learning_rate);
    update.clip_values = spec_.clip.kind == ClipSpec::Kind::value;
    update.clip_limit = spec_.clip.clip_value;
    const auto& tasks = pass.parameters.tasks();
    for (Index i; (i = ranges.next(thread)) >= 0;) {
        update.gradient_scale = clip_.per_parameter[tasks[i].parameter];
        update_task(pass, optimizer_, update, clips_adaptively(), tasks[i]);
    }
}

template <class T>
double Trainer<T>::lock_with_rate(const LearningRate& rate, std::unique_lock<std::recursive_mutex>& lock) const {
    for (;;) {
        const int64_t step = steps_;
        const double learning_rate = rate(step);
        lock.lock();
        if (steps_ == step) return learning_rate;
        lock.unlock();
    }
}

template <class T>
double Trainer<T>::step(const Batch<T>& batch, const LearningRate& rate, const AskInterrupted& ask) {
    Interrupt interrupt(ask);
    return step(batch, rate, interrupt);
}

template <class T>
template <class Work>
void Trainer<T>::with_best_threads(const Pass<T>& pass, const Work& work) {
    // In microseconds. On the machines that were tried, a thread never pays for less than the first of a step's time;
    // in steps that take more than the second, all threads do that have so much.
    constexpr double kWorthTrying = 7;
    constexpr double kSurelyWorth = 150;
    const Network<T>& network = *network_;
    const int several = pass.shares_products ? network.threads_worth(pass.rows, 3, kWorthTrying)
                                             : network.threads_for(pass.rows, 3, kWorthTrying);
    if (several == 1 || works_alone()) {
        work(several);
        return;
    }
    StepThreads& threads = step_threads_[pass.rows];
    if (network.estimated_time(pass.rows, 3) > kSurelyWorth) return threads.watch.run(several, work);
    threads.choice.run(several, [&](int tried) {
        if (tried == 1)
            work(1);
        else
            threads.watch.run(tried, work);
    });
}

template <class T>
double Trainer<T>::step(const Batch<T>& batch, const LearningRate& rate, Interrupt& interrupt) {
    Network<T>& network = *network_;
    std::unique_lock lock(network.mutex_, std::defer_lock);
    const double learning_rate = lock_with_rate(rate, lock);
    const Plan& plan = network.plan_;
    const Index rows = batch.count;
    if (rows == 1 && !plan.norms.empty())
        throw std::invalid_argument("batch norm needs more than one row in training: the batch has 1");
    Pass<T> pass = network.make_pass(interrupt);
    pass.rows = rows;
    pass.collect = collect_for(steps_);
    pass.dropout_seed = spec_.seed;
    pass.dropout_step = static_cast<uint64_t>(steps_);
    pass.shares_products = network.shares_products(rows);
    if (recorder_->wants(steps_)) recorder_->make_room();  // while nothing has changed
    network.ready_for_backward_ = network.gradients_measured_ = false;
    const BorrowedMemory<T> borrowed(network.work_, rows);
    double loss = 0;
    with_best_threads(pass, [&](int threads) { return run(pass, batch, learning_rate, threads, loss); });
    finish(pass, loss, learning_rate);
    return loss;
}

template <class T>
double Trainer<T>::run(Pass<T>& pass, const Batch<T>& batch, double learning_rate, int threads, double& loss) {
    Network<T>& network = *network_;
    Interrupt& interrupt = pass.interrupt;
    const Plan& plan = network.plan_;
    const Index rows = pass.rows;
    network.work_.reserve(rows, threads, pass.collect);
    if (clips_adaptively()) network.work_.reserve_adaptive_clip();
    // The caller's rows are read in place where they are what the kernels read: unpadded rows only feed a product.
    const bool in_place = !batch.rows && !plan.copies_input;
    pass.input = in_place ? batch.examples.x + batch.first * plan.in_features : network.work_.input();
    pass.input_stride = in_place ? plan.in_features : network.work_.input_stride();
    fill_targets(batch);
    loss_known_ = true;

    const std::vector<Index>& sizes = network.parameters_.size_before_task();
    const Index block_count = static_cast<Index>(plan.blocks.size());
    TaskRanges gradients(sizes, threads), measured(block_count, threads), updates(sizes, threads),
        updates_measured(block_count, threads), weights(sizes, threads);
    network.work_.let_deltas_take_turns(false);
    std::exception_ptr failed;
    const double waited = run_parallel(threads, [&](Team& team, int thread) {
        pass.kernels.forget_subnormals();
        if (team.size() == 1 && rows <= row_block()) {
            pass.gradients_follow = true;
            network.work_.let_deltas_take_turns(true);
        }
        const RowRange mine = pass.shares_products ? RowRange{0, rows} : rows_of_thread(rows, thread, team.size());
        const Index block = std::min(row_block(), mine.count());
        for (Index begin = mine.begin; begin < mine.end; begin += block) {
            const RowRange some{begin, std::min(begin + block, mine.end)};
            const bool helps = pass.only_helps(thread);
            if (!in_place && !helps) gather_inputs(batch, some);
            forward_rows(pass, team, thread, some);
            if (pass.abandoned()) break;
            if (!helps) loss_rows(pass, some);
            backward_rows(pass, team, thread, some);
            if (pass.abandoned()) break;
        }
        team.meet([&] { pass.stopped = interrupt.requested(); });
        if (pass.stopped) return;
        if (!pass.gradients_follow) compute_gradients(pass, gradients, thread);
        if (clips_adaptively()) measure_weights(pass, weights, thread);
        team.meet([&] { pass.stopped = interrupt.requested(); });
        if (pass.stopped) return;
        if (pass.collect != Collect::nothing)
            for (Index i; (i = measured.next(thread)) >= 0;) measurements_.take_gradients(pass, i, team.size());
        team.meet([&] {
            loss = total_loss(rows);
            try {
                judge(pass, loss);
            } catch (...) {  // there may be too little memory, and the others wait at the meeting
                failed = std::current_exception();
            }
        });
        if (refused_ || failed) return;
        update(pass, learning_rate, updates, thread);
        if (pass.collect != Collect::full) return;
        team.meet();
        for (Index i; (i = updates_measured.next(thread)) >= 0;) measurements_.take_update(pass, i);
    });
    if (failed) std::rethrow_exception(failed);
    if (pass.stopped) throw Interrupted();
    return waited;
}

template <class T>
void Trainer<T>::apply_gradients(double loss, const LearningRate& rate) {
    Network<T>& network = *network_;
    std::unique_lock lock(network.mutex_, std::defer_lock);
    const double learning_rate = lock_with_rate(rate, lock);
    if (!network.gradients_measured_)
        throw std::logic_error("apply_gradients needs a backward(dy) of the network since its last update");
    Interrupt interrupt({});
    Pass<T> pass = network.make_pass(interrupt);
    pass.rows = network.last_rows_;
    // The bare pass measured everything; what is not to be recorded now is left out.
    pass.collect = std::max(collect_for(steps_), Collect::squares);
    loss_known_ = !std::isnan(loss);
    if (recorder_->wants(steps_)) recorder_->make_room();
    if (clips_adaptively()) {
        network.work_.reserve_adaptive_clip();
        for (const ParameterTask& task : pass.parameters.tasks()) measure_weights_task(pass, task);
    }
    for (Index i = 0; i < static_cast<Index>(pass.plan.blocks.size()); ++i)
        measurements_.take_gradients(pass, i, network.last_threads_);
    judge(pass, loss);
    const int threads = network.threads_for(pass.rows, 1, Network<T>::kWorthWaking);
    TaskRanges ranges(pass.parameters.size_before_task(), threads);
    if (!refused_)
        run_parallel(threads, [&](Team&, int thread) {
            pass.kernels.forget_subnormals();
            update(pass, learning_rate, ranges, thread);
        });
    if (pass.collect == Collect::full && !refused_)
        for (Index i = 0; i < static_cast<Index>(pass.plan.blocks.size()); ++i) measurements_.take_update(pass, i);
    network.ready_for_backward_ = network.gradients_measured_ = false;
    pass.running_is_pending = false;
    finish(pass, loss, learning_rate);
}

template <class T>
void Trainer<T>::finish(Pass<T>& pass, double loss, double learning_rate) {
    const int64_t step = steps_++;
    if (source_) recorder_->note_nonfinite(step, source_->layer, source_->tensor);
    if (!refused_) {
        if (pass.running_is_pending) commit_running_statistics(pass);
        optimizer_.count_step();
    }
    if (recorder_->wants(step)) {
        StepRecord record;
        record.step = step;
        record.loss = loss;
        record.total_norm = clip_.total_norm;
        record.clip_coefficient = clip_.coefficient;
        record.lr = learning_rate;
        record.fields = measurements_.fields(pass.collect, !refused_);
        recorder_->append(record);
    }
    stopped_ = refused_;
    if (refused_ && (refused_by_clip_ || spec_.on_nonfinite == OnNonfinite::raise))
        throw NonfiniteError{step, *source_, refused_by_clip_};
}

#define GM_INSTANTIATE(T)                                                                          \
    template double Trainer<T>::step(const Batch<T>&, const LearningRate&, const AskInterrupted&); \
    template void Trainer<T>::apply_gradients(double, const LearningRate&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
