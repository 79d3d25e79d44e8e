// Statistics of gradients, weights, deltas and activations: one pass, accumulated in double.
#pragma once

#include "kernels/squares.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
void row_chunk_squares(Index rows, Index columns, const T* a, Index stride, double* out) {
    for (Index begin = 0; begin < rows; begin += kRowChunk, out += kSquareStatistics) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        Squares<T> sums[Lanes16<double>::kVectors];
        for (auto& sum : sums) sum.clear();
        for (Index r = begin; r < end; ++r) add_row_squares(a + r * stride, columns, sums);
        fold_squares(sums, out);
    }
}

template <int Vectors, class T>
static void sum_of_rows(Index rows, const T* a, Index stride, T* out) {
    Vec<T> sum[Vectors];
    GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[v] = zero<T>();
    for (Index r = 0; r < rows; ++r, a += stride)
        GM_UNROLL for (int v = 0; v < Vectors; ++v) sum[v] = sum[v] + load(a + v * kLanes<T>);
    GM_UNROLL for (int v = 0; v < Vectors; ++v) store(out + v * kLanes<T>, sum[v]);
}

template <class T>
void column_sums(Index rows, Index vectors, const T* a, Index stride, T* out) {
    Index v = 0;
    for (; v + 4 <= vectors; v += 4) sum_of_rows<4>(rows, a + v * kLanes<T>, stride, out + v * kLanes<T>);
    for (; v < vectors; ++v) sum_of_rows<1>(rows, a + v * kLanes<T>, stride, out + v * kLanes<T>);
}

// The magnitude below which a value of this type is subnormal, and the largest finite one.
template <class T>
constexpr double kSmallestNormal = sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022;
template <class T>
constexpr double kLargestFinite = sizeof(T) == 4 ? 0x1.fffffep+127 : 0x1.fffffffffffffp+1023;

// All statistics of one vector of columns. Counts are kept as integers of the width of T, one a column.
template <class T>
struct ColumnCounts {
    static constexpr Index kParts = Wide<T>::kParts;
    Squares<T> squares[kParts];
    Vec<double> absolute[kParts];
    Vec<T> largest;
    Ints<T> zeros, tiny, finite;

    GM_INLINE_MEMBER void clear() {
        for (auto& part : squares) part.clear();
        for (auto& part : absolute) part = zero<double>();
        largest = zero<T>();
        zeros = tiny = finite = broadcast_int<T>(0);
    }

    GM_INLINE_MEMBER void add(Vec<T> x) {
        const Wide<T> wide = widen(x);
        GM_UNROLL for (Index part = 0; part < kParts; ++part) {
            squares[part].add(wide.part[part]);
            absolute[part] = absolute[part] + abs(wide.part[part]);
        }
        const Vec<T> magnitude = abs(x);
        // Once a NaN has come in, it stays.
        largest = select((magnitude > largest) | (magnitude != magnitude), magnitude, largest);
        zeros = count(zeros, magnitude == zero<T>());
        tiny = count(tiny, magnitude < broadcast(static_cast<T>(kSmallestNormal<T>)));
        finite = count(finite, magnitude <= broadcast(static_cast<T>(kLargestFinite<T>)));
    }
};

// Squares of `Vectors` vectors of columns side by side: their chains of additions run at the same time.
template <int Vectors, class T>
static void column_squares(Index rows, Index width, const T* a, double* out, Index out_stride) {
    constexpr Index kParts = Wide<T>::kParts;
    Squares<T> sums[Vectors * kParts];
    GM_UNROLL for (auto& sum : sums) sum.clear();
    for (Index r = 0; r < rows; ++r, a += width) {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            const Wide<T> x = widen(load(a + v * kLanes<T>));
            GM_UNROLL for (Index part = 0; part < kParts; ++part) sums[v * kParts + part].add(x.part[part]);
        }
    }
    GM_UNROLL for (Index part = 0; part < Vectors * kParts; ++part)
        GM_UNROLL for (int which = 0; which < kSquareStatistics; ++which)
            store(out + which * out_stride + part * kLanes<double>, sums[part].sum(which));
}

template <int Vectors, class T>
static void column_counts(Index rows, Index width, const T* a, double* out, Index out_stride) {
    ColumnCounts<T> counts[Vectors];
    GM_UNROLL for (auto& each : counts) each.clear();
    for (Index r = 0; r < rows; ++r, a += width)
        GM_UNROLL for (int v = 0; v < Vectors; ++v) counts[v].add(load(a + v * kLanes<T>));
    for (const ColumnCounts<T>& each : counts) {
        for (Index part = 0; part < Wide<T>::kParts; ++part) {
            double* column = out + part * kLanes<double>;
            for (int which = 0; which < kSquareStatistics; ++which)
                store(column + which * out_stride, each.squares[part].sum(which));
            store(column + absolute_sum * out_stride, each.absolute[part]);
        }
        for (Index j = 0; j < kLanes<T>; ++j) {
            out[absolute_max * out_stride + j] = static_cast<double>(each.largest.v[j]);
            out[zeros * out_stride + j] = static_cast<double>(each.zeros.v[j]);
            out[subnormals * out_stride + j] = static_cast<double>(each.tiny.v[j] - each.zeros.v[j]);
            out[nonfinite * out_stride + j] = static_cast<double>(rows - each.finite.v[j]);
        }
        out += kLanes<T>;
    }
}

template <class T>
void column_statistics(Index rows, Index vectors, const T* a, int count, double* out, Index out_stride) {
    const Index width = vectors * kLanes<T>;
    Index v = 0;
    const bool everything = count == kColumnStatistics;
    for (; v + 2 <= vectors; v += 2)
        (everything ? column_counts<2, T> : column_squares<2, T>)(rows, width, a + v * kLanes<T>, out + v * kLanes<T>,
                                                                  out_stride);
    if (v < vectors)
        (everything ? column_counts<1, T> : column_squares<1, T>)(rows, width, a + v * kLanes<T>, out + v * kLanes<T>,
                                                                  out_stride);
}

// Sums of deviations from a center, and of their squares.
struct Deviations {
    Lanes16<double> sum = zero16<double>();
    Lanes16<double> squares = zero16<double>();

    GM_INLINE_MEMBER void add(const Lanes16<double>& x, Vec<double> center, Index columns_left) {
        GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
            Vec<double> deviation = x.part[v] - center;
            if (columns_left < kVirtualLanes)
                deviation = keep(first_lanes<double>(columns_left - v * kLanes<double>), deviation);
            sum.part[v] = sum.part[v] + deviation;
            squares.part[v] = fma(deviation, deviation, squares.part[v]);
        }
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
GM_INLINE void centered_moments(Index rows, Index columns, const T* h, Index stride, ActivationMoments& out) {
    const double first = static_cast<double>(h[0]);
    const double center = first - first == 0 ? first : 0;
    const Vec<double> centers = broadcast(center);
    Deviations even, odd;  // two chains of additions side by side
    for (Index r = 0; r < rows; ++r, h += stride) {
        Index j = 0;
        for (; j + 2 * kVirtualLanes <= columns; j += 2 * kVirtualLanes) {
            even.add(to_double(load16(h + j)), centers, kVirtualLanes);
            odd.add(to_double(load16(h + j + kVirtualLanes)), centers, kVirtualLanes);
        }
        for (; j < columns; j += kVirtualLanes) even.add(to_double(load16(h, j, columns)), centers, columns - j);
    }
    even.join(odd);
    const double total = fold(even.sum);
    const double shift = total / static_cast<double>(rows * columns);
    const double deviations = fold(even.squares) - shift * total;
    out.mean = center + shift;
    out.squared_deviations = deviations < 0 ? 0 : deviations;
}

// How many |slopes| are below the limit; alive[column] becomes nonzero where a slope is.
template <class T>
GM_INLINE double flat_slopes(Index rows, Index columns, const T* slope, Index stride, T limit, T* alive) {
    Ints<T> below = broadcast_int<T>(0);
    for (Index j = 0; j < columns; j += kLanes<T>) {
        Ints<T> bits = bits_of(load(alive + j));
        const bool whole = j + kLanes<T> <= columns;
        for (Index r = 0; r < rows; ++r) {
            const Vec<T> magnitude = abs(load(slope + r * stride + j));
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
void activation_moments(Index rows, Index columns, const T* h, Index h_stride, const T* derivative,
                        Index derivative_stride, double threshold, ActivationMoments* out, T* alive) {
    for (Index begin = 0; begin < rows; begin += kRowChunk, ++out) {
        const Index count = begin + kRowChunk < rows ? kRowChunk : rows - begin;
        centered_moments(count, columns, h + begin * h_stride, h_stride, *out);
        out->saturated = 0;
        if (derivative)
            out->saturated = flat_slopes(count, columns, derivative + begin * derivative_stride, derivative_stride,
                                         static_cast<T>(threshold), alive);
    }
    if (!derivative)
        for (Index j = 0; j < columns; ++j) alive[j] = T(1);
}

template <class T>
Index first_nonfinite(Index count, const T* a) {
    // x - x is zero for a finite x and a NaN otherwise; a block without a NaN needs no second look.
    constexpr Index kBlock = 256;
    for (Index begin = 0; begin < count; begin += kBlock) {
        const Index end = begin + kBlock < count ? begin + kBlock : count;
        Index i = begin;
        Vec<T> trouble = zero<T>();
        for (; i + kLanes<T> <= end; i += kLanes<T>) {
            const Vec<T> x = load(a + i);
            trouble = trouble + (x - x);
        }
        T found = 0;
        for (Index lane = 0; lane < kLanes<T>; ++lane) found += trouble.v[lane];
        for (; i < end; ++i) found += a[i] - a[i];
        if (found == 0) continue;
        for (Index at = begin; at < end; ++at)
            if (!(a[at] - a[at] == 0)) return at;
    }
    return -1;
}

}  // namespace
}  // namespace gradiometer::GM_ISA
