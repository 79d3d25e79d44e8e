// What is the same for trainers of both dtypes, so that a list can hold both.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <optional>

#include "bindings/examples.hpp"
#include "network/network.hpp"

namespace gradiometer {

namespace py = pybind11;

struct FitArguments {
    SharedExamples training;
    std::optional<SharedExamples> validation;
    int64_t epochs;
    Index batch_size;
    bool shuffle;
};

// At the end of a program, Python lets go of what its other threads work on; so long work holds its trainer by itself.
class AnyTrainer : public std::enable_shared_from_this<AnyTrainer> {
  public:
    // What has been checked and can be done without Python's lock, in any thread. It keeps the arrays alive; it is to
    // be destroyed with the lock. Throws as Trainer's step and fit do, and what a learning rate in Python raises.
    using Work = std::function<double(const AskInterrupted&)>;

    virtual ~AnyTrainer() = default;
    virtual Work prepare_step(SharedExamples& batch) = 0;
    virtual Work prepare_fit(FitArguments& arguments) = 0;
    virtual const void* network() const = 0;
    virtual Index size() const = 0;  // parameters
};

}  // namespace gradiometer
