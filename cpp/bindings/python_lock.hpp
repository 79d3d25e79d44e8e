// Python's lock, given up while C++ works and taken again for what Python is asked.
//
// At the end of the program, Python before 3.14 ends other threads that ask for its lock. With glibc that unwinds their
// stack, which neither pybind11 nor destructors that release Python's objects survive; so such a thread stays where it
// is until the process is gone, as it does since Python 3.14.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <thread>

#include "parallel/gradual_underflow.hpp"

namespace gradiometer {

[[noreturn]] inline void wait_for_the_end() {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// The result of ask(), in which Python may end this thread.
template <class Ask>
auto unless_the_program_ends(const Ask& ask) {
#ifdef __GLIBCXX__
    try {
        return ask();
    } catch (const abi::__forced_unwind&) {
        wait_for_the_end();
    }
#else
    return ask();
#endif
}

class WithoutPythonLock {
  public:
    WithoutPythonLock() : state_(PyEval_SaveThread()) {}
    ~WithoutPythonLock() {
        unless_the_program_ends([this] { PyEval_RestoreThread(state_); });
    }
    WithoutPythonLock(const WithoutPythonLock&) = delete;
    WithoutPythonLock& operator=(const WithoutPythonLock&) = delete;

  private:
    PyThreadState* const state_;
};

class WithPythonLock {
  public:
    WithPythonLock() {
        unless_the_program_ends([this] { lock_.emplace(); });
    }

  private:
    std::optional<pybind11::gil_scoped_acquire> lock_;
    const GradualUnderflow::Paused mode_;
};

}  // namespace gradiometer
