// The vector functions by name, for the tests of their accuracy.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/functions.hpp"

namespace gradiometer::GM_ISA {
namespace {

GM_INLINE bool same_name(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

template <class T>
bool evaluate(const char* name, Index count, const T* in, T* out) {
#define GM_FUNCTION(function)                                                                    \
    if (same_name(name, #function)) {                                                            \
        Index i = 0;                                                                             \
        for (; i + kLanes<T> <= count; i += kLanes<T>) store(out + i, function(load(in + i)));   \
        if (i < count) store_first(out + i, function(load_first(in + i, count - i)), count - i); \
        return true;                                                                             \
    }
    GM_FUNCTION(exp)
    GM_FUNCTION(expm1)
    GM_FUNCTION(log)
    GM_FUNCTION(log1p)
    GM_FUNCTION(log1p_exp)
    GM_FUNCTION(sigmoid)
    GM_FUNCTION(tanh)
    GM_FUNCTION(erf)
    GM_FUNCTION(erfc)
#undef GM_FUNCTION
    return false;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
