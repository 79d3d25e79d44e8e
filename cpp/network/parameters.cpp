#include "network/parameters.hpp"

#include <algorithm>

namespace gradiometer {

template <class T>
Parameters<T>::Parameters(const Plan& plan) : kernels_(kernels<T>()), specs_(plan.parameters) {
    Index size = 0;
    for (Index i = 0; i < count(); ++i) {
        const ParameterSpec& p = spec(i);
        offsets_.push_back(size);
        first_tasks_.push_back(static_cast<Index>(tasks_.size()));
        size += p.inner * padded<T>(p.columns);
        if (p.inner == 1 && !p.is_weight) {
            // A vector's panels stand side by side: one task for many of them.
            constexpr Index kPanels = 32;
            for (Index first = 0; first < p.columns; first += kPanels * kernels_.panel) {
                const Index columns = std::min(p.columns - first, kPanels * kernels_.panel);
                tasks_.push_back(
                    {i, 0, 0, 1, first, (columns + kernels_.lanes - 1) / kernels_.lanes, offset(i) + first});
            }
            continue;
        }
        for (Index begin = 0, chunk = 0; begin < p.inner; begin += kInnerChunk, ++chunk)
            for (Index first = 0; first < p.columns; first += kernels_.panel) {
                const Index vectors = p.columns - first > kernels_.lanes ? 2 : 1;
                tasks_.push_back({i, chunk, begin, std::min(begin + kInnerChunk, p.inner), first, vectors,
                                  offset(i) + first * p.inner + begin * vectors * kernels_.lanes});
            }
    }
    first_tasks_.push_back(static_cast<Index>(tasks_.size()));
    size_before_task_.push_back(0);
    for (const ParameterTask& task : tasks_)
        size_before_task_.push_back(size_before_task_.back() + task.elements() * task.vectors);
    values_ = AlignedArray<T>(size);
    gradients_ = AlignedArray<T>(size);
}

template <class T>
Index Parameters<T>::scalar_count() const {
    Index total = 0;
    for (const ParameterSpec& p : specs_) total += p.inner * p.columns;
    return total;
}

template <class T>
void Parameters<T>::unpack(Index i, const T* panels_of_all, T* row_major) const {
    kernels_.unpack_transposed(spec(i).inner, spec(i).columns, panels_of_all + offset(i), row_major);
}

template <class T>
void Parameters<T>::pack(Index i, const T* row_major, T* panels_of_all) const {
    kernels_.pack_transposed(spec(i).inner, spec(i).columns, row_major, panels_of_all + offset(i));
}

template <class T>
void Parameters<T>::set(Index i, const T* row_major) {
    pack(i, row_major, values_.data());
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace gradiometer
