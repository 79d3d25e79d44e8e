// What the process computes with: instruction set and threads; and the vector functions, for tests.
#include <pybind11/stl.h>

#include "bindings/array.hpp"
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
}

}  // namespace gradiometer
