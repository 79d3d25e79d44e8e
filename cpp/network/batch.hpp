// Examples and targets as the trainer reads them, in place in the caller's memory.
#pragma once

#include "kernels/kernels.hpp"

namespace gradiometer {

enum class LossKind { cross_entropy, bce_with_logits, mse };

template <class T>
struct Examples {
    Index count = 0;
    const T* x = nullptr;             // count × in_features, dense
    const int64_t* labels = nullptr;  // cross entropy: count
    const T* targets = nullptr;       // the other losses: count × out_features, dense
    const double* weights = nullptr;  // count, or null: all 1
};

// Some of the examples: `rows` of them by number, or (null) a run from `first` on.
template <class T>
struct Batch {
    const Examples<T>& examples;
    const int64_t* rows;
    Index first;
    Index count;
    int64_t row(Index i) const { return rows ? rows[i] : first + i; }
};

}  // namespace gradiometer
