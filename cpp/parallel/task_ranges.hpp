// A list of tasks shared by the threads of a team: each begins with a range of its own, the same in every list made of
// the same tasks, so that it finds in its cache what it left there; whoever is done helps the others.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <vector>

namespace gradiometer {

class TaskRanges {
  public:
    // Tasks that take about the same time.
    TaskRanges(ptrdiff_t count, int threads) : TaskRanges(threads) {
        for (int i = 0; i < threads; ++i) set_share(i, count * i / threads, count * (i + 1) / threads);
    }

    // Tasks of different sizes: before[i] is the size of all tasks before number i, and the last entry that of all.
    TaskRanges(const std::vector<ptrdiff_t>& before, int threads) : TaskRanges(threads) {
        const ptrdiff_t count = static_cast<ptrdiff_t>(before.size()) - 1;
        ptrdiff_t begin = 0;
        for (int i = 0; i < threads; ++i) {
            const ptrdiff_t end = i + 1 == threads ? count : nearest(before, before.back() * (i + 1) / threads);
            set_share(i, begin, end);
            begin = end;
        }
    }
    TaskRanges(const TaskRanges&) = delete;
    TaskRanges& operator=(const TaskRanges&) = delete;

    // The number of a task that nobody has had yet, or -1.
    ptrdiff_t next(int thread) {
        Claim& claim = shares_[thread].claim;
        if (claim.next == claim.end) claim = claim_some(thread);
        return claim.next < claim.end ? claim.next++ : -1;
    }

  private:
    explicit TaskRanges(int threads) : threads_(threads), many_(threads > kFew ? static_cast<size_t>(threads) : 0) {
        if (threads > kFew) shares_ = many_.data();
    }

    void set_share(int thread, ptrdiff_t begin, ptrdiff_t end) {
        shares_[thread].next = begin;
        shares_[thread].end = end;
    }

    // The number of the entry of a rising list that is nearest to a value not above the last.
    static ptrdiff_t nearest(const std::vector<ptrdiff_t>& rising, ptrdiff_t value) {
        const auto above = std::lower_bound(rising.begin(), rising.end(), value);
        const ptrdiff_t i = above - rising.begin();
        return i > 0 && value - rising[i - 1] < *above - value ? i - 1 : i;
    }

    // Tasks that a thread has taken and not yet begun. Only that thread looks at it.
    struct alignas(64) Claim {
        ptrdiff_t next = 0;
        ptrdiff_t end = 0;
    };
    struct alignas(64) Share {
        std::atomic<ptrdiff_t> next{0};
        ptrdiff_t end = 0;
        Claim claim;
    };

    // Many while there are many, single ones toward the end: taking some waits until all that the thread has written
    // is seen by the others.
    Claim claim_some(int thread) {
        constexpr ptrdiff_t kPart = 8;
        for (int i = 0; i < threads_; ++i) {
            Share& share = shares_[(thread + i) % threads_];
            const ptrdiff_t left = share.end - share.next.load(std::memory_order_relaxed);
            if (left <= 0) continue;
            const ptrdiff_t count = std::max<ptrdiff_t>(1, left / kPart);
            const ptrdiff_t first = share.next.fetch_add(count, std::memory_order_relaxed);
            if (first < share.end) return {first, std::min(first + count, share.end)};
        }
        return {};
    }

    static constexpr int kFew = 2;  // threads for which no memory is asked for: it would take longer than a small task
    const int threads_;
    Share few_[kFew];
    std::vector<Share> many_;
    Share* shares_ = few_;
};

}  // namespace gradiometer
