// One vector of one register of the instruction set that the including unit is compiled for.
//
// Everything here is built on the compiler's vector extension, so that arithmetic, comparison and selection mean the
// same on every machine; only what the extension cannot say (fused multiply-add, square root) uses intrinsics, and
// stands in isa.hpp and isa_conversions.hpp. A unit defines GM_ISA (the name of its namespace) and GM_VECTOR_BYTES
// before it includes this.
//
// No standard-library header with templates or inline functions may be included from a per-ISA unit: the linker could
// keep a copy compiled for a machine that the program does not run on. All names have internal linkage.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GM_INLINE static inline __attribute__((always_inline))
// Before a loop of a few iterations whose variables are to live in registers.
#ifdef __clang__
#define GM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GM_UNROLL _Pragma("GCC unroll 16")
#endif
#define GM_INLINE_MEMBER inline __attribute__((always_inline))

namespace gradiometer::GM_ISA {
namespace {

template <class T>
struct Native;

template <>
struct Native<float> {
    typedef float Vector __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef int32_t Integers __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef uint32_t Unsigned __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef int32_t Integer;
};

template <>
struct Native<double> {
    typedef double Vector __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef int64_t Integers __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef uint64_t Unsigned __attribute__((vector_size(GM_VECTOR_BYTES)));
    typedef int64_t Integer;
};

// Number of elements of a vector.
template <class T>
constexpr ptrdiff_t kLanes = GM_VECTOR_BYTES / sizeof(T);

// One signed integer of the width of T per lane: exponents, indices, and (all ones or all zeros) masks.
template <class T>
struct Ints {
    typename Native<T>::Integers v;
};

// The result of a comparison: every lane all ones (true) or all zeros (false).
template <class T>
struct Mask {
    typename Native<T>::Integers v;
};

template <class T>
struct Vec {
    typename Native<T>::Vector v;
};

// ---- making and storing -------------------------------------------------------------------------------------------

template <class T>
GM_INLINE Vec<T> zero() {
    return {typename Native<T>::Vector{}};
}

template <class T>
GM_INLINE Vec<T> broadcast(T x) {
    return {x - typename Native<T>::Vector{}};  // the compiler's way to say it; x - 0 is x, whatever x is
}

template <class T>
GM_INLINE Ints<T> broadcast_int(typename Native<T>::Integer x) {
    return {x - typename Native<T>::Integers{}};  // x - 0 cannot overflow
}

// 0, 1, 2, …: the number of each lane.
template <class T>
GM_INLINE Ints<T> lane_numbers() {
    typename Native<T>::Integers v;
    for (ptrdiff_t lane = 0; lane < kLanes<T>; ++lane) v[lane] = static_cast<typename Native<T>::Integer>(lane);
    return {v};
}

// Reads kLanes<T> elements; no alignment is asked for.
template <class T>
GM_INLINE Vec<T> load(const T* from) {
    Vec<T> x;
    __builtin_memcpy(&x.v, from, sizeof(x.v));
    return x;
}

template <class T>
GM_INLINE void store(T* to, Vec<T> x) {
    __builtin_memcpy(to, &x.v, sizeof(x.v));
}

// Asks for a cache line, for the second cache; the address may be anything.
template <class T>
GM_INLINE void prefetch(const T* from) {
    __builtin_prefetch(from, 0, 2);
}

// Asks for a cache line that is going to be written, and takes it away from the other processors.
template <class T>
GM_INLINE void prefetch_to_write(const T* to) {
    __builtin_prefetch(to, 1, 3);
}

template <class T>
GM_INLINE void store_first(T* to, Vec<T> x, ptrdiff_t count) {
    T lanes[kLanes<T>];
    store(lanes, x);
    for (ptrdiff_t lane = 0; lane < count; ++lane) to[lane] = lanes[lane];
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------

// Integers wrap around, as bit patterns do: their arithmetic is that of unsigned ones.
#define GM_OPERATOR(op)                                                                                  \
    template <class T>                                                                                   \
    GM_INLINE Vec<T> operator op(Vec<T> a, Vec<T> b) {                                                   \
        return {a.v op b.v};                                                                             \
    }                                                                                                    \
    template <class T>                                                                                   \
    GM_INLINE Ints<T> operator op(Ints<T> a, Ints<T> b) {                                                \
        using Unsigned = typename Native<T>::Unsigned;                                                   \
        return {reinterpret_cast<typename Native<T>::Integers>(reinterpret_cast<Unsigned>(a.v)           \
                                                                   op reinterpret_cast<Unsigned>(b.v))}; \
    }
GM_OPERATOR(+)
GM_OPERATOR(-)
GM_OPERATOR(*)
#undef GM_OPERATOR

template <class T>
GM_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
    return {a.v / b.v};
}

template <class T>
GM_INLINE Vec<T> operator-(Vec<T> a) {
    return {-a.v};
}

#define GM_INTEGER_OPERATOR(op)                           \
    template <class T>                                    \
    GM_INLINE Ints<T> operator op(Ints<T> a, Ints<T> b) { \
        return {a.v op b.v};                              \
    }                                                     \
    template <class T>                                    \
    GM_INLINE Mask<T> operator op(Mask<T> a, Mask<T> b) { \
        return {a.v op b.v};                              \
    }
GM_INTEGER_OPERATOR(&)
GM_INTEGER_OPERATOR(|)
GM_INTEGER_OPERATOR(^)
#undef GM_INTEGER_OPERATOR

template <class T>
GM_INLINE Mask<T> operator~(Mask<T> a) {
    return {~a.v};
}

template <class T>
GM_INLINE Ints<T> operator<<(Ints<T> a, int bits) {
    return {
        reinterpret_cast<typename Native<T>::Integers>(reinterpret_cast<typename Native<T>::Unsigned>(a.v) << bits)};
}

// Zeros come in from the left. (Shifts that copy the sign are missing for 64 bits before AVX-512.)
template <class T>
GM_INLINE Ints<T> logical_shift_right(Ints<T> a, int bits) {
    return {
        reinterpret_cast<typename Native<T>::Integers>(reinterpret_cast<typename Native<T>::Unsigned>(a.v) >> bits)};
}

// ---- comparison and selection (IEEE: every comparison with a NaN but != is false) ---------------------------------

#define GM_COMPARISON(op)                                                    \
    template <class T>                                                       \
    GM_INLINE Mask<T> operator op(Vec<T> a, Vec<T> b) {                      \
        return {reinterpret_cast<typename Native<T>::Integers>(a.v op b.v)}; \
    }                                                                        \
    template <class T>                                                       \
    GM_INLINE Mask<T> operator op(Ints<T> a, Ints<T> b) {                    \
        return {reinterpret_cast<typename Native<T>::Integers>(a.v op b.v)}; \
    }
GM_COMPARISON(<)
GM_COMPARISON(<=)
GM_COMPARISON(>)
GM_COMPARISON(>=)
GM_COMPARISON(==)
GM_COMPARISON(!=)
#undef GM_COMPARISON

template <class T>
GM_INLINE Mask<T> unsigned_at_least(Ints<T> a, Ints<T> b) {
    using Unsigned = typename Native<T>::Unsigned;
    return {reinterpret_cast<typename Native<T>::Integers>(reinterpret_cast<Unsigned>(a.v) >=
                                                           reinterpret_cast<Unsigned>(b.v))};
}

// Lane by lane: mask ? a : b.
template <class T>
GM_INLINE Vec<T> select(Mask<T> mask, Vec<T> a, Vec<T> b) {
    return {mask.v ? a.v : b.v};
}

// Lane by lane: mask ? a : +0.
template <class T>
GM_INLINE Vec<T> keep(Mask<T> mask, Vec<T> a) {
    return {reinterpret_cast<typename Native<T>::Vector>(mask.v & reinterpret_cast<typename Native<T>::Integers>(a.v))};
}

// Lanes 0 … count - 1 true, the others false.
template <class T>
GM_INLINE Mask<T> first_lanes(ptrdiff_t count) {
    return lane_numbers<T>() < broadcast_int<T>(static_cast<typename Native<T>::Integer>(count));
}

// One more in every lane where the mask is true.
template <class T>
GM_INLINE Ints<T> count(Ints<T> so_far, Mask<T> mask) {
    return {so_far.v - mask.v};
}

// ---- bits ---------------------------------------------------------------------------------------------------------

template <class T>
GM_INLINE Ints<T> bits_of(Vec<T> x) {
    return {reinterpret_cast<typename Native<T>::Integers>(x.v)};
}

template <class T>
GM_INLINE Vec<T> from_bits(Ints<T> x) {
    return {reinterpret_cast<typename Native<T>::Vector>(x.v)};
}

template <class T>
GM_INLINE Ints<T> sign_bit() {
    return broadcast_int<T>(
        static_cast<typename Native<T>::Integer>(sizeof(T) == 4 ? static_cast<int64_t>(INT32_MIN) : INT64_MIN));
}

template <class T>
GM_INLINE Vec<T> abs(Vec<T> x) {
    return {reinterpret_cast<typename Native<T>::Vector>(bits_of(x).v & ~sign_bit<T>().v)};
}

template <class T>
GM_INLINE Vec<T> minus_abs(Vec<T> x) {
    return from_bits<T>(bits_of(x) | sign_bit<T>());
}

// Something that is not negative, with the sign of `sign`.
template <class T>
GM_INLINE Vec<T> with_sign(Vec<T> magnitude, Vec<T> sign) {
    return from_bits<T>(bits_of(magnitude) | (bits_of(sign) & sign_bit<T>()));
}

// The magnitude of `magnitude` with the sign of `sign`.
template <class T>
GM_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) {
    return with_sign(abs(magnitude), sign);
}

}  // namespace
}  // namespace gradiometer::GM_ISA

#include "simd/isa.hpp"
#include "simd/isa_conversions.hpp"
