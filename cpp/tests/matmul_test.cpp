// Matrix products and panels. Every output is one chain of multiply-adds in the order of the summed index, so the plain
// loops below give the same bits.
#include <algorithm>

#include "check.hpp"

namespace gradiometer::test {

template <class T>
void try_matmul(const KernelTable<T>& table, Report& report) {
    const auto product = [&](Index rows, Index inner, Index columns, bool with_bias) {
        Numbers numbers(static_cast<uint64_t>(rows * 1000003 + inner * 1009 + columns));
        const Index a_stride = inner + rows % 3;
        const std::vector<T> a = numbers.array<T>(rows * a_stride - (a_stride - inner));
        std::vector<T> b(panel_size(table, inner, columns));
        std::vector<T> plain = numbers.array<T>(inner * columns);
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < columns; ++j) b[panel_place(table, inner, columns, k, j)] = plain[k * columns + j];
        const std::vector<T> bias = numbers.padded_rows<T>(1, columns);
        const Index c_stride = padded<T>(columns);
        std::vector<T> c(rows * c_stride, T(77));
        table.matmul(rows, inner, columns, a.data(), a_stride, b.data(), with_bias ? bias.data() : nullptr, c.data(),
                     c_stride, {.b = b.data(), .written = c.data()});
        for (Index r = 0; r < rows; ++r) {
            for (Index j = 0; j < columns; ++j) {
                T sum = with_bias ? bias[j] : T(0);
                for (Index k = 0; k < inner; ++k)
                    sum = multiply_add(table, a[r * a_stride + k], plain[k * columns + j], sum);
                report.equal(
                    c[r * c_stride + j], sum,
                    "matmul " + at({{"rows", rows}, {"inner", inner}, {"columns", columns}, {"r", r}, {"j", j}}));
                report.hash(c[r * c_stride + j]);
            }
        }
    };
    // The sizes do not depend on the width of a vector, so that the hashes of two instruction sets can be compared.
    for (Index columns = 1; columns <= 67; ++columns) product(1 + columns % 5, 1 + columns % 7, columns, columns % 2);
    for (Index rows = 1; rows <= 27; ++rows)
        for (const Index columns : {1, 15, 16, 17, 33}) product(rows, 5, columns, true);
    for (const Index inner : {1, 2, 127, 128, 129, 256, 257, 520}) product(14, inner, 35, inner % 2);
}

template <class T>
void try_panels(const KernelTable<T>& table, Report& report) {
    for (const auto& [inner, columns] : std::vector<std::pair<Index, Index>>{{1, 1},
                                                                             {3, 5},
                                                                             {7, 16},
                                                                             {16, 17},
                                                                             {31, 33},
                                                                             {32, 64},
                                                                             {129, 9},
                                                                             {130, 70},
                                                                             {257, 31},
                                                                             {5, 65},
                                                                             {33, 300},
                                                                             {40, 515}}) {
        Numbers numbers(static_cast<uint64_t>(inner * 1000 + columns));
        const std::vector<T> row_major = numbers.array<T>(columns * inner);
        std::vector<T> panels(panel_size(table, inner, columns), T(5)), back(row_major.size());
        table.pack_transposed(inner, columns, row_major.data(), panels.data());
        table.unpack_transposed(inner, columns, panels.data(), back.data());
        for (Index k = 0; k < inner; ++k)
            for (Index j = 0; j < columns; ++j)
                report.equal(panels[panel_place(table, inner, columns, k, j)], row_major[j * inner + k], "pack");
        report.expect(back == row_major, "unpack is not the inverse of pack");

        for (const Index rows : {1, 2, 9, 40, 300}) {
            const std::vector<T> x = numbers.array<T>(rows * inner);
            const std::vector<T> dy = numbers.padded_rows<T>(rows, columns);
            const Index dy_stride = padded<T>(columns);
            const Index dx_stride = padded<T>(inner);
            std::vector<T> dx(rows * dx_stride, T(77));
            // In two parts, as threads share it.
            const Index half = (inner + table.panel - 1) / table.panel / 2 * table.panel;
            for (const auto& [begin, end] : {std::pair{Index{0}, half}, std::pair{half, inner}})
                table.matmul_transposed(rows, columns, inner, begin, end, dy.data(), dy_stride, panels.data(),
                                        dx.data(), dx_stride,
                                        {.b = panels.data(), .read = dy.data(), .written = dx.data()});
            for (Index r = 0; r < rows; ++r) {
                for (Index k = 0; k < inner; ++k) {
                    T sum = 0;
                    for (Index j = 0; j < columns; ++j)
                        sum = multiply_add(table, dy[r * dy_stride + j], row_major[j * inner + k], sum);
                    report.equal(dx[r * dx_stride + k], sum, "matmul transposed");
                }
                for (Index k = inner; k < dx_stride; ++k)
                    report.expect(dx[r * dx_stride + k] == 0 || dx[r * dx_stride + k] == T(77), "padding of dx");
            }
            for (Index first = 0; first < columns; first += table.panel) {
                const Index vectors = columns - first > table.lanes ? 2 : 1;
                const Index width = vectors * table.lanes;
                for (Index begin = 0; begin < inner; begin += kInnerChunk) {
                    const Index end = std::min(begin + kInnerChunk, inner);
                    std::vector<T> out((end - begin) * width), packed(rows * (end - begin));
                    table.pack_columns(rows, end - begin, x.data() + begin, inner, packed.data());
                    const Ahead<T> ahead{.a = x.data(), .a_stride = inner, .b = dy.data(), .written = out.data()};
                    for (const bool is_packed : {false, true}) {
                        table.outer_product(rows, end - begin, is_packed ? packed.data() : x.data() + begin,
                                            is_packed ? 0 : inner, dy.data() + first, dy_stride, vectors, out.data(),
                                            ahead);
                        for (Index k = begin; k < end; ++k) {
                            for (Index j = first; j < std::min(first + width, columns); ++j) {
                                T sum = 0;
                                for (Index r = 0; r < rows; ++r)
                                    sum = multiply_add(table, x[r * inner + k], dy[r * dy_stride + j], sum);
                                report.equal(out[(k - begin) * width + j - first], sum, "outer product");
                            }
                        }
                    }
                }
            }
        }
    }
}

template void try_matmul(const KernelTable<float>&, Report&);
template void try_matmul(const KernelTable<double>&, Report&);
template void try_panels(const KernelTable<float>&, Report&);
template void try_panels(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
