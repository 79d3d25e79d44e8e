// Activations, the way back through them, and dropout.
#include "check.hpp"
#include "random/philox.hpp"

namespace gradiometer::test {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440;

double logistic(double z) {
    return 1 / (1 + std::exp(-z));
}

struct Expected {
    double value, slope;
};

Expected expected(ActivationSpec spec, double z) {
    const double t = std::tanh(z), s = logistic(z), soft = std::log1p(std::exp(z));
    switch (spec.kind) {
        case ActivationKind::identity: return {z, 1};
        case ActivationKind::relu: return {z > 0 ? z : 0, z > 0 ? 1.0 : 0};
        case ActivationKind::leaky_relu: return {z > 0 ? z : spec.first * z, z > 0 ? 1 : spec.first};
        case ActivationKind::elu:
        case ActivationKind::selu:
            return {spec.second * (z > 0 ? z : spec.first * std::expm1(z)),
                    spec.second * (z > 0 ? 1 : spec.first * std::exp(z))};
        case ActivationKind::gelu: {
            const double probability = 0.5 * std::erfc(-z * kSqrtHalf);
            return {z * probability, probability + z * std::exp(-0.5 * z * z) * 0.39894228040143267794};
        }
        case ActivationKind::gelu_tanh: {
            const double root = 0.79788456080286535588;
            const double u = std::tanh(root * (z + 0.044715 * z * z * z));
            return {0.5 * z * (1 + u), 0.5 * (1 + u) + 0.5 * z * (1 - u * u) * root * (1 + 3 * 0.044715 * z * z)};
        }
        case ActivationKind::silu: return {z * s, s * (1 + z * (1 - s))};
        case ActivationKind::mish:
            return {z * std::tanh(soft), std::tanh(soft) + z * s * (1 - std::tanh(soft) * std::tanh(soft))};
        case ActivationKind::softplus:
            if (spec.first * z > spec.second) return {z, 1};
            return {std::log1p(std::exp(spec.first * z)) / spec.first, logistic(spec.first * z)};
        case ActivationKind::softsign: return {z / (1 + std::fabs(z)), 1 / ((1 + std::fabs(z)) * (1 + std::fabs(z)))};
        case ActivationKind::sigmoid: return {s, s * (1 - s)};
        case ActivationKind::tanh: return {t, 1 - t * t};
        case ActivationKind::hardtanh:
            return {z <= spec.first    ? spec.first
                    : z >= spec.second ? spec.second
                                       : z,
                    z > spec.first && z < spec.second ? 1.0 : 0};
        case ActivationKind::hardswish:
            return {z <= -3 ? 0 : z >= 3 ? z : z * (z + 3) / 6, z <= -3 ? 0 : z >= 3 ? 1 : (2 * z + 3) / 6};
    }
    return {0, 0};
}

const ActivationSpec kSpecs[] = {
    {ActivationKind::identity, 0, 0},  {ActivationKind::relu, 0, 0},           {ActivationKind::leaky_relu, 0.1, 0},
    {ActivationKind::elu, 1.3, 1},     {ActivationKind::selu, 1.6733, 1.0507}, {ActivationKind::gelu, 0, 0},
    {ActivationKind::gelu_tanh, 0, 0}, {ActivationKind::silu, 0, 0},           {ActivationKind::mish, 0, 0},
    {ActivationKind::softplus, 2, 3},  {ActivationKind::softsign, 0, 0},       {ActivationKind::sigmoid, 0, 0},
    {ActivationKind::tanh, 0, 0},      {ActivationKind::hardtanh, -0.5, 2},    {ActivationKind::hardswish, 0, 0},
};

// Rows near zero take another way than those with one larger entry, which must not show in the others.
template <class T>
void near_zero(const KernelTable<T>& table, Report& report, const ActivationSpec& spec) {
    constexpr Index rows = 24, columns = 700;
    constexpr int lowest = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits;
    const Index stride = padded<T>(columns);
    for (const int highest : {sizeof(T) == 4 ? -20 : -90, -130, lowest + 12}) {
        Numbers numbers(5);
        std::vector<T> z = numbers.padded_rows<T>(rows, columns);
        for (T& x : z)
            x = std::ldexp(x, lowest + static_cast<int>((numbers.next() + 1) / 2 * std::max(1, highest - lowest)));
        std::vector<T> h(z.size()), slope(z.size()), h_beside(z.size()), slope_beside(z.size());
        table.activate(spec, rows, columns, z.data(), stride, h.data(), stride, slope.data(), stride);
        for (Index r = 0; r < rows; r += kRowChunk) z[r * stride] = 1;
        table.activate(spec, rows, columns, z.data(), stride, h_beside.data(), stride, slope_beside.data(), stride);
        for (Index i = 0; i < rows * stride; ++i) {
            if (i % stride >= columns || z[i] == 1) continue;
            const std::string where =
                " near zero " + at({{"kind", static_cast<Index>(spec.kind)}, {"highest", highest}, {"i", i}});
            report.equal(h[i], h_beside[i], "activation" + where);
            report.equal(slope[i], slope_beside[i], "slope" + where);
        }
    }
}

// z so low that values and slopes are subnormal, or about to be. Each is rounded once; what stands beside it does not
// show.
template <class T>
void far_below(const KernelTable<T>& table, Report& report, const ActivationSpec& spec) {
    const bool gelu = spec.kind == ActivationKind::gelu;
    const double lowest = gelu ? (sizeof(T) == 4 ? -14.6 : -39) : (sizeof(T) == 4 ? -110 : -755);
    constexpr Index columns = 777;
    const Index stride = padded<T>(columns);
    Numbers numbers(7);
    std::vector<T> z(stride), h(stride), slope(stride), h_beside(stride), slope_beside(stride);
    for (Index j = 0; j < columns; ++j)
        z[j] = static_cast<T>(lowest * (0.74 + 0.26 * static_cast<double>(j) / columns));
    table.activate(spec, 1, columns, z.data(), stride, h.data(), stride, slope.data(), stride);
    std::vector<T> beside = z;
    for (Index j = 0; j < columns; j += 3) beside[j] = static_cast<T>(2 * lowest * numbers.next());
    table.activate(spec, 1, columns, beside.data(), stride, h_beside.data(), stride, slope_beside.data(), stride);
    for (Index j = 0; j < columns; ++j) {
        const long double x = z[j], power = expl(x), half = 0.5L;
        const long double probability = half * erfcl(-x * sqrtl(half));
        const long double density = expl(-half * x * x) * 0.398942280401432677939946L;
        const bool plain = spec.kind == ActivationKind::sigmoid;
        const long double value = gelu ? x * probability : plain ? power : x * power;
        const long double wanted_slope = gelu ? probability + x * density : plain ? power : (1 + x) * power;
        const long double relative = 8 * kEpsilon<T>;  // a few roundings of numbers that are not subnormal
        const long double unit = std::numeric_limits<T>::denorm_min();
        const auto good = [&](T found, long double wanted) {
            return std::fabs(found - wanted) <= relative * std::fabs(wanted) + 0.51L * unit;
        };
        const std::string where = " far below " + at({{"kind", static_cast<Index>(spec.kind)}, {"j", j}});
        report.expect(good(h[j], value), "activation" + where);
        report.expect(good(slope[j], wanted_slope), "slope" + where);
        if (j % 3 == 0) continue;
        report.equal(h_beside[j], h[j], "activation beside others" + where);
        report.equal(slope_beside[j], slope[j], "slope beside others" + where);
        report.hash(h[j]);
        report.hash(slope[j]);
    }
}

// Chunks of rows that are ordinary, near zero, far below it, and all of these: each row is what it is by itself.
template <class T>
void regions(const KernelTable<T>& table, Report& report, const ActivationSpec& spec) {
    constexpr Index chunks = 8, rows = chunks * kRowChunk - 3, columns = 75;
    const Index stride = padded<T>(columns);
    constexpr bool is_float = sizeof(T) == 4;
    const double scales[] = {3, is_float ? 1e-30 : 1e-200, is_float ? 150 : 1000, 15, 0, 40};
    Numbers numbers(11);
    std::vector<T> z = numbers.padded_rows<T>(rows, columns), h(z.size()), slope(z.size());
    for (Index r = 0; r < rows; ++r) {
        const Index chunk = r / kRowChunk;
        for (Index j = 0; j < columns; ++j) z[r * stride + j] *= static_cast<T>(scales[(chunk > 5 ? r : chunk) % 6]);
    }
    table.activate(spec, rows, columns, z.data(), stride, h.data(), stride, slope.data(), stride);
    std::vector<T> in_place = z, h_alone(stride), slope_alone(stride);
    table.activate(spec, rows, columns, in_place.data(), stride, in_place.data(), stride, nullptr, 0);
    for (Index r = 0; r < rows; ++r) {
        table.activate(spec, 1, columns, z.data() + r * stride, stride, h_alone.data(), stride, slope_alone.data(),
                       stride);
        for (Index j = 0; j < columns; ++j) {
            const Index i = r * stride + j;
            const std::string where =
                " of regions " + at({{"kind", static_cast<Index>(spec.kind)}, {"r", r}, {"j", j}});
            report.equal(h[i], h_alone[j], "activation" + where);
            report.equal(in_place[i], h_alone[j], "activation in place" + where);
            report.equal(slope[i], slope_alone[j], "slope" + where);
        }
    }
}

}  // namespace

template <class T>
void try_activations(const KernelTable<T>& table, Report& report) {
    near_zero(table, report, {ActivationKind::softplus, 1e30, 20});  // not a straight line at any of the numbers
    near_zero(table, report, {ActivationKind::softplus, 1, 0});      // with a kink at zero
    for (const ActivationKind kind :
         {ActivationKind::gelu, ActivationKind::silu, ActivationKind::mish, ActivationKind::sigmoid})
        far_below(table, report, {kind, 0, 0});
    for (const ActivationSpec& spec : kSpecs) {
        near_zero(table, report, spec);
        regions(table, report, spec);
        for (Index columns = 1; columns <= 132; columns += columns < 18 ? 1 : columns < 38 ? 5 : 47) {
            const Index rows = 1 + columns % 11, stride = padded<T>(columns);
            Numbers numbers(static_cast<uint64_t>(columns));
            std::vector<T> z = numbers.padded_rows<T>(rows, columns), h(z.size()), slope(z.size());
            for (T& x : z) x *= T(4);
            table.activate(spec, rows, columns, z.data(), stride, h.data(), stride, slope.data(), stride);
            const std::vector<T> above = numbers.padded_rows<T>(rows, columns);
            std::vector<T> dz(z.size());
            std::vector<ChunkSquares> squares((rows + kRowChunk - 1) / kRowChunk);
            table.backpropagate(spec, false, rows, columns, above.data(), stride, slope.data(), stride, dz.data(),
                                stride, squares.data());
            std::vector<double> wanted_squares(squares.size());
            for (Index r = 0; r < rows; ++r) {
                for (Index j = 0; j < columns; ++j) {
                    const Index i = r * stride + j;
                    const Expected wanted = expected(spec, static_cast<double>(z[i]));
                    const std::string where =
                        "activation " +
                        at({{"kind", static_cast<Index>(spec.kind)}, {"columns", columns}, {"r", r}, {"j", j}});
                    // A few roundings of numbers up to about 5.
                    report.close(h[i], wanted.value, 8 * kEpsilon<T>, 1 + std::fabs(wanted.value), where + " value");
                    report.close(slope[i], wanted.slope, 16 * kEpsilon<T>, 1, where + " slope");
                    report.equal(dz[i], above[i] * slope[i], where + " dz");
                    wanted_squares[r / kRowChunk] += static_cast<double>(dz[i]) * static_cast<double>(dz[i]);
                    report.hash(h[i]);
                    report.hash(slope[i]);
                }
            }
            for (size_t chunk = 0; chunk < wanted_squares.size(); ++chunk)
                report.close(squares[chunk].medium, wanted_squares[chunk], 1e-13, wanted_squares[chunk],
                             "squares of dz");
            std::vector<T> in_place = z;
            table.activate(spec, rows, columns, in_place.data(), stride, in_place.data(), stride, nullptr, 0);
            if (!slope_from_output(spec)) continue;
            std::vector<T> from_output(z.size());
            table.backpropagate(spec, true, rows, columns, above.data(), stride, in_place.data(), stride,
                                from_output.data(), stride, nullptr);
            for (Index r = 0; r < rows; ++r)
                for (Index j = 0; j < columns; ++j)
                    report.equal(from_output[r * stride + j], dz[r * stride + j], "dz from the output");
        }
    }
}

template <class T>
void try_dropout(const KernelTable<T>& table, Report& report) {
    for (const Index columns : {1, 7, 15, 16, 17, 63, 64, 65, 130}) {
        const Index rows = 3, first_row = 5, stride = padded<T>(columns);
        Numbers numbers(static_cast<uint64_t>(columns));
        const std::vector<T> start = numbers.padded_rows<T>(rows, columns),
                             slope_start = numbers.padded_rows<T>(rows, columns);
        const DropoutSpec spec = {{123, 456}, 2, 7, static_cast<uint32_t>(0.3 * 0x1p32), false, 1 / 0.7};
        for (const bool overwrite : {false, true}) {
            std::vector<T> h = start, slope = slope_start;
            table.dropout(spec, rows, first_row, columns, h.data(), stride, slope.data(), stride, overwrite);
            for (Index r = 0; r < rows; ++r) {
                for (Index j = 0; j < columns; ++j) {
                    // Column j has word (j mod 64) / 16 of counter (j / 64) · 16 + j mod 16.
                    const auto words = philox(
                        {static_cast<uint32_t>(j / 64 * 16 + j % 16), static_cast<uint32_t>(first_row + r), 2, 7},
                        {123, 456});
                    const T factor = words[j % 64 / 16] >= spec.threshold ? static_cast<T>(spec.scale) : T(0);
                    const Index i = r * stride + j;
                    report.equal(h[i], start[i] * factor, "dropout " + at({{"columns", columns}, {"r", r}, {"j", j}}));
                    report.equal(slope[i], overwrite ? factor : slope_start[i] * factor, "slope of dropout");
                    report.hash(h[i]);
                }
            }
        }
        DropoutSpec all = spec;
        all.keep_none = true;
        std::vector<T> h = start;
        h[0] = std::numeric_limits<T>::infinity();
        table.dropout(all, rows, 0, columns, h.data(), stride, nullptr, 0, false);
        for (Index r = 0; r < rows; ++r)
            for (Index j = 0; j < columns; ++j) report.equal(h[r * stride + j], T(0), "dropout of everything");
    }
}

template void try_activations(const KernelTable<float>&, Report&);
template void try_activations(const KernelTable<double>&, Report&);
template void try_dropout(const KernelTable<float>&, Report&);
template void try_dropout(const KernelTable<double>&, Report&);

}  // namespace gradiometer::test
