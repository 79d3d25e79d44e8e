// Numbers near the smallest ones. Many processors (Intel's among them) take 150 cycles for a multiplication of vectors
// where an operand or the result is subnormal, though none for an addition, a comparison or a conversion. Here they are
// raised by a power of two before they are multiplied, and lowered afterwards, by means that cost nothing of the kind.
#pragma once

#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Raising multiplies by 2^raise. An integer below 2^mantissa_bits put into the mantissa of integer_base, of which
// integer_base is taken away, has become a number.
template <class T>
struct RaiseConstants;

template <>
struct RaiseConstants<float> {
    static constexpr int raise = 64;
    static constexpr int mantissa_bits = 23;
    static constexpr float integer_base = 0x1p23f;
    static constexpr float unit = 0x1p-149f * 0x1p64f;  // the smallest subnormal, raised
    static constexpr float units = 0x1p85f;             // in 1
    static constexpr float lower = 0x1p-64f;
    static constexpr float smallest_normal = 0x1p-126f;
    static constexpr float smallest_normal_raised = 0x1p-62f;
};

template <>
struct RaiseConstants<double> {
    static constexpr int raise = 512;
    static constexpr int mantissa_bits = 52;
    static constexpr double integer_base = 0x1p52;
    static constexpr double unit = 0x1p-562;
    static constexpr double units = 0x1p562;
    static constexpr double lower = 0x1p-512;
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr double smallest_normal_raised = 0x1p-510;
};

// x · 2^raise, exactly, for |x| below 2^(raise - 1).
template <class T>
GM_INLINE Vec<T> raised(Vec<T> x) {
    using C = RaiseConstants<T>;
    using Integer = typename Native<T>::Integer;
    const Vec<T> magnitude = abs(x);
    const Vec<T> base = broadcast<T>(C::integer_base);
    // An addition of integers to a normal number's exponent; of a subnormal one, the bits are its number of units.
    const Vec<T> normal =
        from_bits<T>(bits_of(magnitude) +
                     broadcast_int<T>(static_cast<Integer>(static_cast<Integer>(C::raise) << C::mantissa_bits)));
    const Mask<T> is_normal = magnitude >= broadcast<T>(C::smallest_normal);
    const Ints<T> few = {is_normal.v ? broadcast_int<T>(0).v : bits_of(magnitude).v};
    const Vec<T> subnormal = (from_bits<T>(few | bits_of(base)) - base) * broadcast<T>(C::unit);
    return copysign(select(is_normal, normal, subnormal), x);
}

// x · 2^-raise, rounded once, also to a subnormal number. x is not subnormal.
template <class T>
GM_INLINE Vec<T> lowered(Vec<T> x) {
    using C = RaiseConstants<T>;
    const Vec<T> magnitude = abs(x);
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Mask<T> small = magnitude < broadcast<T>(C::smallest_normal_raised);
    const Vec<T> normal = select(small, broadcast<T>(1), magnitude) * broadcast<T>(C::lower);
    const Vec<T> units = keep(small, magnitude) * broadcast<T>(C::units) + base;
    return copysign(select(small, from_bits<T>(bits_of(units) - bits_of(base)), normal), x);
}

// a · b · 2^-raise for a raised a (below 2^43, or 2^462 in double), rounded once: the very bits of the product of what
// was raised.
template <class T>
GM_INLINE Vec<T> lowered_product(Vec<T> a, Vec<T> b) {
    if constexpr (!kFused) return lowered(a) * b;  // slow where processors are, but the same bits
    using C = RaiseConstants<T>;
    const Vec<T> product = a * b;
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Mask<T> small = abs(product) < broadcast<T>(C::smallest_normal_raised);
    const Vec<T> normal = select(small, broadcast<T>(1), product) * broadcast<T>(C::lower);
    const Vec<T> units = fma(keep(small, abs(a)) * broadcast<T>(C::units), abs(b), base);
    return copysign(select(small, from_bits<T>(bits_of(units) - bits_of(base)), normal), product);
}

}  // namespace
}  // namespace gradiometer::GM_ISA
