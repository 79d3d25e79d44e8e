#include "bindings/array.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel/gradual_underflow.hpp"

namespace gradiometer {
namespace {

std::string type_text(const py::handle& object) {
    return py::str(py::type::of(object).attr("__name__"));
}

std::string dtype_text(const py::array& array) {
    return py::str(array.dtype());
}

py::handle array_type() {
    return reinterpret_cast<PyObject*>(py::detail::npy_api::get().PyArray_Type_);
}

// The engine would train on what a mask hides.
void refuse_masked(const py::handle& object, const char* name) {
    const py::module_ masked = py::module_::import("numpy.ma");
    if (py::isinstance(object, masked.attr("MaskedArray")) && masked.attr("is_masked")(object).cast<bool>())
        throw py::value_error(std::string(name) + " is a masked array with masked entries, which have no value here; " +
                              "fill them first, as with " + name + ".filled(…)");
}

// object as an array, whatever its type.
py::array any_array(const py::handle& object, const char* name) {
    if (py::type::handle_of(object).is(array_type())) return py::reinterpret_borrow<py::array>(object);
    if (py::isinstance<py::array>(object)) {  // of a class derived from NumPy's
        refuse_masked(object, name);
        return py::reinterpret_borrow<py::array>(object);
    }
    try {
        return py::array(py::reinterpret_borrow<py::object>(object));
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_Exception)) throw;         // Ctrl-C is nobody's array
        const std::string reason = py::str(error.value());  // a tensor that requires a gradient, say
        throw py::type_error(std::string(name) + " must be an array of numbers, not " + type_text(object) + " (" +
                             reason + ")");
    }
}

// The array itself where the engine can read it as it is, which asks NumPy for nothing; else a copy.
template <class T>
Array<T> converted(const py::array& array) {
    if (Array<T>::check_(array)) return py::reinterpret_borrow<Array<T>>(array);
    return Array<T>(static_cast<const py::object&>(array));
}

std::string position_text(const py::array& array, Index flat) {
    if (array.ndim() == 1) return "[" + std::to_string(flat) + "]";
    std::string text = "]";
    for (py::ssize_t axis = array.ndim() - 1; axis >= 0; --axis) {
        text = std::to_string(flat % array.shape(axis)) + text;
        if (axis > 0) text = ", " + text;
        flat /= array.shape(axis);
    }
    return "[" + text;
}

void check_rows(const py::array& array, const char* name, Rows rows) {
    if (array.shape(0) != rows.count)
        throw py::value_error(std::string(name) + " has " + std::to_string(array.shape(0)) + " rows (shape " +
                              shape_text(array) + "), but " + rows.of + " has " + std::to_string(rows.count));
}

void check_one_axis(const py::array& array, const char* name, Rows rows, const char* what) {
    if (array.ndim() != 1)
        throw py::value_error(std::string(name) + " has shape " + shape_text(array) + "; it must be (" +
                              std::to_string(rows.count) + ",), one " + what + " for each row of " + rows.of);
}

}  // namespace

std::string shape_text(const py::array& array) {
    std::string text = "(";
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis)
        text += (axis ? ", " : "") + std::to_string(array.shape(axis));
    return text + (array.ndim() == 1 ? ",)" : ")");
}

template <class T>
Array<T> number_array(const py::handle& object, const char* name) {
    const py::array array = any_array(object, name);
    const char kind = array.dtype().kind();
    const bool number = kind == 'i' || kind == 'u' || kind == 'b' || (kind == 'f' && array.itemsize() <= 8);
    if (!number)
        throw py::type_error(std::string(name) + " must hold integers or floats of at most 64 bits, not " +
                             (kind == 'O' ? type_text(object) + " of Python objects" : "dtype " + dtype_text(array)));
    if constexpr (sizeof(T) == 4) {
        if (kind == 'f' && array.itemsize() == 8) {
            // By hand, because NumPy warns of numbers that are too large, which the caller names as an error.
            const Array<double> wide = converted<double>(array);
            Array<T> rounded(std::vector<py::ssize_t>(wide.shape(), wide.shape() + wide.ndim()));
            const GradualUnderflow keeping;
            std::transform(wide.data(), wide.data() + wide.size(), rounded.mutable_data(),
                           [](double x) { return static_cast<T>(x); });
            return rounded;
        }
    }
    return converted<T>(array);
}

template <class T>
Array<T> kept_array(const py::handle& object, const char* name) {
    Array<T> array = number_array<T>(object, name);
    if constexpr (sizeof(T) == 4) {
        const Array<double> wide = number_array<double>(object, name);
        for (Index i = 0; i < array.size(); ++i)
            if (std::isinf(array.data()[i]) && std::isfinite(wide.data()[i]))
                throw py::value_error(std::string(name) + position_text(array, i) + " is " +
                                      number_text(wide.data()[i]) + ", which is too large for float32");
    }
    return array;
}

std::string number_text(double number) {
    return py::repr(py::float_(number));
}

template <class T>
void check_finite(const Array<T>& array, const char* name) {
    const Index at = kernels<T>().first_nonfinite(array.size(), array.data());
    if (at < 0) return;
    const T value = array.data()[at];
    const std::string what = value != value ? "NaN" : value > 0 ? "inf" : "-inf";
    throw py::value_error(std::string(name) + " must be finite, but " + name + position_text(array, at) + " is " +
                          what + (sizeof(T) == 4 && what != "NaN" ? " as float32" : ""));
}

template <class T>
Array<T> matrix(const py::handle& object, const char* name, Index columns, bool allow_nonfinite) {
    Array<T> array = number_array<T>(object, name);
    if (array.ndim() != 2 || array.shape(1) != columns)
        throw py::value_error(std::string(name) + " has shape " + shape_text(array) + "; it must be (rows, " +
                              std::to_string(columns) + ")");
    if (array.shape(0) == 0)
        throw py::value_error(std::string(name) + " has shape " + shape_text(array) +
                              "; it must have at least one row");
    if (!allow_nonfinite) check_finite(array, name);
    return array;
}

Array<int64_t> labels(const py::handle& object, const char* name, Rows rows, Index classes) {
    const py::array array = any_array(object, name);
    const char kind = array.dtype().kind();
    if (kind != 'i' && kind != 'u' && kind != 'b')
        throw py::type_error(std::string(name) + " must hold integer class labels for cross_entropy, not dtype " +
                             dtype_text(array));
    check_one_axis(array, name, rows, "label");
    check_rows(array, name, rows);
    Array<int64_t> whole = converted<int64_t>(array);
    for (Index i = 0; i < rows.count; ++i) {
        const int64_t label = whole.data()[i];
        if (label < 0 || label >= classes)
            // As it was given: an unsigned label above 2⁶³ has become a negative one.
            throw py::value_error(std::string(name) + "[" + std::to_string(i) + "] is " +
                                  std::string(py::str(array[py::int_(i)])) + "; labels must be from 0 to " +
                                  std::to_string(classes - 1) + ", as the network has " + std::to_string(classes) +
                                  " outputs");
    }
    return whole;
}

template <class T>
Array<T> targets(const py::handle& object, const char* name, Rows rows, Index columns, bool probabilities,
                 bool allow_nonfinite) {
    Array<T> array = number_array<T>(object, name);
    const bool flat = array.ndim() == 1 && columns == 1;
    if (!flat && (array.ndim() != 2 || array.shape(1) != columns))
        throw py::value_error(std::string(name) + " has shape " + shape_text(array) + "; it must be (" +
                              std::to_string(rows.count) + ", " + std::to_string(columns) +
                              "), like the network's output");
    check_rows(array, name, rows);
    if (!allow_nonfinite) check_finite(array, name);
    if (probabilities)
        for (Index i = 0; i < array.size(); ++i)
            if (array.data()[i] < 0 || array.data()[i] > 1)
                throw py::value_error(std::string(name) + position_text(array, i) + " is " +
                                      number_text(array.data()[i]) +
                                      "; targets of bce_with_logits must be from 0 to 1");
    return array;
}

Array<double> sample_weights(const py::handle& object, const char* name, Rows rows) {
    Array<double> array = number_array<double>(object, name);
    check_one_axis(array, name, rows, "weight");
    check_rows(array, name, rows);
    check_finite(array, name);
    double sum = 0;
    for (Index i = 0; i < rows.count; ++i) {
        if (array.data()[i] < 0)
            throw py::value_error(std::string(name) + "[" + std::to_string(i) + "] is " + number_text(array.data()[i]) +
                                  "; weights must not be negative");
        sum += array.data()[i];
    }
    if (sum == 0) throw py::value_error(std::string(name) + " must have a positive sum, but all its weights are zero");
    if (std::isinf(sum)) throw py::value_error(std::string(name) + " must have a finite sum, but it is too large");
    return array;
}

#define GM_INSTANTIATE(T)                                                  \
    template Array<T> number_array(const py::handle&, const char*);        \
    template Array<T> kept_array(const py::handle&, const char*);          \
    template void check_finite(const Array<T>&, const char*);              \
    template Array<T> matrix(const py::handle&, const char*, Index, bool); \
    template Array<T> targets(const py::handle&, const char*, Rows, Index, bool, bool);
GM_INSTANTIATE(float)
GM_INSTANTIATE(double)

}  // namespace gradiometer
