// QR decomposition by Householder reflections (Golub and Van Loan, "Matrix Computations", 5.2), in plain double: one
// column is contiguous in memory, and columns are reflected in stripes that fit a cache, so that a reflection is read
// from memory once for many of them. Columns do not depend on one another, so threads share the stripes.
#include <cmath>
#include <vector>

#include "parallel/pool.hpp"
#include "random/draw.hpp"

namespace gradiometer {
namespace {

constexpr int64_t kStripe = 16;  // columns

// Σ a[i] b[i] on eight accumulators, in an order that does not depend on the compiler.
double dot(int64_t count, const double* a, const double* b) {
    double lanes[8] = {};
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int lane = 0; lane < 8; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
    for (; i < count; ++i) lanes[0] += a[i] * b[i];
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// A tall matrix, column by column; after factor(), reflection k stands in column k from row k on, scaled to
// vᵀv = 2, so that it maps x to x - v (vᵀx).
class Columns {
  public:
    Columns(int64_t rows, int64_t columns)
        : rows_(rows), columns_(columns), values_(static_cast<size_t>(rows * columns)) {}

    double* column(int64_t c) { return values_.data() + c * rows_; }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }

    void reflect(int64_t k, double* x) {
        const double* v = column(k) + k;
        const double length = dot(rows_ - k, v, x + k);
        for (int64_t i = k; i < rows_; ++i) x[i] -= length * v[i - k];
    }

    // Makes reflection k out of what is below the diagonal of column k. Returns the sign of the diagonal of R.
    double make_reflection(int64_t k) {
        double* x = column(k) + k;
        const double norm = std::sqrt(dot(rows_ - k, x, x));
        const double sign = x[0] < 0 ? 1.0 : -1.0;  // of R's entry: the way that cancels nothing
        x[0] -= sign * norm;
        const double square = dot(rows_ - k, x, x);
        const double scale = square > 0 ? std::sqrt(2.0 / square) : 0.0;
        for (int64_t i = 0; i < rows_ - k; ++i) x[i] *= scale;
        return sign;
    }

  private:
    int64_t rows_, columns_;
    std::vector<double> values_;
};

// Reduces `a` to its reflections; returns the signs of the diagonal of R.
std::vector<double> factor(Columns& a, int threads) {
    std::vector<double> signs(static_cast<size_t>(a.columns()));
    run_parallel(threads, [&](Team& team, int thread) {
        for (int64_t first = 0; first < a.columns(); first += kStripe) {
            const int64_t end = std::min(first + kStripe, a.columns());
            team.meet([&] {
                for (int64_t k = first; k < end; ++k) {
                    signs[k] = a.make_reflection(k);
                    for (int64_t c = k + 1; c < end; ++c) a.reflect(k, a.column(c));
                }
            });
            for (int64_t stripe = end + thread * kStripe; stripe < a.columns(); stripe += team.size() * kStripe)
                for (int64_t k = first; k < end; ++k)
                    for (int64_t c = stripe; c < std::min(stripe + kStripe, a.columns()); ++c)
                        a.reflect(k, a.column(c));
        }
    });
    return signs;
}

}  // namespace

void draw_orthogonal(const Stream& stream, int64_t rows, int64_t columns, double* out) {
    const bool tall = rows >= columns;
    Columns a(tall ? rows : columns, tall ? columns : rows);
    draw_normal(stream, rows * columns, a.column(0));
    const int threads = a.columns() >= 4 * kStripe ? num_threads() : 1;
    const std::vector<double> signs = factor(a, threads);

    // Q = H_0 H_1 … times the columns of the identity, each independent of the others.
    Columns q(a.rows(), a.columns());
    run_parallel(threads, [&](Team& team, int thread) {
        for (int64_t stripe = thread * kStripe; stripe < q.columns(); stripe += team.size() * kStripe) {
            const int64_t end = std::min(stripe + kStripe, q.columns());
            for (int64_t c = stripe; c < end; ++c) q.column(c)[c] = signs[c];
            for (int64_t k = end - 1; k >= 0; --k)  // later reflections leave these columns as they are
                for (int64_t c = stripe; c < end; ++c) a.reflect(k, q.column(c));
        }
    });
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = tall ? q.column(c)[r] : q.column(r)[c];
}

}  // namespace gradiometer
