// Batch norm, losses and optimizers, against plain loops in double.
#include <algorithm>

#include "check.hpp"

namespace gradiometer::test {

template <class T>
void try_batch_norm(const KernelTable<T>& table, Report& report) {
    for (const auto& [rows, width] :
         std::vector<std::pair<Index, Index>>{{2, 1}, {3, 7}, {8, 16}, {9, 17}, {21, 33}, {32, 5}, {75, 40}}) {
        const Index batch = rows, columns = width;  // not every compiler lets a lambda capture a binding
        const Index group = batch < 64 ? 16 : 32;
        const Index stride = padded<T>(columns), groups = (batch + group - 1) / group;
        Numbers numbers(static_cast<uint64_t>(batch * 100 + columns));
        const std::vector<T> z = numbers.padded_rows<T>(batch, columns), gamma = numbers.padded_rows<T>(1, columns),
                             beta = numbers.padded_rows<T>(1, columns), above = numbers.padded_rows<T>(batch, columns);
        std::vector<T> means(groups * stride), squares(groups * stride), mean(stride), variance(stride),
            inverse(stride);
        std::vector<T> normalized(z.size()), y(z.size()), sums(groups * stride), products(groups * stride), sum(stride),
            product(stride);
        for (Index row = 0, at = 0; row < batch; row += group, at += stride)
            table.batch_norm_group(std::min(group, batch - row), columns, z.data() + row * stride, stride,
                                   means.data() + at, squares.data() + at);
        table.batch_norm_merge(batch, group, columns, means.data(), squares.data(), stride, 1e-5, mean.data(),
                               variance.data(), inverse.data());
        table.batch_norm_apply(batch, columns, z.data(), stride, mean.data(), inverse.data(), gamma.data(), beta.data(),
                               normalized.data(), stride, y.data(), stride);
        std::vector<T> dz = above;
        for (Index row = 0; row < batch; row += kRowChunk) {
            const Index at = row / group * stride;
            table.batch_norm_backward_chunk(std::min(kRowChunk, batch - row), columns, dz.data() + row * stride, stride,
                                            normalized.data() + row * stride, stride, row % group != 0,
                                            sums.data() + at, products.data() + at);
        }
        table.sum_chunks(groups, columns, sums.data(), stride, sum.data());
        table.sum_chunks(groups, columns, products.data(), stride, product.data());
        std::vector<T> in_place_of_normalized = normalized;
        table.batch_norm_backward_apply(batch, columns, batch, dz.data(), stride, in_place_of_normalized.data(), stride,
                                        gamma.data(), inverse.data(), sum.data(), product.data(),
                                        in_place_of_normalized.data(), stride);
        table.batch_norm_backward_apply(batch, columns, batch, dz.data(), stride, normalized.data(), stride,
                                        gamma.data(), inverse.data(), sum.data(), product.data(), dz.data(), stride);
        const double n = static_cast<double>(batch);
        for (Index j = 0; j < columns; ++j) {
            double m = 0, v = 0, s = 0, p = 0;
            for (Index r = 0; r < batch; ++r) m += static_cast<double>(z[r * stride + j]) / n;
            for (Index r = 0; r < batch; ++r) v += std::pow(static_cast<double>(z[r * stride + j]) - m, 2) / n;
            const double root = 1 / std::sqrt(v + 1e-5);
            for (Index r = 0; r < batch; ++r) {
                s += static_cast<double>(above[r * stride + j]);
                p += static_cast<double>(above[r * stride + j]) * (static_cast<double>(z[r * stride + j]) - m) * root;
            }
            const std::string where = "batch norm " + at({{"batch", batch}, {"columns", columns}, {"j", j}});
            // x̂ and what is made of it carry the rounding of 1 / std.
            const double tolerance = 16 * kEpsilon<T> * (1 + root);
            report.close(mean[j], m, 4 * kEpsilon<T>, 1, where + " mean");
            report.close(variance[j], v, 8 * kEpsilon<T>, 1, where + " variance");
            report.close(sum[j], s, tolerance, n, where + " sum");
            report.close(product[j], p, tolerance, n, where + " product sum");
            for (Index r = 0; r < batch; ++r) {
                const Index i = r * stride + j;
                const double x = (static_cast<double>(z[i]) - m) * root;
                report.close(normalized[i], x, tolerance, 2, where + " x̂");
                report.close(y[i], static_cast<double>(gamma[j]) * x + static_cast<double>(beta[j]), tolerance, 2,
                             where + " y");
                report.close(dz[i],
                             static_cast<double>(gamma[j]) * root * (static_cast<double>(above[i]) - s / n - x * p / n),
                             tolerance, 4 * (1 + root), where + " dz");
                report.equal(in_place_of_normalized[i], dz[i], where + " dz in place of x̂");
                report.hash(y[i]);
                report.hash(dz[i]);
            }
        }
    }
}

template <class T>
void try_losses(const KernelTable<T>& table, Report& report) {
    for (Index columns = 1; columns <= 35; ++columns) {
        const Index rows = 1 + columns % 4, stride = padded<T>(columns);
        Numbers numbers(static_cast<uint64_t>(columns));
        std::vector<T> z = numbers.padded_rows<T>(rows, columns);
        for (T& x : z) x *= T(5);
        std::vector<T> targets = numbers.array<T>(rows * columns);
        for (T& x : targets) x = std::fabs(x);
        std::vector<int64_t> labels(rows);
        std::vector<double> scale(rows), loss(rows);
        for (Index r = 0; r < rows; ++r) {
            labels[r] = (r * 7 + columns / 2) % columns;
            scale[r] = 0.25 + 0.5 * static_cast<double>(r);
        }
        const auto check = [&](const char* name, const std::vector<T>& gradient, Index r, double wanted,
                               auto wanted_gradient) {
            const std::string where = std::string(name) + " " + at({{"columns", columns}, {"r", r}});
            report.close(loss[r], wanted, 32 * kEpsilon<T>, 1 + std::fabs(wanted), where + " loss");
            report.hash(loss[r]);
            // The rest of a last vector is zero too; the room behind it is left alone.
            for (Index j = 0; j < (columns + table.lanes - 1) / table.lanes * table.lanes; ++j) {
                const double g = j < columns ? scale[r] * wanted_gradient(j) : 0;
                report.close(gradient[r * stride + j], g, 32 * kEpsilon<T>, j < columns ? 2 + std::fabs(g) : 0,
                             where + " gradient");
                if (j < columns) report.hash(gradient[r * stride + j]);
            }
        };
        const auto logit = [&](Index r, Index j) { return static_cast<double>(z[r * stride + j]); };
        const auto target = [&](Index r, Index j) { return static_cast<double>(targets[r * columns + j]); };
        const double n = static_cast<double>(columns);

        std::vector<T> gradient(z.size(), T(9));
        table.cross_entropy(rows, columns, z.data(), stride, labels.data(), scale.data(), loss.data(), gradient.data(),
                            stride);
        for (Index r = 0; r < rows; ++r) {
            double total = 0;
            for (Index j = 0; j < columns; ++j) total += std::exp(logit(r, j));
            check("cross entropy", gradient, r, std::log(total) - logit(r, labels[r]),
                  [&](Index j) { return std::exp(logit(r, j)) / total - (j == labels[r] ? 1 : 0); });
        }
        std::fill(gradient.begin(), gradient.end(), T(9));
        table.bce_with_logits(rows, columns, z.data(), stride, targets.data(), columns, scale.data(), loss.data(),
                              gradient.data(), stride);
        for (Index r = 0; r < rows; ++r) {
            double total = 0;
            for (Index j = 0; j < columns; ++j) total += std::log1p(std::exp(logit(r, j))) - logit(r, j) * target(r, j);
            check("bce", gradient, r, total / n,
                  [&](Index j) { return (1 / (1 + std::exp(-logit(r, j))) - target(r, j)) / n; });
        }
        std::fill(gradient.begin(), gradient.end(), T(9));
        table.mse(rows, columns, z.data(), stride, targets.data(), columns, scale.data(), loss.data(), gradient.data(),
                  stride);
        for (Index r = 0; r < rows; ++r) {
            double total = 0;
            for (Index j = 0; j < columns; ++j) total += std::pow(logit(r, j) - target(r, j), 2);
            check("mse", gradient, r, total / n, [&](Index j) { return 2 * (logit(r, j) - target(r, j)) / n; });
        }
        // Without a gradient, only the loss.
        table.cross_entropy(rows, columns, z.data(), stride, labels.data(), scale.data(), loss.data(), nullptr, 0);
    }
}

template <class T>
void try_updates(const KernelTable<T>& table, Report& report) {
    for (const UpdateRule rule : {UpdateRule::sgd, UpdateRule::adam, UpdateRule::adamw, UpdateRule::rmsprop}) {
        for (Index rows = 1; rows <= 9; ++rows) {
            const Index vectors = 1 + rows % 2, width = vectors * table.lanes;
            Numbers numbers(static_cast<uint64_t>(rows * table.lanes));
            std::vector<T> w = numbers.array<T>(rows * width), g = numbers.array<T>(rows * width),
                           first = numbers.array<T>(rows * width), second = numbers.array<T>(rows * width);
            for (T& x : first) x = rule == UpdateRule::rmsprop ? std::fabs(x) : x;
            for (T& x : second) x = rule == UpdateRule::rmsprop ? x : std::fabs(x);
            UpdateSpec spec = {};
            spec.rule = rule;
            spec.nesterov = rows % 3 == 0;
            spec.clip_values = rows % 4 == 0;
            spec.clip_limit = 0.3;
            spec.gradient_scale = 0.7;
            spec.learning_rate = 0.1;
            spec.weight_decay = rule == UpdateRule::rmsprop ? 0 : 0.05;
            spec.momentum = 0.9;
            spec.dampening = 0.2;
            spec.beta1 = 0.8;
            spec.beta2 = 0.95;
            spec.epsilon = 1e-4;
            spec.correction1 = 1 - 0.8 * 0.8;
            spec.correction2 = 1 - 0.95 * 0.95;
            const std::vector<T> w0 = w, m0 = first, v0 = second;
            std::vector<double> weight_squares(kSquareSums<T> * width), update_squares(kSquareSums<T> * width);
            const Index medium = kSquareSums<T> / 2 * width;  // the medium one of three, or the only one
            table.update(spec, rows, vectors, w.data(), g.data(), nullptr, first.data(), second.data(),
                         weight_squares.data(), update_squares.data(), width);
            std::vector<double> wanted_weight(width), wanted_update(width);
            for (Index i = 0; i < rows * width; ++i) {
                const double old = static_cast<double>(w0[i]), m = static_cast<double>(m0[i]),
                             v = static_cast<double>(v0[i]);
                double gradient = static_cast<double>(g[i]) * 0.7, next = 0;
                if (spec.clip_values) gradient = std::min(0.3, std::max(-0.3, gradient));
                if (rule != UpdateRule::adamw) gradient += spec.weight_decay * old;
                if (rule == UpdateRule::sgd) {
                    const double buffer = 0.9 * m + 0.8 * gradient;
                    next = old - 0.1 * (spec.nesterov ? gradient + 0.9 * buffer : buffer);
                } else if (rule == UpdateRule::rmsprop) {
                    const double change =
                        0.9 * v + gradient / (std::sqrt(0.95 * m + 0.05 * gradient * gradient) + 1e-4);
                    next = old - 0.1 * change;
                } else {
                    const double shrunk = rule == UpdateRule::adamw ? old * (1 - 0.1 * 0.05) : old;
                    const double mean = 0.8 * m + 0.2 * gradient, square = 0.95 * v + 0.05 * gradient * gradient;
                    next = shrunk - 0.1 / spec.correction1 * mean / (std::sqrt(square / spec.correction2) + 1e-4);
                }
                // Divided by a small root, rounding errors of the state grow.
                report.close(w[i], next, 64 * kEpsilon<T>, 1 + std::fabs(next - old),
                             "update " + at({{"rule", static_cast<Index>(rule)}, {"rows", rows}, {"i", i}}));
                wanted_weight[i % width] += old * old;
                wanted_update[i % width] += std::pow(static_cast<double>(w[i]) - old, 2);
            }
            for (Index j = 0; j < width; ++j) {
                report.close(weight_squares[medium + j], wanted_weight[j], 1e-13, wanted_weight[j],
                             "squares of the weights");
                report.close(update_squares[medium + j], wanted_update[j], 1e-13, wanted_update[j],
                             "squares of the update");
            }
            std::vector<T> again = w0, m = m0, v = v0;
            table.update(spec, rows, vectors, again.data(), g.data(), nullptr, m.data(), v.data(), nullptr, nullptr, 0);
            report.expect(again == w, "the update depends on whether it is measured");

            // Factors for each column: gradients that are scaled beforehand, and one coefficient that would be
            // subnormal as a float if it came in one piece.
            std::vector<T> scales = numbers.array<T>(2 * width), scaled = g, by_columns = w0, beforehand = w0;
            for (Index j = 0; j < width; ++j) scales[width + j] = T(1);
            scales[0] = static_cast<T>(kCoefficientPower);
            scales[width] = static_cast<T>(0x1p-70);
            g[0] = scaled[0] = static_cast<T>(0x1.8p120);
            for (Index i = 0; i < rows * width; ++i) scaled[i] *= scales[i % width];
            for (Index i = 0; i < rows * width; ++i) scaled[i] *= scales[width + i % width];
            spec.gradient_scale = 1;
            m = m0, v = v0;
            std::vector<T> m_again = m0, v_again = v0;
            table.update(spec, rows, vectors, by_columns.data(), g.data(), scales.data(), m.data(), v.data(), nullptr,
                         nullptr, width);
            table.update(spec, rows, vectors, beforehand.data(), scaled.data(), nullptr, m_again.data(), v_again.data(),
                         nullptr, nullptr, 0);
            report.expect(by_columns == beforehand && m == m_again && v == v_again, "factors of columns");
            table.update(spec, rows, vectors, (by_columns = w0).data(), g.data(), scales.data(), (m = m0).data(),
                         (v = v0).data(), weight_squares.data(), update_squares.data(), width);
            report.expect(by_columns == beforehand, "factors of columns depend on whether the update is measured");

            // The same entries on every instruction set, for the hash: one cache line a row.
            const Index line = kAlignment / static_cast<Index>(sizeof(T));
            Numbers same(static_cast<uint64_t>(rows));
            w = same.array<T>(rows * line);
            g = same.array<T>(rows * line);
            m.assign(w.size(), T(0.5));
            v.assign(w.size(), T(0.25));
            table.update(spec, rows, line / table.lanes, w.data(), g.data(), nullptr, m.data(), v.data(), nullptr,
                         nullptr, 0);
            for (const T x : w) report.hash(x);
        }
    }
}

template void try_batch_norm(const KernelTable<float>&, Report&);
template void try_batch_norm(const KernelTable<double>&, Report&);
template void try_losses(const KernelTable<float>&, Report&);
template void try_losses(const KernelTable<double>&, Report&);
template void try_updates(const KernelTable<float>&, Report&);
template void try_updates(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
