// A network: its parameters and running statistics, and single passes through it. Safe to use from several threads of a
// program: each call holds the lock for as long as it works.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "network/pass.hpp"

namespace gradiometer {

// The calling thread gave a piece of work up because the user asked for it (Ctrl-C). Parameters and running statistics
// are as before; gradients may be those of the pass that was given up, or of the one before, and cannot be applied.
struct Interrupted {};

using AskInterrupted = std::function<bool()>;

template <class T>
class Network {
  public:
    // std::invalid_argument: an empty list of layers, a width below 1. Weights are zero until they are set.
    Network(Index in_features, const std::vector<LayerSpec>& layers, uint64_t seed);

    const Plan& plan() const { return plan_; }
    uint64_t seed() const { return seed_; }
    Index scalar_count() const { return parameters_.scalar_count(); }
    // Batches that forward(training) has seen: the dropout masks of the next one depend on it.
    uint64_t forward_count() const { return forward_count_; }
    void set_forward_count(uint64_t count) { forward_count_ = count; }

    // Holds off all other work on the network, for a caller that reads or writes several arrays as of one moment.
    std::unique_lock<std::recursive_mutex> hold() { return std::unique_lock(mutex_); }

    // State, in the shapes of a state dict: weights (out × in) row-major.
    void copy_parameter(Index i, T* out);
    void copy_gradient(Index i, T* out);  // of the last backward pass, unclipped; zero before the first
    void set_parameter(Index i, const T* row_major);
    void copy_running(Index norm, T* mean, T* variance, int64_t* batches);
    void set_running(Index norm, const T* mean, const T* variance, int64_t batches);

    // x (rows × in_features, dense) to out (rows × out_features, dense). In training mode the batch is kept for
    // backward and running statistics move; std::invalid_argument for a single row before batch norm.
    void forward(const T* x, Index rows, bool training, T* out, const AskInterrupted& ask);
    // dy (rows × out_features) to dx (rows × in_features), both dense; gradients are overwritten. std::logic_error: no
    // training pass came before (or a trainer's step since); std::invalid_argument: another number of rows.
    void backward(const T* dy, Index rows, T* dx, const AskInterrupted& ask);

  private:
    template <class>
    friend class Trainer;

    Pass<T> make_pass(Interrupt& interrupt);
    // About what this many passes through the network, three of them in a step, take one thread, in microseconds.
    double estimated_time(Index rows, double passes) const;
    // Threads for so many passes of the rows, if each of them is to have `share` microseconds of that time, and rows.
    int threads_for(Index rows, double passes, double share) const;
    // The same, were there rows for all of them.
    int threads_worth(Index rows, double passes, double share) const;
    static constexpr double kWorthWaking = 12;  // microseconds that pay for waking a thread
    // Whether the threads of a training step share the products of a batch that has rows for one of them only.
    bool shares_products(Index rows) const;
    void evaluate(Pass<T>& pass, T* out, Index out_stride);

    Plan plan_;
    uint64_t seed_;
    uint64_t forward_count_ = 0;
    Parameters<T> parameters_;
    std::vector<RunningStatistics<T>> running_;
    Workspace<T> work_;
    bool ready_for_backward_ = false;
    // The derivatives that the last forward(training) left: backward overwrites them in place, and may be called again.
    std::vector<T> kept_derivatives_;
    Index last_rows_ = 0;
    int last_threads_ = 1;
    bool gradients_measured_ = false;  // a bare backward pass, to be applied by a trainer
    std::recursive_mutex mutex_;
};

}  // namespace gradiometer
