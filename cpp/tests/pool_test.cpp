// The pool: every thread of a team runs once, a meeting's work runs once before anyone goes on, tasks may be started
// from several threads at once and from inside a task. A shared list of tasks: every one is taken once.
#include "parallel/pool.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "parallel/task_ranges.hpp"

namespace {

using gradiometer::run_parallel;
using gradiometer::TaskRanges;
using gradiometer::Team;

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

// `ranges` may be more than the threads that come: the pool may be taken.
void try_tasks(ptrdiff_t count, int ranges, int threads) {
    TaskRanges tasks(count, ranges);
    std::vector<std::atomic<int>> taken(static_cast<size_t>(count));
    run_parallel(threads, [&](Team&, int thread) {
        for (ptrdiff_t task; (task = tasks.next(thread)) >= 0;) ++taken[static_cast<size_t>(task)];
        expect(tasks.next(thread) == -1, "a list that has ended must not begin again");
    });
    for (const std::atomic<int>& times : taken) expect(times == 1, "each task must be taken once");
}

}  // namespace

int main() {
    for (const int threads : {1, 2, 3, 8}) try_team(threads);
    try_sleepers();
    for (const int threads : {1, 2, 3, 8}) {
        for (const ptrdiff_t count : {0, 1, 2, 7, 8, 9, 64, 1000}) {
            for (int repeat = 0; repeat < 20; ++repeat) try_tasks(count, threads, threads);
            try_tasks(count, threads, 1);
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
