// Kernels on numbers near the smallest ones, which are raised before they are multiplied: what is raised by hand, with
// a plain loop, and rounded once gives the same bits.
#include <algorithm>
#include <limits>

#include "check.hpp"

namespace gradiometer::test {
namespace {

template <class T>
constexpr int kRaise = sizeof(T) == 4 ? 64 : 512;

template <class T>
constexpr int kRaiseMixed = sizeof(T) == 4 ? 48 : 512;

// start + Σ a(k) b(k), computed `raise` powers of two higher.
template <class T, class A, class B>
T raised_chain(const KernelTable<T>& table, int raise, Index count, T start, const A& a, const B& b) {
    T sum = std::ldexp(start, raise);
    for (Index k = 0; k < count; ++k) sum = multiply_add(table, std::ldexp(a(k), raise), b(k), sum);
    return std::ldexp(sum, -raise);
}

// Kernels look for subnormal numbers at once if the processor has met one before, and multiply first if not.
enum class Before { nothing_met, subnormal_met };

template <class T>
void prepare(const KernelTable<T>& table, Before before) {
    table.forget_subnormals();
    if (before == Before::nothing_met) return;
    volatile float subnormal = 1e-40f;
    subnormal = subnormal * 0.5f;
}

// What a chunk of rows consists of. Mixed: in most rows, subnormal numbers beside larger ones, in others nothing else,
// where it shows in the sums whether they were raised. Large: the same beside a number that is too large for that.
enum class Chunk { plain, tiny, zero, mixed, large };

template <class T>
std::vector<T> rows_of(const std::vector<Chunk>& chunks, Index inner, Numbers& numbers) {
    const Index size = kRowChunk * inner;
    std::vector<T> a = numbers.array<T>(static_cast<Index>(chunks.size()) * size);
    for (Index chunk = 0, begin = 0; chunk < static_cast<Index>(chunks.size()); ++chunk, begin += size) {
        const Chunk kind = chunks[chunk];
        if (kind == Chunk::tiny) scale(a, begin, begin + size, kSmallestExponent<T> + 9);
        if (kind == Chunk::zero) std::fill_n(a.begin() + begin, size, T(0));
        if (kind == Chunk::mixed || kind == Chunk::large)
            for (Index i = begin + 1; i < begin + size; ++i)
                if (i % 3 == 0 || (i - begin) / inner % 3 == 2) scale(a, i, i + 1, kSmallestExponent<T> + 9);
        if (kind == Chunk::large) a[begin] = T(0x1p17f);
    }
    return a;
}

template <class T>
void products(const KernelTable<T>& table, Report& report, const std::vector<Chunk>& chunks, bool special_bias,
              Before before) {
    constexpr Index inner = 37, columns = 35;
    const Index rows = static_cast<Index>(chunks.size()) * kRowChunk - 4;
    Numbers numbers(7);
    const std::vector<T> a = rows_of<T>(chunks, inner, numbers);
    const auto raise_of = [&](Index r) {
        const Chunk kind = chunks[r / kRowChunk];
        return kind == Chunk::tiny ? kRaise<T> : kind == Chunk::mixed ? kRaiseMixed<T> : 0;
    };
    std::vector<T> plain = numbers.array<T>(inner * columns), b(panel_size(table, inner, columns));
    for (Index k = 0; k < inner; ++k)
        for (Index j = 0; j < columns; ++j) b[panel_place(table, inner, columns, k, j)] = plain[k * columns + j];
    std::vector<T> bias = numbers.padded_rows<T>(1, columns);
    if (special_bias) {
        scale(bias, 3, 7, kSmallestExponent<T> + 5);
        scale(bias, 20, 22, sizeof(T) == 4 ? 90 : 600);  // too large to be raised
    }
    const Index c_stride = padded<T>(columns);
    std::vector<T> c(rows * c_stride);
    prepare(table, before);
    table.matmul(rows, inner, columns, a.data(), inner, b.data(), bias.data(), c.data(), c_stride, {});
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j) {
            // Added last: a subnormal bias, or where the rows are raised, one too large for that.
            const bool added_last =
                raise_of(r) ? std::fabs(bias[j]) >= T(0x1p60) : std::fpclassify(bias[j]) == FP_SUBNORMAL;
            T wanted = raised_chain(
                table, raise_of(r), inner, added_last ? T(0) : bias[j], [&](Index k) { return a[r * inner + k]; },
                [&](Index k) { return plain[k * columns + j]; });
            if (added_last) wanted += bias[j];
            report.equal(c[r * c_stride + j], wanted, "tiny rows " + at({{"r", r}, {"j", j}}));
            report.hash(c[r * c_stride + j]);
        }
    // The way back: a is what comes from above, (rows × inner), through the transpose of a (columns × inner) matrix.
    std::vector<T> transposed(panel_size(table, columns, inner));
    for (Index j = 0; j < columns; ++j)
        for (Index k = 0; k < inner; ++k) transposed[panel_place(table, columns, inner, j, k)] = plain[k * columns + j];
    prepare(table, before);
    table.matmul_transposed(rows, inner, columns, 0, columns, a.data(), inner, transposed.data(), c.data(), c_stride,
                            {});
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j) {
            const T wanted = raised_chain(
                table, raise_of(r), inner, T(0), [&](Index k) { return a[r * inner + k]; },
                [&](Index k) { return plain[k * columns + j]; });
            report.equal(c[r * c_stride + j], wanted, "tiny rows, transposed " + at({{"r", r}, {"j", j}}));
            report.hash(c[r * c_stride + j]);
        }
}

// Subnormal numbers beside larger ones: in every third row of dy, of x, or of both.
template <class T>
void mixed_outer_products(const KernelTable<T>& table, Report& report, bool in_x, bool in_dy, Before before) {
    constexpr Index rows = 140, inner = 19;
    const Index columns = table.panel;
    Numbers numbers(17);
    std::vector<T> x = numbers.array<T>(rows * inner), dy = numbers.array<T>(rows * columns);
    for (Index r = 1; r < rows; r += 3) {
        if (in_x) scale(x, r * inner, (r + 1) * inner, kSmallestExponent<T> + 12);
        if (in_dy) scale(dy, r * columns, (r + 1) * columns, kSmallestExponent<T> + 12);
    }
    // Columns of zeros but for what is subnormal: it is all that is left of their sums.
    for (Index r = 0; r < rows; ++r)
        if (r % 3 != 1) dy[r * columns + 2] = x[r * inner + 5] = 0;
    std::vector<T> packed(rows * inner), out(inner * columns);
    table.pack_columns(rows, inner, x.data(), inner, packed.data());
    const int raise = kRaiseMixed<T> * (sizeof(T) == 4 && in_x && in_dy ? 2 : 1);
    for (const bool is_packed : {false, true}) {
        prepare(table, before);
        table.outer_product(rows, inner, is_packed ? packed.data() : x.data(), is_packed ? 0 : inner, dy.data(),
                            columns, 2, out.data(), {});
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < columns; ++j) {
                const T wanted = raised_chain(
                    table, raise, rows, T(0), [&](Index r) { return dy[r * columns + j]; },
                    [&](Index r) { return x[r * inner + k]; });
                report.equal(out[k * columns + j], wanted, "mixed outer product " + at({{"k", k}, {"j", j}}));
            }
    }
}

// x and the columns of dy from the 64th byte on are scaled by powers of two, the others not.
template <class T>
void outer_products(const KernelTable<T>& table, Report& report, int x_exponent, int dy_exponent) {
    constexpr Index rows = 140, inner = 19;
    const Index columns = table.panel, plain_columns = std::min(columns, kAlignment / static_cast<Index>(sizeof(T)));
    Numbers numbers(static_cast<uint64_t>(columns - x_exponent * 3 - dy_exponent));
    std::vector<T> x = numbers.array<T>(rows * inner), dy = numbers.array<T>(rows * columns);
    for (std::vector<T>* all : {&x, &dy})
        for (T& number : *all) number = std::round(number * 256) / 256;  // few bits, which a subnormal number has, too
    const std::vector<T> x_before = x, dy_before = dy;
    scale(x, 0, rows * inner, x_exponent);
    for (Index r = 0; r < rows; ++r) scale(dy, r * columns + columns % plain_columns, (r + 1) * columns, dy_exponent);
    if (columns > plain_columns)
        for (Index r = 0; r < rows; ++r) std::copy_n(&dy_before[r * columns], plain_columns, &dy[r * columns]);
    std::vector<T> packed(rows * inner), out(inner * columns);
    table.pack_columns(rows, inner, x.data(), inner, packed.data());
    for (const bool is_packed : {false, true}) {
        table.outer_product(rows, inner, is_packed ? packed.data() : x.data(), is_packed ? 0 : inner, dy.data(),
                            columns, 2, out.data(), {});
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < columns; ++j) {
                const bool scaled = columns == plain_columns || j >= plain_columns;
                T sum = 0;
                for (Index r = 0; r < rows; ++r)
                    sum = multiply_add(table, x_before[r * inner + k], dy_before[r * columns + j], sum);
                const T wanted = std::ldexp(sum, x_exponent + (scaled ? dy_exponent : 0));
                report.equal(out[k * columns + j], wanted, "tiny outer product");
            }
    }
}

// So many numbers that rounding twice would show: one in some thousands lies so that it would matter. The largest are
// subnormal by far, subnormal by a little, or normal; with `mixed`, every fifth of them is large, and slopes are tiny,
// too.
template <class T>
void backpropagated(const KernelTable<T>& table, Report& report, int exponent, bool mixed, Before before) {
    constexpr Index rows = 19, columns = 3001;
    const Index stride = padded<T>(columns);
    Numbers numbers(3);
    std::vector<T> dh = numbers.padded_rows<T>(rows, columns), h = numbers.padded_rows<T>(rows, columns);
    std::vector<T> slopes = numbers.padded_rows<T>(rows, columns);
    scale(dh, 0, 16 * stride, exponent);
    if (mixed) {
        for (Index i = 0; i < 16 * stride; i += 5) scale(dh, i, i + 1, -exponent + static_cast<int>(i % 100) - 40);
        for (Index i = 0; i < 16 * stride; i += 7) scale(slopes, i, i + 1, exponent + static_cast<int>(i % 50));
        for (Index i = 0; i < 16 * stride; i += 11)
            scale(slopes, i, i + 1, std::numeric_limits<T>::max_exponent / 2 + 5);
    }
    std::vector<T> dz(dh.size());
    const ActivationSpec tanh{ActivationKind::tanh, 0, 0};
    std::vector<ChunkSquares> squares((rows + kRowChunk - 1) / kRowChunk);
    prepare(table, before);
    table.backpropagate(tanh, false, rows, columns, dh.data(), stride, slopes.data(), stride, dz.data(), stride,
                        squares.data());
    for (Index i = 0; i < rows * stride; ++i)
        if (i % stride < columns) report.equal(dz[i], dh[i] * slopes[i], "tiny numbers by slopes");
    prepare(table, before);
    table.backpropagate(tanh, true, rows, columns, dh.data(), stride, h.data(), stride, dz.data(), stride,
                        squares.data());
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j) {
            const T at = h[r * stride + j];
            const T wanted = dh[r * stride + j] * multiply_add(table, -at, at, T(1));
            report.equal(dz[r * stride + j], wanted, "tiny numbers on their way back");
        }
}

template <class T>
void elementwise(const KernelTable<T>& table, Report& report) {
    constexpr Index rows = 19, columns = 3001;
    const Index stride = padded<T>(columns);
    Numbers numbers(3);
    std::vector<T> dh = numbers.padded_rows<T>(rows, columns), dz(dh.size()), slope(dh.size());
    scale(dh, 0, 16 * stride, kSmallestExponent<T> + 12);
    for (const auto& [kind, factor] : {std::pair{ActivationKind::tanh, 1.0}, {ActivationKind::silu, 0.5}}) {
        table.activate({kind, 0, 0}, 16, columns, dh.data(), stride, dz.data(), stride, slope.data(), stride);
        for (Index i = 0; i < 16 * stride; ++i) {
            if (i % stride >= columns) continue;
            report.equal(dz[i], static_cast<T>(factor) * dh[i], "activation of a tiny number");
            report.equal(slope[i], static_cast<T>(factor), "slope at a tiny number");
        }
    }
}

}  // namespace

template <class T>
void try_tiny(const KernelTable<T>& table, Report& report) {
    using enum Chunk;
    for (const Before before : {Before::nothing_met, Before::subnormal_met}) {
        for (const bool special_bias : {false, true}) {
            products(table, report, {plain, tiny, tiny, zero, mixed, tiny}, special_bias, before);
            products(table, report, {plain, mixed, large, mixed, mixed, plain}, special_bias, before);
        }
        for (const auto& [in_x, in_dy] : {std::pair{false, true}, {true, false}, {true, true}})
            mixed_outer_products(table, report, in_x, in_dy, before);
        for (const int above : {12, std::numeric_limits<T>::digits - 1, std::numeric_limits<T>::digits + 20})
            for (const bool mixed : {false, true})
                backpropagated(table, report, kSmallestExponent<T> + above, mixed, before);
    }
    constexpr int e = kSmallestExponent<T>;
    for (const auto& [x_exponent, dy_exponent] :
         {std::pair{0, e + 20}, {e + 20, 0}, {e / 2, e / 2}, {e / 2 - 6, e / 2}, {e / 2 - 40, e / 2}, {e / 3, e / 3}})
        outer_products(table, report, x_exponent, dy_exponent);
    elementwise(table, report);
}

template void try_tiny(const KernelTable<float>&, Report&);
template void try_tiny(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
