// Trainers.
#include <pybind11/stl.h>

#include <exception>
#include <sstream>

#include "bindings/python_trainer.hpp"

namespace gradiometer {
namespace {

void translate_nonfinite(std::exception_ptr thrown) {
    try {
        std::rethrow_exception(thrown);
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
    }
}

// Lets Python's garbage collector see the learning rate: a schedule that refers to its trainer makes a circle with it.
template <class Wrapped>
void show_to_collector(PyHeapTypeObject* heap_type) {
    PyTypeObject& type = heap_type->ht_type;
    type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    type.tp_traverse = [](PyObject* self, visitproc visit, void* arg) -> int {
        Py_VISIT(Py_TYPE(self));
        if (py::detail::is_holder_constructed(self)) Py_VISIT(py::cast<Wrapped&>(py::handle(self)).learning_rate());
        return 0;
    };
    type.tp_clear = [](PyObject* self) -> int {
        if (py::detail::is_holder_constructed(self)) py::cast<Wrapped&>(py::handle(self)).forget_learning_rate();
        return 0;
    };
}

template <class T>
void register_trainer(py::module_& m, const char* name) {
    using Wrapped = PythonTrainer<T>;
    py::class_<Wrapped, AnyTrainer, std::shared_ptr<Wrapped>>(m, name,
                                                              py::custom_type_setup(&show_to_collector<Wrapped>))
        .def(py::init<std::shared_ptr<Network<T>>, TrainerSpec, py::object, std::shared_ptr<Recorder>, bool>(),
             py::arg("network"), py::arg("spec"), py::arg("learning_rate"), py::arg("recorder"),
             py::arg("allow_nonfinite"))
        .def("step", &Wrapped::step, py::arg("x"), py::arg("y"), py::arg("sample_weight"))
        .def("apply_gradients", &Wrapped::apply_gradients, py::arg("loss"))
        .def("fit", &Wrapped::fit, py::arg("arguments"), py::arg("progress"))
        .def("evaluate", &Wrapped::evaluate, py::arg("x"), py::arg("y"), py::arg("sample_weight"))
        .def("state", &Wrapped::state)
        .def("load", &Wrapped::load, py::arg("steps"), py::arg("epochs"), py::arg("updates"), py::arg("seed"),
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
    py::register_exception_translator(&translate_nonfinite);

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
    py::class_<FitArguments>(m, "FitArguments")
        .def(py::init([](py::object x, py::object y, py::object sample_weight, int64_t epochs, Index batch_size,
                         bool shuffle, const std::optional<py::tuple>& validation) {
                 const py::object none = py::none();
                 FitArguments out{SharedExamples({x, y, sample_weight, "X", "y", "sample_weight"}), std::nullopt,
                                  epochs, batch_size, shuffle};
                 if (validation)
                     out.validation.emplace(GivenExamples{(*validation)[0], (*validation)[1],
                                                          validation->size() > 2 ? (*validation)[2] : none,
                                                          "validation[0]", "validation[1]", "validation[2]"});
                 return out;
             }),
             py::kw_only(), py::arg("x"), py::arg("y"), py::arg("sample_weight"), py::arg("epochs"),
             py::arg("batch_size"), py::arg("shuffle"), py::arg("validation"))
        .def_property_readonly("x", [](const FitArguments& of) { return of.training.given().x; })
        .def_property_readonly("y", [](const FitArguments& of) { return of.training.given().y; })
        .def_property_readonly("sample_weight", [](const FitArguments& of) { return of.training.given().weights; })
        .def_readonly("batch_size", &FitArguments::batch_size)
        .def_readonly("shuffle", &FitArguments::shuffle);
    m.def("batch_ends", &batch_ends, py::arg("count"), py::arg("batch_size"), py::arg("has_batch_norm"),
          "The ends of the batches that a fit makes of so many rows.");
    py::class_<AnyTrainer, std::shared_ptr<AnyTrainer>>(m, "AnyTrainer");
    register_trainer<float>(m, "TrainerFloat32");
    register_trainer<double>(m, "TrainerFloat64");
}

}  // namespace gradiometer
