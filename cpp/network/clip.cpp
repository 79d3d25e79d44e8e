#include "network/clip.hpp"

#include <algorithm>
#include <cmath>

#include "network/clip_adaptive.hpp"
#include "network/measurement.hpp"

namespace gradiometer {
namespace {

// torch.nn.utils.clip_grad_norm_ adds this to the norm, so that a norm of zero divides nothing.
constexpr double kNormOffset = 1e-6;

double coefficient_of(double norm, double max_norm) {
    const double ratio = max_norm / (norm + kNormOffset);
    return ratio < 1 || std::isnan(ratio) ? ratio : 1;
}

template <class T, class Visit>
void visit_gradients(const Pass<T>& pass, Index parameter, Visit visit) {
    const ParameterSpec& p = pass.plan.parameters[parameter];
    std::vector<T> row_major(p.inner * p.columns);
    pass.parameters.unpack(parameter, pass.parameters.all_gradients(), row_major.data());
    for (const T g : row_major) visit(static_cast<double>(g));
}

// Norms of any type over groups of parameters.
template <class T>
class NormOf {
  public:
    NormOf(const Pass<T>& pass, double type) : pass_(pass), type_(type) {}

    double operator()(const std::vector<Index>& parameters) const {
        if (type_ == 2) {
            SquareSum sum;
            for (const Index i : parameters) sum += pass_.work.gradient_squares(i);
            return sum.norm();
        }
        double largest = 0;
        for (const Index i : parameters)
            visit_gradients(pass_, i, [&](double g) {
                if (std::abs(g) > largest || std::isnan(g)) largest = std::abs(g);
            });
        if (std::isinf(type_) || !(largest > 0) || std::isinf(largest)) return largest;
        // Divided by the largest entry, no power overflows, and those that vanish are beyond the last bit.
        double sum = 0;
        for (const Index i : parameters)
            visit_gradients(pass_, i, [&](double g) { sum += std::pow(std::abs(g) / largest, type_); });
        return largest * std::pow(sum, 1 / type_);
    }

  private:
    const Pass<T>& pass_;
    double type_;
};

// The parameters of each layer, in order.
std::vector<std::vector<Index>> by_layer(const Plan& plan) {
    std::vector<std::vector<Index>> groups;
    Index layer = kNone;
    for (Index i = 0; i < static_cast<Index>(plan.parameters.size()); ++i) {
        if (plan.parameters[i].layer != layer) groups.emplace_back();
        layer = plan.parameters[i].layer;
        groups.back().push_back(i);
    }
    return groups;
}

template <class T>
SquareSum squares_within(const Pass<T>& pass, double limit) {
    SquareSum sum;
    for (Index i = 0; i < pass.parameters.count(); ++i)
        visit_gradients(pass, i, [&](double g) {
            const double kept = std::clamp(g, -limit, limit);
            const double magnitude = std::abs(kept);
            if (magnitude < kSmallSquareLimit)
                sum.small += kept * kSmallSquareScale * (kept * kSmallSquareScale);
            else if (magnitude > kLargeSquareLimit)
                sum.large += kept * kLargeSquareScale * (kept * kLargeSquareScale);
            else
                sum.medium += kept * kept;
        });
    return sum;
}

}  // namespace

template <class T>
void decide_clip(const Pass<T>& pass, const ClipSpec& spec, ClipDecision& decision) {
    const Index count = pass.parameters.count();
    decision.coefficient = 1;
    decision.per_parameter.assign(count, 1.0);
    std::vector<Index> all(count);
    for (Index i = 0; i < count; ++i) all[i] = i;
    const NormOf<T> norm_of(pass, spec.kind == ClipSpec::Kind::norm ? spec.norm_type : 2);
    decision.total_norm = norm_of(all);
    if (spec.kind == ClipSpec::Kind::norm && !spec.per_layer) {
        decision.coefficient = coefficient_of(decision.total_norm, spec.max_norm);
        decision.per_parameter.assign(count, decision.coefficient);
    } else if (spec.kind == ClipSpec::Kind::norm) {
        for (const std::vector<Index>& group : by_layer(pass.plan)) {
            const double coefficient = coefficient_of(norm_of(group), spec.max_norm);
            for (const Index i : group) decision.per_parameter[i] = coefficient;
            if (coefficient < decision.coefficient || std::isnan(coefficient)) decision.coefficient = coefficient;
        }
    } else if (spec.kind == ClipSpec::Kind::value && decision.total_norm != 0) {
        const double ratio = squares_within(pass, spec.clip_value).norm() / decision.total_norm;
        decision.coefficient = ratio < 1 || std::isnan(ratio) ? ratio : 1;
    } else if (spec.kind == ClipSpec::Kind::adaptive) {
        decision.coefficient = decide_adaptive_clip(pass, spec);
    }
}

template void decide_clip(const Pass<float>&, const ClipSpec&, ClipDecision&);
template void decide_clip(const Pass<double>&, const ClipSpec&, ClipDecision&);

}  // namespace gradiometer
