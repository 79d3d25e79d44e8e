// A block of memory on a cache line, zero at first. Large ones ask for huge pages: a column of a wide matrix touches a
// page a row otherwise.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels/kernels.hpp"

namespace gradiometer {

template <class T>
class AlignedArray {
  public:
    AlignedArray() = default;
    explicit AlignedArray(Index count) : count_(count) {
        constexpr size_t kHugePage = size_t{2} << 20;
        const size_t bytes = static_cast<size_t>(count) * sizeof(T);
        if (bytes == 0) return;
        const bool large = bytes >= 2 * kHugePage;
        void* memory = nullptr;
        if (posix_memalign(&memory, large ? kHugePage : static_cast<size_t>(kAlignment), bytes) != 0)
            throw std::bad_alloc();
        memory_.reset(static_cast<T*>(memory));
#if defined(__linux__)
        // The last part of a page stays in small ones: it would take the memory of a whole one.
        if (large) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
        clear();
    }

    T* data() { return memory_.get(); }
    const T* data() const { return memory_.get(); }
    Index size() const { return count_; }
    void clear() {
        if (count_) std::memset(static_cast<void*>(memory_.get()), 0, static_cast<size_t>(count_) * sizeof(T));
    }

  private:
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    std::unique_ptr<T, Free> memory_;
    Index count_ = 0;
};

}  // namespace gradiometer
