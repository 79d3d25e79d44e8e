// Examples and targets as Python gives them, and as the engine reads them.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/array.hpp"
#include "network/batch.hpp"

namespace gradiometer {

// Not looked at yet, with the names that messages call them.
struct GivenExamples {
    py::object x, y, weights;
    const char *x_name, *y_name, *weights_name;
};

// What decides how a trainer reads them.
struct ExamplesWanted {
    LossKind loss;
    Index in_features, out_features;
    bool allow_nonfinite;
    bool operator==(const ExamplesWanted&) const = default;
};

// Checked arrays, kept alive for as long as the engine reads them.
template <class T>
struct CheckedExamples {
    Array<T> x;
    // What there is none of is no array, not even an empty one: making that takes as long as a small layer.
    std::optional<Array<int64_t>> labels = std::nullopt;
    std::optional<Array<T>> targets = std::nullopt;
    std::optional<Array<double>> weights = std::nullopt;
    Examples<T> examples = {};
};

// Throws ValueError and TypeError as the functions of array.hpp do.
template <class T>
CheckedExamples<T> check_examples(const GivenExamples& given, const ExamplesWanted& wanted) {
    CheckedExamples<T> out{.x = matrix<T>(given.x, given.x_name, wanted.in_features, wanted.allow_nonfinite)};
    const Rows rows{out.x.shape(0), given.x_name};
    out.examples.count = rows.count;
    out.examples.x = out.x.data();
    if (wanted.loss == LossKind::cross_entropy) {
        out.labels = labels(given.y, given.y_name, rows, wanted.out_features);
        out.examples.labels = out.labels->data();
    } else {
        const bool probabilities = wanted.loss == LossKind::bce_with_logits;
        out.targets =
            targets<T>(given.y, given.y_name, rows, wanted.out_features, probabilities, wanted.allow_nonfinite);
        out.examples.targets = out.targets->data();
    }
    if (!given.weights.is_none()) {
        out.weights = sample_weights(given.weights, given.weights_name, rows);
        out.examples.weights = out.weights->data();
    }
    return out;
}

// The same examples for many trainers: those that read them alike share what was checked and converted once.
class SharedExamples {
  public:
    explicit SharedExamples(GivenExamples given) : given_(std::move(given)) {}

    const GivenExamples& given() const { return given_; }

    template <class T>
    std::shared_ptr<const CheckedExamples<T>> checked(const ExamplesWanted& wanted) {
        auto& all = std::get<std::vector<Entry<T>>>(entries_);
        const auto same = std::find_if(all.begin(), all.end(), [&](const Entry<T>& e) { return e.wanted == wanted; });
        if (same != all.end()) return same->examples;
        all.push_back({wanted, std::make_shared<const CheckedExamples<T>>(check_examples<T>(given_, wanted))});
        return all.back().examples;
    }

  private:
    template <class T>
    struct Entry {
        ExamplesWanted wanted;
        std::shared_ptr<const CheckedExamples<T>> examples;
    };

    GivenExamples given_;
    std::tuple<std::vector<Entry<float>>, std::vector<Entry<double>>> entries_;
};

}  // namespace gradiometer
