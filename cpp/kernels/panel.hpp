// The arithmetic of the panel layout inside a kernel unit: see kernels.hpp.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
constexpr Index kPanel = 2 * kLanes<T>;

template <class T>
GM_INLINE Index panel_count(Index columns) {
    return (columns + kPanel<T> - 1) / kPanel<T>;
}

// Vectors of a panel: 2, or 1 for a last panel of at most kLanes columns.
template <class T>
GM_INLINE Index panel_vectors(Index columns, Index panel) {
    return columns - panel * kPanel<T> > kLanes<T> ? 2 : 1;
}

// Columns of a panel that belong to the matrix.
template <class T>
GM_INLINE Index panel_columns(Index columns, Index panel) {
    const Index left = columns - panel * kPanel<T>;
    return left < kPanel<T> ? left : kPanel<T>;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
