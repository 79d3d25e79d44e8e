// What a finished backward pass says of each layer: merges the partial statistics of the workspace, chunk by chunk in a
// fixed order.
#pragma once

#include <array>
#include <vector>

#include "meter/recorder.hpp"
#include "network/pass.hpp"

namespace gradiometer {

// The sums of squares of a type, of which a float has only one: sum(number) gives each.
template <class T, class Sum>
SquareSum square_sum(Sum sum) {
    if constexpr (kSquareSums<T> == 1)
        return {0, sum(0), 0};
    else
        return {sum(0), sum(1), sum(2)};
}

// Σ (x²) of the weights before an update and of the change it made: 0 and 1.
template <class T>
SquareSum update_squares(const Pass<T>& pass, Index parameter, int which);

// One value a dense layer for every field of a recording that was collected; kept to be filled again at each step.
class LayerMeasurements {
  public:
    explicit LayerMeasurements(const Plan& plan);

    // What is known of a block after the backward pass: the squares of its parameters' gradients, which clipping needs
    // too, go to the workspace; with Collect::norms or ::full, the fields of its dense layer are filled. Blocks are
    // independent: each may be taken by another thread.
    template <class T>
    void take_gradients(Pass<T>& pass, Index block, int threads);
    // What is known of a block after the update (with Collect::full).
    template <class T>
    void take_update(const Pass<T>& pass, Index block);

    // Whether all norms, and with Collect::full all activations, are finite.
    bool all_finite(Collect collect) const;
    double at(Field field, Index dense) const { return values_[static_cast<size_t>(field)][dense]; }

    // The fields that `collect` fills, those of the update only if there was one; valid until the next take.
    std::array<const double*, kFieldCount> fields(Collect collect, bool updated) const;

  private:
    std::vector<double>& of(Field field) { return values_[static_cast<size_t>(field)]; }
    const Plan& plan_;
    std::array<std::vector<double>, kFieldCount> values_;
};

// Where the first value that is not finite stands, in the order in which a step computes: weights, activations from the
// input on, loss, gradients from the output back. An activation that another layer made finite again is known from its
// measurement, and so are finite gradients whose norm is beyond a double.
struct NonfiniteSource {
    std::string layer;   // state-dict key of the dense layer's weight; empty for the loss
    std::string tensor;  // "weight", "activation", "loss", "gradient"
};
template <class T>
NonfiniteSource find_nonfinite(Pass<T>& pass, const LayerMeasurements& measured, double loss);

}  // namespace gradiometer
