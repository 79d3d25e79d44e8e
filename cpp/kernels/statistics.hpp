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

// Everything but the squares, of one vector of doubles that came from elements of type T.
template <class T>
struct Counts {
    Vec<double> absolute, largest, zeros, subnormals, nonfinite;

    GM_INLINE_MEMBER void clear() { absolute = largest = zeros = subnormals = nonfinite = zero<double>(); }

    GM_INLINE_MEMBER void add(Vec<double> x) {
        const Vec<double> one = broadcast(1.0);
        const Vec<double> magnitude = abs(x);
        const Mask<double> is_zero = magnitude == zero<double>();
        const Mask<double> is_tiny = magnitude < broadcast(kSmallestNormal<T>);
        const Mask<double> is_finite = magnitude <= broadcast(kLargestFinite<T>);
        absolute = absolute + magnitude;
        // Once a NaN has come in, it stays.
        largest = select((magnitude > largest) | (magnitude != magnitude), magnitude, largest);
        zeros = zeros + keep(is_zero, one);
        subnormals = subnormals + keep(is_tiny & ~is_zero, one);
        nonfinite = nonfinite + keep(~is_finite, one);
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

template <class T>
static void column_counts(Index rows, Index width, const T* a, double* out, Index out_stride) {
    Counts<T> counts[Wide<T>::kParts];
    for (auto& count : counts) count.clear();
    for (Index r = 0; r < rows; ++r) {
        const Wide<T> x = widen(load(a + r * width));
        for (Index part = 0; part < Wide<T>::kParts; ++part) counts[part].add(x.part[part]);
    }
    for (Index part = 0; part < Wide<T>::kParts; ++part) {
        double* column = out + part * kLanes<double>;
        store(column + absolute_sum * out_stride, counts[part].absolute);
        store(column + absolute_max * out_stride, counts[part].largest);
        store(column + zeros * out_stride, counts[part].zeros);
        store(column + subnormals * out_stride, counts[part].subnormals);
        store(column + nonfinite * out_stride, counts[part].nonfinite);
    }
}

template <class T>
void column_statistics(Index rows, Index vectors, const T* a, int count, double* out, Index out_stride) {
    const Index width = vectors * kLanes<T>;
    Index v = 0;
    for (; v + 2 <= vectors; v += 2) column_squares<2>(rows, width, a + v * kLanes<T>, out + v * kLanes<T>, out_stride);
    if (v < vectors) column_squares<1>(rows, width, a + v * kLanes<T>, out + v * kLanes<T>, out_stride);
    if (count == kSquareStatistics) return;
    for (v = 0; v < vectors; ++v) column_counts(rows, width, a + v * kLanes<T>, out + v * kLanes<T>, out_stride);
}

template <class T>
void activation_moments(Index rows, Index columns, const T* h, Index h_stride, const T* derivative,
                        Index derivative_stride, double threshold, ActivationMoments* out, uint8_t* alive) {
    for (Index begin = 0; begin < rows; begin += kRowChunk, ++out) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        Lanes16<double> sum = zero16<double>();
        for (Index r = begin; r < end; ++r) {
            for (Index j = 0; j < columns; j += kVirtualLanes) {
                const Lanes16<double> x = to_double(load16(h + r * h_stride, j, columns));
                for (Index v = 0; v < Lanes16<double>::kVectors; ++v) sum.part[v] = sum.part[v] + x.part[v];
            }
        }
        const double mean = fold(sum) / static_cast<double>((end - begin) * columns);
        const Vec<double> center = broadcast(mean);
        Lanes16<double> squares = zero16<double>();
        for (Index r = begin; r < end; ++r) {
            for (Index j = 0; j < columns; j += kVirtualLanes) {
                const Lanes16<double> x = to_double(load16(h + r * h_stride, j, columns));
                for (Index v = 0; v < Lanes16<double>::kVectors; ++v) {
                    const Vec<double> deviation =
                        keep(first_lanes<double>(columns - j - v * kLanes<double>), x.part[v] - center);
                    squares.part[v] = fma(deviation, deviation, squares.part[v]);
                }
            }
        }
        Index saturated = 0;
        if (derivative) {
            const T limit = static_cast<T>(threshold);
            for (Index r = begin; r < end; ++r) {
                const T* slope = derivative + r * derivative_stride;
                for (Index j = 0; j < columns; ++j) {
                    saturated += (slope[j] < 0 ? -slope[j] : slope[j]) < limit;
                    alive[j] |= slope[j] != 0;
                }
            }
        } else {
            for (Index j = 0; j < columns; ++j) alive[j] = 1;
        }
        *out = {mean, fold(squares), static_cast<double>(saturated)};
    }
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
