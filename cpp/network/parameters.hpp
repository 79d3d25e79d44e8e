// The trainable arrays of a network and their gradients, in the layout that the products read.
#pragma once

#include <vector>

#include "kernels/dispatch.hpp"
#include "network/aligned_array.hpp"
#include "network/plan.hpp"

namespace gradiometer {

// A piece of work on the parameters: one chunk of the inner index of one panel of one parameter. All tasks of a network
// are independent, so threads take them from one list in any order.
struct ParameterTask {
    Index parameter;
    Index chunk;  // number of the chunk
    Index inner_begin, inner_end;
    Index first_column;
    Index vectors;
    Index offset;  // of the chunk's first element in every array that is laid out like the values
    Index elements() const { return inner_end - inner_begin; }
};

template <class T>
class Parameters {
  public:
    explicit Parameters(const Plan& plan);

    Index count() const { return static_cast<Index>(specs_.size()); }
    const ParameterSpec& spec(Index i) const { return specs_[i]; }
    const std::vector<ParameterTask>& tasks() const { return tasks_; }
    // The size, in vectors, of all tasks before each, and in the end that of all.
    const std::vector<Index>& size_before_task() const { return size_before_task_; }
    // The number of the first task of a parameter; those of i go up to first_task(i + 1).
    Index first_task(Index i) const { return first_tasks_[i]; }

    T* values(Index i) { return values_.data() + offset(i); }
    const T* values(Index i) const { return values_.data() + offset(i); }
    const T* values_or_null(Index i) const { return i == kNone ? nullptr : values(i); }
    T* gradients(Index i) { return gradients_.data() + offset(i); }
    const T* gradients(Index i) const { return gradients_.data() + offset(i); }

    T* all_values() { return values_.data(); }
    const T* all_gradients() const { return gradients_.data(); }
    // Elements of an array laid out like the values: those of all parameters, each from offset(i) on.
    Index layout_size() const { return values_.size(); }
    Index offset(Index i) const { return offsets_[i]; }
    Index scalar_count() const;  // without padding: what num_parameters counts

    // Between an array laid out like the values and the row-major one of a state dict.
    void unpack(Index i, const T* panels_of_all, T* row_major) const;
    void pack(Index i, const T* row_major, T* panels_of_all) const;
    void set(Index i, const T* row_major);

  private:
    const KernelTable<T>& kernels_;
    std::vector<ParameterSpec> specs_;
    std::vector<Index> offsets_;
    std::vector<ParameterTask> tasks_;
    std::vector<Index> size_before_task_;
    std::vector<Index> first_tasks_;  // and at the end, the number of tasks
    AlignedArray<T> values_, gradients_;
};

}  // namespace gradiometer
