// The extension module gradiometer._core: a table of contents.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace gradiometer {

void register_machine(py::module_& m);
void register_random(py::module_& m);
void register_recorder(py::module_& m);
void register_kernel_times(py::module_& m);
void register_layers(py::module_& m);
void register_networks(py::module_& m);
void register_trainers(py::module_& m);
void register_many(py::module_& m);

}  // namespace gradiometer

PYBIND11_MODULE(_core, m) {
    m.doc() = "The C++ core of gradiometer. Private: the public names are those of the package.";
    gradiometer::register_kernel_times(m);
    gradiometer::register_layers(m);
    gradiometer::register_machine(m);
    gradiometer::register_random(m);
    gradiometer::register_recorder(m);
    gradiometer::register_networks(m);
    gradiometer::register_trainers(m);
    gradiometer::register_many(m);
}
