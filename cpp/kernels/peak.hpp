// The most multiply-adds that a core can do: chains in registers that do not wait for each other. For benchmarks, which
// give speeds as shares of it.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
Index fused_chains(Index iterations, T* out) {
    constexpr int kChains = 12;  // more than latency × units of any core so far, few enough for 16 registers
    Vec<T> sum[kChains];
    const Vec<T> factor = load(out);
    GM_UNROLL for (int i = 0; i < kChains; ++i) sum[i] = factor + broadcast(static_cast<T>(i));
    for (Index t = 0; t < iterations; ++t)
        GM_UNROLL for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], factor, factor);
    Vec<T> total = zero<T>();
    GM_UNROLL for (int i = 0; i < kChains; ++i) total = total + sum[i];
    store(out, total);
    return iterations * kChains * kLanes<T> * 2;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
