// A list of tasks shared by the threads of a team: each begins with a range of its own, the same in every list of that
// length, so that it finds in its cache what it left there; whoever is done helps the others.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <vector>

namespace gradiometer {

class TaskRanges {
  public:
    TaskRanges(ptrdiff_t count, int threads) : ranges_(static_cast<size_t>(threads)), claims_(ranges_.size()) {
        for (int i = 0; i < threads; ++i) {
            ranges_[static_cast<size_t>(i)].next = count * i / threads;
            ranges_[static_cast<size_t>(i)].end = count * (i + 1) / threads;
        }
    }

    // The number of a task that nobody has had yet, or -1.
    ptrdiff_t next(int thread) {
        Claim& claim = claims_[static_cast<size_t>(thread)];
        if (claim.next == claim.end) claim = claim_some(static_cast<size_t>(thread));
        return claim.next < claim.end ? claim.next++ : -1;
    }

  private:
    struct alignas(64) Range {
        std::atomic<ptrdiff_t> next{0};
        ptrdiff_t end = 0;
    };
    // Tasks that a thread has taken and not yet begun. Only that thread looks at it.
    struct alignas(64) Claim {
        ptrdiff_t next = 0;
        ptrdiff_t end = 0;
    };

    // Many while there are many, single ones toward the end: taking some waits until all that the thread has written
    // is seen by the others.
    Claim claim_some(size_t thread) {
        constexpr ptrdiff_t kShare = 8;
        for (size_t i = 0; i < ranges_.size(); ++i) {
            Range& range = ranges_[(thread + i) % ranges_.size()];
            const ptrdiff_t left = range.end - range.next.load(std::memory_order_relaxed);
            if (left <= 0) continue;
            const ptrdiff_t count = std::max<ptrdiff_t>(1, left / kShare);
            const ptrdiff_t first = range.next.fetch_add(count, std::memory_order_relaxed);
            if (first < range.end) return {first, std::min(first + count, range.end)};
        }
        return {};
    }

    std::vector<Range> ranges_;
    std::vector<Claim> claims_;
};

}  // namespace gradiometer
