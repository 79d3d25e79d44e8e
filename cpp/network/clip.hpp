// Clipping of gradients by norm or by value (Pascanu et al. 2013), as torch.nn.utils has it.
#pragma once

#include <vector>

#include "network/pass.hpp"

namespace gradiometer {

struct ClipSpec {
    enum class Kind { none, norm, value, adaptive };
    Kind kind = Kind::none;
    double max_norm = 0;
    double norm_type = 2;  // any above 0; infinity: the largest entry
    bool per_layer = false;
    bool error_if_nonfinite = false;
    double clip_value = 0;
    double clip_factor = 0, eps = 0;  // adaptive
};

struct ClipDecision {
    double total_norm = 0;   // of all gradients, before clipping; in the clip's own norm type
    double coefficient = 1;  // the smallest where layers or units have their own; by value: norm after ÷ norm before
    std::vector<double> per_parameter;  // what each parameter's gradient is multiplied by in the update; adaptive
                                        // clipping has factors for each column instead, in the workspace
};

// Reads the statistics and gradients of a finished backward pass; changes no gradient.
template <class T>
void decide_clip(const Pass<T>& pass, const ClipSpec& spec, ClipDecision& decision);

}  // namespace gradiometer
