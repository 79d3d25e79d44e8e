// What a recording says of the output of an activation: mean, deviation, how much of it is flat, which units are alive.
// Sums in double.
#pragma once

#include "kernels/lanes16.hpp"
#include "kernels/slopes.hpp"

namespace gradiometer::GM_ISA {
namespace {

// Sums of deviations from a center, and of their squares.
struct Deviations {
    Lanes16<double> sum = zero16<double>();
    Lanes16<double> squares = zero16<double>();

    GM_INLINE_MEMBER void add(const Lanes16<double>& x, Vec<double> center) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) add_vector(v, x.part[v] - center);
    }

    // Only the first `count` lanes.
    GM_INLINE_MEMBER void add_first(Index count, const Lanes16<double>& x, Vec<double> center) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v)
            add_vector(v, keep(first_lanes<double>(count - v * kLanes<double>), x.part[v] - center));
    }

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

// Mean and squared deviations in one pass around a value of the data: that is within √n standard deviations of the
// mean, so that the square of the shift, which is taken off at the end, costs n units of the last place of a double at
// most.
template <class T>
static void centered_moments(Index rows, Index columns, const T* h, Index stride, ActivationMoments& out) {
    const double corner = static_cast<double>(h[0]);
    const double center = corner - corner == 0 ? corner : 0;
    const Vec<double> centers = broadcast(center);
    Deviations first, second, third, fourth, rest;  // chains of additions side by side
    for (Index r = 0; r < rows; ++r, h += stride) {
        Index j = 0;
        for (; j + 4 * kVirtualLanes <= columns; j += 4 * kVirtualLanes) {
            first.add(to_double(load16(h + j)), centers);
            second.add(to_double(load16(h + j + kVirtualLanes)), centers);
            third.add(to_double(load16(h + j + 2 * kVirtualLanes)), centers);
            fourth.add(to_double(load16(h + j + 3 * kVirtualLanes)), centers);
        }
        for (; j + kVirtualLanes <= columns; j += kVirtualLanes) rest.add(to_double(load16(h + j)), centers);
        if (j < columns) rest.add_first(columns - j, to_double(load16(h, j, columns)), centers);
    }
    first.join(second);
    third.join(fourth);
    first.join(third);
    first.join(rest);
    const double total = fold(first.sum);
    const double shift = total / static_cast<double>(rows * columns);
    const double deviations = fold(first.squares) - shift * total;
    out.mean = center + shift;
    out.squared_deviations = deviations < 0 ? 0 : deviations;
}

// How many |slopes| are below the limit; alive[column] becomes nonzero where a slope is.
template <class Slope, class T>
static double flat_slopes(Slope slope, Index rows, Index columns, const T* kept, Index stride, T limit, T* alive) {
    Ints<T> below = broadcast_int<T>(0);
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Ints<T> bits = bits_of(load(alive + j));
        const bool whole = j + kLanes<T> <= columns;
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> magnitude = abs(slope.of(load(kept + r * stride + j)));
            Mask<T> flat = magnitude < broadcast(limit);
            if (!whole) flat = flat & first_lanes<T>(columns - j);
            below = count(below, flat);
            bits = bits | bits_of(magnitude);
        }
        store(alive + j, from_bits<T>(bits));
    }
    Index total = 0;
    for (Index lane = 0; lane < kLanes<T>; ++lane) total += below.v[lane];
    return static_cast<double>(total);
}

template <class T>
void activation_moments(ActivationSpec spec, bool from_output, Index rows, Index columns, const T* h, Index h_stride,
                        const T* kept, Index kept_stride, double threshold, ActivationMoments* out, T* alive) {
    for (Index begin = 0; begin < rows; begin += kRowChunk, ++out, h += kRowChunk * h_stride) {
        const Index count = begin + kRowChunk < rows ? kRowChunk : rows - begin;
        centered_moments(count, columns, h, h_stride, *out);
        with_slope<T>(spec, from_output, [&](auto slope) {
            out->saturated = flat_slopes(slope, count, columns, kept + begin * kept_stride, kept_stride,
                                         static_cast<T>(threshold), alive);
        });
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
