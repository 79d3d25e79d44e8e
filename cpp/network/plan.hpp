// A list of layers as a sequence of fused blocks. A block is a dense layer, a batch norm and a chain of elementwise
// layers (activations, dropout), each of which may be missing; a new one begins wherever the order of the layers asks
// for it.
#pragma once

#include <string>
#include <vector>

#include "network/layer.hpp"

namespace gradiometer {

constexpr Index kNone = -1;

// One elementwise layer of a block.
struct Elementwise {
    Index layer;  // index in the list of layers
    bool is_dropout;
    double drop_probability;    // of a dropout
    ActivationSpec activation;  // of an activation
    Index measures = kNone;     // the dense layer whose activation this is
};

struct Block {
    Index in_width = 0;
    Index width = 0;
    Index dense = kNone;   // number among the dense layers
    Index weight = kNone;  // numbers among the parameters
    Index bias = kNone;
    Index weight_before = kNone;  // those of the dense layers before and after this one; its own at the ends
    Index weight_after = kNone;
    Index norm = kNone;  // number among the batch norms
    Index gamma = kNone;
    Index beta = kNone;
    double eps = 0;
    double momentum = 0;
    std::vector<Elementwise> chain;
    bool slope_from_output = false;  // the chain is one activation whose derivative is had from its output
    bool measures_output = false;    // no activation follows the dense layer: its own output is measured

    // Multiply-adds of one row in one direction; what is elementwise, at a rough estimate.
    double work_per_row() const;
};

// A trainable array: a matrix (inner × columns) of which the state dict has the transpose, or a vector (inner = 1).
struct ParameterSpec {
    std::string name;  // key of the state dict, "0.weight"
    Index layer;
    Index block;
    Index inner;
    Index columns;
    bool is_weight;  // of a dense layer
};

struct NormSpec {
    Index layer;
    Index block;
    Index width;
};

struct Plan {
    Index in_features = 0;
    Index out_features = 0;
    Index max_width = 0;
    std::vector<Block> blocks;
    std::vector<ParameterSpec> parameters;  // in the order of the state dict
    std::vector<NormSpec> norms;
    std::vector<Index> dense_blocks;  // the block of each dense layer

    // Throws std::invalid_argument for an empty list or a width below 1.
    Plan(Index in_features, const std::vector<LayerSpec>& layers);

    // Multiply-add operations of one row through forward and backward, for estimates of time.
    double work_per_row() const;
};

}  // namespace gradiometer
