// What a recording says of the output of an activation: mean, deviation, how much of it is flat, which units are alive.
// Sums in double.
#pragma once

#include "kernels/lanes16.hpp"
#include "kernels/slopes.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Sums of deviations from a center (or, with `plain`, from zero), and of their squares.
template <bool plain>
struct Deviations {
    Vec<double> center;
    Lanes16<double> sum = zero16<double>();
    Lanes16<double> squares = zero16<double>();

    explicit GM_INLINE_MEMBER Deviations(Vec<double> around) : center(around) {}

    GM_INLINE_MEMBER void add(const Lanes16<double>& x) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) add_vector(v, deviation(x.part[v]));
    }

    // Only the first `count` lanes.
    GM_INLINE_MEMBER void add_first(Index count, const Lanes16<double>& x) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v)
            add_vector(v, keep(first_lanes<double>(count - v * kLanes<double>), deviation(x.part[v])));
    }

    // A difference, made by the units that multiply: those that add have the sums and the conversions to do.
    GM_INLINE_MEMBER Vec<double> deviation(Vec<double> x) const { return plain ? x : fma(broadcast(1.0), x, -center); }

    GM_INLINE_MEMBER void add_vector(Index v, Vec<double> deviation) {
        sum.part[v] = sum.part[v] + deviation;
        squares.part[v] = fma(deviation, deviation, squares.part[v]);
    }

    GM_INLINE_MEMBER void join(const Deviations& other) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
            sum.part[v] = sum.part[v] + other.sum.part[v];
            squares.part[v] = squares.part[v] + other.squares.part[v];
        }
    }
};

// Mean and squared deviations in one pass. Returns the squares' sum, before the square of the shift was taken off.
template <bool plain, class T>
GM_INLINE double moments_around(double center, Index rows, Index columns, const T* h, Index stride,
                                ActivationMoments& out) {
    Deviations<plain> even(broadcast(center)), odd = even;  // two chains of additions side by side
    for (Index r = 0; r < rows; ++r, h += stride) {
        Index j = 0;
        for (; j + 2 * kVirtualLanes <= columns; j += 2 * kVirtualLanes) {
            even.add(load16_as_double(h + j));
            odd.add(load16_as_double(h + j + kVirtualLanes));
        }
        for (; j + kVirtualLanes <= columns; j += kVirtualLanes) even.add(load16_as_double(h + j));
        if (j < columns) odd.add_first(columns - j, to_double(load16(h, j, columns)));
    }
    even.join(odd);
    const double total = fold(even.sum);
    const double squares = fold(even.squares);
    const double shift = total / static_cast<double>(rows * columns);
    const double deviations = squares - shift * total;
    out.mean = center + shift;
    out.squared_deviations = deviations < 0 ? 0 : deviations;
    return squares;
}

// Around zero, unless the mean is so much larger than the deviations that more than 20 of the 53 bits cancel; then
// around a value of the data: that is within √n standard deviations of the mean, so that the square of the shift costs
// n units of the last place of a double at most.
template <class T>
static void centered_moments(Index rows, Index columns, const T* h, Index stride, ActivationMoments& out) {
    constexpr double kLeft = 0x1p-20;
    const double squares = moments_around<true>(0, rows, columns, h, stride, out);
    if (out.squared_deviations > kLeft * squares) [[likely]]
        return;
    const double corner = static_cast<double>(h[0]);
    moments_around<false>(corner - corner == 0 ? corner : 0, rows, columns, h, stride, out);
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
// as it mostly is where flat slopes are common.
template <class Slope, class T>
GM_INLINE Vec<T> least_slope(Slope slope, const T* kept, Index stride, T limit) {
    if constexpr (FallsWithMagnitude<Slope>) {
        Vec<T> largest = abs(load(kept));
        GM_UNROLL for (Index r = 1; r < kRowChunk; ++r) largest = max(largest, abs(load(kept + r * stride)));
        return abs(slope.of(largest));
    } else {
        Vec<T> least = abs(slope.of(load(kept)));
        if (any(~(least >= broadcast(limit)))) return least;
        GM_UNROLL for (Index r = 1; r < kRowChunk; ++r) least = min(least, abs(slope.of(load(kept + r * stride))));
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
static void moments_with(Slope slope, Index rows, Index columns, const T* h, Index h_stride, const T* kept,
                         Index kept_stride, T limit, ActivationMoments* out, T* alive) {
    Ints<T> below = broadcast_int<T>(0);
    for (Index begin = 0, chunk = 0; begin < rows; begin += kRowChunk, ++chunk) {
        const Index count = begin + kRowChunk < rows ? kRowChunk : rows - begin;
        centered_moments(count, columns, h + begin * h_stride, h_stride, out[chunk]);
        out[chunk].saturated = 0;
        below = count_flat(below, slope, count, columns, kept + begin * kept_stride, kept_stride, limit, alive);
    }
    for (Index lane = 0; lane < kLanes<T>; ++lane) out->saturated += static_cast<double>(below.v[lane]);
}

template <class T>
void activation_moments(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* h, Index h_stride,
                        const T* kept, Index kept_stride, double threshold, ActivationMoments* out, T* alive) {
    with_slope<T>(spec, from_output, [&](auto slope) {
        moments_with(slope, rows, columns, h, h_stride, kept, kept_stride, static_cast<T>(threshold), out, alive);
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
