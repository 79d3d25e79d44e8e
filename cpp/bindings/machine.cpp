// What the process computes with: instruction set and threads; and single functions of the kernels.
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>

#include "bindings/array.hpp"
#include "bindings/python_lock.hpp"
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

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Multiply-adds in registers by all threads at once: float32 operations a second, the best of some rounds, for at first
// the threads may have to find a processor each.
double measure_peak(int threads) {
    constexpr Index kIterations = 2'000'000;
    constexpr int kRounds = 8;
    std::atomic<Index> operations{0};
    std::chrono::steady_clock::time_point start;
    double best = 0;
    run_parallel(threads, [&](Team& team, int) {
        alignas(kAlignment) float values[kAlignment / sizeof(float)];
        for (int round = 0; round < kRounds; ++round) {
            std::fill(std::begin(values), std::end(values), 0.5f);
            team.meet([&] {
                operations = 0;
                start = std::chrono::steady_clock::now();
            });
            operations += kernels<float>().fused_chains(kIterations, values);
            team.meet([&] { best = std::max(best, static_cast<double>(operations) / seconds_since(start)); });
        }
    });
    return best;
}

// Copies of arrays of so many bytes in all, by all threads at once: bytes read and written a second.
double measure_bandwidth(int threads, Index bytes) {
    const Index count = std::max<Index>(1, bytes / 2 / threads / static_cast<Index>(sizeof(float)));
    const int rounds = static_cast<int>(std::clamp<Index>((Index{1} << 30) / bytes, 2, 10'000));
    std::chrono::steady_clock::time_point start;
    double seconds = 0;
    run_parallel(threads, [&](Team& team, int) {
        AlignedArray<float> from(count), to(count);
        team.meet([&] { start = std::chrono::steady_clock::now(); });
        for (int round = 0; round < rounds; ++round) {
            std::copy_n(from.data(), count, to.data());
            from.data()[round % count] = to.data()[0];
        }
        team.meet([&] { seconds = seconds_since(start); });
    });
    return 2.0 * static_cast<double>(count) * sizeof(float) * threads * rounds / seconds;
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
    m.def("set_work_alone", &set_work_alone, py::arg("alone"),
          "Whether work that the calling thread starts stays in that thread.");
    m.def("measure_peak", &measure_peak, py::arg("threads"), py::call_guard<WithoutPythonLock>(),
          "float32 operations a second: multiply-adds in registers.");
    m.def("measure_bandwidth", &measure_bandwidth, py::arg("threads"), py::arg("bytes"),
          py::call_guard<WithoutPythonLock>(), "Bytes a second, read and written, copying arrays of this size.");
    m.def("vector_function", &evaluate<float>, py::arg("name"), py::arg("x").noconvert(),
          "exp, expm1, log, log1p, log1p_exp, sigmoid, tanh, erf or erfc of every element, by the kernels.");
    m.def("vector_function", &evaluate<double>, py::arg("name"), py::arg("x").noconvert());
    m.def("activate", &activate, py::arg("layer"), py::arg("z"),
          "The value and the derivative of an activation at every element of a flat array, by the kernels.");
}

}  // namespace gradiometer
