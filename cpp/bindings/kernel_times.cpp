// Times of single kernels in one thread, for `gradiometer bench --kernels`: how close each comes to what the processor
// and its caches allow.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "bindings/python_lock.hpp"
#include "kernels/dispatch.hpp"
#include "network/aligned_array.hpp"
#include "network/workspace.hpp"

namespace py = pybind11;

namespace gradiometer {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Index kReal = static_cast<Index>(sizeof(float));

struct Job {
    const char* name;
    double operations;  // of a matrix product; 0 where moving the data is what takes the time
    double bytes;       // that must be read or written at least
    std::function<void()> run;
};

// Arrays for the kernels of one layer: `rows` of a batch, `columns` units on both sides. Numbers are such that calling
// a kernel a million times over makes no subnormals, with which processors are slow.
class Layer {
  public:
    Layer(Index rows, Index columns)
        : rows_(rows), columns_(columns), stride_(columns + 16), vectors_(columns / kernels<float>().lanes) {
        for (AlignedArray<float>* matrix : {&x_, &y_, &z_, &w_, &g_, &m_, &v_}) {
            *matrix = AlignedArray<float>(std::max(rows, columns) * stride_);
            for (Index i = 0; i < matrix->size(); ++i) matrix->data()[i] = std::sin(0.7f * static_cast<float>(i)) / 8;
        }
        for (Index i = 0; i < v_.size(); ++i) v_.data()[i] = 0.01f;
        std::fill_n(one_.data(), columns, 1.0f);
        update_.learning_rate = 1e-9;
        update_.gradient_scale = 1;
        update_.beta1 = 0.9;
        update_.beta2 = 0.999;
        update_.epsilon = 1e-8;
        update_.correction1 = update_.correction2 = 1;
    }

    std::vector<Job> jobs() {
        const double entries = static_cast<double>(rows_ * columns_),
                     weights = static_cast<double>(columns_ * columns_);
        const double products = 2 * entries * static_cast<double>(columns_);
        const double product_bytes = kReal * (2 * entries + weights);
        return {
            {"matmul", products, product_bytes, [this] { matmul(); }},
            {"matmul_transposed", products, product_bytes, [this] { matmul_transposed(); }},
            {"outer_product", products, product_bytes, [this] { outer_product(); }},
            {"relu", 0, 2 * kReal * entries, [this] { activate(ActivationKind::relu); }},
            {"tanh", 0, 2 * kReal * entries, [this] { activate(ActivationKind::tanh); }},
            {"sigmoid", 0, 2 * kReal * entries, [this] { activate(ActivationKind::sigmoid); }},
            {"gelu", 0, 2 * kReal * entries, [this] { activate(ActivationKind::gelu); }},
            {"backpropagate", 0, 3 * kReal * entries, [this] { backpropagate(); }},
            {"dropout", 0, 2 * kReal * entries, [this] { dropout(); }},
            {"batch_norm_group", 0, kReal * entries, [this] { batch_norm_group(); }},
            {"batch_norm_apply", 0, 3 * kReal * entries, [this] { batch_norm_apply(); }},
            {"batch_norm_backward", 0, 3 * kReal * entries, [this] { batch_norm_backward(); }},
            {"cross_entropy", 0, 2 * kReal * entries, [this] { cross_entropy(); }},
            {"row_squares", 0, kReal * entries, [this] { row_squares(); }},
            {"column_sums", 0, kReal * entries,
             [this] { table_.column_sums(rows_, vectors_, x(), columns_, sums_.data()); }},
            {"weight_squares", 0, kReal * weights, [this] { column_squares(); }},
            {"weight_statistics", 0, kReal * weights, [this] { column_statistics(); }},
            {"sgd", 0, 3 * kReal * weights, [this] { update(UpdateRule::sgd); }},
            {"adam", 0, 7 * kReal * weights, [this] { update(UpdateRule::adam); }},
        };
    }

  private:
    float* x() { return x_.data(); }

    void matmul() {
        table_.matmul(rows_, columns_, columns_, x(), stride_, w_.data(), one_.data(), y_.data(), stride_,
                      {.b = w_.data(), .written = y_.data()});
    }

    void matmul_transposed() {
        table_.matmul_transposed(rows_, columns_, columns_, 0, columns_, x(), stride_, w_.data(), y_.data(), stride_,
                                 {.b = w_.data()});
    }

    // Calls the function with each chunk of the weights' rows and each panel, and where that begins.
    template <class Function>
    void for_chunks(const Function& function) {
        for (Index begin = 0; begin < columns_; begin += kInnerChunk)
            for (Index panel = 0; panel < columns_ / table_.panel; ++panel)
                function(panel, begin, std::min(begin + kInnerChunk, columns_),
                         (panel * columns_ + begin) * table_.panel);
    }

    void outer_product() {
        for_chunks([&](Index panel, Index begin, Index end, Index offset) {
            const bool packs = Workspace<float>::packs(stride_);
            if (packs && panel == 0) table_.pack_columns(rows_, end - begin, x() + begin, stride_, m_.data());
            const Index next = (panel + 1) * table_.panel % columns_;
            table_.outer_product(rows_, end - begin, packs ? m_.data() : x() + begin, packs ? 0 : stride_,
                                 y_.data() + panel * table_.panel, stride_, 2, g_.data() + offset,
                                 {.b = y_.data() + next});
        });
    }

    void activate(ActivationKind kind) {
        table_.activate({kind, 0, 0}, rows_, columns_, x(), columns_, y_.data(), columns_, nullptr, 0);
    }

    void backpropagate() {
        table_.backpropagate({ActivationKind::tanh, 0, 0}, true, rows_, columns_, x(), columns_, z_.data(), columns_,
                             y_.data(), columns_, squares_.data());
    }

    void dropout() {
        // A scale of 1, for the same numbers again and again.
        const DropoutSpec spec{{1, 2}, 0, 0, 1u << 29, false, 1.0};
        table_.dropout(spec, rows_, 0, columns_, y_.data(), columns_, nullptr, 0, false);
    }

    void batch_norm_group() {
        constexpr Index kGroup = 32;
        for (Index row = 0; row < rows_; row += kGroup)
            table_.batch_norm_group(std::min(kGroup, rows_ - row), columns_, x() + row * columns_, columns_,
                                    sums_.data(), sums_.data() + columns_);
    }

    void batch_norm_apply() {
        table_.batch_norm_apply(rows_, columns_, x(), columns_, zero_.data(), one_.data(), one_.data(), zero_.data(),
                                z_.data(), columns_, y_.data(), columns_);
    }

    void batch_norm_backward() {
        table_.batch_norm_backward_apply(rows_, columns_, rows_, y_.data(), columns_, x(), columns_, one_.data(),
                                         one_.data(), zero_.data(), zero_.data(), y_.data(), columns_);
    }

    void cross_entropy() {
        table_.cross_entropy(rows_, columns_, x(), columns_, labels_.data(), row_scale_.data(), row_loss_.data(),
                             y_.data(), columns_);
    }

    void row_squares() { table_.row_chunk_squares(rows_, columns_, x(), columns_, squares_.data()); }

    void column_squares() {
        for_chunks([&](Index, Index begin, Index end, Index offset) {
            table_.column_squares(end - begin, 2, g_.data() + offset, column_sums_.data(), table_.panel);
        });
    }

    void column_statistics() {
        for_chunks([&](Index, Index begin, Index end, Index offset) {
            table_.column_statistics(end - begin, 2, table_.panel, g_.data() + offset, column_sums_.data(),
                                     table_.panel, &counts_);
        });
    }

    void update(UpdateRule rule) {
        update_.rule = rule;
        for_chunks([&](Index, Index begin, Index end, Index offset) {
            table_.update(update_, end - begin, 2, w_.data() + offset, g_.data() + offset, nullptr, m_.data() + offset,
                          v_.data() + offset, nullptr, nullptr, table_.panel);
        });
    }

    const KernelTable<float>& table_ = kernels<float>();
    Index rows_, columns_, stride_, vectors_;
    AlignedArray<float> x_, y_, z_;      // of the batch
    AlignedArray<float> w_, g_, m_, v_;  // weights, gradient, and what Adam remembers
    AlignedArray<float> zero_{columns_}, one_{columns_}, sums_{2 * columns_};
    AlignedArray<ChunkSquares> squares_{rows_ / kRowChunk + 1};
    AlignedArray<double> column_sums_{(kSquareSums<float> + 1) * table_.panel};
    EntryCounts counts_;
    AlignedArray<int64_t> labels_{rows_};
    AlignedArray<double> row_scale_{rows_}, row_loss_{rows_};
    UpdateSpec update_{};
};

double seconds_of(const std::function<void()>& run, Index count) {
    const auto start = Clock::now();
    for (Index i = 0; i < count; ++i) run();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// The median over groups of calls, each long enough for the clock.
double median_time(const std::function<void()>& run, double seconds) {
    constexpr double kShortest = 5e-5;
    Index group = 1;
    while (seconds_of(run, group) < kShortest) group *= 2;
    std::vector<double> times;
    for (double spent = 0; spent < seconds; spent += times.back() * static_cast<double>(group))
        times.push_back(seconds_of(run, group) / static_cast<double>(group));
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    return times[times.size() / 2];
}

struct KernelTime {
    std::string name;
    double seconds, operations, bytes;
};

std::vector<KernelTime> time_kernels(Index rows, Index columns, double seconds) {
    if (rows < 1 || columns < 1 || columns % kernels<float>().panel != 0)
        throw py::value_error("columns must be a multiple of " + std::to_string(kernels<float>().panel) +
                              ", the width of a panel, not " + std::to_string(columns));
    if (!(seconds > 0)) throw py::value_error("seconds must be above 0");
    const WithoutPythonLock without_lock;
    Layer layer(rows, columns);
    std::vector<KernelTime> result;
    for (const Job& job : layer.jobs())
        result.push_back({job.name, median_time(job.run, seconds), job.operations, job.bytes});
    return result;
}

}  // namespace

void register_kernel_times(py::module_& m) {
    py::class_<KernelTime>(m, "KernelTime", "The time of one call, and what the call has to do.")
        .def_readonly("name", &KernelTime::name)
        .def_readonly("seconds", &KernelTime::seconds)
        .def_readonly("operations", &KernelTime::operations)
        .def_readonly("bytes", &KernelTime::bytes);
    m.def("time_kernels", &time_kernels, py::arg("rows"), py::arg("columns"), py::arg("seconds"),
          "Run every float32 kernel of a layer of columns × columns and a batch, in one thread, for so long each.");
}

}  // namespace gradiometer
