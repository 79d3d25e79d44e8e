#include "meter/recorder.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gradiometer {

namespace {

constexpr std::int64_t kChunkBytes = 1 << 20;

}  // namespace

Recorder::Recorder(std::vector<std::string> layer_names, RecordMode mode, std::int64_t every)
    : layer_names_(std::move(layer_names)), mode_(mode), every_(every) {
    if (every < 1) throw std::invalid_argument("every is " + std::to_string(every) + "; it must be at least 1");
    std::int64_t recorded = 0;
    for (int field = 0; field < kFieldCount; ++field) recorded += has(static_cast<Field>(field));
    values_per_row_ = kStepFieldCount + recorded * layers();
    const std::int64_t row_bytes = sizeof(std::int64_t) + sizeof(double) * values_per_row_;
    rows_per_chunk_ = std::max<std::int64_t>(1, kChunkBytes / row_bytes);
}

int Recorder::slot(Field field) const {
    if (mode_ == RecordMode::full) return static_cast<int>(field);
    if (mode_ == RecordMode::norms && field == Field::grad_norm) return 0;
    if (mode_ == RecordMode::norms && field == Field::delta_norm) return 1;
    return -1;
}

std::int64_t Recorder::field_offset(Field field) const {
    return (kStepFieldCount + slot(field) * layers()) * rows_per_chunk_;
}

void Recorder::make_room() {
    const std::lock_guard lock(mutex_);
    make_room_for_row();
}

void Recorder::make_room_for_row() {
    if (size_ < static_cast<std::int64_t>(chunks_.size()) * rows_per_chunk_) return;
    // Left uninitialised: the pages of a chunk cost memory only when rows reach them.
    auto chunk = std::make_unique<Chunk>();
    chunk->steps = std::make_unique_for_overwrite<std::int64_t[]>(rows_per_chunk_);
    chunk->values = std::make_unique_for_overwrite<double[]>(rows_per_chunk_ * values_per_row_);
    chunks_.push_back(std::move(chunk));
}

void Recorder::append(const StepRecord& record) {
    if (mode_ == RecordMode::nothing) return;
    const std::lock_guard lock(mutex_);
    make_room_for_row();
    const std::int64_t row = size_ % rows_per_chunk_;
    Chunk& chunk = *chunks_.back();
    chunk.steps[row] = record.step;
    const double step_values[kStepFieldCount] = {record.loss, record.total_norm, record.clip_coefficient, record.lr};
    for (int field = 0; field < kStepFieldCount; ++field) {
        chunk.values[field * rows_per_chunk_ + row] = step_values[field];
    }
    for (int index = 0; index < kFieldCount; ++index) {
        const Field field = static_cast<Field>(index);
        if (!has(field)) continue;
        double* out = &chunk.values[field_offset(field)] + row * layers();
        if (record.fields[index]) {
            std::copy_n(record.fields[index], layers(), out);
        } else {
            std::fill_n(out, layers(), std::numeric_limits<double>::quiet_NaN());
        }
    }
    ++size_;
}

void Recorder::append_validation(std::int64_t step, double loss, double accuracy) {
    const std::lock_guard lock(mutex_);
    validation_.push_back({step, loss, accuracy});
}

void Recorder::note_nonfinite(std::int64_t step, std::string layer, std::string tensor) {
    const std::lock_guard lock(mutex_);
    if (!nonfinite_) nonfinite_ = NonfiniteEvent{step, std::move(layer), std::move(tensor)};
}

std::int64_t Recorder::size() const {
    const std::lock_guard lock(mutex_);
    return size_;
}

std::vector<const Recorder::Chunk*> Recorder::finished_chunks(std::int64_t rows) const {
    const std::lock_guard lock(mutex_);
    if (rows < 0 || rows > size_) {
        throw std::out_of_range(std::to_string(rows) + " rows asked for of " + std::to_string(size_) + " recorded");
    }
    const std::int64_t count = (rows + rows_per_chunk_ - 1) / rows_per_chunk_;
    std::vector<const Chunk*> chunks(count);
    for (std::int64_t index = 0; index < count; ++index) chunks[index] = chunks_[index].get();
    return chunks;
}

template <class Copy>
void Recorder::for_chunks(std::int64_t begin, std::int64_t end, Copy copy) const {
    const std::vector<const Chunk*> chunks = finished_chunks(end);
    for (std::int64_t row = begin; row < end;) {
        const std::int64_t first = row % rows_per_chunk_;
        const std::int64_t count = std::min(end - row, rows_per_chunk_ - first);
        copy(*chunks[row / rows_per_chunk_], first, count);
        row += count;
    }
}

void Recorder::copy_blocks(std::int64_t offset, std::int64_t width, std::int64_t begin, std::int64_t end,
                           double* out) const {
    for_chunks(begin, end, [&](const Chunk& chunk, std::int64_t first, std::int64_t count) {
        out = std::copy_n(chunk.values.get() + offset + first * width, count * width, out);
    });
}

void Recorder::copy_steps(std::int64_t begin, std::int64_t end, std::int64_t* out) const {
    for_chunks(begin, end, [&](const Chunk& chunk, std::int64_t first, std::int64_t count) {
        out = std::copy_n(chunk.steps.get() + first, count, out);
    });
}

void Recorder::copy_field(Field field, std::int64_t begin, std::int64_t end, double* out) const {
    if (!has(field)) {
        throw std::invalid_argument(std::string(kFieldNames[static_cast<int>(field)]) + " was not recorded");
    }
    copy_blocks(field_offset(field), layers(), begin, end, out);
}

void Recorder::copy_step_field(StepField field, std::int64_t begin, std::int64_t end, double* out) const {
    copy_blocks(static_cast<int>(field) * rows_per_chunk_, 1, begin, end, out);
}

std::vector<ValidationRow> Recorder::validation() const {
    const std::lock_guard lock(mutex_);
    return validation_;
}

std::optional<NonfiniteEvent> Recorder::nonfinite() const {
    const std::lock_guard lock(mutex_);
    return nonfinite_;
}

}  // namespace gradiometer
