#include "network/plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gradiometer {
namespace {

std::string key(Index layer, const char* name) {
    return std::to_string(layer) + "." + name;
}

}  // namespace

Plan::Plan(Index in_features, const std::vector<LayerSpec>& layers)
    : in_features(in_features), out_features(in_features), max_width(in_features) {
    if (in_features < 1) throw std::invalid_argument("in_features must be at least 1");
    if (layers.empty()) throw std::invalid_argument("layers must hold at least one layer");
    Index unmeasured = kNone;  // the dense layer that has met no activation yet
    const auto open_block = [&]() -> Block& {
        blocks.push_back({});
        blocks.back().in_width = blocks.back().width = out_features;
        return blocks.back();
    };
    for (Index i = 0; i < static_cast<Index>(layers.size()); ++i) {
        const LayerSpec& layer = layers[i];
        const Index next_parameter = static_cast<Index>(parameters.size());
        switch (layer.kind) {
            case LayerKind::dense: {
                if (layer.out_features < 1) throw std::invalid_argument("out_features must be at least 1");
                Block& block = open_block();
                block.width = layer.out_features;
                block.dense = static_cast<Index>(dense_blocks.size());
                const Index number = static_cast<Index>(blocks.size()) - 1;
                dense_blocks.push_back(number);
                block.weight = next_parameter;
                parameters.push_back({key(i, "weight"), i, number, block.in_width, block.width, true});
                if (layer.bias) {
                    block.bias = next_parameter + 1;
                    parameters.push_back({key(i, "bias"), i, number, 1, block.width, false});
                }
                if (unmeasured != kNone) blocks[dense_blocks[unmeasured]].measures_output = true;
                unmeasured = block.dense;
                out_features = layer.out_features;
                max_width = std::max(max_width, out_features);
                break;
            }
            case LayerKind::batch_norm: {
                if (blocks.empty() || blocks.back().norm != kNone || !blocks.back().chain.empty()) open_block();
                Block& block = blocks.back();
                const Index number = static_cast<Index>(blocks.size()) - 1;
                block.norm = static_cast<Index>(norms.size());
                block.eps = layer.eps;
                block.momentum = layer.momentum;
                norms.push_back({i, number, block.width});
                if (layer.affine) {
                    block.gamma = next_parameter;
                    block.beta = next_parameter + 1;
                    parameters.push_back({key(i, "weight"), i, number, 1, block.width, false});
                    parameters.push_back({key(i, "bias"), i, number, 1, block.width, false});
                }
                break;
            }
            case LayerKind::dropout:
            case LayerKind::activation: {
                if (blocks.empty()) open_block();
                const bool is_dropout = layer.kind == LayerKind::dropout;
                Elementwise step{i, is_dropout, layer.drop_probability, layer.activation};
                if (!is_dropout) step.measures = std::exchange(unmeasured, kNone);
                blocks.back().chain.push_back(step);
                break;
            }
        }
    }
    if (unmeasured != kNone) blocks[dense_blocks[unmeasured]].measures_output = true;
    for (size_t i = 0; i < dense_blocks.size(); ++i) {
        Block& block = blocks[dense_blocks[i]];
        block.weight_before = blocks[dense_blocks[i > 0 ? i - 1 : i]].weight;
        block.weight_after = blocks[dense_blocks[std::min(i + 1, dense_blocks.size() - 1)]].weight;
    }
    for (Block& block : blocks)
        block.slope_from_output = block.chain.size() == 1 && !block.chain[0].is_dropout &&
                                  gradiometer::slope_from_output(block.chain[0].activation);
}

double Block::work_per_row() const {
    const double product = dense == kNone ? 0 : static_cast<double>(in_width) * static_cast<double>(width);
    return product + 7.0 * static_cast<double>(width) * static_cast<double>(1 + chain.size());
}

double Plan::work_per_row() const {
    double work = 0;
    for (const Block& block : blocks) work += 3 * block.work_per_row();
    return work;
}

}  // namespace gradiometer
