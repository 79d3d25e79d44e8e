// What the process computes with: instruction set and threads; and single functions of the kernels.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/array.hpp"
#include "network/aligned_array.hpp"
#include "network/layer.hpp"
#include "parallel/pool.hpp"

namespace gradiometer {
namespace {

template <class T>
Array<T> evaluate(const std::string& name, const Array<T>& x) {
    Array<T> out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    if (!kernels<T>().evaluate(name.c_str(), x.size(), x.data(), out.mutable_data()))
        throw py::value_error("there is no vector function '" + name + "'");
    return out;
}

// φ and φ′ of every element.
std::pair<Array<double>, Array<double>> activate(const LayerSpec& layer, const Array<double>& z) {
    if (layer.kind != LayerKind::activation) throw py::type_error("layer must be an activation");
    Array<double> value(z.size()), slope(z.size());
    // One padded row: kernels work in whole vectors.
    AlignedArray<double> row(3 * padded<double>(z.size()));
    double* in = row.data();
    double* out = in + padded<double>(z.size());
    double* derivative = out + padded<double>(z.size());
    std::copy_n(z.data(), z.size(), in);
    kernels<double>().activate(layer.activation, 1, z.size(), in, 0, out, 0, derivative, 0);
    std::copy_n(out, z.size(), value.mutable_data());
    std::copy_n(derivative, z.size(), slope.mutable_data());
    return {value, slope};
}

}  // namespace

void register_machine(py::module_& m) {
    kernels<float>();  // a wrong GRADIOMETER_ISA fails here, when the package is imported
    num_threads();     // and a wrong GRADIOMETER_NUM_THREADS

    m.attr("__version__") = GRADIOMETER_VERSION;
    m.def("isa", [] { return std::string(kernels<float>().isa); });
    m.def("available_isas", &available_isas);
    m.def("num_threads", &num_threads);
    m.def("set_num_threads", &set_num_threads, py::arg("threads"));
    m.def("vector_function", &evaluate<float>, py::arg("name"), py::arg("x").noconvert(),
          "exp, expm1, log, log1p, log1p_exp, sigmoid, tanh, erf or erfc of every element, by the kernels.");
    m.def("vector_function", &evaluate<double>, py::arg("name"), py::arg("x").noconvert());
    m.def("activate", &activate, py::arg("layer"), py::arg("z"),
          "The value and the derivative of an activation at every element of a flat array, by the kernels.");
}

}  // namespace gradiometer
