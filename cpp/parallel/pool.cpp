#include "parallel/pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/gradual_underflow.hpp"

namespace gradiometer {
namespace {

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Spins until `value` is no longer `old`. False: it still is.
template <class T>
bool spin_for_change(const std::atomic<T>& value, T old, int spins) {
    for (int i = 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) != old) return true;
        pause_briefly();
    }
    return false;
}

// Gives the processor away, then sleeps, until `value` is no longer `old`. Threads come here soon, so that a machine
// with more of them than processors is not held up by those that wait. Returns how long it took.
template <class T>
std::chrono::nanoseconds sleep_for_change(const std::atomic<T>& value, T old) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 16 && value.load(std::memory_order_acquire) == old; ++i) std::this_thread::yield();
    value.wait(old, std::memory_order_acquire);
    return std::chrono::steady_clock::now() - begin;
}

constexpr int kSpinsAtBarrier = 4000;  // some 50 to 100 microseconds
constexpr int kSpinsForTask = 2000;

thread_local bool inside_task = false;

// Marks the thread as inside a task while it lives.
class InsideTask {
  public:
    InsideTask() : before_(std::exchange(inside_task, true)) {}
    ~InsideTask() { inside_task = before_; }

  private:
    const bool before_;
};

class Pool {
  public:
    double run(int threads, const std::function<void(Team&, int)>& work) {
        if (threads <= 1 || inside_task || !busy_.try_lock()) {
            const InsideTask inside;
            Team alone(1);
            work(alone, 0);
            return 0;
        }
        const std::lock_guard<std::mutex> mine(busy_, std::adopt_lock);
        while (static_cast<int>(workers_.size()) < threads - 1)
            if (!start_worker()) break;
        threads = std::min(threads, static_cast<int>(workers_.size()) + 1);
        Team team(threads);
        team_ = &team;
        work_ = &work;
        running_.store(threads - 1, std::memory_order_relaxed);
        for (int i = 0; i < threads - 1; ++i) {
            workers_[i]->task.fetch_add(1, std::memory_order_seq_cst);  // as for Team::meet
            workers_[i]->task.notify_one();
        }
        {
            // The workers use `team` and `work`, which live in this frame: whatever happens, wait for them.
            struct Finish {
                Pool& pool;
                ~Finish() { pool.wait_for_workers(); }
            } finish{*this};
            const InsideTask inside;
            work(team, 0);
        }
        return team.seconds_waited();
    }

  private:
    // Each worker has a bell of its own, so that a task for few threads wakes no others.
    struct alignas(64) Worker {
        std::atomic<unsigned> task{0};
    };

    // False: the system gives no more threads; the work is done by those that there are.
    bool start_worker() {
        workers_.push_back(std::make_unique<Worker>());
        Worker& worker = *workers_.back();
        const int number = static_cast<int>(workers_.size());
        try {
            std::thread([this, &worker, number] { serve(worker, number); }).detach();
        } catch (const std::exception&) {  // no more threads, or no memory for one
            workers_.pop_back();
            return false;
        }
        return true;
    }

    void serve(Worker& worker, int number) {
        inside_task = true;
        const GradualUnderflow keeping;  // a thread begins with the mode of the one that made it
        for (unsigned seen = 0;; ++seen) {
            if (!spin_for_change(worker.task, seen, kSpinsForTask)) sleep_for_change(worker.task, seen);
            (*work_)(*team_, number);
            if (running_.fetch_sub(1, std::memory_order_seq_cst) == 1) running_.notify_one();
        }
    }

    void wait_for_workers() {
        for (int left; (left = running_.load(std::memory_order_acquire)) != 0;)
            if (!spin_for_change(running_, left, kSpinsAtBarrier))
                team_->count_waiting(sleep_for_change(running_, left));
    }

    std::mutex busy_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::atomic<int> running_{0};
    Team* team_ = nullptr;
    const std::function<void(Team&, int)>* work_ = nullptr;
};

// Never destroyed: detached workers may still wait on it while the process exits. After fork its threads do not exist
// in the child, which forgets it and makes another.
std::atomic<Pool*> pool_of_process{nullptr};

Pool& pool() {
    Pool* existing = pool_of_process.load(std::memory_order_acquire);
    if (existing) return *existing;
    static std::once_flag registered;
    std::call_once(registered, [] {
        pthread_atfork(nullptr, nullptr, [] {
            pool_of_process.store(nullptr, std::memory_order_release);
            inside_task = false;
        });
    });
    Pool* fresh = new Pool;
    if (pool_of_process.compare_exchange_strong(existing, fresh, std::memory_order_acq_rel)) return *fresh;
    delete fresh;
    return *existing;
}

// The processors that the control group of a folder allows; 0: no limit. Version 2 has one file, version 1 has two.
int processors_of_group(const std::string& folder) {
    double quota = 0, period = 0;
    std::ifstream both(folder + "/cpu.max");
    std::ifstream first(folder + "/cpu.cfs_quota_us"), second(folder + "/cpu.cfs_period_us");
    const bool known = (both >> quota >> period) || (first >> quota && second >> period);
    return known && quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 0;
}

// The least that the control groups of this process allow, those around its own included; 0: no limit. A line of the
// list is "number:controllers:/path", without controllers in version 2.
int control_group_limit() {
    int least = 0;
    std::ifstream list("/proc/self/cgroup");
    for (std::string line; std::getline(list, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const bool version2 = second == first + 1;
        line[first] = line[second] = ',';  // around each of the controllers
        if (!version2 && line.find(",cpu,", first) >= second) continue;
        const std::string root = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
        for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
            const int found = processors_of_group(root + path);
            if (found > 0 && (least == 0 || found < least)) least = found;
            if (path.find('/') == std::string::npos) break;
        }
    }
    return least;
}

int initial_threads() {
    const char* text = std::getenv("GRADIOMETER_NUM_THREADS");
    if (!text || !*text) return available_processors();
    char* end = nullptr;
    const long number = std::strtol(text, &end, 10);
    if (*end || number < 1 || number > 1024)
        throw std::runtime_error(std::string("GRADIOMETER_NUM_THREADS must be a whole number from 1 to 1024, not '") +
                                 text + "'");
    return static_cast<int>(number);
}

std::atomic<int>& threads_setting() {
    static std::atomic<int> threads{initial_threads()};
    return threads;
}

}  // namespace

int available_processors() {
    int count = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) count = CPU_COUNT(&set);
#endif
    const int limit = control_group_limit();
    if (limit > 0) count = std::min(count, limit);
    return std::max(1, count);
}

int num_threads() {
    return threads_setting().load(std::memory_order_relaxed);
}

void set_num_threads(int threads) {
    if (threads < 1 || threads > 1024)
        throw std::invalid_argument("num_threads must be from 1 to 1024, not " + std::to_string(threads));
    threads_setting().store(threads, std::memory_order_relaxed);
}

void Team::wait(unsigned round) {
    if (!spin_for_change(round_, round, kSpinsAtBarrier)) count_waiting(sleep_for_change(round_, round));
}

void set_work_alone(bool alone) {
    inside_task = alone;
}

bool works_alone() {
    return inside_task;
}

double run_parallel(int threads, const std::function<void(Team&, int)>& work) {
    return pool().run(threads, work);
}

}  // namespace gradiometer
