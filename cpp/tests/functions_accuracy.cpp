// Tries the vector functions against the C library in a wider type. Prints the largest error of each in units in the
// last place, and where; exits with 1 if a bound is exceeded or a special value is wrong, with 77 if the machine lacks
// the instructions that this was compiled for.
//
//   functions_accuracy [--exhaustive [function]]    with --exhaustive: all 2³² floats (about two minutes a function)
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "simd/functions.hpp"

namespace {

namespace simd = gradiometer::GM_ISA;

template <class T>
using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;
template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

template <class T>
struct Function {
    const char* name;
    void (*evaluate)(const std::vector<T>& in, std::vector<T>& out);
    Wide<T> (*reference)(Wide<T>);
    double bound;
};

template <class W>
W sigmoid_reference(W x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

template <class W>
W log1p_exp_reference(W x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

template <class T>
std::vector<Function<T>> all_functions() {
    using W = Wide<T>;
#define GM_CASE(name, reference, bound)                                   \
    {                                                                     \
        #name,                                                            \
            [](const std::vector<T>& in, std::vector<T>& out) {           \
                for (size_t i = 0; i < in.size(); i += simd::kLanes<T>)   \
                    simd::store(&out[i], simd::name(simd::load(&in[i]))); \
            },                                                            \
            [](W x) -> W { return reference(x); }, bound                  \
    }
    return {GM_CASE(exp, std::exp, 1.5),
            GM_CASE(expm1, std::expm1, 3),
            GM_CASE(log, std::log, 2),
            GM_CASE(log1p, std::log1p, 3),
            GM_CASE(log1p_exp, log1p_exp_reference, 4),
            GM_CASE(sigmoid, sigmoid_reference, 3),
            GM_CASE(tanh, std::tanh, 3),
            GM_CASE(erf, std::erf, 4),
            GM_CASE(erfc, std::erfc, 5)};
#undef GM_CASE
}

// The distance of a result from the exact value, in units in the last place of the exact value; an infinite result
// counts as the number that would follow the largest. Infinity where no comparison is possible: a NaN, infinity or sign
// of zero that should not be there, or is missing.
template <class T>
double error_in_ulps(T result, Wide<T> exact) {
    constexpr double hopeless = std::numeric_limits<double>::infinity();
    using Limits = std::numeric_limits<T>;
    if (std::isnan(exact) || std::isnan(result)) return std::isnan(exact) && std::isnan(result) ? 0 : hopeless;
    if (std::isinf(exact)) return static_cast<Wide<T>>(result) == exact ? 0 : hopeless;
    if (result == 0 && std::signbit(result) != std::signbit(exact)) return hopeless;
    const Wide<T> beyond = std::ldexp(Wide<T>(1), Limits::max_exponent);
    if (std::fabs(exact) >= beyond) return std::isinf(result) && (result > 0) == (exact > 0) ? 0 : hopeless;
    const Wide<T> value = std::isinf(result) ? std::copysign(beyond, Wide<T>(result)) : Wide<T>(result);
    const int exponent = exact == 0 ? Limits::min_exponent - 1 : std::ilogb(exact);
    const int ulp = std::max(exponent, Limits::min_exponent - 1) - (Limits::digits - 1);
    return static_cast<double>(std::fabs(std::ldexp(value - exact, -ulp)));
}

template <class T>
struct Worst {
    double error = 0;
    T where = 0;
    T result = 0;
};

template <class T>
void compare(const Function<T>& function, const std::vector<T>& inputs, Worst<T>& worst) {
    std::vector<T> results(inputs.size());
    function.evaluate(inputs, results);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const double error = error_in_ulps(results[i], function.reference(inputs[i]));
        if (error > worst.error) worst = {error, inputs[i], results[i]};
    }
}

// Both zeros, infinities, NaN, the smallest and largest numbers, the poles of the logarithms and their neighbours.
template <class T>
std::vector<T> special_values() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> values;
    for (T x : {T(0), Limits::denorm_min(), Limits::min(), Limits::epsilon(), T(0.5), T(1), T(2), T(100), Limits::max(),
                Limits::infinity(), Limits::quiet_NaN()}) {
        for (T y : {x, std::nextafter(x, T(0)), std::nextafter(x, Limits::max())}) {
            values.push_back(y);
            values.push_back(-y);
        }
    }
    while (values.size() % simd::kLanes<T>) values.push_back(0);
    return values;
}

// For each exponent and both signs, so many numbers with random mantissas.
template <class T>
std::vector<T> stratified_values(int for_each_exponent, std::mt19937_64& random) {
    constexpr int mantissa_bits = std::numeric_limits<T>::digits - 1;
    constexpr BitsOf<T> mantissa_mask = (BitsOf<T>(1) << mantissa_bits) - 1;
    std::vector<T> values;
    for (BitsOf<T> top = 0; top <= std::numeric_limits<BitsOf<T>>::max() >> mantissa_bits; ++top) {
        for (int i = 0; i < for_each_exponent; ++i) {
            const BitsOf<T> mantissa = static_cast<BitsOf<T>>(random()) & mantissa_mask;
            values.push_back(std::bit_cast<T>(static_cast<BitsOf<T>>(top << mantissa_bits | mantissa)));
        }
    }
    return values;
}

// Where the functions change: uniform in [-width, width].
template <class T>
std::vector<T> uniform_values(T width, int count, std::mt19937_64& random) {
    std::uniform_real_distribution<T> uniform(-width, width);
    std::vector<T> values(count);
    for (T& x : values) x = uniform(random);
    return values;
}

template <class T>
bool report(const Function<T>& function, const Worst<T>& worst) {
    const bool good = worst.error <= function.bound;
    std::printf("%-6s %-9s %7.3f ulp (bound %.1f) at %.17g (%a), result %.17g%s\n", sizeof(T) == 4 ? "float" : "double",
                function.name, worst.error, function.bound, double(worst.where), double(worst.where),
                double(worst.result), good ? "" : "   WRONG");
    std::fflush(stdout);
    return good;
}

template <class T>
bool sample() {
    std::mt19937_64 random(1);
    std::vector<std::vector<T>> inputs = {special_values<T>(),
                                          stratified_values<T>(sizeof(T) == 4 ? 1024 : 32, random)};
    for (T width : {T(0.5), T(3), T(12), T(30), T(110), T(750)}) {
        inputs.push_back(uniform_values<T>(width, 1 << 15, random));
    }
    bool good = true;
    for (const auto& function : all_functions<T>()) {
        Worst<T> worst;
        for (const auto& values : inputs) compare(function, values, worst);
        good = report(function, worst) && good;
    }
    return good;
}

bool every_float(const std::string& only) {
    constexpr uint32_t block = 1 << 16;
    bool good = true;
    for (const auto& function : all_functions<float>()) {
        if (!only.empty() && only != function.name) continue;
        Worst<float> worst;
        std::vector<float> inputs(block);
        for (uint32_t first = 0;; first += block) {
            for (uint32_t i = 0; i < block; ++i) inputs[i] = std::bit_cast<float>(first + i);
            compare(function, inputs, worst);
            if (first + block == 0) break;
        }
        good = report(function, worst) && good;
    }
    return good;
}

}  // namespace

int main(int count, char** arguments) {
#if defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 77;
#endif
    if (count > 1 && std::strcmp(arguments[1], "--exhaustive") == 0) {
        return every_float(count > 2 ? arguments[2] : "") ? 0 : 1;
    }
    const bool floats_good = sample<float>();
    return sample<double>() && floats_good ? 0 : 1;
}
