// A trainer as Python has it: arrays are checked, learning rates may be Python functions, Ctrl-C is answered.
#pragma once

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/any_trainer.hpp"
#include "bindings/array.hpp"
#include "bindings/signals.hpp"
#include "network/trainer.hpp"

namespace gradiometer {

template <class T>
class PythonTrainer : public AnyTrainer {
  public:
    PythonTrainer(std::shared_ptr<Network<T>> network, TrainerSpec spec, py::object learning_rate,
                  std::shared_ptr<Recorder> recorder, bool allow_nonfinite)
        : network_(network),
          spec_(spec),
          learning_rate_(std::move(learning_rate)),
          allow_nonfinite_(allow_nonfinite),
          trainer_(network, spec, std::move(recorder)) {
        if (PyCallable_Check(learning_rate_.ptr())) {
            rate_ = [this](int64_t step) {
                const WithPythonLock with_lock;
                return unless_the_program_ends([&] { return learning_rate_(step).template cast<double>(); });
            };
        } else {
            rate_ = [rate = learning_rate_.cast<double>()](int64_t) { return rate; };
        }
    }

    // For Python's garbage collector: a schedule may refer to its trainer.
    PyObject* learning_rate() const { return learning_rate_.ptr(); }
    void forget_learning_rate() { learning_rate_ = py::none(); }

    double step(const py::object& x, const py::object& y, const py::object& weights) {
        refuse_in_signal_handler(network(), "step");
        const CheckedExamples<T> data = check_examples<T>({x, y, weights, "x", "y", "sample_weight"}, wanted());
        double loss = 0;
        run_alive([&](const AskInterrupted& ask) {
            loss = trainer_.step({data.examples, nullptr, 0, data.examples.count}, rate_, ask);
        });
        return loss;
    }

    Work prepare_step(SharedExamples& batch) override {
        refuse_in_signal_handler(network(), "step");
        return [this, data = batch.checked<T>(wanted())](const AskInterrupted& ask) {
            return trainer_.step({data->examples, nullptr, 0, data->examples.count}, rate_, ask);
        };
    }

    void apply_gradients(double loss) {
        refuse_in_signal_handler(network(), "apply_gradients");
        run_alive([&](const AskInterrupted&) { trainer_.apply_gradients(loss, rate_); });
    }

    bool fit(FitArguments& arguments, const py::object& progress) {
        FitCallbacks callbacks;
        if (!progress.is_none())
            callbacks.progress = [&progress](const Progress& p) {
                const WithPythonLock with_lock;
                unless_the_program_ends(
                    [&] { progress(p.epoch, p.epochs, p.step_of_epoch, p.steps_of_epoch, p.loss); });
            };
        const Work work = prepare_fit(arguments, std::move(callbacks));
        bool finished = false;
        run_alive([&](const AskInterrupted& ask) { finished = work(ask) != 0; });
        return finished;
    }

    Work prepare_fit(FitArguments& arguments) override { return prepare_fit(arguments, {}); }

    std::pair<double, double> evaluate(const py::object& x, const py::object& y, const py::object& weights) {
        const CheckedExamples<T> data = check_examples<T>({x, y, weights, "X", "y", "sample_weight"}, wanted());
        Evaluation result{};
        run_alive([&](const AskInterrupted& ask) { result = trainer_.evaluate(data.examples, ask); });
        return {result.loss, result.accuracy};
    }

    // Counters of steps, epochs and updates, and {parameter name: {state name: array}}, which is empty before the first
    // update; all as of one moment. Python's lock is released first: a step in another thread that holds the network's
    // lock may be waiting for it.
    std::tuple<int64_t, int64_t, int64_t, py::dict> state() {
        const Plan& plan = network_->plan();
        const int states = spec_.optimizer.state_count();
        std::vector<Array<T>> arrays;
        for (const ParameterSpec& p : plan.parameters)
            for (int which = 0; which < states; ++which) arrays.push_back(parameter_array<T>(p));
        int64_t steps, epochs, updates;
        {
            const WithoutPythonLock without_lock;
            const auto lock = network_->hold();
            steps = trainer_.steps();
            epochs = trainer_.epochs();
            updates = trainer_.updates();
            auto array = arrays.begin();
            for (size_t i = 0; i < plan.parameters.size(); ++i)
                for (int which = 0; which < states; ++which) trainer_.copy_state(which, i, (array++)->mutable_data());
        }
        py::dict out;
        auto array = arrays.begin();
        for (size_t i = 0; i < plan.parameters.size() && updates > 0; ++i) {
            py::dict named;
            for (int which = 0; which < states; ++which) named[spec_.optimizer.state_name(which)] = *array++;
            out[plan.parameters[i].name.c_str()] = named;
        }
        return {steps, epochs, updates, out};
    }

    void load(int64_t steps, int64_t epochs, int64_t updates, uint64_t seed, const py::dict& optimizer_state) {
        refuse_in_signal_handler(network(), "load_state_dict");
        const Plan& plan = network_->plan();
        const int states = updates > 0 ? spec_.optimizer.state_count() : 0;
        std::vector<Array<T>> arrays;
        for (const ParameterSpec& p : plan.parameters) {
            const std::string where = "optimizer['" + p.name + "']";
            const bool given = optimizer_state.contains(p.name.c_str());
            const py::object named = given ? optimizer_state[p.name.c_str()] : py::object(py::dict());
            if (!py::isinstance<py::dict>(named))
                throw py::type_error(where + " must be a dict of arrays, not " + std::string(py::repr(named)));
            for (int which = 0; which < states; ++which)
                arrays.push_back(state_array(named, which, where, parameter_array<T>(p)));
            for (const auto& item : py::dict(named)) check_state_name(item.first, where, states);
        }
        for (const auto& item : optimizer_state) check_parameter_name(item.first);
        const WithoutPythonLock without_lock;
        const auto lock = network_->hold();
        auto array = arrays.begin();
        for (size_t i = 0; i < plan.parameters.size(); ++i)
            for (int which = 0; which < states; ++which) trainer_.set_state(which, i, (array++)->data());
        trainer_.set_progress(steps, epochs, updates, seed);
    }

    int64_t steps() const { return trainer_.steps(); }
    int64_t epochs() const { return trainer_.epochs(); }
    int64_t updates() const { return trainer_.updates(); }
    bool stopped() const { return trainer_.stopped(); }

    const void* network() const override { return network_.get(); }
    Index size() const override { return network_->scalar_count(); }

  private:
    // run_interruptible, during which this trainer outlives whatever Python lets go of.
    template <class Work>
    void run_alive(const Work& work) {
        const auto alive = shared_from_this();
        run_interruptible(network(), work);
    }

    ExamplesWanted wanted() const {
        const Plan& plan = network_->plan();
        return {spec_.loss, plan.in_features, plan.out_features, allow_nonfinite_};
    }

    // 1 as the result of the work: it came to its end.
    Work prepare_fit(FitArguments& arguments, FitCallbacks callbacks) {
        refuse_in_signal_handler(network(), "fit");
        const auto training = arguments.training.checked<T>(wanted());
        std::shared_ptr<const CheckedExamples<T>> held_out;
        if (arguments.validation) held_out = arguments.validation->checked<T>(wanted());
        callbacks.learning_rate = rate_;
        return [this, training, held_out, callbacks, epochs = arguments.epochs, batch_size = arguments.batch_size,
                shuffle = arguments.shuffle](const AskInterrupted& ask) {
            FitCallbacks asking = callbacks;
            asking.interrupted = ask;
            std::optional<Examples<T>> validation;
            if (held_out) validation = held_out->examples;
            return trainer_.fit(training->examples, validation, epochs, batch_size, shuffle, asking) ? 1.0 : 0.0;
        };
    }

    Array<T> state_array(const py::dict& named, int which, const std::string& where, const Array<T>& expected) const {
        const char* state = spec_.optimizer.state_name(which);
        const std::string name = where + "['" + state + "']";
        if (!named.contains(state)) throw py::value_error("the state dict has no " + name);
        const Array<T> array = kept_array<T>(named[state], name.c_str());
        if (shape_text(array) != shape_text(expected))
            throw py::value_error(name + " has shape " + shape_text(array) + "; it must be " + shape_text(expected));
        if (spec_.optimizer.state_holds_squares(which) &&
            std::any_of(array.data(), array.data() + array.size(), [](T x) { return x < 0; }))
            throw py::value_error(name + " has negative entries; means of squares must not be negative");
        return array;
    }

    // An entry that this optimizer does not have comes from another one.
    void check_state_name(const py::handle& key, const std::string& where, int states) const {
        for (int which = 0; which < states; ++which)
            if (key.equal(py::str(spec_.optimizer.state_name(which)))) return;
        throw py::value_error("this trainer's optimizer has no " + where + "[" + std::string(py::repr(key)) + "]");
    }

    void check_parameter_name(const py::handle& key) const {
        for (const ParameterSpec& p : network_->plan().parameters)
            if (key.equal(py::str(p.name))) return;
        throw py::value_error("the network has no parameter " + std::string(py::repr(key)) + ", as in optimizer");
    }

    std::shared_ptr<Network<T>> network_;
    TrainerSpec spec_;
    py::object learning_rate_;
    LearningRate rate_;
    bool allow_nonfinite_;
    Trainer<T> trainer_;
};

}  // namespace gradiometer
