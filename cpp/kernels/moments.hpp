// What a recording says of the output of an activation: mean, deviation, how much of it is flat, which units are alive.
// Of a chunk of rows, up to four columns for each virtual lane are summed in the element type, all else in double.
#pragma once

#include "kernels/chunk.hpp"
#include "kernels/lanes16.hpp"
#include "kernels/slopes.hpp"
#include "kernels/tiny.hpp"
#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Sixteen elements of a row, from `column` on; unless all of them are within `columns`, those that are not are zero.
template <class A, bool whole, class T>
GM_INLINE Lanes16<A> load16_as(const T* row, Index column, Index columns) {
    if constexpr (sizeof(A) == sizeof(T))
        return whole ? load16(row + column) : load16(row, column, columns);
    else
        return whole ? load16_as_double(row + column) : to_double(load16(row, column, columns));
}

// How the deviations that are summed come from numbers: x - center; with zero, x; with scaled, x · factor - center.
enum class Around { center, zero, scaled };

// Sums of deviations and of their squares.
template <class A, Around around>
struct Deviations {
    A center, floor;  // sums of squares of columns begin with `floor`
    A factor;
    Lanes16<A> sum = zero16<A>(), squares = zero16<A>();

    // Adds those of sixteen columns of a chunk; the columns' own come first.
    template <bool whole, class T>
    GM_INLINE_MEMBER void add(Index rows, const T* h, Index stride, Index column, Index columns) {
        Lanes16<A> column_sum = zero16<A>(), column_squares;
        GM_UNROLL for (Index v = 0; v < Lanes16<A>::kVectors; ++v) column_squares.part[v] = broadcast(floor);
        for_rows(rows, [&](Index r) __attribute__((always_inline)) {
            const Lanes16<A> x = load16_as<A, whole>(h + r * stride, column, columns);
            GM_UNROLL for (Index v = 0; v < Lanes16<A>::kVectors; ++v) {
                Vec<A> deviation = x.part[v];
                if constexpr (around == Around::scaled) deviation = deviation * broadcast(factor);
                if constexpr (around != Around::zero) deviation = deviation - broadcast(center);
                if (around != Around::zero && !whole)
                    deviation = keep(first_lanes<A>(columns - column - v * kLanes<A>), deviation);
                column_sum.part[v] = column_sum.part[v] + deviation;
                column_squares.part[v] = fma(deviation, deviation, column_squares.part[v]);
            }
        });
        add_to(sum, column_sum);
        add_to(squares, column_squares);
    }
};

// Mean and squared deviations of a chunk, in units of `unit`, in one pass around `center`. Columns, and four of them
// for each lane, are summed in A, all else in double. Returns the sum of all squares, before that of the shift was
// taken off.
template <class A, Around around, class T>
GM_INLINE double moments_around(A center, A floor, double unit, Index rows, Index columns, const T* h, Index stride,
                                ActivationMoments& out) {
    constexpr Index kTogether = 4 * kVirtualLanes;
    Lanes16<double> sum = zero16<double>(), squares = zero16<double>();
    for (Index first = 0; first < columns; first += kTogether) {
        Deviations<A, around> some{center, floor, static_cast<A>(1 / unit)};
        Index j = first;
        for (; j + kVirtualLanes <= columns && j < first + kTogether; j += kVirtualLanes)
            some.template add<true>(rows, h, stride, j, columns);
        if (j < columns && j < first + kTogether) some.template add<false>(rows, h, stride, j, columns);
        add_to(sum, to_double(some.sum));
        add_to(squares, to_double(some.squares));
    }
    const double total = fold(sum);
    const double total_squares = fold(squares);
    const double shift = total / static_cast<double>(rows * columns);
    const double deviations = total_squares - shift * total;
    out.mean = (static_cast<double>(center) + shift) * unit;
    out.squared_deviations = deviations < 0 ? 0 : deviations;
    out.unit = unit;
    return total_squares;
}

// What numbers of a chunk are measured in, so that their squares stay in range: 1, or a power of two near the largest.
GM_INLINE double unit_of(double largest) {
    constexpr double kFar = 0x1p460;  // its square, of all numbers of a chunk that fits memory, is finite
    if (largest == 0 || !(largest - largest == 0) || (largest < kFar && largest > 1 / kFar)) return 1;
    double unit = 1;
    while (unit < largest * 0x1p-41) unit *= 0x1p40;
    while (unit > largest && unit > 0x1p-1000) unit *= 0x1p-40;
    return unit;
}

// Around zero, or where the values of a sigmoid lie, in T, if that is good enough: little of the squares cancels, and
// none of them is out of range. Else, or where tiny numbers seem to be all there is, in double around a value of the
// data: that is within √n standard deviations of the mean, so that the square of the shift costs n units of the last
// place of a double at most. Doubles are scaled for that, if need be.
template <class T>
static void centered_moments(bool around_half, Index rows, Index columns, const T* h, Index stride,
                             ActivationMoments& out) {
    constexpr double kLeft = sizeof(T) == 4 ? 0x1p-4 : 0x1p-20;
    // A number that is not subnormal, so that no sum is, and too small to be seen in a good one.
    constexpr T kFloor = 2 * kSmallestNormal<T>;
    constexpr double kSmallestGood = (sizeof(T) == 4 ? 0x1p45 : 0x1p75) * kFloor;
    constexpr double kLargestGood = 0x1p920;  // chunks are added up later
    const double corner = static_cast<double>(h[0]);
    if (corner == 0 || corner * corner >= kSmallestGood) [[likely]] {
        const double squares = around_half
                                   ? moments_around<T, Around::center>(T(0.5), kFloor, 1, rows, columns, h, stride, out)
                                   : moments_around<T, Around::zero>(T(0), kFloor, 1, rows, columns, h, stride, out);
        if (out.squared_deviations > kLeft * squares && squares >= kSmallestGood && squares <= kLargestGood) [[likely]]
            return;
    }
    const double finite = corner - corner == 0 ? corner : 0;
    const double unit = sizeof(T) == 4 ? 1 : unit_of(static_cast<double>(largest_entry(rows, columns, h, stride)));
    if (unit == 1)
        moments_around<double, Around::center>(finite, 0.0, 1, rows, columns, h, stride, out);
    else
        moments_around<double, Around::scaled>(finite / unit, 0.0, unit, rows, columns, h, stride, out);
}

// One vector of columns: `below`, and one more in a lane of `inside` for each of its |slopes| under the limit; alive
// becomes nonzero in the columns where a slope is.
template <Index unrolled_rows, class Slope, class T>
GM_INLINE Ints<T> count_flat_vector(Ints<T> below, Slope slope, Index rows, const T* kept, Index stride, T limit,
                                    Mask<T> inside, T* alive) {
    Ints<T> bits = bits_of(load(alive));
    const auto look_at = [&](Index r) __attribute__((always_inline)) {
        const Vec<T> magnitude = abs(slope.of(load(kept + r * stride)));
        below = count(below, (magnitude < broadcast(limit)) & inside);
        bits = bits | bits_of(magnitude);
    };
    if constexpr (unrolled_rows > 0)
        GM_UNROLL for (Index r = 0; r < unrolled_rows; ++r) look_at(r);
    else
        for (Index r = 0; r < rows; ++r) look_at(r);
    store(alive, from_bits<T>(bits));
    return below;
}

// The least |slope| of each column of a whole chunk; not of all its rows, where that of the first is under the limit,
// as it mostly is where flat slopes are common. A NaN is passed over, or stays if the first row has it.
template <class Slope, class T>
GM_INLINE Vec<T> least_slope(Slope slope, const T* kept, Index stride, T limit) {
    if constexpr (FallsWithMagnitude<Slope>) {
        Vec<T> largest = load(kept);
        GM_UNROLL for (Index r = 1; r < kRowChunk; ++r) largest = max_magnitude(largest, load(kept + r * stride));
        return abs(slope.of(largest));
    } else {
        Vec<T> least = abs(slope.of(load(kept)));
        if (any(~(least >= broadcast(limit)))) return least;
        GM_UNROLL for (Index r = 1; r < kRowChunk; ++r) least = min(abs(slope.of(load(kept + r * stride))), least);
        return least;
    }
}

// Whether none of the slopes of a whole chunk is under the limit; their columns are alive then.
template <class Slope, class T>
GM_INLINE bool all_steep(Slope slope, const T* kept, Index stride, T limit, T* alive) {
    const Vec<T> least = least_slope(slope, kept, stride, limit);
    if (any(~(least >= broadcast(limit)))) return false;
    store(alive, from_bits<T>(bits_of(load(alive)) | bits_of(least)));
    return true;
}

template <class Slope, class T>
GM_INLINE Ints<T> count_flat(Ints<T> below, Slope slope, Index rows, Index columns, const T* kept, Index stride,
                             T limit, T* alive) {
    const Mask<T> all = broadcast(T(0)) == broadcast(T(0));
    Index j = 0;
    if (rows == kRowChunk)
        for (; j + kLanes<T> <= columns; j += kLanes<T>)
            if (!all_steep(slope, kept + j, stride, limit, alive + j))
                below = count_flat_vector<kRowChunk>(below, slope, rows, kept + j, stride, limit, all, alive + j);
    for (; j < columns; j += kLanes<T>)
        below =
            count_flat_vector<0>(below, slope, rows, kept + j, stride, limit, first_lanes<T>(columns - j), alive + j);
    return below;
}

// Of the rows chunk by chunk, while they are in the first cache.
template <class Slope, class T>
static void moments_with(Slope slope, bool around_half, Index rows, Index columns, const T* h, Index h_stride,
                         const T* kept, Index kept_stride, T limit, ActivationMoments* out, T* alive) {
    Ints<T> below = broadcast_int<T>(0);
    for (Index begin = 0, chunk = 0; begin < rows; begin += kRowChunk, ++chunk) {
        const Index count = begin + kRowChunk < rows ? kRowChunk : rows - begin;
        centered_moments(around_half, count, columns, h + begin * h_stride, h_stride, out[chunk]);
        out[chunk].saturated = 0;
        below = count_flat(below, slope, count, columns, kept + begin * kept_stride, kept_stride, limit, alive);
    }
    for (Index lane = 0; lane < kLanes<T>; ++lane) out->saturated += static_cast<double>(below.v[lane]);
}

template <class T>
void activation_moments(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* h, Index h_stride,
                        const T* kept, Index kept_stride, double threshold, ActivationMoments* out, T* alive) {
    with_slope<T>(spec, from_output, [&](auto slope) {
        moments_with(slope, spec.kind == ActivationKind::sigmoid, rows, columns, h, h_stride, kept, kept_stride,
                     static_cast<T>(threshold), out, alive);
    });
}

template <class T>
Index dead_columns(Index columns, int threads, const T* alive, Index stride) {
    Ints<T> dead = broadcast_int<T>(0);
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Ints<T> bits = bits_of(load(alive + j));
        for (int i = 1; i < threads; ++i) bits = bits | bits_of(load(alive + i * stride + j));
        dead = count(dead, (bits == broadcast_int<T>(0)) & first_lanes<T>(columns - j));
    }
    Index total = 0;
    for (Index lane = 0; lane < kLanes<T>; ++lane) total += dead.v[lane];
    return total;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
