// A list of layers as a sequence of fused blocks. A block is a dense layer (or the end of a residual connection), a
// batch norm or layer norm, and a chain of elementwise layers (activations, dropout), each of which may be missing; a
// new one begins wherever the order of the layers asks for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "network/layer.hpp"

namespace gradiometer {

constexpr Index kNone = -1;

// One elementwise layer of a block.
struct Elementwise {
    Index layer;  // number of the layer; those inside of residual connections count, the connections do not
    bool is_dropout;
    double drop_probability;    // of a dropout
    ActivationSpec activation;  // of an activation
    Index measures = kNone;     // the dense layer whose activation this is
};

// The end of a residual connection: x + scale · f, where f is what the block before hands on.
struct Join {
    Index from;  // the block that hands x on; kNone: the network's input
    double scale;
    Index depth;  // residual connections around this one
};

struct Block {
    Index in_width = 0;
    Index width = 0;
    Index dense = kNone;   // number among the dense layers
    Index weight = kNone;  // numbers among the parameters
    Index bias = kNone;
    Index weight_before = kNone;  // those of the dense layers before and after this one; its own at the ends
    Index weight_after = kNone;
    std::optional<Join> join;  // in the place of a dense layer
    Index norm = kNone;        // number among the batch norms
    Index layer_norm = kNone;  // number among the layer norms
    Index gamma = kNone;
    Index beta = kNone;
    double eps = 0;
    double momentum = 0;  // batch norm
    std::vector<Elementwise> chain;
    bool slope_from_output = false;  // the chain is one activation whose derivative is had from its output
    bool measures_output = false;    // no activation follows the dense layer: its own output is measured

    bool normalizes() const { return norm != kNone || layer_norm != kNone; }
    // Whether the backward pass needs the derivative of the chain to have been stored.
    bool stores_slope() const { return !chain.empty() && !slope_from_output; }

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
    std::string name;  // of the layer in keys of the state dict, "1"
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
    std::vector<NormSpec> norms;            // batch norms
    std::vector<Index> layer_norm_blocks;   // the block of each layer norm
    std::vector<Index> dense_blocks;        // the block of each dense layer
    Index residual_depth = 0;               // residual connections inside of each other, at most
    bool copies_input = false;              // the input is read by more than a product: it must stand in padded rows

    // Throws std::invalid_argument for an empty list, a width below 1, or a residual connection around layers that do
    // not keep the width.
    Plan(Index in_features, const std::vector<LayerSpec>& layers);

    // The blocks that end a residual connection which began with the output of this one (kNone: the input), the inner
    // ones first.
    const std::vector<Index>& joins_from(Index block) const { return joins_[block + 1]; }

    // Multiply-add operations of one row through forward and backward, for estimates of time.
    double work_per_row() const;

  private:
    friend class PlanBuilder;
    std::vector<std::vector<Index>> joins_;
};

}  // namespace gradiometer
