// Layer descriptions and networks.
#include "network/network.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "bindings/array.hpp"
#include "bindings/signals.hpp"

namespace gradiometer {
namespace {

// Everything of a state dict, copied as of one moment. Keys and order are those of torch.nn.Sequential.
template <class T>
py::dict state_dict(Network<T>& network) {
    const Plan& plan = network.plan();
    std::vector<Array<T>> parameters;
    for (const ParameterSpec& p : plan.parameters) parameters.push_back(parameter_array<T>(p));
    struct Norm {
        Array<T> mean, variance;
        int64_t batches;
    };
    std::vector<Norm> norms;
    for (const NormSpec& norm : plan.norms) norms.push_back({Array<T>(norm.width), Array<T>(norm.width), 0});
    {
        const WithoutPythonLock without_lock;
        const auto lock = network.hold();
        for (size_t i = 0; i < parameters.size(); ++i) network.copy_parameter(i, parameters[i].mutable_data());
        for (size_t i = 0; i < norms.size(); ++i)
            network.copy_running(i, norms[i].mean.mutable_data(), norms[i].variance.mutable_data(), &norms[i].batches);
    }
    py::dict out;
    size_t parameter = 0;
    const auto add_parameters_up_to = [&](Index layer) {
        for (; parameter < parameters.size() && plan.parameters[parameter].layer <= layer; ++parameter)
            out[plan.parameters[parameter].name.c_str()] = parameters[parameter];
    };
    for (size_t i = 0; i < norms.size(); ++i) {
        const Index layer = plan.norms[i].layer;
        add_parameters_up_to(layer);
        const std::string prefix = plan.norms[i].name + ".";
        out[(prefix + "running_mean").c_str()] = norms[i].mean;
        out[(prefix + "running_var").c_str()] = norms[i].variance;
        py::array_t<int64_t> batches(std::vector<py::ssize_t>{});
        *batches.mutable_data() = norms[i].batches;
        out[(prefix + "num_batches_tracked").c_str()] = batches;
    }
    add_parameters_up_to(PTRDIFF_MAX);
    return out;
}

// A count of batches in a state dict: a whole number, which other libraries may keep as a float.
int64_t batch_count(double number, const std::string& key) {
    if (!(number >= 0 && number < 0x1p63) || number != std::floor(number))
        throw py::value_error("'" + key + "' is " + number_text(number) + "; it must be a whole number, at least 0");
    return static_cast<int64_t>(number);
}

// Checks the whole dict before it changes anything.
template <class T>
void load_state_dict(Network<T>& network, const py::dict& state) {
    refuse_in_signal_handler(&network, "load_state_dict");
    const Plan& plan = network.plan();
    py::dict known = state_dict(network);
    py::list missing, unexpected;
    for (const auto& item : known)
        if (!state.contains(item.first)) missing.append(item.first);
    for (const auto& item : state)
        if (!known.contains(item.first)) unexpected.append(item.first);
    if (missing.size() || unexpected.size())
        throw py::value_error("the state dict does not fit the network: missing keys " + std::string(py::str(missing)) +
                              ", unexpected keys " + std::string(py::str(unexpected)));
    const auto entry_as = [&]<class Number>(Number, const std::string& key) {
        const Array<Number> array = kept_array<Number>(state[key.c_str()], key.c_str());
        const py::array expected = known[key.c_str()];
        if (shape_text(array) != shape_text(expected))
            throw py::value_error("'" + key + "' has shape " + shape_text(array) + "; it must be " +
                                  shape_text(expected));
        return array;
    };
    const auto entry = [&](const std::string& key) { return entry_as(T(0), key); };
    std::vector<Array<T>> parameters;
    for (const ParameterSpec& p : plan.parameters) parameters.push_back(entry(p.name));
    struct Norm {
        Array<T> mean, variance;
        int64_t batches;
    };
    std::vector<Norm> norms;
    for (const NormSpec& norm : plan.norms) {
        const std::string prefix = norm.name + ".";
        const std::string batches_key = prefix + "num_batches_tracked";
        const Array<double> batches = entry_as(0.0, batches_key);
        const Array<T> variance = entry(prefix + "running_var");
        for (Index j = 0; j < norm.width; ++j)
            if (variance.data()[j] < 0)
                throw py::value_error("'" + prefix + "running_var'[" + std::to_string(j) + "] is " +
                                      number_text(variance.data()[j]) + "; a variance must not be negative");
        norms.push_back({entry(prefix + "running_mean"), variance, batch_count(*batches.data(), batches_key)});
    }
    const WithoutPythonLock without_lock;
    const auto lock = network.hold();
    for (size_t i = 0; i < parameters.size(); ++i) network.set_parameter(i, parameters[i].data());
    for (size_t i = 0; i < norms.size(); ++i)
        network.set_running(i, norms[i].mean.data(), norms[i].variance.data(), norms[i].batches);
}

template <class T>
Index parameter_number(const Network<T>& network, const std::string& key) {
    const std::vector<ParameterSpec>& parameters = network.plan().parameters;
    const auto found = std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) { return p.name == key; });
    if (found == parameters.end()) throw py::value_error("the network has no parameter '" + key + "'");
    return found - parameters.begin();
}

// One parameter, without the copies of all that a state dict takes: how a network gets its first values.
template <class T>
void set_parameter(Network<T>& network, const std::string& key, const py::object& values) {
    const Index number = parameter_number(network, key);
    const ParameterSpec& p = network.plan().parameters[number];
    const Array<T> array = kept_array<T>(values, key.c_str());
    const bool fits = p.is_weight ? array.ndim() == 2 && array.shape(0) == p.columns && array.shape(1) == p.inner
                                  : array.ndim() == 1 && array.shape(0) == p.columns;
    if (!fits) throw py::value_error("'" + key + "' has shape " + shape_text(array) + ", which is not the parameter's");
    const WithoutPythonLock without_lock;
    network.set_parameter(number, array.data());
}

template <class T>
Array<T> parameter(Network<T>& network, const std::string& key) {
    const Index number = parameter_number(network, key);
    Array<T> out = parameter_array<T>(network.plan().parameters[number]);
    T* entries = out.mutable_data();
    const WithoutPythonLock without_lock;  // who has the network's lock may be waiting for Python's
    network.copy_parameter(number, entries);
    return out;
}

// Standard deviation and root mean square of a parameter's entries.
template <class T>
std::pair<double, double> parameter_size(Network<T>& network, const std::string& key) {
    const Index number = parameter_number(network, key);
    const ParameterSpec& p = network.plan().parameters[number];
    const WithoutPythonLock without_lock;
    const GradualUnderflow keeping;
    std::vector<T> entries(p.inner * p.columns);
    network.copy_parameter(number, entries.data());
    const double count = static_cast<double>(entries.size());
    double mean = 0;
    for (const T x : entries) mean += static_cast<double>(x) / count;
    double variance = 0;
    for (const T x : entries) variance += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean) / count;
    return {std::sqrt(variance), std::hypot(std::sqrt(variance), mean)};
}

template <class T>
std::vector<std::string> parameter_names(const Network<T>& network) {
    std::vector<std::string> names;
    for (const ParameterSpec& p : network.plan().parameters) names.push_back(p.name);
    return names;
}

template <class T>
py::dict gradients(Network<T>& network) {
    const Plan& plan = network.plan();
    std::vector<Array<T>> arrays;
    for (const ParameterSpec& p : plan.parameters) arrays.push_back(parameter_array<T>(p));
    {
        const WithoutPythonLock without_lock;
        const auto lock = network.hold();
        for (size_t i = 0; i < arrays.size(); ++i) network.copy_gradient(i, arrays[i].mutable_data());
    }
    py::dict out;
    for (size_t i = 0; i < arrays.size(); ++i) out[plan.parameters[i].name.c_str()] = arrays[i];
    return out;
}

template <class T>
Array<T> forward(Network<T>& network, const py::object& x, bool training, bool allow_nonfinite) {
    if (training) refuse_in_signal_handler(&network, "forward(training=True)");
    const Array<T> input = matrix<T>(x, "x", network.plan().in_features, allow_nonfinite);
    Array<T> out({input.shape(0), network.plan().out_features});
    run_interruptible(&network, [&](const AskInterrupted& ask) {
        network.forward(input.data(), input.shape(0), training, out.mutable_data(), ask);
    });
    return out;
}

template <class T>
Array<T> backward(Network<T>& network, const py::object& dy) {
    refuse_in_signal_handler(&network, "backward");
    const Array<T> gradient = matrix<T>(dy, "dy", network.plan().out_features, true);
    Array<T> out({gradient.shape(0), network.plan().in_features});
    run_interruptible(&network, [&](const AskInterrupted& ask) {
        network.backward(gradient.data(), gradient.shape(0), out.mutable_data(), ask);
    });
    return out;
}

template <class T>
void register_network(py::module_& m, const char* name) {
    using Net = Network<T>;
    py::class_<Net, std::shared_ptr<Net>>(m, name)
        .def(py::init<Index, const std::vector<LayerSpec>&, uint64_t>(), py::arg("in_features"), py::arg("layers"),
             py::arg("seed"))
        .def("forward", &forward<T>, py::arg("x"), py::arg("training"), py::arg("allow_nonfinite"))
        .def("backward", &backward<T>, py::arg("dy"))
        .def("gradients", &gradients<T>)
        .def("state_dict", &state_dict<T>)
        .def("load_state_dict", &load_state_dict<T>, py::arg("state"))
        .def("set_parameter", &set_parameter<T>, py::arg("key"), py::arg("values"))
        .def("parameter", &parameter<T>, py::arg("key"))
        .def("parameter_size", &parameter_size<T>, py::arg("key"))
        .def_property_readonly("parameter_names", &parameter_names<T>)
        .def_property_readonly("seed", &Net::seed)
        .def_property_readonly("num_parameters", &Net::scalar_count)
        .def_property("forward_count", &Net::forward_count, &Net::set_forward_count);
}

}  // namespace

void register_layers(py::module_& m) {
    py::enum_<ActivationKind>(m, "ActivationKind")
        .value("identity", ActivationKind::identity)
        .value("relu", ActivationKind::relu)
        .value("leaky_relu", ActivationKind::leaky_relu)
        .value("elu", ActivationKind::elu)
        .value("selu", ActivationKind::selu)
        .value("gelu", ActivationKind::gelu)
        .value("gelu_tanh", ActivationKind::gelu_tanh)
        .value("silu", ActivationKind::silu)
        .value("mish", ActivationKind::mish)
        .value("softplus", ActivationKind::softplus)
        .value("softsign", ActivationKind::softsign)
        .value("sigmoid", ActivationKind::sigmoid)
        .value("tanh", ActivationKind::tanh)
        .value("hardtanh", ActivationKind::hardtanh)
        .value("hardswish", ActivationKind::hardswish);
    py::class_<LayerSpec>(m, "LayerSpec")
        .def_static(
            "dense",
            [](Index out_features, bool bias) {
                LayerSpec spec;
                spec.kind = LayerKind::dense;
                spec.out_features = out_features;
                spec.bias = bias;
                return spec;
            },
            py::arg("out_features"), py::arg("bias"))
        .def_static(
            "batch_norm",
            [](double eps, double momentum, bool affine) {
                LayerSpec spec;
                spec.kind = LayerKind::batch_norm;
                spec.eps = eps;
                spec.momentum = momentum;
                spec.affine = affine;
                return spec;
            },
            py::arg("eps"), py::arg("momentum"), py::arg("affine"))
        .def_static(
            "layer_norm",
            [](double eps, bool affine) {
                LayerSpec spec;
                spec.kind = LayerKind::layer_norm;
                spec.eps = eps;
                spec.affine = affine;
                return spec;
            },
            py::arg("eps"), py::arg("affine"))
        .def_static(
            "residual",
            [](std::vector<LayerSpec> body, double scale) {
                LayerSpec spec;
                spec.kind = LayerKind::residual;
                spec.body = std::move(body);
                spec.scale = scale;
                return spec;
            },
            py::arg("body"), py::arg("scale"))
        .def_static(
            "dropout",
            [](double p) {
                LayerSpec spec;
                spec.kind = LayerKind::dropout;
                spec.drop_probability = p;
                return spec;
            },
            py::arg("p"))
        .def_static(
            "activation",
            [](ActivationKind kind, double first, double second) {
                LayerSpec spec;
                spec.kind = LayerKind::activation;
                spec.activation = {kind, first, second};
                return spec;
            },
            py::arg("kind"), py::arg("first") = 0.0, py::arg("second") = 0.0);
}

void register_networks(py::module_& m) {
    register_network<float>(m, "NetworkFloat32");
    register_network<double>(m, "NetworkFloat64");
}

}  // namespace gradiometer
