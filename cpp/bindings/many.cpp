// Many trainers at once, each in one thread of the pool.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bindings/any_trainer.hpp"
#include "bindings/signals.hpp"
#include "parallel/pool.hpp"

namespace gradiometer {
namespace {

using Trainers = std::vector<std::shared_ptr<AnyTrainer>>;

// Hands out the trainers, the largest first. A thread gets the same ones at every call, so that it finds in its cache
// what it left there, until it is done with them and helps another.
class Deal {
  public:
    Deal(const Trainers& trainers, int threads) : order_(trainers.size()), hands_(static_cast<size_t>(threads)) {
        std::iota(order_.begin(), order_.end(), size_t{0});
        std::stable_sort(order_.begin(), order_.end(),
                         [&](size_t a, size_t b) { return trainers[a]->size() > trainers[b]->size(); });
        for (size_t i = 0; i < hands_.size(); ++i) hands_[i].next = i;
    }

    // The number of a trainer that no thread has had yet; as many as there are trainers: none is left.
    size_t next(int thread) {
        for (size_t i = 0; i < hands_.size(); ++i) {
            Hand& hand = hands_[(static_cast<size_t>(thread) + i) % hands_.size()];
            const size_t place = hand.next.fetch_add(hands_.size(), std::memory_order_relaxed);
            if (place < order_.size()) return order_[place];
        }
        return order_.size();
    }

  private:
    struct alignas(64) Hand {
        std::atomic<size_t> next{0};
    };

    std::vector<size_t> order_;
    std::vector<Hand> hands_;
};

// The threads that are still at work, for one that waits and has something to look after meanwhile.
class StillAtWork {
  public:
    explicit StillAtWork(int threads) : threads_(threads) {}

    void leave() {
        const std::lock_guard lock(mutex_);
        threads_.fetch_sub(1, std::memory_order_release);
        changed_.notify_one();
    }

    // Waits for a moment, or until all have left: returns whether they have.
    bool wait_for_all() {
        constexpr int kLooks =
            200;  // short of a hundred microseconds: what the last network takes longer than the rest
        for (int i = 0; i < kLooks; ++i) {
            if (threads_.load(std::memory_order_acquire) == 0) return true;
            std::this_thread::yield();
        }
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::milliseconds(20),
                                 [&] { return threads_.load(std::memory_order_relaxed) == 0; });
    }

  private:
    std::atomic<int> threads_;
    std::mutex mutex_;
    std::condition_variable changed_;
};

// What became of each trainer's work.
struct Outcomes {
    explicit Outcomes(size_t count) : results(count), errors(count) {}
    std::vector<double> results;
    std::vector<std::exception_ptr> errors;
    std::exception_ptr end;  // what ends the work on all: Ctrl-C in the midst of a Python function
};

// Does all the work. `ask` is asked by the calling thread alone; once it says so, each thread ends with the step it is
// in, and Interrupted is thrown.
void do_all(const Trainers& trainers, const std::vector<AnyTrainer::Work>& work, const AskInterrupted& ask,
            Outcomes& outcomes) {
    std::atomic<bool> stop{false};
    bool asked_to = false;
    const AskInterrupted ask_and_tell = [&] {
        if (!stop.load(std::memory_order_relaxed) && ask()) {
            asked_to = true;
            stop.store(true, std::memory_order_relaxed);
        }
        return stop.load(std::memory_order_relaxed);
    };
    const AskInterrupted listen = [&] { return stop.load(std::memory_order_relaxed); };
    const auto work_on = [&](size_t i, const AskInterrupted& interrupted) {
        if (!work[i]) return;
        try {
            outcomes.results[i] = work[i](interrupted);
        } catch (const Interrupted&) {
            // Told below, once for all.
        } catch (const py::error_already_set& error) {
            const WithPythonLock with_lock;  // which also guards outcomes.end
            outcomes.errors[i] = std::current_exception();
            if (!error.matches(PyExc_Exception)) {
                outcomes.end = outcomes.errors[i];
                stop.store(true, std::memory_order_relaxed);
            }
        } catch (...) {
            outcomes.errors[i] = std::current_exception();
        }
    };
    if (trainers.size() == 1) {  // which may use all threads for its own step
        work_on(0, ask_and_tell);
    } else {
        const int threads = static_cast<int>(std::min(static_cast<size_t>(num_threads()), trainers.size()));
        Deal deal(trainers, threads);
        std::optional<StillAtWork> others;
        run_parallel(threads, [&](Team& team, int thread) {
            team.meet([&] { others.emplace(team.size() - 1); });
            const AskInterrupted& interrupted = thread == 0 ? ask_and_tell : listen;
            for (size_t i; !listen() && (i = deal.next(thread)) < trainers.size();) work_on(i, interrupted);
            if (thread != 0)
                others->leave();
            else  // Ctrl-C reaches this thread alone
                while (!others->wait_for_all()) ask_and_tell();
        });
    }
    if (asked_to) throw Interrupted();
}

// Raises the error that ended all, or else the first one, with a note that says whose it is.
void raise_first(const Outcomes& outcomes) {
    const auto& errors = outcomes.errors;
    const auto first = std::find_if(errors.begin(), errors.end(), [&](const auto& error) {
        return outcomes.end ? error == outcomes.end : error != nullptr;
    });
    if (first == errors.end()) return;
    try {
        py::cpp_function([&] { std::rethrow_exception(*first); })();  // translates it into Python's
    } catch (py::error_already_set& error) {
        error.value().attr("add_note")("(of trainers[" + std::to_string(first - errors.begin()) + "])");
        throw;
    }
}

// `prepare` returns the work of one trainer. The error of one stops no other.
template <class Prepare>
std::vector<double> with_all(const Trainers& trainers, Prepare prepare) {
    Outcomes outcomes(trainers.size());
    std::vector<AnyTrainer::Work> work(trainers.size());
    std::vector<const void*> networks;
    for (size_t i = 0; i < trainers.size(); ++i) {
        networks.push_back(trainers[i]->network());
        try {
            work[i] = prepare(*trainers[i]);
        } catch (...) {
            outcomes.errors[i] = std::current_exception();
        }
    }
    run_interruptible(networks, [&](const AskInterrupted& ask) { do_all(trainers, work, ask, outcomes); });
    raise_first(outcomes);
    return outcomes.results;
}

}  // namespace

void register_many(py::module_& m) {
    m.def(
        "step_many",
        [](const Trainers& trainers, const py::object& x, const py::object& y, const py::object& sample_weight) {
            SharedExamples batch({x, y, sample_weight, "x", "y", "sample_weight"});
            return with_all(trainers, [&](AnyTrainer& trainer) { return trainer.prepare_step(batch); });
        },
        py::arg("trainers"), py::arg("x"), py::arg("y"), py::arg("sample_weight"),
        "The losses of one step of each trainer. They must be different ones.");
    m.def(
        "fit_many",
        [](const Trainers& trainers, FitArguments& arguments) {
            with_all(trainers, [&](AnyTrainer& trainer) { return trainer.prepare_fit(arguments); });
        },
        py::arg("trainers"), py::arg("arguments"), "Fits each trainer. They must be different ones.");
}

}  // namespace gradiometer
