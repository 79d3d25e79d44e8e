// One batch going through a network: forward, and backward to the deltas. Threads carry their own rows through all
// layers; they meet only where batch norm needs the whole batch, or where a few rows go through large layers and
// threads share the products.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "network/parameters.hpp"
#include "network/workspace.hpp"
#include "parallel/pool.hpp"
#include "parallel/task_ranges.hpp"

namespace gradiometer {

// Running statistics of one batch norm, and what the last training batch wants them to become.
template <class T>
struct RunningStatistics {
    std::vector<T> mean, variance;              // width
    std::vector<T> batch_mean, batch_variance;  // of the last training batch (variance unbiased), not yet merged
    int64_t batches = 0;
};

// Lets a long piece of work be given up. ask() is called now and then by the thread that called; once it has answered
// true, requested() is true for all. poll() is told how much work (multiply-adds) lies behind it: looking at the clock
// takes as long as a small layer.
class Interrupt {
  public:
    explicit Interrupt(std::function<bool()> asked) : asked_(std::move(asked)) {}
    void poll(double work);
    bool requested() const { return requested_.load(std::memory_order_relaxed); }

  private:
    std::function<bool()> asked_;
    std::atomic<bool> requested_{false};
    double work_ = 0;   // since the last look at the clock
    int64_t next_ = 0;  // nanoseconds of the steady clock
};

struct RowRange {
    Index begin, end;
    Index count() const { return end - begin; }
};

// The rows of one thread of `threads`: whole chunks, so that partial sums of a chunk belong to one thread.
RowRange rows_of_thread(Index rows, int thread, int threads);

// Everything that a pass needs to know; shared by its threads.
template <class T>
struct Pass {
    const KernelTable<T>& kernels;
    const Plan& plan;
    Parameters<T>& parameters;
    std::vector<RunningStatistics<T>>& running;
    Workspace<T>& work;
    Interrupt& interrupt;

    Index rows = 0;
    const T* input = nullptr;
    Index input_stride = 0;
    Collect collect = Collect::nothing;
    bool wants_input_gradient = false;
    bool running_is_pending = true;  // the running statistics have not taken this batch in yet
    uint64_t dropout_seed = 0;
    uint64_t dropout_step = 0;
    bool shares_products = false;  // all threads have the same rows, and thread 0 does what is not a product alone
    // One thread has all rows: the gradients of a block's parameters come right behind its delta, while that is in the
    // first cache.
    bool gradients_follow = false;
    bool stopped = false;  // agreed on by all threads at a meeting

    // Whether the threads meet on their way through the layers.
    bool meets() const { return shares_products || !plan.norms.empty(); }
    // True where the caller should go no further with its rows: it need not meet the others before it returns.
    bool abandoned() const { return meets() ? stopped : interrupt.requested(); }
    // Whether the thread only takes part in products.
    bool only_helps(int thread) const { return shares_products && thread != 0; }
};

// Fills output, delta (derivatives) and normalized of every block, for the rows of the range. With batch norm, `mine`
// is all that the thread has, and the threads meet.
template <class T>
void forward_rows(Pass<T>& pass, Team& team, int thread, RowRange mine);

// Where the gradient of the loss with respect to the network's output goes, for backward_rows to begin from; rows from
// `first_row` on.
template <class T>
T* output_gradient(Pass<T>& pass, Index first_row, Index& stride);

// From the output gradient to the delta of every dense layer, and to dL/dx where that is wanted. With gradients_follow,
// to the gradients of all parameters as well.
template <class T>
void backward_rows(Pass<T>& pass, Team& team, int thread, RowRange mine);

// running = (1 - momentum) · running + momentum · batch, for every batch norm: part of a step that is being kept.
template <class T>
void commit_running_statistics(Pass<T>& pass);

// The network in evaluation mode: out (rows × out_features, dense) from x, running statistics, no dropout.
template <class T>
void evaluate_rows(const Pass<T>& pass, RowRange mine, T* scratch, T* out, Index out_stride);
template <class T>
Index evaluation_scratch_size(const Plan& plan, Index rows);

}  // namespace gradiometer
