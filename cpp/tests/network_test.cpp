// Whole networks: training in one, two and three threads gives the same bits, for layers of all kinds, odd widths and
// few rows. What the kernels are given, and how threads share it, is what the sanitizers see here.
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "network/trainer.hpp"
#include "parallel/pool.hpp"

namespace {

using namespace gradiometer;

bool good = true;

void expect(bool condition, const std::string& what) {
    if (condition) return;
    std::fprintf(stderr, "network: %s\n", what.c_str());
    good = false;
}

LayerSpec dense(Index width, bool bias = true) {
    return {.kind = LayerKind::dense, .out_features = width, .bias = bias};
}
LayerSpec activation(ActivationKind kind) {
    return {.kind = LayerKind::activation, .activation = {kind, 1, 1}};
}
LayerSpec batch_norm(bool affine = true) {
    return {.kind = LayerKind::batch_norm, .affine = affine};
}
LayerSpec layer_norm() {
    return {.kind = LayerKind::layer_norm};
}
LayerSpec dropout() {
    return {.kind = LayerKind::dropout, .drop_probability = 0.3};
}
LayerSpec residual(std::vector<LayerSpec> body) {
    return {.kind = LayerKind::residual, .scale = 0.7, .body = std::move(body)};
}

struct Case {
    const char* name;
    Index in_features;
    std::vector<LayerSpec> layers;
    Index rows;
    LossKind loss = LossKind::cross_entropy;
};

std::vector<Case> cases() {
    using enum ActivationKind;
    std::vector<LayerSpec> deep, wide{dense(800), activation(gelu), dropout(), dense(800), activation(tanh), dense(9)};
    for (int i = 0; i < 12; ++i) {
        deep.push_back(dense(64));
        deep.push_back(activation(tanh));
    }
    deep.push_back(dense(10));
    return {
        {"deep", 64, deep, 130},
        {"of one unit", 1, {dense(1), activation(elu), dense(1)}, 1000, LossKind::mse},
        {"batch norm",
         33,
         {dense(65), batch_norm(), activation(relu), dropout(), dense(7, false), batch_norm(false)},
         77},
        {"batch norm first, two rows", 7, {batch_norm(), dense(17), activation(silu), dense(3)}, 2},
        {"layer norm", 20, {dense(100), layer_norm(), activation(mish), dense(31), dropout(), layer_norm()}, 65},
        {"residual connections",
         16,
         {dense(48), residual({layer_norm(), activation(relu), dense(48), residual({activation(tanh), dense(48)})}),
          residual({dense(20), batch_norm(), activation(softplus), dense(48), dropout()}), dense(5)},
         40},
        {"layers without weights", 24, {activation(hardswish), dropout(), layer_norm()}, 19, LossKind::mse},
        {"shared products", 37, wide, 5, LossKind::bce_with_logits},
        {"one row", 37, wide, 1},
        {"columns that are packed", 700, {dense(600), activation(sigmoid), dense(530), activation(selu), dense(4)}, 50},
    };
}

template <class T>
struct Data {
    std::vector<T> x, targets;
    std::vector<int64_t> labels;
    std::vector<double> weights;
    Examples<T> examples;

    Data(const Case& c, Index classes) {
        std::mt19937_64 random(1);
        std::normal_distribution<double> normal;
        for (Index i = 0; i < c.rows * c.in_features; ++i) x.push_back(static_cast<T>(normal(random)));
        for (Index i = 0; i < c.rows * classes; ++i) targets.push_back(static_cast<T>(random() % 2));
        for (Index i = 0; i < c.rows; ++i) {
            labels.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(classes)));
            weights.push_back(static_cast<double>(i % 3));
        }
        weights[0] = 1;
        examples.count = c.rows;
        examples.x = x.data();
        if (c.loss == LossKind::cross_entropy)
            examples.labels = labels.data();
        else
            examples.targets = targets.data();
    }
};

template <class T>
std::shared_ptr<Network<T>> make(const Case& c) {
    const auto net = std::make_shared<Network<T>>(c.in_features, c.layers, 5);
    std::mt19937_64 random(2);
    std::normal_distribution<double> normal;
    for (Index i = 0; i < static_cast<Index>(net->plan().parameters.size()); ++i) {
        const ParameterSpec& p = net->plan().parameters[i];
        std::vector<T> values;
        for (Index k = 0; k < p.inner * p.columns; ++k)
            values.push_back(static_cast<T>(normal(random) / std::sqrt(static_cast<double>(p.inner))));
        net->set_parameter(i, values.data());
    }
    return net;
}

template <class T>
std::shared_ptr<Recorder> recorder_of(const Network<T>& net, RecordMode mode) {
    std::vector<std::string> names;
    for (const Index block : net.plan().dense_blocks)
        names.push_back(net.plan().parameters[net.plan().blocks[block].weight].name);
    return std::make_shared<Recorder>(names, mode, 1);
}

// What training leaves, as bytes.
struct Trained {
    std::string network, recording;
};

template <class T>
Trained train(const Case& c, const ClipSpec& clip, UpdateRule rule, RecordMode mode, int threads) {
    set_num_threads(threads);
    const std::shared_ptr<Network<T>> net = make<T>(c);
    const std::shared_ptr<Recorder> recorder = recorder_of(*net, mode);
    Trainer<T> trainer(net, {.loss = c.loss, .optimizer = {.rule = rule, .momentum = 0.9}, .clip = clip, .seed = 3},
                       recorder);
    const LearningRate rate = [](int64_t step) { return 1e-3 / static_cast<double>(1 + step); };
    const Index classes = net->plan().out_features;
    Data<T> data(c, classes);
    Trained trained;
    const auto keep = [&](const auto* values, Index count) {
        trained.network.append(reinterpret_cast<const char*>(values), static_cast<size_t>(count) * sizeof(*values));
    };
    for (int step = 0; step < 2; ++step) {
        const double loss = trainer.step({data.examples, nullptr, 0, c.rows}, rate, {});
        keep(&loss, 1);
    }
    if (c.rows >= 4) {  // whole epochs of shuffled batches, the last of them smaller; some rows weigh nothing
        data.examples.weights = data.weights.data();
        trainer.fit(data.examples, data.examples, 2, c.rows * 2 / 5, true, {rate, {}, [] { return false; }});
    }
    const Evaluation after = trainer.evaluate(data.examples, {});
    keep(&after.loss, 1);
    if (c.rows > 1 || net->plan().norms.empty()) {
        std::vector<T> out(c.rows * classes), dx(c.rows * c.in_features);
        net->forward(data.x.data(), c.rows, true, out.data(), {});
        net->backward(data.targets.data(), c.rows, dx.data(), {});
        trainer.apply_gradients(0, rate);
        keep(dx.data(), c.rows * c.in_features);
    }
    for (Index i = 0; i < static_cast<Index>(net->plan().parameters.size()); ++i) {
        std::vector<T> values(net->plan().parameters[i].inner * net->plan().parameters[i].columns);
        net->copy_parameter(i, values.data());
        keep(values.data(), static_cast<Index>(values.size()));
    }
    for (int field = 0; field < kFieldCount; ++field) {
        if (!recorder->has(static_cast<Field>(field))) continue;
        std::vector<double> values(static_cast<size_t>(recorder->size() * recorder->layers()));
        recorder->copy_field(static_cast<Field>(field), 0, recorder->size(), values.data());
        trained.recording.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
    }
    return trained;
}

template <class T>
void try_threads() {
    using Kind = ClipSpec::Kind;
    const ClipSpec clips[] = {{},
                              {.kind = Kind::norm, .max_norm = 0.1},
                              {.kind = Kind::norm, .max_norm = 0.1, .norm_type = 1, .per_layer = true},
                              {.kind = Kind::value, .clip_value = 1e-3},
                              {.kind = Kind::adaptive, .clip_factor = 0.01, .eps = 1e-3}};
    const UpdateRule rules[] = {UpdateRule::sgd, UpdateRule::adam, UpdateRule::adamw, UpdateRule::rmsprop};
    const RecordMode modes[] = {RecordMode::norms, RecordMode::full, RecordMode::nothing};
    int number = 0;
    for (const Case& c : cases())
        for (int variant = 0; variant < 2; ++variant, ++number) {
            const ClipSpec& clip = clips[number % 5];
            const UpdateRule rule = rules[number % 4];
            const Trained one = train<T>(c, clip, rule, modes[number % 3], 1);
            for (const int threads : {2, 3}) {
                const Trained several = train<T>(c, clip, rule, modes[number % 3], threads);
                const std::string with = std::string(c.name) + " with " + std::to_string(threads) + " threads: other ";
                expect(several.network == one.network, with + "parameters");
                expect(several.recording == one.recording, with + "records");
            }
            const Trained recorded_otherwise = train<T>(c, clip, rule, modes[(number + 1) % 3], 2);
            expect(recorded_otherwise.network == one.network, std::string(c.name) + ": recording shows");
        }
}

// Labels that are others by now than when they were checked.
void try_wrong_labels() {
    const Case c{"wrong labels", 4, {dense(8), activation(ActivationKind::relu), dense(3)}, 12};
    const std::shared_ptr<Network<float>> net = make<float>(c);
    Trainer<float> trainer(net, {.loss = c.loss}, recorder_of(*net, RecordMode::norms));
    Data<float> data(c, 3);
    const LearningRate rate = [](int64_t) { return 0.1; };
    for (const int64_t wrong : {int64_t{-1}, int64_t{3}, int64_t{1} << 40}) {
        data.labels[5] = wrong;
        int refused = 0;
        try {
            trainer.step({data.examples, nullptr, 0, c.rows}, rate, {});
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            trainer.evaluate(data.examples, {});
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        expect(refused == 2 && trainer.steps() == 0, "wrong labels are refused, and nothing has happened");
    }
    data.labels[5] = 2;
    trainer.step({data.examples, nullptr, 0, c.rows}, rate, {});
    expect(trainer.steps() == 1, "after a refusal, training goes on");
}

}  // namespace

int main() {
    try_threads<float>();
    try_threads<double>();
    try_wrong_labels();
    std::puts(good ? "network: good" : "network: bad");
    return good ? 0 : 1;
}
