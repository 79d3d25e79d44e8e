// Layer norm and residual connections at every tail, against plain loops in double.
#include <algorithm>

#include "check.hpp"

namespace gradiometer::test {
namespace {

template <class T>
struct Row {
    double mean = 0, inverse_std = 0;
    Row(const T* z, Index columns, double eps) {
        const double n = static_cast<double>(columns);
        double variance = 0;
        for (Index j = 0; j < columns; ++j) mean += static_cast<double>(z[j]) / n;
        for (Index j = 0; j < columns; ++j) variance += std::pow(static_cast<double>(z[j]) - mean, 2) / n;
        inverse_std = 1 / std::sqrt(variance + eps);
    }
};

template <class T>
void layer_norm_of_width(const KernelTable<T>& table, Index columns, bool affine, Report& report) {
    constexpr double kEps = 1e-5;
    const Index rows = 1 + columns % 6, stride = padded<T>(columns);
    Numbers numbers(static_cast<uint64_t>(columns) * 2 + affine);
    const std::vector<T> z = numbers.padded_rows<T>(rows, columns), above = numbers.padded_rows<T>(rows, columns);
    const std::vector<T> gammas = numbers.padded_rows<T>(1, columns), betas = numbers.padded_rows<T>(1, columns);
    const T* gamma = affine ? gammas.data() : nullptr;
    const T* beta = affine ? betas.data() : nullptr;
    std::vector<T> normalized(z.size(), T(9)), y(z.size(), T(9)), inverse(rows);
    table.layer_norm(rows, columns, z.data(), stride, kEps, gamma, beta, normalized.data(), stride, y.data(), stride,
                     inverse.data());
    std::vector<T> dz = above;
    table.layer_norm_backward(rows, columns, dz.data(), stride, normalized.data(), stride, gamma, inverse.data());
    const double n = static_cast<double>(columns);
    for (Index r = 0; r < rows; ++r) {
        const Row<T> row(z.data() + r * stride, columns, kEps);
        const auto x_hat = [&](Index j) {
            return (static_cast<double>(z[r * stride + j]) - row.mean) * row.inverse_std;
        };
        const auto g = [&](Index j) {
            return static_cast<double>(above[r * stride + j]) * (affine ? static_cast<double>(gammas[j]) : 1);
        };
        double sum = 0, products = 0;
        for (Index j = 0; j < columns; ++j) {
            sum += g(j);
            products += g(j) * x_hat(j);
        }
        const std::string where = "layer norm " + at({{"columns", columns}, {"affine", affine}, {"r", r}});
        // x̂ carries the roundings of the mean and of 1 / std.
        const double tolerance = 4 * kEpsilon<T> * (1 + row.inverse_std);
        // Rounded once to T; sums of doubles in another order are off by some units of their own last place.
        report.close(inverse[r], row.inverse_std, kEpsilon<T> + 16 * kEpsilon<double>, row.inverse_std,
                     where + " 1 / std");
        for (Index j = 0; j < columns; ++j) {
            const Index i = r * stride + j;
            const double wanted =
                affine ? static_cast<double>(gammas[j]) * x_hat(j) + static_cast<double>(betas[j]) : x_hat(j);
            report.close(normalized[i], x_hat(j), tolerance, 2, where + " x̂");
            report.close(y[i], wanted, tolerance, 2, where + " y");
            report.close(dz[i], row.inverse_std * (g(j) - sum / n - x_hat(j) * products / n), tolerance,
                         4 * (1 + row.inverse_std), where + " dz");
            report.hash(y[i]);
            report.hash(dz[i]);
        }
        // Sums over the batch read whole vectors: what stands beside the columns must add nothing.
        for (Index j = columns; j < (columns + table.lanes - 1) / table.lanes * table.lanes; ++j) {
            report.equal(normalized[r * stride + j], T(0), where + " beside x̂");
            report.equal(dz[r * stride + j], T(0), where + " beside dz");
        }
    }
    std::vector<T> in_place = z;
    table.layer_norm(rows, columns, in_place.data(), stride, kEps, gamma, beta, nullptr, 0, in_place.data(), stride,
                     nullptr);
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j)
            report.equal(in_place[r * stride + j], y[r * stride + j], "layer norm in place");
}

}  // namespace

template <class T>
void try_layer_norm(const KernelTable<T>& table, Report& report) {
    for (Index columns = 1; columns <= 70; ++columns)
        for (const bool affine : {true, false}) layer_norm_of_width(table, columns, affine, report);
    // A small spread on top of a large mean, which E[x²] - E[x]² would lose, and numbers whose squares overflow T.
    const Index columns = 40, stride = padded<T>(columns);
    const double huge = sizeof(T) == 4 ? 1e25 : 1e100;
    for (const auto& [offset, size] : std::vector<std::pair<double, double>>{{1000, 1}, {0, huge}}) {
        Numbers numbers(5);
        std::vector<T> z = numbers.padded_rows<T>(1, columns), y(z.size());
        for (Index j = 0; j < columns; ++j) z[j] = static_cast<T>(offset + size * static_cast<double>(z[j]));
        const Row<T> row(z.data(), columns, 0);
        table.layer_norm(1, columns, z.data(), stride, 0, nullptr, nullptr, nullptr, 0, y.data(), stride, nullptr);
        for (Index j = 0; j < columns; ++j)
            report.close(y[j], (static_cast<double>(z[j]) - row.mean) * row.inverse_std, 4 * kEpsilon<T>,
                         2 + offset * row.inverse_std, "layer norm of hard numbers");
    }
}

template <class T>
void try_residual(const KernelTable<T>& table, Report& report) {
    for (Index columns = 1; columns <= 70; ++columns) {
        const Index rows = 1 + columns % 3, stride = padded<T>(columns), wide = stride + padded<T>(1);
        for (const double scale : {1.0, -0.3}) {
            Numbers numbers(static_cast<uint64_t>(columns));
            const std::vector<T> x = numbers.padded_rows<T>(rows, columns), f = numbers.padded_rows<T>(rows, columns);
            const T factor = static_cast<T>(scale);
            std::vector<T> sum(rows * wide, T(9)), scaled(rows * wide, T(9)), in_place = f;
            table.residual(rows, columns, x.data(), stride, scale, f.data(), stride, sum.data(), wide);
            table.residual(rows, columns, nullptr, 0, scale, f.data(), stride, scaled.data(), wide);
            table.residual(rows, columns, x.data(), stride, scale, in_place.data(), stride, in_place.data(), stride);
            for (Index r = 0; r < rows; ++r) {
                for (Index j = 0; j < columns; ++j) {
                    const std::string where = at({{"columns", columns}, {"r", r}, {"j", j}});
                    const T wanted = multiply_add(table, factor, f[r * stride + j], x[r * stride + j]);
                    report.equal(sum[r * wide + j], wanted, "residual " + where);
                    report.equal(in_place[r * stride + j], wanted, "residual in place " + where);
                    const T product = factor * f[r * stride + j];
                    report.equal(scaled[r * wide + j], product, "scaled " + where);
                    report.hash(sum[r * wide + j]);
                }
            }
        }
    }
}

template void try_layer_norm(const KernelTable<float>&, Report&);
template void try_layer_norm(const KernelTable<double>&, Report&);
template void try_residual(const KernelTable<float>&, Report&);
template void try_residual(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
