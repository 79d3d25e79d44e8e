// Numbers near the smallest ones. Many processors (Intel's among them) take 150 cycles for a multiplication of vectors
// where an operand or the result is subnormal, though none for an addition, a comparison or a conversion. Here they are
// raised by a power of two before they are multiplied, and lowered afterwards, by means that cost nothing of the kind.
#pragma once

#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Numbers are raised by so many powers of two where all of them are tiny, and so far, which leaves room for sums, where
// they stand beside larger ones.
template <class T>
constexpr int kRaise = sizeof(T) == 4 ? 64 : 512;
template <class T>
constexpr int kRaiseMixed = sizeof(T) == 4 ? 48 : 512;

template <class T>
constexpr T power_of_two(int n) {
    T power = 1;
    for (; n > 0; --n) power *= 2;
    for (; n < 0; ++n) power /= 2;
    return power;
}

template <class T>
constexpr T kSmallestNormal = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);

// An integer below 2^mantissa_bits put into the mantissa of integer_base, of which integer_base is taken away, has
// become a number.
template <class T, int raise>
struct RaiseConstants {
    static constexpr int mantissa_bits = sizeof(T) == 4 ? 23 : 52;
    static constexpr int smallest = sizeof(T) == 4 ? -149 : -1074;  // the exponent of the smallest subnormal
    static constexpr T integer_base = power_of_two<T>(mantissa_bits);
    static constexpr T units = power_of_two<T>(-smallest - raise);  // in 1
    static constexpr T lower = power_of_two<T>(-raise);
    static constexpr T smallest_normal_raised = power_of_two<T>(smallest + mantissa_bits + raise);
};

// x · 2^raise, exactly, where that and x ≥ 0 are finite, by an addition to the exponent. A subnormal number, which has
// none, gets the one that a normal number of its mantissa would have, half of what is right, and a leading one.
template <int raise, class T>
GM_INLINE Vec<T> raised_magnitude_by(Vec<T> x) {
    using C = RaiseConstants<T, raise>;
    using Integer = typename Native<T>::Integer;
    const Vec<T> higher = from_bits<T>(
        bits_of(x) + broadcast_int<T>(static_cast<Integer>(static_cast<Integer>(raise) << C::mantissa_bits)));
    const Mask<T> is_subnormal = x < broadcast<T>(kSmallestNormal<T>);
    return higher + keep(is_subnormal, higher - broadcast<T>(C::smallest_normal_raised));
}

// The same of a number with any sign.
template <int raise, class T>
GM_INLINE Vec<T> raised_by(Vec<T> x) {
    return with_sign(raised_magnitude_by<raise>(abs(x)), x);
}

template <class T>
GM_INLINE Vec<T> raised(Vec<T> x) {
    return raised_by<kRaise<T>>(x);
}

// x · 2^-raise, rounded once, also to a subnormal number. x is not subnormal.
template <int raise, class T>
GM_INLINE Vec<T> lowered_by(Vec<T> x) {
    using C = RaiseConstants<T, raise>;
    const Vec<T> magnitude = abs(x);
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Mask<T> small = magnitude < broadcast<T>(C::smallest_normal_raised);
    const Vec<T> normal = select(small, broadcast<T>(1), magnitude) * broadcast<T>(C::lower);
    const Vec<T> units = keep(small, magnitude) * broadcast<T>(C::units) + base;
    return copysign(select(small, from_bits<T>(bits_of(units) - bits_of(base)), normal), x);
}

template <class T>
GM_INLINE Vec<T> lowered(Vec<T> x) {
    return lowered_by<kRaise<T>>(x);
}

// a · b · 2^-raise for a raised a (below 2^43, or 2^462 in double), rounded once: the very bits of the product of what
// was raised.
template <class T>
GM_INLINE Vec<T> lowered_product(Vec<T> a, Vec<T> b) {
    if constexpr (!kFused) return lowered(a) * b;  // slow where processors are, but the same bits
    using C = RaiseConstants<T, kRaise<T>>;
    const Vec<T> product = a * b;
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Mask<T> small = abs(product) < broadcast<T>(C::smallest_normal_raised);
    const Vec<T> normal = select(small, broadcast<T>(1), product) * broadcast<T>(C::lower);
    const Vec<T> units = fma(keep(small, abs(a)) * broadcast<T>(C::units), abs(b), base);
    return copysign(select(small, from_bits<T>(bits_of(units) - bits_of(base)), normal), product);
}

// a · b + c, rounded once, where all of it may be subnormal. Quick if |a| and |c| are below 2^-500 (floats: 2^-52) and
// |b| lies between 2^-60 and 2.
template <class T>
GM_INLINE Vec<T> careful_sum(Vec<T> a, Vec<T> b, Vec<T> c) {
    using C = RaiseConstants<T, kRaise<T>>;
    const Vec<T> limit = broadcast<T>(C::lower * T(0x1p12));
    const Mask<T> quick =
        (abs(a) < limit) & (abs(c) < limit) & (abs(b) >= broadcast(T(0x1p-60))) & (abs(b) <= broadcast(T(2)));
    if (!kFused || any(~quick)) return fma(a, b, c);
    const Vec<T> raised_a = raised(a), raised_c = raised(c);
    const Vec<T> sum = fma(raised_a, b, raised_c);
    const Mask<T> small = abs(sum) < broadcast<T>(C::smallest_normal_raised);
    // In units of the smallest subnormal, with the sign that makes the sum positive.
    const auto units_of = [&](Vec<T> x) __attribute__((always_inline)) {
        return from_bits<T>(bits_of(keep(small, x)) ^ (bits_of(sum) & sign_bit<T>())) * broadcast<T>(C::units);
    };
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Vec<T> units_of_c = units_of(raised_c);
    if (any(abs(units_of_c) >= base)) return fma(a, b, c);
    const Vec<T> units = fma(units_of(raised_a), b, base + units_of_c);
    const Vec<T> few = from_bits<T>(bits_of(units) - bits_of(base));
    return select(small, copysign(few, sum), select(small, broadcast<T>(1), sum) * broadcast<T>(C::lower));
}

// Whether a · b, or one of its factors that are not zero, may be subnormal in some lane.
template <class T>
GM_INLINE bool may_be_subnormal(Vec<T> a, Vec<T> b) {
    // The sum of the exponents, each with its bias.
    const Ints<T> bits = bits_of(abs(a)) + bits_of(abs(b));
    const Ints<T> limit = bits_of(broadcast(T(2)));
    return any((bits < limit) & (a != zero<T>()) & (b != zero<T>()));
}

// a · b, rounded once, where one of them or the product may be subnormal. Quick if |a| and |b| are below 2^40.
template <class T>
GM_INLINE Vec<T> careful_product(Vec<T> a, Vec<T> b) {
    if constexpr (!kFused) return a * b;
    using C = RaiseConstants<T, kRaise<T>>;
    const Vec<T> raised_a = abs(raised(a)), raised_b = abs(raised(b));
    const Vec<T> base = broadcast<T>(C::integer_base);
    const Vec<T> large = broadcast(T(0x1p40));
    // Of the product, raised twice; a large one is infinite.
    const Mask<T> small = (raised_a * raised_b < broadcast<T>(kSmallestNormal<T> / C::lower / C::lower)) &
                          (abs(a) < large) & (abs(b) < large);
    const Vec<T> units = fma(keep(small, raised_a) * broadcast<T>(C::units * C::lower), raised_b, base);
    const Vec<T> few = from_bits<T>(bits_of(units) - bits_of(base));
    return select(small, copysign(few, from_bits<T>(bits_of(a) ^ bits_of(b))), keep(~small, a) * keep(~small, b));
}

}  // namespace
}  // namespace gradiometer::GM_ISA
