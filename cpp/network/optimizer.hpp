// Optimizers: what they are set to, and what they remember of each parameter.
#pragma once

#include "network/clip.hpp"
#include "network/parameters.hpp"

namespace gradiometer {

struct OptimizerSpec {
    UpdateRule rule = UpdateRule::sgd;
    double momentum = 0;
    double dampening = 0;
    double weight_decay = 0;
    bool nesterov = false;
    double beta1 = 0.9;
    double beta2 = 0.999;  // RMSprop's alpha
    double epsilon = 1e-8;

    // How many arrays of the size of the parameters it remembers, and what PyTorch calls them.
    int state_count() const;
    const char* state_name(int which) const;
    bool state_holds_squares(int which) const;
};

template <class T>
class Optimizer {
  public:
    Optimizer(const OptimizerSpec& spec, Index layout_size);

    const OptimizerSpec& spec() const { return spec_; }
    int64_t steps() const { return steps_; }
    // With 0 steps it remembers nothing.
    void set_steps(int64_t steps);
    T* state(int which) { return states_[which].data(); }

    // The settings of the next step, without clipping.
    UpdateSpec next_update(double learning_rate) const;
    void count_step() { ++steps_; }

  private:
    OptimizerSpec spec_;
    int64_t steps_ = 0;
    AlignedArray<T> states_[2];
};

// Updates the chunk of one task. With Collect::full it measures the weights and their change. With adaptive clipping,
// columns have factors of their own.
template <class T>
void update_task(Pass<T>& pass, Optimizer<T>& optimizer, const UpdateSpec& update, bool adaptive_clip,
                 const ParameterTask& task);

}  // namespace gradiometer
