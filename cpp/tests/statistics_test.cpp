// Sums of squares over the whole range of the type, counts of zeros, subnormals and non-finite entries, moments.
#include <algorithm>

#include "check.hpp"

namespace gradiometer::test {
namespace {

template <class T>
void try_squares(const KernelTable<T>& table, Report& report) {
    for (Index columns = 1; columns <= 50; ++columns) {
        const Index rows = 1 + columns % 19, stride = padded<T>(columns), chunks = (rows + kRowChunk - 1) / kRowChunk;
        Numbers numbers(static_cast<uint64_t>(columns));
        std::vector<T> a = numbers.padded_rows<T>(rows, columns);
        // What stands in the room beside the columns must not count.
        for (Index r = 0; r < rows; ++r)
            for (Index j = columns; j < stride; ++j) a[r * stride + j] = T(3);
        std::vector<ChunkSquares> out(chunks);
        table.row_chunk_squares(rows, columns, a.data(), stride, out.data());
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            double wanted = 0;
            for (Index r = chunk * kRowChunk; r < std::min(rows, (chunk + 1) * kRowChunk); ++r)
                for (Index j = 0; j < columns; ++j)
                    wanted += static_cast<double>(a[r * stride + j]) * static_cast<double>(a[r * stride + j]);
            report.close(out[chunk].sum[squares_medium], wanted, 1e-13, wanted,
                         "row squares " + at({{"rows", rows}, {"columns", columns}}));
            report.hash(out[chunk].sum[squares_medium]);
        }
    }
}

template <class T>
void try_columns(const KernelTable<T>& table, Report& report) {
    const T tiny = std::numeric_limits<T>::denorm_min(), infinity = std::numeric_limits<T>::infinity(),
            nan = std::numeric_limits<T>::quiet_NaN();
    for (Index rows = 1; rows <= kInnerChunk; rows += rows < 6 ? 1 : 61) {
        for (const Index vectors : {1, 2}) {
            const Index width = vectors * table.lanes;
            Numbers numbers(static_cast<uint64_t>(rows));
            std::vector<T> a = numbers.array<T>(rows * width);
            a[0] = tiny;
            a[rows * width - 1] = nan;
            a[rows * width - 2] = -infinity;
            std::vector<double> out(kColumnStatistics * width), squares(kSquareStatistics * width);
            table.column_statistics(rows, vectors, a.data(), kColumnStatistics, out.data(), width);
            table.column_statistics(rows, vectors, a.data(), kSquareStatistics, squares.data(), width);
            for (Index j = 0; j < width; ++j) {
                double square = 0, sum = 0, largest = 0;
                int zero = 0, subnormal = 0, bad = 0;
                for (Index r = 0; r < rows; ++r) {
                    const T x = a[r * width + j];
                    square += static_cast<double>(x) * static_cast<double>(x);
                    sum += std::fabs(static_cast<double>(x));
                    if (!(std::fabs(static_cast<double>(x)) <= largest)) largest = std::fabs(static_cast<double>(x));
                    zero += x == 0;
                    subnormal += x != 0 && std::fabs(x) < std::numeric_limits<T>::min();
                    bad += !std::isfinite(x);
                }
                const std::string where = "column statistics " + at({{"rows", rows}, {"vectors", vectors}, {"j", j}});
                if (std::isfinite(square))
                    report.close(out[squares_medium * width + j], square, 1e-13, square, where + " squares");
                for (Index which = 0; which < kSquareStatistics; ++which)
                    report.expect(
                        std::memcmp(&out[which * width + j], &squares[which * width + j], sizeof(double)) == 0,
                        where + ": squares alone differ");
                report.close(out[absolute_sum * width + j], sum, 1e-13, sum, where + " sum");
                report.equal(out[absolute_max * width + j], largest, where + " largest");
                report.equal(out[zeros * width + j], static_cast<double>(zero), where + " zeros");
                report.equal(out[subnormals * width + j], static_cast<double>(subnormal), where + " subnormals");
                report.equal(out[nonfinite * width + j], static_cast<double>(bad), where + " non-finite");
            }
        }
    }
}

template <class T>
void try_moments(const KernelTable<T>& table, Report& report) {
    for (Index columns = 1; columns <= 40; ++columns) {
        const Index rows = 1 + columns % 13, stride = padded<T>(columns), chunks = (rows + kRowChunk - 1) / kRowChunk;
        Numbers numbers(static_cast<uint64_t>(columns));
        const std::vector<T> h = numbers.padded_rows<T>(rows, columns), slope = numbers.padded_rows<T>(rows, columns);
        std::vector<ActivationMoments> out(chunks);
        std::vector<T> alive(stride);
        std::vector<uint8_t> wanted_alive(columns);
        double saturated = 0, wanted_saturated = 0;
        table.activation_moments({ActivationKind::silu, 0, 0}, false, rows, columns, h.data(), stride, slope.data(),
                                 stride, 0.25, out.data(), alive.data());
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            const Index begin = chunk * kRowChunk, end = std::min(rows, begin + kRowChunk);
            double mean = 0, squares = 0;
            const double count = static_cast<double>((end - begin) * columns);
            for (Index r = begin; r < end; ++r)
                for (Index j = 0; j < columns; ++j) mean += static_cast<double>(h[r * stride + j]) / count;
            for (Index r = begin; r < end; ++r) {
                for (Index j = 0; j < columns; ++j) {
                    squares += std::pow(static_cast<double>(h[r * stride + j]) - mean, 2);
                    wanted_saturated += std::fabs(static_cast<double>(slope[r * stride + j])) < 0.25;
                    wanted_alive[j] |= slope[r * stride + j] != 0;
                }
            }
            report.close(out[chunk].mean, mean, 1e-13, 1, "moments: mean");
            report.close(out[chunk].squared_deviations, squares, 1e-12, 1 + squares, "moments: deviations");
            saturated += out[chunk].saturated;
            report.hash(out[chunk].mean);
            report.hash(out[chunk].squared_deviations);
        }
        report.equal(saturated, wanted_saturated, "moments: saturated");
        for (Index j = 0; j < columns; ++j) report.expect((alive[j] != 0) == wanted_alive[j], "moments: alive");
    }
    for (const Index count : {1, 2, 15, 16, 17, 255, 256, 257, 700}) {
        std::vector<T> a(count, std::numeric_limits<T>::max());
        report.equal(table.first_nonfinite(count, a.data()), Index{-1}, "first non-finite of none");
        for (Index i = count; i-- > 0;) {
            a[i] = i % 2 ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
            report.equal(table.first_nonfinite(count, a.data()), i, "first non-finite");
        }
    }
}

// One number of a statistic of all columns; what stands in the padding must not count.
template <class T>
void try_reductions(const KernelTable<T>& table, Report& report) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (Index columns = 1; columns <= 40; ++columns) {
        const Index stride = padded<T>(columns) + 8, chunks = 1 + columns % 3;
        std::vector<double> statistic(chunks * stride, 1e9);
        double sum = 0, largest = 0;
        for (Index chunk = 0; chunk < chunks; ++chunk)
            for (Index j = 0; j < columns; ++j) {
                const double x = static_cast<double>((chunk * columns + j) * 7919 % 101);
                statistic[chunk * stride + j] = x;
                sum += x;
                largest = std::max(largest, x);
            }
        report.equal(table.sum_statistic(chunks, columns, statistic.data(), stride), sum, "sum of a statistic");
        report.equal(table.largest_statistic(chunks, columns, statistic.data(), stride), largest, "largest statistic");
        statistic[(chunks - 1) * stride + columns / 2] = nan;
        report.expect(std::isnan(table.largest_statistic(chunks, columns, statistic.data(), stride)),
                      "largest statistic: a NaN is lost");

        const int threads = 1 + static_cast<int>(columns % 3);
        std::vector<T> alive(threads * stride);
        Index dead = 0;
        for (Index j = 0; j < columns; ++j) {
            if (j % 4 == 0)
                ++dead;
            else
                alive[j % threads * stride + j] = std::numeric_limits<T>::denorm_min();
        }
        report.equal(table.dead_columns(columns, threads, alive.data(), stride), dead, "dead columns");
    }
}

// The vector functions at every number of elements, against the C library: the tails go the same way as the rest.
template <class T>
void try_functions(const KernelTable<T>& table, Report& report) {
    const std::vector<std::pair<const char*, double (*)(double)>> functions = {
        {"exp", std::exp},   {"expm1", std::expm1}, {"log", std::log},  {"log1p", std::log1p},
        {"tanh", std::tanh}, {"erf", std::erf},     {"erfc", std::erfc}};
    for (const auto& [name, reference] : functions) {
        for (Index count = 1; count <= 35; ++count) {
            Numbers numbers(static_cast<uint64_t>(count));
            std::vector<T> in = numbers.array<T>(count), out(count);
            for (T& x : in) x = std::fabs(x) + T(0.1);
            report.expect(table.evaluate(name, count, in.data(), out.data()), std::string(name) + " is not known");
            for (Index i = 0; i < count; ++i) {
                const double wanted = reference(static_cast<double>(in[i]));
                report.close(out[i], wanted, 5 * kEpsilon<T>, std::fabs(wanted), name);
                report.hash(out[i]);
            }
        }
    }
    report.expect(!table.evaluate("no such function", 0, nullptr, nullptr), "an unknown function was accepted");
}

}  // namespace

template <class T>
void try_statistics(const KernelTable<T>& table, Report& report) {
    try_squares(table, report);
    try_columns(table, report);
    try_moments(table, report);
    try_reductions(table, report);
    try_functions(table, report);
}

template void try_statistics(const KernelTable<float>&, Report&);
template void try_statistics(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
