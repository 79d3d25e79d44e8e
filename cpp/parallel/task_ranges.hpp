// A list of tasks shared by the threads of a team: each begins with a range of its own, the same in every list of that
// length, so that it finds in its cache what it left there; whoever is done helps the others.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace gradiometer {

class TaskRanges {
  public:
    TaskRanges(ptrdiff_t count, int threads) : ranges_(static_cast<size_t>(threads)) {
        for (int i = 0; i < threads; ++i) {
            ranges_[static_cast<size_t>(i)].next = count * i / threads;
            ranges_[static_cast<size_t>(i)].end = count * (i + 1) / threads;
        }
    }

    // The number of a task that nobody has had yet, or -1.
    ptrdiff_t next(int thread) {
        for (size_t i = 0; i < ranges_.size(); ++i) {
            Range& range = ranges_[(static_cast<size_t>(thread) + i) % ranges_.size()];
            if (range.next.load(std::memory_order_relaxed) >= range.end) continue;
            const ptrdiff_t task = range.next.fetch_add(1, std::memory_order_relaxed);
            if (task < range.end) return task;
        }
        return -1;
    }

  private:
    struct alignas(64) Range {
        std::atomic<ptrdiff_t> next{0};
        ptrdiff_t end = 0;
    };
    std::vector<Range> ranges_;
};

}  // namespace gradiometer
