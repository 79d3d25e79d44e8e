// A sum of squares of doubles over their whole range, in three parts (Blue, "A portable Fortran program to find the
// Euclidean norm of a vector", 1978): the squares of medium entries as they are, of small ones scaled up, of large ones
// scaled down. Plain data, shared by the kernels and the core; the arithmetic is in square_sum.cpp.
#pragma once

namespace gradiometer {

// Entries below the small limit would lose bits when squared, above the large limit their squares could overflow a sum.
// All four are powers of two, so that scaling is exact.
constexpr double kSmallSquareLimit = 0x1p-480;
constexpr int kSmallSquareRaise = 600;  // the exponent of the scale
constexpr double kSmallSquareScale = 0x1p+600;
constexpr double kLargeSquareLimit = 0x1p+480;
constexpr double kLargeSquareScale = 0x1p-560;

struct SquareSum {
    double small = 0;   // Σ (x · kSmallSquareScale)² over |x| < kSmallSquareLimit
    double medium = 0;  // Σ x²
    double large = 0;   // Σ (x · kLargeSquareScale)² over |x| > kLargeSquareLimit

    // √(Σ x²), to about one ulp. NaN where any entry was, infinity where any entry was (and none a NaN).
    double norm() const;
    SquareSum& operator+=(const SquareSum& other) {
        small += other.small;
        medium += other.medium;
        large += other.large;
        return *this;
    }
};

}  // namespace gradiometer
