// Networks that one thread steps by turns (step_many) would each keep a batch's activations of their own, and push each
// other's out of the cache. They borrow the memory instead: each finds there what the one before has left in the cache.
#pragma once

#include <thread>

#include "network/workspace.hpp"

namespace gradiometer {

// The memory of one workspace, and which ones may work in it.
template <class T>
struct LentMemory {
    WorkspaceLayout layout;
    std::thread::id last_user;
    WorkspaceMemory<T> memory;
};

// While it lives, the workspace is in memory that all workspaces of its layout share, but no two at the same time. Only
// where the calling thread works alone; otherwise, and for batches too large for a cache, it stays in its own.
template <class T>
class BorrowedMemory {
  public:
    BorrowedMemory(Workspace<T>& workspace, Index rows);
    ~BorrowedMemory();
    BorrowedMemory(const BorrowedMemory&) = delete;
    BorrowedMemory& operator=(const BorrowedMemory&) = delete;

  private:
    Workspace<T>& workspace_;
    const bool borrows_;
    LentMemory<T> lent_;
};

}  // namespace gradiometer
