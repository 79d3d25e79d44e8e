// Vectors with tiny numbers: the bits of plain arithmetic, without the time that subnormal numbers take (see
// subnormal.hpp). Floats go through double, where none of them is subnormal; an update with Adam takes seven times as
// long as plain arithmetic on other numbers does. Of doubles, products and sums of products are raised.
#pragma once

#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

// a + b in double, rounded to odd: what is then rounded to float is rounded as if only once (Boldo and Melquiond 2008).
GM_INLINE Vec<double> sum_to_odd(Vec<double> a, Vec<double> b) {
    const Vec<double> sum = a + b;
    // What the sum has lost (Knuth's two-sum).
    const Vec<double> b_in_sum = sum - a;
    const Vec<double> error = (a - (sum - b_in_sum)) + (b - b_in_sum);
    const Ints<double> one = broadcast_int<double>(1);
    const Mask<double> is_even = (bits_of(sum) & one) == broadcast_int<double>(0);
    const Mask<double> is_inexact = (error < zero<double>()) | (error > zero<double>());  // false for a NaN
    const Mask<double> farther = ((bits_of(error) ^ bits_of(sum)) & sign_bit<double>()) == broadcast_int<double>(0);
    const Ints<double> step = {farther.v ? one.v : broadcast_int<double>(-1).v};
    return from_bits<double>(bits_of(sum) + Ints<double>{step.v & (is_even & is_inexact).v});
}

// A vector of floats, its halves as doubles.
struct CarefulFloat {
    Vec<double> low, high;

    GM_INLINE_MEMBER CarefulFloat(Vec<float> x) : low(low_as_double(x)), high(high_as_double(x)) {}
    GM_INLINE_MEMBER CarefulFloat(Vec<double> below, Vec<double> above)
        : low(rounded_to_float(below)), high(rounded_to_float(above)) {}
    GM_INLINE_MEMBER Vec<float> value() const { return as_floats(low, high); }

    // Rounding twice, to 53 and to 24 bits, is rounding once for a product, which is exact in double, for a sum, a
    // quotient and a root (Figueroa 1995).
    friend GM_INLINE_MEMBER CarefulFloat operator*(CarefulFloat a, CarefulFloat b) {
        return {a.low * b.low, a.high * b.high};
    }
    friend GM_INLINE_MEMBER CarefulFloat operator/(CarefulFloat a, CarefulFloat b) {
        return {a.low / b.low, a.high / b.high};
    }
    friend GM_INLINE_MEMBER CarefulFloat sqrt(CarefulFloat a) { return {sqrt(a.low), sqrt(a.high)}; }
    friend GM_INLINE_MEMBER CarefulFloat operator+(CarefulFloat a, CarefulFloat b) {
        return {a.low + b.low, a.high + b.high};
    }
    friend GM_INLINE_MEMBER CarefulFloat fma(CarefulFloat a, CarefulFloat b, CarefulFloat c) {
        if constexpr (!kFused) return a * b + c;
        return {sum_to_odd(a.low * b.low, c.low), sum_to_odd(a.high * b.high, c.high)};
    }
    // With two constants, neither they nor the sum are tiny; a may be zero.
    friend GM_INLINE_MEMBER CarefulFloat fma(CarefulFloat a, Vec<float> b, Vec<float> c) {
        return fma(a.value(), b, c);
    }
    friend GM_INLINE_MEMBER CarefulFloat min(CarefulFloat a, CarefulFloat b) {
        return {min(a.low, b.low), min(a.high, b.high)};
    }
    friend GM_INLINE_MEMBER CarefulFloat max(CarefulFloat a, CarefulFloat b) {
        return {max(a.low, b.low), max(a.high, b.high)};
    }
    friend GM_INLINE_MEMBER void store(float* to, CarefulFloat a) { store(to, a.value()); }
};

// A vector of doubles. What is not a product or a sum of products is plain: of tiny numbers, it is rare.
struct CarefulDouble {
    Vec<double> x;

    GM_INLINE_MEMBER CarefulDouble(Vec<double> plain) : x(plain) {}
    GM_INLINE_MEMBER Vec<double> value() const { return x; }

    friend GM_INLINE_MEMBER CarefulDouble operator*(CarefulDouble a, CarefulDouble b) {
        return may_be_subnormal(a.x, b.x) ? careful_product(a.x, b.x) : a.x * b.x;
    }
    friend GM_INLINE_MEMBER CarefulDouble operator/(CarefulDouble a, CarefulDouble b) { return a.x / b.x; }
    friend GM_INLINE_MEMBER CarefulDouble sqrt(CarefulDouble a) { return sqrt(a.x); }
    friend GM_INLINE_MEMBER CarefulDouble operator+(CarefulDouble a, CarefulDouble b) { return a.x + b.x; }
    // Where one factor is tiny, it is b.
    friend GM_INLINE_MEMBER CarefulDouble fma(CarefulDouble a, CarefulDouble b, CarefulDouble c) {
        return careful_sum(b.x, a.x, c.x);
    }
    friend GM_INLINE_MEMBER CarefulDouble min(CarefulDouble a, CarefulDouble b) { return min(a.x, b.x); }
    friend GM_INLINE_MEMBER CarefulDouble max(CarefulDouble a, CarefulDouble b) { return max(a.x, b.x); }
    friend GM_INLINE_MEMBER void store(double* to, CarefulDouble a) { store(to, a.x); }
};

template <class T>
struct CarefulOf;
template <>
struct CarefulOf<float> {
    using Type = CarefulFloat;
};
template <>
struct CarefulOf<double> {
    using Type = CarefulDouble;
};
template <class T>
using Careful = typename CarefulOf<T>::Type;

}  // namespace
}  // namespace gradiometer::GM_ISA
