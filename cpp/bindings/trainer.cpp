// Trainers.
#include "network/trainer.hpp"

#include <pybind11/stl.h>

#include <cmath>
#include <sstream>
#include <tuple>

#include "bindings/array.hpp"
#include "bindings/signals.hpp"

namespace gradiometer {
namespace {

// Checked arrays, kept alive for as long as the engine reads them.
template <class T>
struct CheckedExamples {
    Array<T> x;
    Array<int64_t> labels{0};
    Array<T> targets{0};
    Array<double> weights{0};
    Examples<T> examples;
};

template <class T>
class PythonTrainer {
  public:
    PythonTrainer(std::shared_ptr<Network<T>> network, TrainerSpec spec, py::object learning_rate,
                  std::shared_ptr<Recorder> recorder, bool allow_nonfinite)
        : network_(network),
          spec_(spec),
          learning_rate_(std::move(learning_rate)),
          allow_nonfinite_(allow_nonfinite),
          trainer_(network, spec, std::move(recorder)) {
        if (!PyCallable_Check(learning_rate_.ptr())) constant_rate_ = learning_rate_.cast<double>();
    }

    double step(const py::object& x, const py::object& y, const py::object& weights) {
        refuse_in_signal_handler(network_.get(), "step");
        const CheckedExamples<T> data = check(x, y, weights, "x", "y", "sample_weight");
        const Batch<T> batch{data.examples, nullptr, 0, data.examples.count};
        const double rate = rate_at(trainer_.steps());
        double loss = 0;
        run([&](const AskInterrupted& ask) { loss = trainer_.step(batch, rate, ask); });
        return loss;
    }

    void apply_gradients(double loss) {
        refuse_in_signal_handler(network_.get(), "apply_gradients");
        const double rate = rate_at(trainer_.steps());
        run([&](const AskInterrupted&) { trainer_.apply_gradients(loss, rate); });
    }

    bool fit(const py::object& x, const py::object& y, const py::object& weights, int64_t epochs, Index batch_size,
             bool shuffle, const py::object& validation, const py::object& progress) {
        refuse_in_signal_handler(network_.get(), "fit");
        const CheckedExamples<T> training = check(x, y, weights, "X", "y", "sample_weight");
        std::optional<CheckedExamples<T>> held_out;
        std::optional<Examples<T>> held_out_examples;
        if (!validation.is_none()) {
            const py::tuple pair = validation;
            held_out = check(pair[0], pair[1], pair.size() > 2 ? pair[2] : py::object(py::none()), "validation[0]",
                             "validation[1]", "validation[2]");
            held_out_examples = held_out->examples;
        }
        FitCallbacks callbacks;
        callbacks.learning_rate = [this](int64_t step) {
            if (constant_rate_) return *constant_rate_;
            const py::gil_scoped_acquire acquire;
            return rate_at(step);
        };
        if (!progress.is_none())
            callbacks.progress = [&progress](const Progress& p) {
                const py::gil_scoped_acquire acquire;
                progress(p.epoch, p.epochs, p.step_of_epoch, p.steps_of_epoch, p.loss);
            };
        bool finished = false;
        run([&](const AskInterrupted& ask) {
            callbacks.interrupted = ask;
            finished = trainer_.fit(training.examples, held_out_examples, epochs, batch_size, shuffle, callbacks);
        });
        return finished;
    }

    std::pair<double, double> evaluate(const py::object& x, const py::object& y, const py::object& weights) {
        const CheckedExamples<T> data = check(x, y, weights, "X", "y", "sample_weight");
        Evaluation result{};
        run([&](const AskInterrupted& ask) { result = trainer_.evaluate(data.examples, ask); });
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
            for (int which = 0; which < states; ++which) arrays.push_back(empty_like(p));
        int64_t steps, epochs, updates;
        {
            const py::gil_scoped_release release;
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

    void load(int64_t steps, int64_t epochs, int64_t updates, const py::dict& optimizer_state) {
        refuse_in_signal_handler(network_.get(), "load_state_dict");
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
                arrays.push_back(state_array(named, spec_.optimizer.state_name(which), where, empty_like(p)));
            for (const auto& item : py::dict(named)) check_state_name(item.first, where, states);
        }
        for (const auto& item : optimizer_state) check_parameter_name(item.first);
        const py::gil_scoped_release release;
        const auto lock = network_->hold();
        auto array = arrays.begin();
        for (size_t i = 0; i < plan.parameters.size(); ++i)
            for (int which = 0; which < states; ++which) trainer_.set_state(which, i, (array++)->data());
        trainer_.set_counters(steps, epochs, updates);
    }

    int64_t steps() const { return trainer_.steps(); }
    int64_t epochs() const { return trainer_.epochs(); }
    int64_t updates() const { return trainer_.updates(); }
    bool stopped() const { return trainer_.stopped(); }

  private:
    static Array<T> empty_like(const ParameterSpec& p) {
        if (p.is_weight) return Array<T>({p.columns, p.inner});
        return Array<T>(p.columns);
    }

    static Array<T> state_array(const py::dict& named, const char* state, const std::string& where,
                                const Array<T>& expected) {
        const std::string name = where + "['" + state + "']";
        if (!named.contains(state)) throw py::value_error("the state dict has no " + name);
        const Array<T> array = kept_array<T>(named[state], name.c_str());
        if (shape_text(array) != shape_text(expected))
            throw py::value_error(name + " has shape " + shape_text(array) + "; it must be " + shape_text(expected));
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

    CheckedExamples<T> check(const py::object& x, const py::object& y, const py::object& weights, const char* x_name,
                             const char* y_name, const char* weights_name) const {
        const Plan& plan = network_->plan();
        CheckedExamples<T> out{.x = matrix<T>(x, x_name, plan.in_features, allow_nonfinite_), .examples = {}};
        const Rows rows{out.x.shape(0), x_name};
        out.examples.count = rows.count;
        out.examples.x = out.x.data();
        if (spec_.loss == LossKind::cross_entropy) {
            out.labels = labels(y, y_name, rows, plan.out_features);
            out.examples.labels = out.labels.data();
        } else {
            const bool probabilities = spec_.loss == LossKind::bce_with_logits;
            out.targets = targets<T>(y, y_name, rows, plan.out_features, probabilities, allow_nonfinite_);
            out.examples.targets = out.targets.data();
        }
        if (!weights.is_none()) {
            out.weights = sample_weights(weights, weights_name, rows);
            out.examples.weights = out.weights.data();
        }
        return out;
    }

    double rate_at(int64_t step) const {
        if (constant_rate_) return *constant_rate_;
        const py::object value = learning_rate_(step);
        const bool is_truth_value = py::isinstance<py::bool_>(value);
        double rate = 0;
        try {
            if (!is_truth_value) rate = value.cast<double>();
        } catch (const py::cast_error&) {
            throw_no_number(step, value);
        }
        if (is_truth_value) throw_no_number(step, value);
        if (!(rate >= 0) || std::isinf(rate))
            throw py::value_error("lr(" + std::to_string(step) + ") returned " + std::string(py::repr(value)) +
                                  "; a learning rate must be finite and at least 0");
        return rate;
    }

    [[noreturn]] static void throw_no_number(int64_t step, const py::object& value) {
        throw py::type_error("lr(" + std::to_string(step) + ") must return a number, not " +
                             std::string(py::repr(value)));
    }

    template <class Work>
    void run(Work work) const {
        try {
            run_interruptible(network_.get(), work);
        } catch (const NonfiniteError& error) {
            std::ostringstream text;
            text << "step " << error.step << ": ";
            if (error.source.tensor == "loss")
                text << "the loss";
            else
                text << "the " << error.source.tensor << " of layer '" << error.source.layer << "'";
            text << " is not finite; nothing was updated ("
                 << (error.by_clip ? "ClipNorm(error_if_nonfinite=True)" : "on_nonfinite=\"raise\"") << ")";
            const py::object type = py::module_::import("gradiometer._core").attr("NonFiniteError");
            PyErr_SetString(type.ptr(), text.str().c_str());
            throw py::error_already_set();
        }
    }

    std::shared_ptr<Network<T>> network_;
    TrainerSpec spec_;
    py::object learning_rate_;
    std::optional<double> constant_rate_;
    bool allow_nonfinite_;
    Trainer<T> trainer_;
};

template <class T>
void register_trainer(py::module_& m, const char* name) {
    using Wrapped = PythonTrainer<T>;
    py::class_<Wrapped>(m, name)
        .def(py::init<std::shared_ptr<Network<T>>, TrainerSpec, py::object, std::shared_ptr<Recorder>, bool>(),
             py::arg("network"), py::arg("spec"), py::arg("learning_rate"), py::arg("recorder"),
             py::arg("allow_nonfinite"))
        .def("step", &Wrapped::step, py::arg("x"), py::arg("y"), py::arg("sample_weight"))
        .def("apply_gradients", &Wrapped::apply_gradients, py::arg("loss"))
        .def("fit", &Wrapped::fit, py::arg("x"), py::arg("y"), py::arg("sample_weight"), py::arg("epochs"),
             py::arg("batch_size"), py::arg("shuffle"), py::arg("validation"), py::arg("progress"))
        .def("evaluate", &Wrapped::evaluate, py::arg("x"), py::arg("y"), py::arg("sample_weight"))
        .def("state", &Wrapped::state)
        .def("load", &Wrapped::load, py::arg("steps"), py::arg("epochs"), py::arg("updates"),
             py::arg("optimizer_state"))
        .def_property_readonly("steps", &Wrapped::steps)
        .def_property_readonly("epochs", &Wrapped::epochs)
        .def_property_readonly("updates", &Wrapped::updates)
        .def_property_readonly("stopped", &Wrapped::stopped);
}

}  // namespace

void register_trainers(py::module_& m) {
    // Both what NumPy users and what PyTorch users catch.
    const py::tuple bases = py::make_tuple(py::handle(PyExc_FloatingPointError), py::handle(PyExc_RuntimeError));
    m.attr("NonFiniteError") = py::reinterpret_steal<py::object>(
        PyErr_NewExceptionWithDoc("gradiometer.NonFiniteError",
                                  "A step met a NaN or an infinity and was told not to go on.", bases.ptr(), nullptr));

    py::enum_<LossKind>(m, "LossKind")
        .value("cross_entropy", LossKind::cross_entropy)
        .value("bce_with_logits", LossKind::bce_with_logits)
        .value("mse", LossKind::mse);
    py::enum_<UpdateRule>(m, "UpdateRule")
        .value("sgd", UpdateRule::sgd)
        .value("adam", UpdateRule::adam)
        .value("adamw", UpdateRule::adamw)
        .value("rmsprop", UpdateRule::rmsprop);
    py::enum_<OnNonfinite>(m, "OnNonfinite")
        .value("record", OnNonfinite::record)
        .value("raise_", OnNonfinite::raise)
        .value("stop", OnNonfinite::stop);
    py::class_<OptimizerSpec>(m, "OptimizerSpec")
        .def(py::init([](UpdateRule rule, double momentum, double dampening, double weight_decay, bool nesterov,
                         double beta1, double beta2, double epsilon) {
                 return OptimizerSpec{rule, momentum, dampening, weight_decay, nesterov, beta1, beta2, epsilon};
             }),
             py::kw_only(), py::arg("rule"), py::arg("momentum") = 0.0, py::arg("dampening") = 0.0,
             py::arg("weight_decay") = 0.0, py::arg("nesterov") = false, py::arg("beta1") = 0.0, py::arg("beta2") = 0.0,
             py::arg("epsilon") = 0.0);
    py::class_<ClipSpec>(m, "ClipSpec")
        .def_static("none", [] { return ClipSpec{}; })
        .def_static(
            "norm",
            [](double max_norm, double norm_type, bool per_layer, bool error_if_nonfinite) {
                return ClipSpec{.kind = ClipSpec::Kind::norm,
                                .max_norm = max_norm,
                                .norm_type = norm_type,
                                .per_layer = per_layer,
                                .error_if_nonfinite = error_if_nonfinite};
            },
            py::arg("max_norm"), py::arg("norm_type"), py::arg("per_layer"), py::arg("error_if_nonfinite"))
        .def_static(
            "value",
            [](double clip_value) { return ClipSpec{.kind = ClipSpec::Kind::value, .clip_value = clip_value}; },
            py::arg("clip_value"))
        .def_static(
            "adaptive",
            [](double clip_factor, double eps) {
                return ClipSpec{.kind = ClipSpec::Kind::adaptive, .clip_factor = clip_factor, .eps = eps};
            },
            py::arg("clip_factor"), py::arg("eps"));
    py::class_<TrainerSpec>(m, "TrainerSpec")
        .def(py::init([](LossKind loss, const OptimizerSpec& optimizer, const ClipSpec& clip, OnNonfinite on_nonfinite,
                         uint64_t seed) { return TrainerSpec{loss, optimizer, clip, on_nonfinite, seed}; }),
             py::kw_only(), py::arg("loss"), py::arg("optimizer"), py::arg("clip"), py::arg("on_nonfinite"),
             py::arg("seed"));
    register_trainer<float>(m, "TrainerFloat32");
    register_trainer<double>(m, "TrainerFloat64");
}

}  // namespace gradiometer
