#include <pybind11/pybind11.h>
namespace py = pybind11;
namespace gradiometer { void register_random(py::module_&) {} }
