// Descriptions of layers, as the user wrote them. They hold no weights.
#pragma once

#include "kernels/kernels.hpp"

namespace gradiometer {

enum class LayerKind { dense, batch_norm, dropout, activation };

struct LayerSpec {
    LayerKind kind = LayerKind::dense;
    Index out_features = 0;                                     // dense
    bool bias = true;                                           // dense
    double eps = 1e-5, momentum = 0.1;                          // batch norm
    bool affine = true;                                         // batch norm
    double drop_probability = 0;                                // dropout
    ActivationSpec activation{ActivationKind::identity, 0, 0};  // activation
};

}  // namespace gradiometer
