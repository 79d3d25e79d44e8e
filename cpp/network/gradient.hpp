// The gradients of the parameters from the deltas, task by task.
#pragma once

#include "network/pass.hpp"

namespace gradiometer {

// One thread's way through the tasks.
template <class T>
class GradientTasks {
  public:
    GradientTasks(Pass<T>& pass, int thread) : pass_(pass), thread_(thread) {}

    // Gradient of the chunk of one of the parameters' tasks, and its statistics. Batch norm's gradients are there
    // already.
    void take(Index number);
    // The same for all tasks of a block.
    void take_block(Index number);

  private:
    // The left-hand side of an outer product.
    struct Columns {
        const T* x;
        Index stride;  // 0: packed
        bool operator==(const Columns&) const = default;
    };
    Columns columns_of(const ParameterTask& task) const;
    Columns pack(Columns columns, Index count);
    void weight_gradient(Index number, T* out);

    Pass<T>& pass_;
    int thread_;
    Columns packed_{};  // what the thread's packed columns were made of
};

}  // namespace gradiometer
