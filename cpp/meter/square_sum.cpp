#include "meter/square_sum.hpp"

#include <cmath>

namespace gradiometer {

double SquareSum::norm() const {
    // With a large entry, everything small is beyond the last bit of the result.
    if (large > 0) {
        const double squares = large + medium * kLargeSquareScale * kLargeSquareScale;
        return std::sqrt(squares) / kLargeSquareScale;
    }
    if (small > 0 && medium == medium) {
        const double from_small = std::sqrt(small) / kSmallSquareScale;
        const double from_medium = std::sqrt(medium);
        return std::hypot(from_small, from_medium);
    }
    return std::sqrt(medium);
}

}  // namespace gradiometer
