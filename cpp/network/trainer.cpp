#include "network/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <vector>

#include "random/draw.hpp"

namespace gradiometer {

template <class T>
Trainer<T>::Trainer(std::shared_ptr<Network<T>> network, const TrainerSpec& spec, std::shared_ptr<Recorder> recorder)
    : network_(std::move(network)),
      spec_(spec),
      recorder_(std::move(recorder)),
      optimizer_(spec.optimizer, network_->parameters_.layout_size()),
      measurements_(network_->plan()) {}

template <class T>
void Trainer<T>::set_progress(int64_t steps, int64_t epochs, int64_t updates, uint64_t seed) {
    const std::lock_guard lock(network_->mutex_);
    steps_ = steps;
    epochs_ = epochs;
    spec_.seed = seed;
    stopped_ = false;
    optimizer_.set_steps(updates);
}

template <class T>
void Trainer<T>::copy_state(int which, Index parameter, T* out) {
    const std::lock_guard lock(network_->mutex_);
    network_->parameters_.unpack(parameter, optimizer_.state(which), out);
}

template <class T>
void Trainer<T>::set_state(int which, Index parameter, const T* row_major) {
    const std::lock_guard lock(network_->mutex_);
    network_->parameters_.pack(parameter, row_major, optimizer_.state(which));
}

namespace {

// Whether the loss of a batch is undefined, all its weights being zero.
template <class T>
bool is_weightless(const Batch<T>& batch) {
    if (!batch.examples.weights) return false;
    for (Index i = 0; i < batch.count; ++i)
        if (batch.examples.weights[batch.row(i)] > 0) return false;
    return true;
}

// Says when a display is due again.
class Clock {
  public:
    bool due() {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_) return false;
        next_ = now + std::chrono::milliseconds(100);
        return true;
    }

  private:
    std::chrono::steady_clock::time_point next_{};
};

}  // namespace

template <class T>
bool Trainer<T>::fit(const Examples<T>& training, const std::optional<Examples<T>>& validation, int64_t epochs,
                     Index batch_size, bool shuffle, const FitCallbacks& callbacks) {
    const bool has_norm = !network_->plan().norms.empty();
    if (has_norm && (batch_size == 1 || training.count == 1))
        throw std::invalid_argument("batch norm needs more than one row in every batch: batch_size is " +
                                    std::to_string(batch_size) + ", X has " + std::to_string(training.count) + " rows");
    const std::vector<Index> ends = batch_ends(training.count, batch_size, has_norm);
    std::vector<int64_t> order(shuffle ? training.count : 0);
    Clock clock;
    Interrupt interrupt(callbacks.interrupted);
    std::optional<double> loss;  // of the latest step
    stopped_ = false;
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
        if (shuffle) {
            const std::lock_guard lock(network_->mutex_);  // another thread may be loading a state
            draw_permutation({spec_.seed, static_cast<uint32_t>(epochs_), Purpose::shuffle}, training.count,
                             order.data());
        }
        ++epochs_;  // an epoch that is broken off is not taken up again: the next one has an order of its own
        Index begin = 0;
        for (size_t i = 0; i < ends.size(); ++i) {
            const Batch<T> batch{training, shuffle ? order.data() + begin : nullptr, begin, ends[i] - begin};
            begin = ends[i];
            if (!is_weightless(batch)) loss = step(batch, callbacks.learning_rate, interrupt);
            const bool last = i + 1 == ends.size();
            if (callbacks.progress && loss && (last || clock.due()))
                callbacks.progress(
                    {epoch + 1, epochs, static_cast<int64_t>(i) + 1, static_cast<int64_t>(ends.size()), *loss});
            if (stopped_) return false;
        }
        if (validation) {
            const Evaluation result = evaluate(*validation, callbacks.interrupted);
            recorder_->append_validation(steps_ - 1, result.loss, result.accuracy);
        }
    }
    return true;
}

namespace {

template <class T>
double share_right(LossKind loss, const Examples<T>& examples, Index row, const T* out, Index width) {
    if (loss == LossKind::cross_entropy)
        return std::max_element(out, out + width) - out == examples.labels[row] ? 1 : 0;
    Index right = 0;
    for (Index j = 0; j < width; ++j) right += (out[j] > 0) == (examples.targets[row * width + j] > T(0.5));
    return static_cast<double>(right) / static_cast<double>(width);
}

}  // namespace

template <class T>
Evaluation Trainer<T>::evaluate(const Examples<T>& examples, const AskInterrupted& ask) {
    Network<T>& network = *network_;
    const std::lock_guard lock(network.mutex_);
    const Index width = network.plan_.out_features;
    const Index stride = padded<T>(width);
    Interrupt interrupt(ask);
    double loss = 0;
    double right = 0;
    double total_weight = 0;
    // Weights count by their relation: near 1, their sums neither overflow nor lose bits.
    int exponent = 0;
    if (examples.weights) std::frexp(*std::max_element(examples.weights, examples.weights + examples.count), &exponent);
    // A part of the rows at a time, so that a large data set needs no array of outputs of its own size.
    constexpr Index kRowsAtOnce = 4096;
    const Index room = std::min(kRowsAtOnce, examples.count);
    AlignedArray<T> outputs(room * stride);
    std::vector<double> row_loss(room), row_scale(room, 1.0);
    std::vector<int64_t> labels(examples.labels ? room : 0);
    for (Index begin = 0; begin < examples.count; begin += kRowsAtOnce) {
        const Index rows = std::min(kRowsAtOnce, examples.count - begin);
        Pass<T> pass = network.make_pass(interrupt);
        pass.rows = rows;
        pass.input = examples.x + begin * network.plan_.in_features;
        pass.input_stride = network.plan_.in_features;
        network.evaluate(pass, outputs.data(), stride);
        const T* targets = examples.targets ? examples.targets + begin * width : nullptr;
        for (Index r = 0; examples.labels && r < rows; ++r) labels[r] = examples.label(begin + r, width);
        if (spec_.loss == LossKind::cross_entropy)
            pass.kernels.cross_entropy(rows, width, outputs.data(), stride, labels.data(), row_scale.data(),
                                       row_loss.data(), nullptr, 0);
        else
            (spec_.loss == LossKind::mse ? pass.kernels.mse : pass.kernels.bce_with_logits)(
                rows, width, outputs.data(), stride, targets, width, row_scale.data(), row_loss.data(), nullptr, 0);
        for (Index r = 0; r < rows; ++r) {
            const double weight = examples.weights ? std::ldexp(examples.weights[begin + r], -exponent) : 1.0;
            loss += weight * row_loss[r];
            total_weight += weight;
            if (spec_.loss != LossKind::mse)
                right += weight * share_right(spec_.loss, examples, begin + r, outputs.data() + r * stride, width);
        }
    }
    const double accuracy = spec_.loss == LossKind::mse ? std::nan("") : right / total_weight;
    return {loss / total_weight, accuracy};
}

#define GM_INSTANTIATE(T)                                                                                      \
    template Trainer<T>::Trainer(std::shared_ptr<Network<T>>, const TrainerSpec&, std::shared_ptr<Recorder>);  \
    template void Trainer<T>::set_progress(int64_t, int64_t, int64_t, uint64_t);                               \
    template void Trainer<T>::copy_state(int, Index, T*);                                                      \
    template void Trainer<T>::set_state(int, Index, const T*);                                                 \
    template bool Trainer<T>::fit(const Examples<T>&, const std::optional<Examples<T>>&, int64_t, Index, bool, \
                                  const FitCallbacks&);                                                        \
    template Evaluation Trainer<T>::evaluate(const Examples<T>&, const AskInterrupted&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
