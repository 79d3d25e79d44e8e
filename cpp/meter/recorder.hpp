// The recording of one training run: a row a step, in chunks that are never moved, so that a run of any
// length costs no copying and finished rows can be read while the next is written. Values are kept as they
// come, NaN and infinity too.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradiometer {

// One value per dense layer and step.
enum class Field {
    grad_norm,
    grad_max_abs,
    grad_mean_abs,
    grad_zero_fraction,
    grad_subnormal_fraction,
    grad_nonfinite,
    delta_norm,
    weight_norm,
    update_norm,
    activation_mean,
    activation_std,
    saturation,
    dead_fraction,
};
constexpr int kFieldCount = 13;
inline constexpr std::array<std::string_view, kFieldCount> kFieldNames = {
    "grad_norm",      "grad_max_abs", "grad_mean_abs", "grad_zero_fraction", "grad_subnormal_fraction",
    "grad_nonfinite", "delta_norm",   "weight_norm",   "update_norm",        "activation_mean",
    "activation_std", "saturation",   "dead_fraction"};

// One value per step.
enum class StepField { loss, total_norm, clip_coefficient, lr };
constexpr int kStepFieldCount = 4;
inline constexpr std::array<std::string_view, kStepFieldCount> kStepFieldNames = {"loss", "total_norm",
                                                                                  "clip_coefficient", "lr"};

// norms: grad_norm, delta_norm and the values per step. full: every field.
enum class RecordMode { nothing, norms, full };

// What is known of one step. A value that was not measured stays NaN, a field without a pointer is recorded
// as NaN.
struct StepRecord {
    std::int64_t step = 0;
    double loss = std::numeric_limits<double>::quiet_NaN();
    double total_norm = std::numeric_limits<double>::quiet_NaN();
    double clip_coefficient = std::numeric_limits<double>::quiet_NaN();
    double lr = std::numeric_limits<double>::quiet_NaN();
    std::array<const double*, kFieldCount> fields{};  // each null, or one value per layer
};

struct ValidationRow {
    std::int64_t step;
    double loss;
    double accuracy;
};

struct NonfiniteEvent {
    std::int64_t step;
    std::string layer;   // empty for the loss
    std::string tensor;  // "activation", "loss", "gradient" or "weight"
};

// Safe for one thread that writes and any number that read. Rows are only ever added: the first n rows, once
// seen, stay.
class Recorder {
  public:
    // std::invalid_argument for `every` below 1. Steps are due when they are multiples of `every`.
    Recorder(std::vector<std::string> layer_names, RecordMode mode, std::int64_t every);

    const std::vector<std::string>& layer_names() const { return layer_names_; }
    std::int64_t layers() const { return static_cast<std::int64_t>(layer_names_.size()); }
    RecordMode mode() const { return mode_; }
    std::int64_t every() const { return every_; }

    // Whether this step is to be appended, and whether this field has to be measured for it.
    bool wants(std::int64_t step) const { return mode_ != RecordMode::nothing && step % every_ == 0; }
    bool has(Field field) const { return slot(field) >= 0; }
    bool has_step_fields() const { return mode_ != RecordMode::nothing; }

    // append takes any step, due or not; with RecordMode::nothing it does nothing. After make_room, the next append
    // cannot fail for want of memory.
    void make_room();
    void append(const StepRecord& record);
    void append_validation(std::int64_t step, double loss, double accuracy);
    void note_nonfinite(std::int64_t step, std::string layer, std::string tensor);  // only the first is kept

    // The number of rows so far, and copies of the rows from begin to end (0 <= begin, end <= size()) of one field that
    // is recorded. Writers are not held up meanwhile.
    std::int64_t size() const;
    void copy_steps(std::int64_t begin, std::int64_t end, std::int64_t* out) const;                  // out is (rows)
    void copy_field(Field field, std::int64_t begin, std::int64_t end, double* out) const;           // (rows, layers)
    void copy_step_field(StepField field, std::int64_t begin, std::int64_t end, double* out) const;  // out is (rows)
    std::vector<ValidationRow> validation() const;
    std::optional<NonfiniteEvent> nonfinite() const;

  private:
    // In a chunk every field is a block of its own, so that reading one field touches only that field.
    struct Chunk {
        std::unique_ptr<std::int64_t[]> steps;  // (rows_per_chunk)
        std::unique_ptr<double[]> values;       // the step fields, each (rows_per_chunk), then the recorded
                                                // fields, each (rows_per_chunk, layers)
    };

    void make_room_for_row();
    int slot(Field field) const;  // the place of a field among the recorded ones, or -1
    std::int64_t field_offset(Field field) const;
    std::vector<const Chunk*> finished_chunks(std::int64_t rows) const;
    template <class Copy>
    void for_chunks(std::int64_t begin, std::int64_t end, Copy copy) const;
    void copy_blocks(std::int64_t offset, std::int64_t width, std::int64_t begin, std::int64_t end, double* out) const;

    const std::vector<std::string> layer_names_;
    const RecordMode mode_;
    const std::int64_t every_;
    std::int64_t values_per_row_ = 0;
    std::int64_t rows_per_chunk_ = 0;

    mutable std::mutex mutex_;  // guards what follows, but not the values in rows below size_, which never change
    std::int64_t size_ = 0;
    std::vector<std::unique_ptr<Chunk>> chunks_;
    std::vector<ValidationRow> validation_;
    std::optional<NonfiniteEvent> nonfinite_;
};

}  // namespace gradiometer
