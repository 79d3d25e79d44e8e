#include "network/plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gradiometer {

// Walks through the layers, into residual connections too, and appends to the plan.
class PlanBuilder {
  public:
    explicit PlanBuilder(Plan& plan) : plan_(plan) { plan_.joins_.emplace_back(); }

    // `prefix` of the keys of a state dict, "1."; `place` of these layers in the user's words, "layers[1].layers".
    void add(const std::vector<LayerSpec>& layers, const std::string& prefix, const std::string& place) {
        if (layers.empty()) throw std::invalid_argument(place + " must hold at least one layer");
        for (size_t i = 0; i < layers.size(); ++i) {
            const LayerSpec& layer = layers[i];
            const std::string name = prefix + std::to_string(i);
            switch (layer.kind) {
                case LayerKind::dense: add_dense(layer, name); break;
                case LayerKind::batch_norm: add_batch_norm(layer, name); break;
                case LayerKind::layer_norm: add_layer_norm(layer, name); break;
                case LayerKind::dropout:
                case LayerKind::activation: add_elementwise(layer); break;
                case LayerKind::residual: add_residual(layer, name, place + "[" + std::to_string(i) + "]"); break;
            }
        }
    }

    void finish() {
        measure_output();
        for (Block& block : plan_.blocks)
            block.slope_from_output =
                block.chain.size() == 1 && !block.chain[0].is_dropout && slope_from_output(block.chain[0].activation);
        const std::vector<Index>& dense = plan_.dense_blocks;
        for (size_t i = 0; i < dense.size(); ++i) {
            plan_.blocks[dense[i]].weight_before = plan_.blocks[dense[i > 0 ? i - 1 : i]].weight;
            plan_.blocks[dense[i]].weight_after = plan_.blocks[dense[std::min(i + 1, dense.size() - 1)]].weight;
        }
        plan_.copies_input = plan_.blocks[0].dense == kNone || !plan_.joins_from(kNone).empty();
    }

  private:
    Index last_block() const { return static_cast<Index>(plan_.blocks.size()) - 1; }

    Block& open_block() {
        plan_.blocks.push_back({});
        plan_.joins_.emplace_back();
        plan_.blocks.back().in_width = plan_.blocks.back().width = plan_.out_features;
        begins_ = false;
        return plan_.blocks.back();
    }

    Index add_parameter(const std::string& key, Index inner, Index columns, bool is_weight) {
        plan_.parameters.push_back({key, layer_, last_block(), inner, columns, is_weight});
        return static_cast<Index>(plan_.parameters.size()) - 1;
    }

    void add_dense(const LayerSpec& layer, const std::string& name) {
        if (layer.out_features < 1) throw std::invalid_argument("out_features must be at least 1");
        measure_output();
        Block& block = open_block();
        block.width = layer.out_features;
        block.dense = unmeasured_ = static_cast<Index>(plan_.dense_blocks.size());
        plan_.dense_blocks.push_back(last_block());
        block.weight = add_parameter(name + ".weight", block.in_width, block.width, true);
        if (layer.bias) block.bias = add_parameter(name + ".bias", 1, block.width, false);
        plan_.out_features = layer.out_features;
        plan_.max_width = std::max(plan_.max_width, layer.out_features);
        ++layer_;
    }

    // The block that a norm goes into, with its eps, gamma and beta.
    Block& add_norm(const LayerSpec& layer, const std::string& name) {
        if (begins_ || plan_.blocks.back().normalizes() || !plan_.blocks.back().chain.empty()) open_block();
        Block& block = plan_.blocks.back();
        block.eps = layer.eps;
        if (layer.affine) {
            block.gamma = add_parameter(name + ".weight", 1, block.width, false);
            block.beta = add_parameter(name + ".bias", 1, block.width, false);
        }
        return block;
    }

    void add_batch_norm(const LayerSpec& layer, const std::string& name) {
        Block& block = add_norm(layer, name);
        block.momentum = layer.momentum;
        block.norm = static_cast<Index>(plan_.norms.size());
        plan_.norms.push_back({name, layer_++, last_block(), block.width});
    }

    void add_layer_norm(const LayerSpec& layer, const std::string& name) {
        Block& block = add_norm(layer, name);
        block.layer_norm = static_cast<Index>(plan_.layer_norm_blocks.size());
        plan_.layer_norm_blocks.push_back(last_block());
        ++layer_;
    }

    void add_elementwise(const LayerSpec& layer) {
        if (begins_) open_block();
        const bool is_dropout = layer.kind == LayerKind::dropout;
        Elementwise step{layer_++, is_dropout, layer.drop_probability, layer.activation};
        if (!is_dropout) step.measures = std::exchange(unmeasured_, kNone);
        plan_.blocks.back().chain.push_back(step);
    }

    void add_residual(const LayerSpec& layer, const std::string& name, const std::string& place) {
        const Index from = last_block();
        const Index width = plan_.out_features;
        begins_ = true;
        plan_.residual_depth = std::max(plan_.residual_depth, ++depth_);
        add(layer.body, name + ".", place + ".layers");
        --depth_;
        if (plan_.out_features != width)
            throw std::invalid_argument(place + " is a Residual whose layers take " + std::to_string(width) +
                                        " columns and give " + std::to_string(plan_.out_features) +
                                        "; they must keep the width");
        measure_output();
        open_block().join = Join{from, layer.scale, depth_};
        plan_.joins_[from + 1].push_back(last_block());
    }

    // No activation follows the last dense layer: the next one begins, or what comes next acts on a sum.
    void measure_output() {
        if (unmeasured_ != kNone) plan_.blocks[plan_.dense_blocks[unmeasured_]].measures_output = true;
        unmeasured_ = kNone;
    }

    Plan& plan_;
    Index layer_ = 0;           // number of the next layer
    Index depth_ = 0;           // residual connections around it
    Index unmeasured_ = kNone;  // the dense layer that has met no activation yet
    bool begins_ = true;  // the next layer must begin a block: nothing came before, or a residual connection begins
};

Plan::Plan(Index in_features, const std::vector<LayerSpec>& layers)
    : in_features(in_features), out_features(in_features), max_width(in_features) {
    if (in_features < 1) throw std::invalid_argument("in_features must be at least 1");
    PlanBuilder builder(*this);
    builder.add(layers, "", "layers");
    builder.finish();
}

double Block::work_per_row() const {
    // A narrow layer takes as long as one that fills its vectors.
    constexpr Index kLanes = 16;
    const double filled = static_cast<double>((width + kLanes - 1) / kLanes * kLanes);
    const double product = dense == kNone ? 0 : static_cast<double>(in_width) * filled;
    return product + 7.0 * filled * static_cast<double>(1 + chain.size());
}

double Plan::work_per_row() const {
    double work = 0;
    for (const Block& block : blocks) work += 3 * block.work_per_row();
    return work;
}

}  // namespace gradiometer
