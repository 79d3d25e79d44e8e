#include "network/borrowed_memory.hpp"

#include <pthread.h>

#include <mutex>
#include <utility>
#include <vector>

#include "parallel/pool.hpp"

namespace gradiometer {
namespace {

constexpr Index kLargestBatch = 16 * 1024 * 1024;  // bytes
constexpr size_t kLent = 16;                       // pieces of memory that are kept

// What nobody uses at the moment, the latest last. Never destroyed: threads may still step while the process ends.
template <class T>
struct Shelf {
    std::mutex mutex;
    std::vector<LentMemory<T>> pieces;
};

template <class T>
Shelf<T>& shelf() {
    static Shelf<T>* only = [] {
        // The child of a fork has no thread that could give the lock back.
        pthread_atfork([] { shelf<T>().mutex.lock(); }, [] { shelf<T>().mutex.unlock(); },
                       [] { shelf<T>().mutex.unlock(); });
        Shelf<T>* fresh = new Shelf<T>;
        fresh->pieces.reserve(kLent);
        return fresh;
    }();
    return *only;
}

// The memory that this thread had last, or any other; nothing (which has no rows yet) where there is none.
template <class T>
LentMemory<T> take(const WorkspaceLayout& layout) {
    const std::lock_guard lock(shelf<T>().mutex);
    auto& pieces = shelf<T>().pieces;
    auto best = pieces.rend();
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
        if (piece->layout != layout) continue;
        if (best == pieces.rend() || piece->last_user == std::this_thread::get_id()) best = piece;
        if (piece->last_user == std::this_thread::get_id()) break;
    }
    if (best == pieces.rend()) return {layout, std::this_thread::get_id(), {}};
    LentMemory<T> piece = std::move(*best);
    pieces.erase(std::next(best).base());
    piece.last_user = std::this_thread::get_id();
    return piece;
}

// Asks for no memory: it is called by a destructor.
template <class T>
void give_back(LentMemory<T> piece) noexcept {
    const std::lock_guard lock(shelf<T>().mutex);
    auto& pieces = shelf<T>().pieces;
    if (pieces.size() == kLent) pieces.erase(pieces.begin());
    pieces.push_back(std::move(piece));
}

}  // namespace

template <class T>
BorrowedMemory<T>::BorrowedMemory(Workspace<T>& workspace, Index rows)
    : workspace_(workspace),
      borrows_(works_alone() && rows * workspace.layout().row_size * static_cast<Index>(sizeof(T)) <= kLargestBatch) {
    if (!borrows_) return;
    lent_ = take<T>(workspace_.layout());
    workspace_.exchange_memory(lent_.memory);
}

template <class T>
BorrowedMemory<T>::~BorrowedMemory() {
    if (!borrows_) return;
    workspace_.exchange_memory(lent_.memory);
    give_back(std::move(lent_));
}

template class BorrowedMemory<float>;
template class BorrowedMemory<double>;

}  // namespace gradiometer
