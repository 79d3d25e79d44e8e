// A small pool of threads. Work is a function called once in each of `threads` threads, the caller being number 0;
// inside, the threads meet at barriers. Workers spin for a moment after a task, since a training loop brings the next
// one soon, then sleep. After fork, the child starts a pool of its own. When the pool is taken by another thread of the
// program, or the caller is itself inside a task, the work runs in the caller alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

namespace gradiometer {

// Processors this process may use: its affinity, and the limit of its control group.
int available_processors();

// The number of threads that work may use; at first GRADIOMETER_NUM_THREADS, or available_processors().
// set_num_threads throws std::invalid_argument for a number that is not from 1 to 1024. std::runtime_error: the
// variable is not such a number.
int num_threads();
void set_num_threads(int threads);

// The threads of one task. Cheap to pass; lives as long as the task.
class Team {
  public:
    explicit Team(int size) : size_(size) {}
    int size() const { return size_; }

    // Waits until all threads of the team are here. The last to arrive runs `alone` before anyone goes on.
    template <class Alone>
    void meet(Alone&& alone) {
        if (size_ == 1) {
            alone();
            return;
        }
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
            alone();
            arrived_.store(0, std::memory_order_relaxed);
            // Not only a release: notify looks whether anyone sleeps, and must not do that before a waiter, who looks
            // at the round once more before it sleeps, can see the new one.
            round_.store(round + 1, std::memory_order_seq_cst);
            round_.notify_all();
        } else {
            wait(round);
        }
    }
    void meet() {
        meet([] {});
    }

    // Adds to the time that threads of the team have waited for others.
    void count_waiting(std::chrono::nanoseconds time) { waited_.fetch_add(time.count(), std::memory_order_relaxed); }
    double seconds_waited() const { return 1e-9 * static_cast<double>(waited_.load(std::memory_order_relaxed)); }

  private:
    void wait(unsigned round);

    const int size_;
    std::atomic<int> arrived_{0};
    std::atomic<unsigned> round_{0};
    std::atomic<int64_t> waited_{0};  // nanoseconds
};

// Calls work(team, thread) in up to `threads` threads and returns when all are done; team.size() tells how many there
// are. work must not throw in a thread other than 0, and thread 0 only after the last meeting. The result is how long
// the threads waited for each other, added up, in seconds; less than some 100 microseconds at a time do not count.
double run_parallel(int threads, const std::function<void(Team&, int)>& work);

// Whether work that this thread calls stays in it. For a program that keeps the processors busy with threads of its
// own.
void set_work_alone(bool alone);
bool works_alone();

}  // namespace gradiometer
