// log, sine and cosine of doubles for drawing numbers. The mathematics library of the system may round differently from
// one machine to the next; these use only additions, multiplications and divisions, which do not. Errors are below 2
// ulp (of 1, for sine and cosine).
#pragma once

#include <bit>
#include <cstdint>

namespace gradiometer {

// For normal, positive x. x = 2^e · m with m in [√½, √2), log m = 2 artanh((m - 1) / (m + 1)) as a series in its
// argument.
inline double portable_log(double x) {
    constexpr double kLog2High = 0x1.62e42fee00000p-1;  // the leading 33 bits, so that e · high is exact
    constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
    const uint64_t bits = std::bit_cast<uint64_t>(x);
    constexpr uint64_t kRootHalf = 0x3FE6A09E667F3BCD;
    const int64_t shifted = static_cast<int64_t>(bits - kRootHalf) >> 52;
    const double exponent = static_cast<double>(shifted);
    const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(shifted) << 52));
    const double s = (m - 1.0) / (m + 1.0);
    const double z = s * s;
    double series = 0.0;  // z^k / (2 k + 1) for k = 11 … 1; |z| < 0.0295
    for (int k = 11; k >= 1; --k) series = (series + 1.0 / (2 * k + 1)) * z;
    return exponent * kLog2High + (2.0 * s + (2.0 * s * series + exponent * kLog2Low));
}

struct SineCosine {
    double sine, cosine;
};

// Of 2π turns, for turns in [0, 1). A quarter turn is split off exactly; Taylor series on what is left, at most π/4.
inline SineCosine portable_sine_cosine(double turns) {
    const double quarters = turns * 4.0;
    const int quadrant = static_cast<int>(quarters + 0.5);
    const double x = (quarters - quadrant) * 0x1.921fb54442d18p+0;
    const double z = x * x;
    double sine = 1.0;
    for (int k = 8; k >= 1; --k) sine = 1.0 - sine * z / ((2 * k) * (2 * k + 1));
    sine *= x;
    double cosine = 1.0;
    for (int k = 9; k >= 1; --k) cosine = 1.0 - cosine * z / ((2 * k - 1) * (2 * k));
    switch (quadrant & 3) {
        case 0: return {sine, cosine};
        case 1: return {cosine, -sine};
        case 2: return {-sine, -cosine};
        default: return {-cosine, sine};
    }
}

}  // namespace gradiometer
