// The class _core.Recorder. Python reads a run through it, and writes one when a recording is loaded or
// unpickled.
#include "meter/recorder.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/python_lock.hpp"

namespace py = pybind11;

namespace gradiometer {

namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<std::int64_t, py::array::c_style>;
using Columns = py::typing::Dict<py::str, Doubles>;
using Event = std::tuple<std::int64_t, std::string, std::string>;

RecordMode parse_mode(const std::optional<std::string>& mode) {
    if (!mode) return RecordMode::nothing;
    if (*mode == "norms") return RecordMode::norms;
    if (*mode == "full") return RecordMode::full;
    throw py::value_error("record is '" + *mode + "'; it must be 'norms', 'full' or None");
}

std::optional<std::string> mode_name(const Recorder& recorder) {
    switch (recorder.mode()) {
        case RecordMode::norms: return "norms";
        case RecordMode::full: return "full";
        default: return std::nullopt;
    }
}

template <std::size_t Count>
int find_name(const std::array<std::string_view, Count>& names, std::string_view name) {
    const auto place = std::find(names.begin(), names.end(), name);
    return place == names.end() ? -1 : static_cast<int>(place - names.begin());
}

std::vector<std::string> recorded_fields(const Recorder& recorder) {
    std::vector<std::string> names;
    for (int field = 0; field < kFieldCount; ++field) {
        if (recorder.has(static_cast<Field>(field))) names.emplace_back(kFieldNames[field]);
    }
    if (recorder.has_step_fields()) names.insert(names.end(), kStepFieldNames.begin(), kStepFieldNames.end());
    return names;
}

std::string shape_text(const py::array& array) {
    return py::str(array.attr("shape")).cast<std::string>();
}

[[noreturn]] void refuse_field(const Recorder& recorder, const std::string& name) {
    const bool exists = find_name(kFieldNames, name) >= 0 || find_name(kStepFieldNames, name) >= 0;
    const std::string mode = mode_name(recorder) ? "'" + *mode_name(recorder) + "'" : "None";
    throw py::key_error(exists ? name + " is not recorded with record=" + mode
                               : "'" + name + "' is not a field of a recording");
}

// The number of rows from `begin` on, so far.
std::int64_t rows_from(std::int64_t begin, std::int64_t end) {
    if (begin < 0 || begin > end) {
        throw py::index_error("begin is " + std::to_string(begin) + "; it must be from 0 to " + std::to_string(end));
    }
    return end - begin;
}

Integers read_steps(const Recorder& recorder, std::int64_t begin) {
    const std::int64_t end = recorder.size();
    Integers out(rows_from(begin, end));
    std::int64_t* data = out.mutable_data();
    {
        const WithoutPythonLock without_lock;
        recorder.copy_steps(begin, end, data);
    }
    return out;
}

Doubles read_field(const Recorder& recorder, const std::string& name, std::int64_t begin) {
    const std::int64_t end = recorder.size();
    const std::int64_t rows = rows_from(begin, end);
    const int step_field = find_name(kStepFieldNames, name);
    const int field = find_name(kFieldNames, name);
    const bool per_layer = field >= 0 && recorder.has(static_cast<Field>(field));
    const bool per_step = step_field >= 0 && recorder.has_step_fields();
    if (!per_layer && !per_step) refuse_field(recorder, name);

    Doubles out(per_layer ? std::vector<py::ssize_t>{rows, recorder.layers()} : std::vector<py::ssize_t>{rows});
    double* data = out.mutable_data();
    {
        const WithoutPythonLock without_lock;
        if (per_layer) {
            recorder.copy_field(static_cast<Field>(field), begin, end, data);
        } else {
            recorder.copy_step_field(static_cast<StepField>(step_field), begin, end, data);
        }
    }
    return out;
}

Doubles check_column(const Recorder& recorder, const std::string& name, const py::handle& value, std::int64_t rows) {
    Doubles array = Doubles::ensure(value);
    if (!array) {
        PyErr_Clear();
        throw py::type_error(name + " is " + py::repr(value).cast<std::string>() + "; it must be an array of numbers");
    }
    const bool per_layer = find_name(kFieldNames, name) >= 0;
    const bool fits = per_layer ? array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == recorder.layers()
                                : array.ndim() == 1 && array.shape(0) == rows;
    if (!fits) {
        const std::string steps = std::to_string(rows), layers = std::to_string(recorder.layers());
        throw py::value_error(name + " has shape " + shape_text(array) + "; it must have shape (" + steps +
                              (per_layer ? ", " + layers + "): " + steps + " steps of " + layers + " layers"
                                         : ",): one value for each of " + steps + " steps"));
    }
    return array;
}

// All columns are checked before the first row is written.
void extend(Recorder& recorder, const Integers& steps, const Columns& columns) {
    if (steps.ndim() != 1) {
        throw py::value_error("steps has shape " + shape_text(steps) + "; it must have one dimension");
    }
    const std::int64_t rows = steps.shape(0);
    std::vector<Doubles> kept;  // keeps the converted arrays alive
    std::array<const double*, kFieldCount> fields{};
    std::array<const double*, kStepFieldCount> step_fields{};
    for (const auto& [key, value] : columns) {
        const std::string name = py::cast<std::string>(key);
        const int step_field = find_name(kStepFieldNames, name);
        const int field = find_name(kFieldNames, name);
        const bool recorded =
            step_field >= 0 ? recorder.has_step_fields() : field >= 0 && recorder.has(static_cast<Field>(field));
        if (!recorded) refuse_field(recorder, name);
        kept.push_back(check_column(recorder, name, value, rows));
        (step_field >= 0 ? step_fields[step_field] : fields[field]) = kept.back().data();
    }
    const std::int64_t* step_numbers = steps.data();
    const WithoutPythonLock without_lock;
    for (std::int64_t row = 0; row < rows; ++row) {
        StepRecord record;
        record.step = step_numbers[row];
        if (step_fields[0]) record.loss = step_fields[0][row];
        if (step_fields[1]) record.total_norm = step_fields[1][row];
        if (step_fields[2]) record.clip_coefficient = step_fields[2][row];
        if (step_fields[3]) record.lr = step_fields[3][row];
        for (int field = 0; field < kFieldCount; ++field) {
            if (fields[field]) record.fields[field] = fields[field] + row * recorder.layers();
        }
        recorder.append(record);
    }
}

py::typing::Tuple<Integers, Doubles, Doubles> read_validation(const Recorder& recorder) {
    const std::vector<ValidationRow> rows = recorder.validation();
    const py::ssize_t count = static_cast<py::ssize_t>(rows.size());
    Integers steps(count);
    Doubles losses(count), accuracies(count);
    for (py::ssize_t row = 0; row < count; ++row) {
        steps.mutable_at(row) = rows[row].step;
        losses.mutable_at(row) = rows[row].loss;
        accuracies.mutable_at(row) = rows[row].accuracy;
    }
    return py::make_tuple(steps, losses, accuracies);
}

std::optional<Event> read_nonfinite(const Recorder& recorder) {
    const std::optional<NonfiniteEvent> event = recorder.nonfinite();
    if (!event) return std::nullopt;
    return Event(event->step, event->layer, event->tensor);
}

}  // namespace

void register_recorder(py::module_& m) {
    py::class_<Recorder, std::shared_ptr<Recorder>>(m, "Recorder")
        .def(py::init(
                 [](std::vector<std::string> layer_names, const std::optional<std::string>& mode, std::int64_t every) {
                     const RecordMode parsed = parse_mode(mode);
                     return std::make_shared<Recorder>(std::move(layer_names), parsed, every);
                 }),
             py::arg("layer_names"), py::arg("mode"), py::arg("every") = 1)
        .def_property_readonly("layer_names", &Recorder::layer_names)
        .def_property_readonly("mode", &mode_name)
        .def_property_readonly("every", &Recorder::every)
        .def("__len__", &Recorder::size)
        .def("fields", &recorded_fields)
        .def("steps", &read_steps, py::arg("begin") = 0)
        .def("field", &read_field, py::arg("name"), py::arg("begin") = 0)
        .def("extend", &extend, py::arg("steps"), py::arg("columns"))
        .def("append_validation", &Recorder::append_validation, py::arg("step"), py::arg("loss"), py::arg("accuracy"))
        .def("validation", &read_validation)
        .def("note_nonfinite", &Recorder::note_nonfinite, py::arg("step"), py::arg("layer"), py::arg("tensor"))
        .def("nonfinite", &read_nonfinite);
}

}  // namespace gradiometer
