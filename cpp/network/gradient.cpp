#include "network/gradient.hpp"

#include <algorithm>

#include "network/layer_norm.hpp"

namespace gradiometer {
namespace {

// The task of a weight that this thread most likely does next; its own if there is none.
template <class T>
const ParameterTask& next_weight_task(const Pass<T>& pass, Index number) {
    const std::vector<ParameterTask>& tasks = pass.parameters.tasks();
    const ParameterTask& task = tasks[number];
    for (size_t i = static_cast<size_t>(number) + 1; i < tasks.size(); ++i) {
        if (pass.gradients_follow && tasks[i].parameter != task.parameter) break;
        if (pass.parameters.spec(tasks[i].parameter).is_weight) return tasks[i];
    }
    return task;
}

// What to fetch for writing while a gradient is computed: its weights, if they are still in a cache when the update
// comes to them and other processors have read them, or else the lines of the gradient itself.
template <class T>
const T* written_after_gradient(Pass<T>& pass, const ParameterTask& task) {
    constexpr Index kCacheBytes = 6 * 1024 * 1024;
    const bool fits =
        !pass.gradients_follow && pass.parameters.layout_size() * static_cast<Index>(sizeof(T)) <= kCacheBytes;
    return (fits ? pass.parameters.all_values() : pass.parameters.all_gradients()) + task.offset;
}

template <class T>
const T* delta_of(Pass<T>& pass, const ParameterTask& task) {
    return pass.work.delta(pass.parameters.spec(task.parameter).block) + task.first_column;
}

}  // namespace

template <class T>
typename GradientTasks<T>::Columns GradientTasks<T>::columns_of(const ParameterTask& task) const {
    const Index block = pass_.parameters.spec(task.parameter).block;
    if (block == 0) return {pass_.input + task.inner_begin, pass_.input_stride};
    return {pass_.work.output(block - 1) + task.inner_begin, pass_.work.stride(block - 1)};
}

// The panels of a chunk follow each other, so one copy of its columns serves many tasks.
template <class T>
typename GradientTasks<T>::Columns GradientTasks<T>::pack(Columns columns, Index count) {
    if (!pass_.work.packs(columns.stride)) return columns;
    T* copy = pass_.work.packed_columns(thread_);
    if (packed_ != columns) pass_.kernels.pack_columns(pass_.rows, count, columns.x, columns.stride, copy);
    packed_ = columns;
    return {copy, 0};
}

template <class T>
void GradientTasks<T>::weight_gradient(Index number, T* out) {
    const ParameterTask& task = pass_.parameters.tasks()[number];
    const ParameterTask& following = next_weight_task(pass_, number);
    const Columns x = columns_of(task);
    const Columns next = columns_of(following);
    const Columns near = pack(x, task.elements());
    pass_.kernels.outer_product(pass_.rows, task.elements(), near.x, near.stride, delta_of(pass_, task),
                                pass_.work.stride(pass_.parameters.spec(task.parameter).block), task.vectors, out,
                                {.a = next == x ? nullptr : next.x,
                                 .a_stride = next.stride,
                                 .b = delta_of(pass_, following),
                                 .written = written_after_gradient(pass_, task)});
}

template <class T>
void GradientTasks<T>::take(Index number) {
    const ParameterTask& task = pass_.parameters.tasks()[number];
    const ParameterSpec& p = pass_.parameters.spec(task.parameter);
    const Block& block = pass_.plan.blocks[p.block];
    T* out = pass_.parameters.gradients(0) + task.offset;
    if (task.parameter == block.weight) {
        weight_gradient(number, out);
    } else if (task.parameter == block.bias) {
        pass_.kernels.column_sums(pass_.rows, task.vectors, delta_of(pass_, task), pass_.work.stride(p.block), out);
    } else if (block.layer_norm != kNone) {
        layer_norm_gradient(pass_, task, out);
    }
    if (pass_.collect == Collect::nothing) return;
    const Index stride = padded<T>(p.columns);
    double* sums = pass_.work.gradient_sums(task.parameter, task.chunk) + task.first_column;
    if (pass_.collect == Collect::full && p.is_weight)
        pass_.kernels.column_statistics(task.elements(), task.vectors, p.columns - task.first_column, out, sums, stride,
                                        &pass_.work.entry_counts(number));
    else
        pass_.kernels.column_squares(task.elements(), task.vectors, out, sums, stride);
}

template <class T>
void GradientTasks<T>::take_block(Index number) {
    const Block& block = pass_.plan.blocks[number];
    for (const Index parameter : {block.weight, block.bias, block.gamma, block.beta})
        if (parameter != kNone)
            for (Index i = pass_.parameters.first_task(parameter); i < pass_.parameters.first_task(parameter + 1); ++i)
                take(i);
}

template class GradientTasks<float>;
template class GradientTasks<double>;

}  // namespace gradiometer
