// Long work without Python's lock, which Ctrl-C can still reach.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "network/network.hpp"

namespace gradiometer {

namespace py = pybind11;

// Calls work(ask) with the lock released; `ask` runs Python's signal handlers. If one raises, and the work gives up
// with Interrupted, that exception is raised here.
template <class Work>
void run_interruptible(Work work) {
    std::optional<py::error_already_set> raised;
    try {
        const py::gil_scoped_release release;
        work(AskInterrupted([&raised] {
            const py::gil_scoped_acquire acquire;
            if (PyErr_CheckSignals() == 0) return false;
            raised.emplace();
            return true;
        }));
    } catch (const Interrupted&) {
        throw *raised;
    }
    // The signal came so late that the work was finished all the same.
    if (raised) throw *raised;
}

}  // namespace gradiometer
