#include "network/optimizer.hpp"

#include <cmath>

namespace gradiometer {

int OptimizerSpec::state_count() const {
    const int with_momentum = momentum != 0;
    switch (rule) {
        case UpdateRule::sgd: return with_momentum;
        case UpdateRule::rmsprop: return 1 + with_momentum;
        default: return 2;
    }
}

const char* OptimizerSpec::state_name(int which) const {
    switch (rule) {
        case UpdateRule::sgd: return "momentum_buffer";
        case UpdateRule::rmsprop: return which == 0 ? "square_avg" : "momentum_buffer";
        default: return which == 0 ? "exp_avg" : "exp_avg_sq";
    }
}

bool OptimizerSpec::state_holds_squares(int which) const {
    return rule != UpdateRule::sgd && which == (rule == UpdateRule::rmsprop ? 0 : 1);
}

template <class T>
Optimizer<T>::Optimizer(const OptimizerSpec& spec, Index layout_size) : spec_(spec) {
    for (int i = 0; i < spec.state_count(); ++i) states_[i] = AlignedArray<T>(layout_size);
}

template <class T>
void Optimizer<T>::set_steps(int64_t steps) {
    steps_ = steps;
    if (steps > 0) return;
    for (int i = 0; i < spec_.state_count(); ++i) std::fill_n(states_[i].data(), states_[i].size(), T(0));
}

template <class T>
UpdateSpec Optimizer<T>::next_update(double learning_rate) const {
    const double step = static_cast<double>(steps_ + 1);
    UpdateSpec update;
    update.rule = spec_.rule;
    update.first_step = steps_ == 0;
    update.nesterov = spec_.nesterov;
    update.clip_values = false;
    update.clip_limit = 0;
    update.gradient_scale = 1;
    update.learning_rate = learning_rate;
    update.weight_decay = spec_.weight_decay;
    update.momentum = spec_.momentum;
    update.dampening = spec_.dampening;
    update.beta1 = spec_.beta1;
    update.beta2 = spec_.beta2;
    update.epsilon = spec_.epsilon;
    update.correction1 = 1 - std::pow(spec_.beta1, step);
    update.correction2 = 1 - std::pow(spec_.beta2, step);
    return update;
}

template <class T>
void update_task(Pass<T>& pass, Optimizer<T>& optimizer, const UpdateSpec& update, bool adaptive_clip,
                 const ParameterTask& task) {
    const ParameterSpec& p = pass.parameters.spec(task.parameter);
    const Index stride = padded<T>(p.columns);
    double* squares = nullptr;
    if (pass.collect == Collect::full && p.is_weight)
        squares = pass.work.update_squares(task.parameter, task.chunk) + task.first_column;
    const auto state = [&](int which) {
        return which < optimizer.spec().state_count() ? optimizer.state(which) + task.offset : nullptr;
    };
    const T* factors = adaptive_clip ? pass.work.clip_factors(task.parameter) + task.first_column : nullptr;
    pass.kernels.update(update, task.elements(), task.vectors, pass.parameters.all_values() + task.offset,
                        pass.parameters.all_gradients() + task.offset, factors, state(0), state(1), squares,
                        squares ? squares + kSquareSums<T> * stride : nullptr, stride);
}

#define GM_INSTANTIATE(T)        \
    template class Optimizer<T>; \
    template void update_task(Pass<T>&, Optimizer<T>&, const UpdateSpec&, bool, const ParameterTask&);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
