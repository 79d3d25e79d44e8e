// Sums of squares over the whole range of the type, counts of zeros, subnormals and non-finite entries, moments.
#include <algorithm>
#include <iterator>

#include "check.hpp"
#include "meter/square_sum.hpp"

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
            report.close(out[chunk].medium, wanted, 1e-13, wanted,
                         "row squares " + at({{"rows", rows}, {"columns", columns}}));
            report.hash(out[chunk].medium);
        }
    }
}

// Doubles of all sizes in one vector: each goes to the sum for its size, and subnormal ones keep all their bits.
void try_squares_of_all_sizes(const KernelTable<double>& table, Report& report) {
    const double small = kSmallSquareLimit, large = kLargeSquareLimit;
    const double sizes[] = {
        0x1p-1074, -0x1.8p-1073, -0x1.fffffffffffffp-1023, 0x1p-1022, 1e-310,
        0,         -0.0,         std::nextafter(small, 0), small,     -std::nextafter(small, 1),
        1,         -3,           std::nextafter(large, 0), large,     -std::nextafter(large, HUGE_VAL),
        1e300};
    constexpr Index kSizes = std::size(sizes), columns = 37;
    const Index stride = padded<double>(columns);
    Numbers numbers(3);
    for (Index kinds = 1; kinds <= kSizes; ++kinds) {
        std::vector<double> a(kRowChunk * stride);
        long double wanted[3] = {};
        for (Index r = 0; r < kRowChunk; ++r)
            for (Index j = 0; j < columns; ++j) {
                // One kind by itself, or one of all up to it.
                const auto any = static_cast<Index>((0.5 + 0.499 * numbers.next()) * static_cast<double>(kinds));
                const double x = a[r * stride + j] = sizes[r < kRowChunk / 2 ? kinds - 1 : any];
                const double magnitude = std::fabs(x);
                const int which = magnitude < small ? 0 : magnitude <= large ? 1 : 2;
                const long double scaled = static_cast<long double>(x) * (which == 0   ? kSmallSquareScale
                                                                          : which == 2 ? kLargeSquareScale
                                                                                       : 1);
                wanted[which] += scaled * scaled;
            }
        ChunkSquares out;
        table.row_chunk_squares(kRowChunk, columns, a.data(), stride, &out);
        const double found[3] = {out.small, out.medium, out.large};
        for (int which = 0; which < 3; ++which)
            report.close(found[which], static_cast<double>(wanted[which]), 1e-13, static_cast<double>(wanted[which]),
                         "squares of all sizes " + at({{"kinds", kinds}, {"sum", which}}));
    }
}

// The entries of the first columns, counted one by one.
template <class T>
EntryCounts counts_of(Index rows, Index width, Index columns, const std::vector<T>& a) {
    EntryCounts counts;
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j) {
            const T x = std::fabs(a[r * width + j]);
            if (!(static_cast<double>(x) <= counts.largest)) counts.largest = static_cast<double>(x);
            counts.zeros += x == 0;
            counts.subnormals += x != 0 && x < std::numeric_limits<T>::min();
            counts.nonfinite += !std::isfinite(x);
        }
    return counts;
}

template <class T>
void try_column_statistics(const KernelTable<T>& table, Index rows, Index vectors, Index columns,
                           const std::vector<T>& a, Report& report) {
    const Index width = vectors * table.lanes;
    std::vector<double> out((kSquareSums<T> + 1) * width), squares(kSquareSums<T> * width);
    EntryCounts counts;
    table.column_statistics(rows, vectors, columns, a.data(), out.data(), width, &counts);
    table.column_squares(rows, vectors, a.data(), squares.data(), width);
    const std::string where = "column statistics " + at({{"rows", rows}, {"vectors", vectors}, {"columns", columns}});
    for (Index j = 0; j < width; ++j) {
        double square = 0, sum = 0;
        for (Index r = 0; r < rows; ++r) {
            const double x = static_cast<double>(a[r * width + j]);
            square += x * x;
            sum += std::fabs(x);
        }
        // The medium one of three, or the only one.
        if (std::isfinite(square))
            report.close(squares[kSquareSums<T> / 2 * width + j], square, 1e-13, square, where + " squares");
        report.close(out[kSquareSums<T> * width + j], sum, 1e-13, sum, where + " magnitudes");
    }
    report.expect(std::memcmp(out.data(), squares.data(), squares.size() * sizeof(double)) == 0,
                  where + ": squares alone differ");
    const EntryCounts wanted = counts_of(rows, width, columns, a);
    report.equal(counts.largest, wanted.largest, where + " largest");
    report.equal(counts.zeros, wanted.zeros, where + " zeros");
    report.equal(counts.subnormals, wanted.subnormals, where + " subnormals");
    report.equal(counts.nonfinite, wanted.nonfinite, where + " non-finite");
}

template <class T>
void try_columns(const KernelTable<T>& table, Report& report) {
    for (Index rows = 1; rows <= kInnerChunk; rows += rows < 6 ? 1 : 61) {
        for (const Index vectors : {1, 2}) {
            const Index width = vectors * table.lanes, size = rows * width;
            Numbers numbers(static_cast<uint64_t>(rows));
            std::vector<T> a = numbers.array<T>(size);
            std::vector<T> normal = a;
            for (T& x : normal)
                if (x == 0) x = T(0.5);
            try_column_statistics(table, rows, vectors, width, normal, report);
            // What stands beside the columns is not counted, be it zero or the largest of all.
            normal[size - 1] = T(0);
            try_column_statistics(table, rows, vectors, width - 1, normal, report);
            normal[size - 1] = T(7);
            try_column_statistics(table, rows, vectors, width - 1, normal, report);
            a[0] = std::numeric_limits<T>::denorm_min();
            a[size - 2] = -std::numeric_limits<T>::infinity();
            try_column_statistics(table, rows, vectors, width, a, report);
            a[size - 1] = std::numeric_limits<T>::quiet_NaN();
            try_column_statistics(table, rows, vectors, width, a, report);
            try_column_statistics(table, rows, vectors, width - 1, a, report);
        }
    }
}

// Activations of what kind and where they lie; whether sums in double are promised; whether there is a NaN,
// with a flat slope above it.
template <class T>
struct Values {
    ActivationKind kind;
    T mean, scale;
    bool in_double = false, with_nan = false;
};

// Slopes of which few, or none with `is_steep`, are flat: kept ones, or those that the outputs of tanh say.
template <class T>
void try_moments_of(const KernelTable<T>& table, Index columns, const Values<T>& values, bool is_steep,
                    Report& report) {
    const Index rows = 1 + columns % 13, stride = padded<T>(columns), chunks = (rows + kRowChunk - 1) / kRowChunk;
    const bool from_output = values.kind == ActivationKind::tanh;
    Numbers numbers(static_cast<uint64_t>(columns));
    std::vector<T> h = numbers.padded_rows<T>(rows, columns), slope = numbers.padded_rows<T>(rows, columns);
    for (T& x : h) x = values.mean + values.scale * x;
    if (is_steep)
        for (T& x : slope) x = std::copysign(std::fabs(x) + T(0.25), x);
    if (values.with_nan && rows > 3) {
        const Index nan = 3 * stride + columns / 2, flat = nan - stride;
        h[nan] = slope[nan] = std::numeric_limits<T>::quiet_NaN();
        h[flat] = T(0.99);
        slope[flat] = T(0.01);
    }
    const auto slope_at = [&](Index i) { return from_output ? multiply_add(table, -h[i], h[i], T(1)) : slope[i]; };
    std::vector<ActivationMoments> out(chunks);
    std::vector<T> alive(stride);
    std::vector<uint8_t> wanted_alive(columns);
    double saturated = 0, wanted_saturated = 0;
    table.activation_moments({values.kind, 0, 0}, from_output, rows, columns, h.data(), stride,
                             from_output ? h.data() : slope.data(), stride, 0.25, out.data(), alive.data());
    for (Index chunk = 0; chunk < chunks; ++chunk) {
        const Index begin = chunk * kRowChunk, end = std::min(rows, begin + kRowChunk);
        long double mean = 0, squares = 0;  // the exponent has enough bits for squares of doubles
        const double count = static_cast<double>((end - begin) * columns);
        for (Index r = begin; r < end; ++r)
            for (Index j = 0; j < columns; ++j) mean += static_cast<long double>(h[r * stride + j]) / count;
        for (Index r = begin; r < end; ++r) {
            for (Index j = 0; j < columns; ++j) {
                const T derivative = slope_at(r * stride + j);
                const long double deviation = h[r * stride + j] - mean;
                squares += deviation * deviation;
                wanted_saturated += std::fabs(static_cast<double>(derivative)) < 0.25;
                wanted_alive[j] |= derivative != 0;
            }
        }
        // Eight rows of four columns in T: as many roundings of what lies within a few deviations, or fewer, and of the
        // squares, of which no more cancels than leaves a 16th, or of doubles 2⁻²⁰.
        const long double deviation = std::sqrt(squares / count), unit = out[chunk].unit;
        const double error = values.in_double ? 1e-13 : 12 * kEpsilon<T>;
        const long double left = values.in_double || sizeof(T) == 4 ? 0x1p-4 : 0x1p-20;
        const long double largest_sum = std::min(squares + count * mean * mean, squares / left);
        report.close(out[chunk].mean, static_cast<double>(mean), error,
                     static_cast<double>(std::fabs(mean) + 4 * deviation), "moments: mean");
        report.close(out[chunk].squared_deviations, static_cast<double>(squares / unit / unit), error,
                     static_cast<double>(largest_sum / unit / unit), "moments: deviations");
        saturated += out[chunk].saturated;
        report.hash(out[chunk].mean == out[chunk].mean ? out[chunk].mean : 0.0);
        report.hash(out[chunk].mean == out[chunk].mean ? out[chunk].squared_deviations : 0.0);
    }
    report.equal(saturated, wanted_saturated, "moments: saturated");
    for (Index j = 0; j < columns; ++j) report.expect((alive[j] != 0) == wanted_alive[j], "moments: alive");
}

template <class T>
void try_moments(const KernelTable<T>& table, Report& report) {
    // Sums in T around zero or a half; squares that cancel, underflow or overflow; beside a NaN, flat slopes still
    // count.
    std::vector<Values<T>> all = {{ActivationKind::silu, T(0), T(1)},
                                  {ActivationKind::tanh, T(0), T(1)},
                                  {ActivationKind::sigmoid, T(0.5), T(0.01)},
                                  {ActivationKind::silu, T(4096), T(1), true},
                                  {ActivationKind::silu, T(20), T(1)}};
    for (const ActivationKind kind : {ActivationKind::silu, ActivationKind::tanh, ActivationKind::sigmoid})
        all.push_back({kind, T(0), T(0.5), false, true});
    if constexpr (sizeof(T) == 4)
        for (const T scale : {T(1e-42), T(1e-30), T(1e-20), T(1e20), T(1e37)})
            all.push_back({ActivationKind::silu, T(0), scale, true});
    else
        for (const T scale : {T(1e-300), T(1e-170), T(1e-148), T(1e-140), T(1e140), T(1e160), T(1e300)})
            all.push_back({ActivationKind::silu, T(0), scale});
    for (Index columns = 1; columns <= 40; ++columns)
        for (const Values<T>& values : all)
            for (const bool is_steep : {false, true}) try_moments_of(table, columns, values, is_steep, report);
}

template <class T>
void try_first_nonfinite(const KernelTable<T>& table, Report& report) {
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
    for (Index columns = 1; columns <= 40; ++columns) {
        const Index stride = padded<T>(columns) + 8, chunks = 1 + columns % 3;
        std::vector<double> statistic(chunks * stride, 1e9);
        double sum = 0;
        for (Index chunk = 0; chunk < chunks; ++chunk)
            for (Index j = 0; j < columns; ++j) {
                const double x = static_cast<double>((chunk * columns + j) * 7919 % 101);
                statistic[chunk * stride + j] = x;
                sum += x;
            }
        report.equal(table.sum_statistic(chunks, columns, statistic.data(), stride), sum, "sum of a statistic");

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
    if constexpr (sizeof(T) == 8) try_squares_of_all_sizes(table, report);
    try_columns(table, report);
    try_moments(table, report);
    try_first_nonfinite(table, report);
    try_reductions(table, report);
    try_functions(table, report);
}

template void try_statistics(const KernelTable<float>&, Report&);
template void try_statistics(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
