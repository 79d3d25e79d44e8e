// The pool: every thread of a team runs once, a meeting's work runs once before anyone goes on, tasks may be started
// from several threads at once and from inside a task. A shared list of tasks: every one is taken once. The choice of
// the number of threads, and of one where other programs want the processors.
#include "parallel/pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "parallel/contention_watch.hpp"
#include "parallel/task_ranges.hpp"
#include "parallel/thread_choice.hpp"

namespace {

using gradiometer::ContentionWatch;
using gradiometer::run_parallel;
using gradiometer::TaskRanges;
using gradiometer::Team;
using gradiometer::ThreadChoice;

bool good = true;

void expect(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "pool: %s\n", what);
    good = false;
}

void try_team(int threads) {
    for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<int> ran(static_cast<size_t>(threads), 0);
        int meetings = 0, size = 0;
        run_parallel(threads, [&](Team& team, int thread) {
            ++ran[static_cast<size_t>(thread)];
            for (int round = 0; round < 5; ++round) {
                team.meet([&] {
                    ++meetings;
                    size = team.size();
                });
                if (meetings != round + 1) std::abort();  // someone went on before the meeting's work was done
                team.meet();
            }
        });
        int total = 0;
        for (const int count : ran) total += count;
        expect(size >= 1 && size <= threads && total == size, "each thread of the team must run once");
        expect(meetings == 5, "the work of a meeting must run once");
    }
}

// The threads come so late by turns that the others have just fallen asleep, or are about to: nobody may be left
// behind.
void try_sleepers() {
    using Clock = std::chrono::steady_clock;
    run_parallel(3, [&](Team& team, int thread) {
        for (int round = 0; round < 1000; ++round) {
            const auto until = Clock::now() + std::chrono::microseconds(80 + round % 80);
            while (round % team.size() == thread && Clock::now() < until) {
            }
            team.meet();
        }
    });
}

// The threads that come may be fewer than the ranges: the pool may be taken.
void try_tasks(TaskRanges&& tasks, ptrdiff_t count, int threads) {
    std::vector<std::atomic<int>> taken(static_cast<size_t>(count));
    run_parallel(threads, [&](Team&, int thread) {
        for (ptrdiff_t task; (task = tasks.next(thread)) >= 0;) ++taken[static_cast<size_t>(task)];
        expect(tasks.next(thread) == -1, "a list that has ended must not begin again");
    });
    for (const std::atomic<int>& times : taken) expect(times == 1, "each task must be taken once");
}

// Each thread begins with its part of the sizes, not of the tasks.
void try_sizes() {
    const std::vector<ptrdiff_t> before{0, 100, 200, 201, 250, 251};
    TaskRanges two(before, 2);
    expect(two.next(0) == 0 && two.next(1) == 1, "of tasks of 100, 100, 1, 49 and 1, the first thread has one");
    TaskRanges many(before, 8);
    expect(many.next(0) == 0 && many.next(2) == 1, "large tasks fill the ranges of several threads");
    TaskRanges none(std::vector<ptrdiff_t>{0}, 3);
    expect(none.next(0) == -1, "a list without tasks has ended");
}

// A task that takes a millisecond longer in one of the two ways ends up in the other; one that fails is tried again.
void try_choice(int slow_threads) {
    constexpr int kSeveral = 3, kRuns = 100;
    ThreadChoice choice;
    std::vector<int> used;
    const auto task = [&](int threads) {
        used.push_back(threads);
        if (threads == slow_threads) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    for (int run = 0; run < kRuns; ++run) choice.run(kSeveral, task);
    expect(used.size() == kRuns, "each run is one call");
    expect(std::count(used.begin(), used.end(), slow_threads) == 32, "half of a trial's runs are of each kind");
    expect(used.back() == (slow_threads == 1 ? kSeveral : 1), "after the trial, the faster kind is used");
    for (int run = 0; run < 20; ++run) {
        try {
            choice.run(kSeveral + 1, [&](int threads) {
                used.push_back(threads);
                throw run;
            });
        } catch (int) {
        }
    }
    expect(used.back() == 1, "another number of threads begins a trial, in which failures do not count");
}

// A clock that stands still unless it is told to go on.
struct FakeClock {
    using duration = std::chrono::duration<double>;
    using time_point = std::chrono::time_point<FakeClock, duration>;
    static inline double seconds = 0;
    static time_point now() { return time_point(duration(seconds)); }
};

// Several threads, as long as they do not wait for each other; in a crowd, whatever is faster there.
void try_watch(bool one_is_faster) {
    constexpr int kSeveral = 2;
    FakeClock::seconds = 0;
    ContentionWatch<FakeClock> watch;
    std::vector<int> used;
    bool crowded = false;
    const auto run_for = [&](double seconds) {
        used.clear();
        for (const double end = FakeClock::seconds + seconds; FakeClock::seconds < end;)
            watch.run(kSeveral, [&](int threads) {
                used.push_back(threads);
                const bool slow = (threads == 1) != (crowded && one_is_faster);
                const double time = slow ? 0.003 : 0.001;
                FakeClock::seconds += time;
                return crowded && threads > 1 ? 0.8 * time : 0.0;  // of the time of both threads, 40 %
            });
        return std::count(used.begin(), used.end(), 1);
    };
    expect(run_for(3) == 0, "threads that do not wait for each other are not compared with one");
    crowded = true;
    expect(run_for(3) > 0, "threads that wait for each other are compared with one");
    expect(used.back() == (one_is_faster ? 1 : kSeveral), "after the comparison, the faster way is used");
    const auto after_a_minute = [&] {
        run_for(60);
        return run_for(60);
    };
    const auto alone = after_a_minute();
    const auto all = static_cast<std::ptrdiff_t>(used.size());
    expect(one_is_faster ? alone > all * 9 / 10 : alone < all / 10, "what is found again and again is seldom tried");
    crowded = false;
    const auto still_alone = after_a_minute();
    expect(still_alone < static_cast<std::ptrdiff_t>(used.size()) / 10, "when the crowd is gone, threads come back");
}

}  // namespace

int main() {
    for (const bool one_is_faster : {false, true}) try_watch(one_is_faster);
    for (const int slow_threads : {1, 3}) try_choice(slow_threads);
    for (const int threads : {1, 2, 3, 8}) try_team(threads);
    try_sizes();
    try_sleepers();
    for (const int threads : {1, 2, 3, 8}) {
        for (const ptrdiff_t count : {0, 1, 2, 7, 8, 9, 64, 1000}) {
            std::vector<ptrdiff_t> before{0};
            for (ptrdiff_t task = 0; task < count; ++task) before.push_back(before.back() + task % 5 * 100);
            for (int repeat = 0; repeat < 20; ++repeat) try_tasks(TaskRanges(count, threads), count, threads);
            for (int repeat = 0; repeat < 20; ++repeat) try_tasks(TaskRanges(before, threads), count, threads);
            try_tasks(TaskRanges(count, threads), count, 1);
        }
    }
    // Several threads of the program at once: the pool serves one, the others work alone.
    std::vector<std::thread> callers;
    std::vector<int> inner(4, 0);
    for (size_t caller = 0; caller < inner.size(); ++caller) {
        callers.emplace_back([&inner, caller] {
            for (int repeat = 0; repeat < 200; ++repeat)
                run_parallel(2, [&](Team&, int thread) {
                    // Inside a task, another one runs in its caller.
                    if (thread == 0) run_parallel(2, [&](Team& team, int) { inner[caller] += team.size(); });
                });
        });
    }
    for (std::thread& caller : callers) caller.join();
    for (const int count : inner) expect(count == 200, "a task inside a task must run in its caller alone");
    std::puts(good ? "pool: good" : "pool: bad");
    return good ? 0 : 1;
}
