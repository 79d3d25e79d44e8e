// The recorder grows by chunks, and can be read while it is written: the first n rows, once seen, stay.
#include "meter/recorder.hpp"

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

using namespace gradiometer;

constexpr int64_t kLayers = 3;

double value_of(int64_t step, int64_t layer) {
    return static_cast<double>(step * 10 + layer);
}

void append(Recorder& recorder, int64_t step) {
    std::vector<double> values(kLayers);
    for (int64_t layer = 0; layer < kLayers; ++layer) values[static_cast<size_t>(layer)] = value_of(step, layer);
    StepRecord record;
    record.step = step;
    record.loss = value_of(step, 0);
    record.fields[static_cast<size_t>(Field::grad_norm)] = values.data();
    recorder.append(record);
}

bool is_right_from(const Recorder& recorder, int64_t begin, int64_t end) {
    const int64_t rows = end - begin;
    std::vector<double> norms(static_cast<size_t>(rows * kLayers)), loss(static_cast<size_t>(rows));
    std::vector<int64_t> steps(static_cast<size_t>(rows));
    recorder.copy_field(Field::grad_norm, begin, end, norms.data());
    recorder.copy_step_field(StepField::loss, begin, end, loss.data());
    recorder.copy_steps(begin, end, steps.data());
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t step = begin + row;
        if (steps[static_cast<size_t>(row)] != step || loss[static_cast<size_t>(row)] != value_of(step, 0))
            return false;
        for (int64_t layer = 0; layer < kLayers; ++layer)
            if (norms[static_cast<size_t>(row * kLayers + layer)] != value_of(step, layer)) return false;
    }
    return true;
}

// All of it, and its end from places that lie in different chunks.
bool is_right(const Recorder& recorder) {
    const int64_t rows = recorder.size();
    for (const int64_t begin : {int64_t{0}, rows / 3, rows - rows / 50, rows})
        if (!is_right_from(recorder, begin, rows)) return false;
    return true;
}

}  // namespace

int main() {
    constexpr int64_t kSteps = 20000;
    Recorder recorder({"0.weight", "2.weight", "4.weight"}, RecordMode::norms, 1);
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0}, reads{0};
    std::thread reader([&] {
        while (!done) {
            wrong += !is_right(recorder);
            ++reads;
        }
    });
    for (int64_t step = 0; step < kSteps; ++step) append(recorder, step);
    done = true;
    reader.join();
    const bool good = wrong == 0 && recorder.size() == kSteps && is_right(recorder) && !recorder.has(Field::saturation);
    std::printf("recorder: %s, %d reads of a growing recording\n", good ? "good" : "bad", reads.load());
    return good ? 0 : 1;
}
