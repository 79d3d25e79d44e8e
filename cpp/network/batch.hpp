// Examples and targets as the trainer reads them, in place in the caller's memory.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

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

    // The label of a row, of so many classes. It was checked, but that the caller's array is another by now must not
    // lead beyond the outputs: std::invalid_argument.
    int64_t label(Index row, Index classes) const {
        const int64_t label = labels[row];
        if (label < 0 || label >= classes)
            throw std::invalid_argument("labels were changed while they were read: that of row " + std::to_string(row) +
                                        " is " + std::to_string(label) + "; it must be from 0 to " +
                                        std::to_string(classes - 1));
        return label;
    }
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

// The ends of the batches of an epoch. The last one may be smaller; where batch norm would see a single row in it, that
// row joins the batch before.
std::vector<Index> batch_ends(Index count, Index batch_size, bool has_batch_norm);

}  // namespace gradiometer
