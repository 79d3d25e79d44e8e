// Chunks of rows: the unit in which sums over a batch are taken.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Calls work(row) for each of the rows of a chunk, in order; without a loop, if it is a whole one.
template <class Work>
GM_INLINE void for_rows(Index rows, const Work& work) {
    if (rows == kRowChunk)
        GM_UNROLL for (Index r = 0; r < kRowChunk; ++r) work(r);
    else
        for (Index r = 0; r < rows; ++r) work(r);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
