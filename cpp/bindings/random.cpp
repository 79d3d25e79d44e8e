// Draws for the initialisation of weights, and the generator itself, for tests.
#include <pybind11/stl.h>

#include "bindings/array.hpp"
#include "bindings/python_lock.hpp"
#include "random/draw.hpp"
#include "random/philox.hpp"

namespace gradiometer {
namespace {

using Draw = void (*)(const Stream&, int64_t, double*);

template <Draw draw>
Array<double> draw_flat(uint64_t seed, uint32_t layer, Purpose purpose, int64_t count) {
    Array<double> out(count);
    const WithoutPythonLock without_lock;
    draw({seed, layer, purpose}, count, out.mutable_data());
    return out;
}

Array<double> orthogonal(uint64_t seed, uint32_t layer, int64_t rows, int64_t columns) {
    Array<double> out({rows, columns});
    const WithoutPythonLock without_lock;
    draw_orthogonal({seed, layer, Purpose::weight}, rows, columns, out.mutable_data());
    return out;
}

py::array_t<int64_t> permutation(uint64_t seed, uint32_t epoch, int64_t count) {
    py::array_t<int64_t> out(count);
    int64_t* numbers = out.mutable_data();
    const WithoutPythonLock without_lock;
    draw_permutation({seed, epoch, Purpose::shuffle}, count, numbers);
    return out;
}

}  // namespace

void register_random(py::module_& m) {
    py::enum_<Purpose>(m, "Purpose").value("weight", Purpose::weight).value("bias", Purpose::bias);
    m.def("draw_uniform", &draw_flat<draw_uniform>, py::arg("seed"), py::arg("layer"), py::arg("purpose"),
          py::arg("count"));
    m.def("draw_normal", &draw_flat<draw_normal>, py::arg("seed"), py::arg("layer"), py::arg("purpose"),
          py::arg("count"));
    m.def("draw_orthogonal", &orthogonal, py::arg("seed"), py::arg("layer"), py::arg("rows"), py::arg("columns"));
    m.def("draw_permutation", &permutation, py::arg("seed"), py::arg("epoch"), py::arg("count"),
          "The order in which fit takes the examples of an epoch.");
    m.def("philox", &philox, py::arg("counter"), py::arg("key"), "The generator itself, for tests.");
}

}  // namespace gradiometer
