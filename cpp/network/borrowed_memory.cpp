#include "network/borrowed_memory.hpp"

#include <mutex>
#include <thread>
#include <utility>

#include "parallel/pool.hpp"

namespace gradiometer {
namespace {

constexpr Index kLargestBatch = 16 * 1024 * 1024;  // bytes
constexpr size_t kLent = 16;                       // pieces of memory that are kept

template <class T>
struct Piece {
    WorkspaceLayout layout;
    std::thread::id last_user;
    WorkspaceMemory<T> memory;
};

// What nobody uses at the moment, the latest last. Never destroyed: threads may still step while the process ends.
template <class T>
struct Shelf {
    std::mutex mutex;
    std::vector<Piece<T>> pieces;
};

template <class T>
Shelf<T>& shelf() {
    static Shelf<T>* only = new Shelf<T>;
    return *only;
}

// The memory that this thread had last, or any other; nothing (which has no rows yet) where there is none.
template <class T>
WorkspaceMemory<T> take(const WorkspaceLayout& layout) {
    const std::lock_guard lock(shelf<T>().mutex);
    auto& pieces = shelf<T>().pieces;
    auto best = pieces.rend();
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
        if (piece->layout != layout) continue;
        if (best == pieces.rend() || piece->last_user == std::this_thread::get_id()) best = piece;
        if (piece->last_user == std::this_thread::get_id()) break;
    }
    if (best == pieces.rend()) return {};
    WorkspaceMemory<T> memory = std::move(best->memory);
    pieces.erase(std::next(best).base());
    return memory;
}

template <class T>
void give_back(const WorkspaceLayout& layout, WorkspaceMemory<T> memory) {
    const std::lock_guard lock(shelf<T>().mutex);
    auto& pieces = shelf<T>().pieces;
    if (pieces.size() == kLent) pieces.erase(pieces.begin());
    pieces.push_back({layout, std::this_thread::get_id(), std::move(memory)});
}

}  // namespace

template <class T>
BorrowedMemory<T>::BorrowedMemory(Workspace<T>& workspace, Index rows)
    : workspace_(workspace),
      borrows_(works_alone() && rows * workspace.layout().row_size * static_cast<Index>(sizeof(T)) <= kLargestBatch) {
    if (!borrows_) return;
    memory_ = take<T>(workspace_.layout());
    workspace_.exchange_memory(memory_);
}

template <class T>
BorrowedMemory<T>::~BorrowedMemory() {
    if (!borrows_) return;
    workspace_.exchange_memory(memory_);
    give_back(workspace_.layout(), std::move(memory_));
}

template class BorrowedMemory<float>;
template class BorrowedMemory<double>;

}  // namespace gradiometer
