// Adaptive gradient clipping (Brock et al. 2021): each unit's gradient is held to a share of the unit's own norm.
#pragma once

#include "network/clip.hpp"

namespace gradiometer {

// Squares of the columns of one task's chunk of the weights, into the workspace: before decide_clip, beside the
// gradients.
template <class T>
void measure_weights_task(Pass<T>& pass, const ParameterTask& task);

// The factors of every column of every parameter, into the workspace; returns the smallest coefficient.
template <class T>
double decide_adaptive_clip(const Pass<T>& pass, const ClipSpec& spec);

}  // namespace gradiometer
