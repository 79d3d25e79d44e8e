// Descriptions of layers, as the user wrote them. They hold no weights.
#pragma once

#include <vector>

#include "kernels/kernels.hpp"

namespace gradiometer {

enum class LayerKind { dense, batch_norm, dropout, activation, layer_norm, residual };

struct LayerSpec {
    LayerKind kind = LayerKind::dense;
    Index out_features = 0;                                     // dense
    bool bias = true;                                           // dense
    double eps = 1e-5;                                          // batch norm, layer norm
    bool affine = true;                                         // batch norm, layer norm
    double momentum = 0.1;                                      // batch norm
    double drop_probability = 0;                                // dropout
    ActivationSpec activation{ActivationKind::identity, 0, 0};  // activation
    double scale = 1;                                           // residual: y = x + scale · body(x)
    std::vector<LayerSpec> body{};                              // residual
};

}  // namespace gradiometer
