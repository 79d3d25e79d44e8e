// Training: the step (forward, loss, backward, clip, update, record) and the loop over epochs.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "meter/recorder.hpp"
#include "network/batch.hpp"
#include "network/measurement.hpp"
#include "network/network.hpp"
#include "network/optimizer.hpp"
#include "parallel/contention_watch.hpp"
#include "parallel/thread_choice.hpp"

namespace gradiometer {

enum class OnNonfinite { record, raise, stop };

struct TrainerSpec {
    LossKind loss = LossKind::cross_entropy;
    OptimizerSpec optimizer{};
    ClipSpec clip{};
    OnNonfinite on_nonfinite = OnNonfinite::record;
    uint64_t seed = 0;  // of shuffling and dropout
};

// A step met a value that is not finite and was told not to go on; nothing was updated.
struct NonfiniteError {
    int64_t step;
    NonfiniteSource source;
    bool by_clip;  // ClipNorm(error_if_nonfinite) asked for it
};

struct Evaluation {
    double loss;
    double accuracy;  // NaN for a regression
};

// What a progress display gets to see, at most every tenth of a second and at the end of an epoch.
struct Progress {
    int64_t epoch, epochs, step_of_epoch, steps_of_epoch;
    double loss;
};

// Of a step. It is asked for without any lock, and again if that step has been taken by then, by another thread say.
using LearningRate = std::function<double(int64_t step)>;

struct FitCallbacks {
    LearningRate learning_rate;
    std::function<void(const Progress&)> progress;  // may be empty
    AskInterrupted interrupted;
};

template <class T>
class Trainer {
  public:
    Trainer(std::shared_ptr<Network<T>> network, const TrainerSpec& spec, std::shared_ptr<Recorder> recorder);

    // One batch; returns the loss before the update. Throws Interrupted or NonfiniteError, the network then being as it
    // was; std::invalid_argument for a single row before batch norm.
    double step(const Batch<T>& batch, const LearningRate& rate, const AskInterrupted& ask);
    // Clip, update and record after the network's own backward(dy). loss: NaN if unknown. std::logic_error: there was
    // no backward pass since the last update.
    void apply_gradients(double loss, const LearningRate& rate);
    // Epochs over all examples; a batch whose weights are all zero takes no step. Returns false if a value that is not
    // finite ended it (OnNonfinite::stop). What was finished before an exception stays.
    bool fit(const Examples<T>& training, const std::optional<Examples<T>>& validation, int64_t epochs,
             Index batch_size, bool shuffle, const FitCallbacks& callbacks);
    Evaluation evaluate(const Examples<T>& examples, const AskInterrupted& ask);

    // State: counters, and the optimizer's arrays in the shapes of the parameters.
    int64_t steps() const { return steps_; }
    int64_t epochs() const { return epochs_; }
    int64_t updates() const { return optimizer_.steps(); }
    void set_progress(int64_t steps, int64_t epochs, int64_t updates, uint64_t seed);
    void copy_state(int which, Index parameter, T* out);
    void set_state(int which, Index parameter, const T* row_major);
    bool stopped() const { return stopped_; }

  private:
    double step(const Batch<T>& batch, const LearningRate& rate, Interrupt& interrupt);
    // Takes the network's lock, with the learning rate of the step that is then the next.
    double lock_with_rate(const LearningRate& rate, std::unique_lock<std::recursive_mutex>& lock) const;
    // Calls work(threads), which returns what run_parallel does, with as many threads as the step of this pass takes
    // the least time with.
    template <class Work>
    void with_best_threads(const Pass<T>& pass, const Work& work);
    // From the inputs to the loss and the update, in so many threads; returns what run_parallel does.
    double run(Pass<T>& pass, const Batch<T>& batch, double learning_rate, int threads, double& loss);
    Collect collect_for(int64_t step) const;
    void fill_targets(const Batch<T>& batch);
    void gather_inputs(const Batch<T>& batch, RowRange mine);
    void loss_rows(Pass<T>& pass, RowRange mine);
    double total_loss(Index rows) const;
    Index row_block() const;
    // The gradients of all parameters, by all threads.
    void compute_gradients(Pass<T>& pass, TaskRanges& ranges, int thread);
    // What adaptive clipping needs to know of the weights.
    void measure_weights(Pass<T>& pass, TaskRanges& ranges, int thread);
    // After backward: norms, clipping, and whether the update may go on. Fills clip_, source_.
    void judge(Pass<T>& pass, double loss);
    bool clips_adaptively() const { return spec_.clip.kind == ClipSpec::Kind::adaptive; }
    void update(Pass<T>& pass, double learning_rate, TaskRanges& ranges, int thread);
    // After the update: counters and the recording.
    void finish(Pass<T>& pass, double loss, double learning_rate);

    std::shared_ptr<Network<T>> network_;
    TrainerSpec spec_;
    std::shared_ptr<Recorder> recorder_;
    Optimizer<T> optimizer_;
    LayerMeasurements measurements_;
    ClipDecision clip_;
    std::optional<NonfiniteSource> source_;  // of this step, if anything was not finite
    bool loss_known_ = true;
    bool refused_ = false, refused_by_clip_ = false;
    // Written while the network's lock is held, and read at any time.
    std::atomic<bool> stopped_{false};
    std::atomic<int64_t> steps_{0}, epochs_{0};
    // How many threads are best for steps of one number of rows: the first, of those that are short.
    struct StepThreads {
        ThreadChoice choice;
        ContentionWatch<> watch;
    };
    std::map<Index, StepThreads> step_threads_;  // by the number of rows
};

}  // namespace gradiometer
