// Every check of an array that comes from Python. Each function names the argument, what it was and what it must be;
// what it returns is C-contiguous, of the type the engine computes in, and the caller's own memory wherever that is
// already so.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "kernels/dispatch.hpp"
#include "network/batch.hpp"
#include "network/plan.hpp"

namespace gradiometer {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// "(3, 4)", as NumPy prints a shape.
std::string shape_text(const py::array& array);

// An array of numbers (integers, booleans or floats up to 64 bits) in the engine's type: TypeError for anything else.
// float64 becomes float32 for a float32 network; a value too large for it counts as infinite.
template <class T>
Array<T> number_array(const py::handle& object, const char* name);

// The same for an array that the engine is to keep: ValueError for a finite number that is too large for its type.
template <class T>
Array<T> kept_array(const py::handle& object, const char* name);

// A number as Python prints it.
std::string number_text(double number);

// Throws ValueError with the position of the first value that is NaN or infinite.
template <class T>
void check_finite(const Array<T>& array, const char* name);

// (rows, columns), with at least one row; finite unless `allow_nonfinite`.
template <class T>
Array<T> matrix(const py::handle& object, const char* name, Index columns, bool allow_nonfinite);

// What belongs to an array of inputs: how many rows there are, and the name of that array, for the messages.
struct Rows {
    Index count;
    const char* of;
};

// (rows,) integers from 0 to classes - 1.
Array<int64_t> labels(const py::handle& object, const char* name, Rows rows, Index classes);

// (rows, columns), or (rows,) where there is one column; for bce_with_logits from 0 to 1.
template <class T>
Array<T> targets(const py::handle& object, const char* name, Rows rows, Index columns, bool probabilities,
                 bool allow_nonfinite);

// (rows,) numbers that are finite and not negative, with a sum that is positive and finite.
Array<double> sample_weights(const py::handle& object, const char* name, Rows rows);

// Room for a parameter, in the shape that it has in a state dict.
template <class T>
Array<T> parameter_array(const ParameterSpec& p) {
    if (p.is_weight) return Array<T>({p.columns, p.inner});
    return Array<T>(p.columns);
}

}  // namespace gradiometer
