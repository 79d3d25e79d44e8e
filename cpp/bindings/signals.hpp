// Long work without Python's lock, which Ctrl-C can still reach.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/python_lock.hpp"
#include "network/network.hpp"
#include "parallel/gradual_underflow.hpp"

namespace gradiometer {

namespace py = pybind11;

using Networks = std::span<const void* const>;

// While it lives, this thread runs Python's signal handlers in the midst of work on these networks.
class HandlingSignals {
  public:
    explicit HandlingSignals(Networks networks) : networks_(networks), outer_(std::exchange(innermost_, this)) {}
    ~HandlingSignals() { innermost_ = outer_; }
    HandlingSignals(const HandlingSignals&) = delete;
    HandlingSignals& operator=(const HandlingSignals&) = delete;

    static bool amid(const void* network) {
        for (const HandlingSignals* each = innermost_; each; each = each->outer_)
            if (std::find(each->networks_.begin(), each->networks_.end(), network) != each->networks_.end())
                return true;
        return false;
    }

  private:
    const Networks networks_;
    const HandlingSignals* outer_;
    static inline thread_local const HandlingSignals* innermost_ = nullptr;
};

// For all that changes a network or its buffers. The network's lock does not hold a signal handler off, for it runs in
// the thread that has the lock. Reading is safe there: evaluation has memory of its own.
inline void refuse_in_signal_handler(const void* network, const char* what) {
    if (HandlingSignals::amid(network))
        throw std::runtime_error(std::string(what) +
                                 " was called by a signal handler in the midst of work on the same network; a handler "
                                 "may read the network, but not train or change it");
}

// Calls work(ask), work on these networks, with the lock released; `ask` runs Python's signal handlers. If one raises,
// and the work gives up with Interrupted, that exception is raised here.
template <class Work>
void run_interruptible(Networks networks, Work work) {
    std::optional<py::error_already_set> raised;
    try {
        const WithoutPythonLock without_lock;
        const GradualUnderflow keeping;
        work(AskInterrupted([&raised, networks] {
            const WithPythonLock with_lock;
            const HandlingSignals handling(networks);
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

template <class Work>
void run_interruptible(const void* network, Work work) {
    run_interruptible(Networks(&network, 1), work);
}

}  // namespace gradiometer
