// Statistics of gradients, weights and deltas: one pass, accumulated in double.
#pragma once

#include "kernels/squares.hpp"
#include "simd/subnormal.hpp"

namespace gradiometer::GM_ISA {
namespace {

template <class T>
void row_chunk_squares(Index rows, Index columns, const T* a, Index stride, ChunkSquares* out) {
    for (Index begin = 0; begin < rows; begin += kRowChunk, ++out) {
        const Index end = begin + kRowChunk < rows ? begin + kRowChunk : rows;
        Squares<T> sums[Lanes16<double>::kVectors];
        for (auto& sum : sums) sum.clear();
        for (Index r = begin; r < end; ++r) add_row_squares(a + r * stride, columns, sums);
        fold_squares(sums, *out);
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

template <class T>
constexpr double kLargestFinite = sizeof(T) == 4 ? 0x1.fffffep+127 : 0x1.fffffffffffffp+1023;

// Sums and the range of one vector of columns.
template <class T>
struct ColumnSums {
    static constexpr Index kParts = Wide<T>::kParts;
    Squares<T> squares[kParts];
    Vec<double> absolute[kParts];
    Vec<T> largest, smallest;

    GM_INLINE_MEMBER void clear() {
        for (auto& part : squares) part.clear();
        for (auto& part : absolute) part = zero<double>();
        largest = zero<T>();
        smallest = broadcast(static_cast<T>(kLargestFinite<T>));
    }

    GM_INLINE_MEMBER void add(Vec<T> x) {
        const Vec<T> magnitude = abs(x);
        const Wide<T> wide = widen(magnitude);
        GM_UNROLL for (Index part = 0; part < kParts; ++part) {
            squares[part].add(wide.part[part]);
            absolute[part] = absolute[part] + wide.part[part];
        }
        largest = max(largest, magnitude);
        smallest = min(smallest, magnitude);
    }

    // No entry of the columns `inside` is zero, subnormal, infinite or NaN. (A sum of doubles may overflow though they
    // are finite.)
    GM_INLINE_MEMBER bool all_normal(Mask<T> inside) const {
        const Mask<T> normal = smallest >= broadcast(kSmallestNormal<T>);
        Mask<double> finite = absolute[0] - absolute[0] == zero<double>();
        GM_UNROLL for (Index part = 1; part < kParts; ++part) finite =
            finite & (absolute[part] - absolute[part] == zero<double>());
        return !any(~normal & inside) && !any(~finite);
    }

    GM_INLINE_MEMBER void store_sums(double* out, Index out_stride) const {
        GM_UNROLL for (Index part = 0; part < kParts; ++part, out += kLanes<double>) {
            GM_UNROLL for (int which = 0; which < kSquareSums<T>; ++which)
                store(out + which * out_stride, squares[part].sum(which));
            store(out + kSquareSums<T> * out_stride, absolute[part]);
        }
    }
};

// What is not normal in the columns `inside` of one vector, added to `out`. Counts are kept as integers of the width of
// T; rows are few enough.
template <class T>
[[gnu::noinline]] static void count_entries(Index rows, Index width, const T* a, Mask<T> inside, EntryCounts& out) {
    Ints<T> zeros = broadcast_int<T>(0), tiny = zeros, finite = zeros, all = zeros;
    Vec<T> largest = zero<T>();
    for (Index r = 0; r < rows; ++r, a += width) {
        const Vec<T> magnitude = abs(keep(inside, load(a)));
        // Once a NaN has come in, it stays.
        largest = select((magnitude > largest) | (magnitude != magnitude), magnitude, largest);
        zeros = count(zeros, (magnitude == zero<T>()) & inside);
        tiny = count(tiny, (magnitude < broadcast(kSmallestNormal<T>)) & inside);
        finite = count(finite, (magnitude <= broadcast(static_cast<T>(kLargestFinite<T>))) & inside);
        all = count(all, inside);
    }
    for (Index lane = 0; lane < kLanes<T>; ++lane) {
        const double x = static_cast<double>(largest.v[lane]);
        if (x > out.largest || x != x) out.largest = x;
        out.zeros += zeros.v[lane];
        out.subnormals += tiny.v[lane] - zeros.v[lane];
        out.nonfinite += all.v[lane] - finite.v[lane];
    }
}

// Squares of `Vectors` vectors of columns side by side: their chains of additions run at the same time.
template <int Vectors, class T>
static void squares_of_vectors(Index rows, Index width, const T* a, double* out, Index out_stride) {
    constexpr Index kParts = Wide<T>::kParts;
    Squares<T> sums[Vectors * kParts];
    GM_UNROLL for (auto& sum : sums) sum.clear();
    for (Index r = 0; r < rows; ++r, a += width) {
        GM_UNROLL for (int v = 0; v < Vectors; ++v) {
            const Wide<T> x = load_wide(a + v * kLanes<T>);
            GM_UNROLL for (Index part = 0; part < kParts; ++part) sums[v * kParts + part].add(x.part[part]);
        }
    }
    GM_UNROLL for (Index part = 0; part < Vectors * kParts; ++part)
        GM_UNROLL for (int which = 0; which < kSquareSums<T>; ++which)
            store(out + which * out_stride + part * kLanes<double>, sums[part].sum(which));
}

template <class T>
void column_squares(Index rows, Index vectors, const T* a, double* out, Index out_stride) {
    const Index width = vectors * kLanes<T>;
    Index v = 0;
    for (; v + 2 <= vectors; v += 2)
        squares_of_vectors<2>(rows, width, a + v * kLanes<T>, out + v * kLanes<T>, out_stride);
    if (v < vectors) squares_of_vectors<1>(rows, width, a + v * kLanes<T>, out + v * kLanes<T>, out_stride);
}

// Most chunks hold nothing but normal numbers, and only the others are read again to be counted.
template <int Vectors, class T>
static void statistics_of_vectors(Index rows, Index columns, const T* a, double* out, Index out_stride,
                                  EntryCounts& counts) {
    constexpr Index width = Vectors * kLanes<T>;
    ColumnSums<T> sums[Vectors];
    GM_UNROLL for (auto& each : sums) each.clear();
    for (Index r = 0; r < rows; ++r)
        GM_UNROLL for (int v = 0; v < Vectors; ++v) sums[v].add(load(a + r * width + v * kLanes<T>));
    bool normal = true;
    Vec<T> largest = zero<T>();
    GM_UNROLL for (int v = 0; v < Vectors; ++v) {
        const Mask<T> inside = first_lanes<T>(columns - v * kLanes<T>);
        sums[v].store_sums(out + v * kLanes<T>, out_stride);
        normal = normal && sums[v].all_normal(inside);
        largest = max(largest, keep(inside, sums[v].largest));
    }
    counts = {};
    if (normal) {
        const auto larger = [](Vec<T> x, Vec<T> y) { return max(x, y); };
        counts.largest = static_cast<double>(fold_lanes<kLanes<T> / 2>(largest, larger));
        return;
    }
    for (int v = 0; v < Vectors; ++v)
        count_entries(rows, width, a + v * kLanes<T>, first_lanes<T>(columns - v * kLanes<T>), counts);
}

template <class T>
void column_statistics(Index rows, Index vectors, Index columns, const T* a, double* out, Index out_stride,
                       EntryCounts* counts) {
    const auto statistics = vectors == 2 ? statistics_of_vectors<2, T> : statistics_of_vectors<1, T>;
    statistics(rows, columns, a, out, out_stride, *counts);
}

template <class T>
double sum_statistic(Index chunks, Index columns, const double* statistic, Index chunk_stride) {
    Lanes16<double> lanes = zero16<double>();
    for (Index chunk = 0; chunk < chunks; ++chunk, statistic += chunk_stride) {
        for (Index j = 0; j < columns; j += kVirtualLanes) {
            const Lanes16<double> x = load16(statistic, j, columns);
            GM_UNROLL for (Index v = 0; v < Lanes16<double>::kVectors; ++v) lanes.part[v] = lanes.part[v] + x.part[v];
        }
    }
    return fold(lanes);
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
