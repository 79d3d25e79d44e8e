#include "kernels/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace gradiometer {

#if defined(__x86_64__)
extern const KernelTable<float> kernels_baseline_float, kernels_avx2_float, kernels_avx512_float;
extern const KernelTable<double> kernels_baseline_double, kernels_avx2_double, kernels_avx512_double;
#elif defined(__aarch64__)
extern const KernelTable<float> kernels_neon_float;
extern const KernelTable<double> kernels_neon_double;
#else
extern const KernelTable<float> kernels_baseline_float;
extern const KernelTable<double> kernels_baseline_double;
#endif

namespace {

struct Target {
    const char* isa;
    bool available;
    const KernelTable<float>* of_float;
    const KernelTable<double>* of_double;
};

#if defined(__x86_64__)

// The register files that the operating system saves when it switches threads (XCR0): a processor may have AVX-512 and
// a system may not allow it.
unsigned saved_registers() {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

struct Machine {
    bool avx2 = false;
    bool avx512 = false;

    Machine() {
        unsigned a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d)) return;
        const bool xgetbv_allowed = c & bit_OSXSAVE;
        const bool first_half = (c & bit_AVX) && (c & bit_FMA) && (c & bit_MOVBE) && (c & bit_F16C);
        if (!xgetbv_allowed || !first_half || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        constexpr unsigned kYmm = 0x6, kZmm = 0xe6;
        const unsigned level4 = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
        const unsigned features = b;
        unsigned extended_c = 0;
        __get_cpuid(0x80000001, &a, &b, &extended_c, &d);
        const bool lzcnt = extended_c & bit_LZCNT;
        const unsigned level3 = bit_AVX2 | bit_BMI | bit_BMI2;
        avx2 = (features & level3) == level3 && lzcnt && (saved_registers() & kYmm) == kYmm;
#ifdef GM_EMULATE_AVX512
        avx512 = avx2;
#else
        avx512 = avx2 && (features & level4) == level4 && (saved_registers() & kZmm) == kZmm;
#endif
    }
};

std::vector<Target> targets() {
    const Machine machine;
    const Target baseline{"baseline", true, &kernels_baseline_float, &kernels_baseline_double};
    const Target avx2{"avx2", machine.avx2, &kernels_avx2_float, &kernels_avx2_double};
    const Target avx512{"avx512", machine.avx512, &kernels_avx512_float, &kernels_avx512_double};
#ifdef GM_EMULATE_AVX512
    return {baseline, avx512, avx2};  // emulated, it is the slower of the two and never chosen unless it is forced
#else
    return {baseline, avx2, avx512};
#endif
}

#elif defined(__aarch64__)

std::vector<Target> targets() {
    return {{"neon", true, &kernels_neon_float, &kernels_neon_double}};
}

#else

std::vector<Target> targets() {
    return {{"baseline", true, &kernels_baseline_float, &kernels_baseline_double}};
}

#endif

std::string list_of(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

Target target_of(const std::string& isa) {
    for (const Target& target : targets())
        if (target.available && isa == target.isa) return target;
    throw std::runtime_error("instruction set '" + isa +
                             "' is not available on this machine; available: " + list_of(available_isas()));
}

Target chosen_target() {
    const char* forced = std::getenv("GRADIOMETER_ISA");
    if (!forced || !*forced) return target_of(available_isas().back());
    try {
        return target_of(forced);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(std::string("GRADIOMETER_ISA: ") + error.what());
    }
}

const Target& chosen() {
    static const Target target = chosen_target();
    return target;
}

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Target& target : targets())
        if (target.available) names.push_back(target.isa);
    return names;
}

template <>
const KernelTable<float>& kernels<float>() {
    return *chosen().of_float;
}

template <>
const KernelTable<double>& kernels<double>() {
    return *chosen().of_double;
}

template <>
const KernelTable<float>& kernels_of<float>(const std::string& isa) {
    return *target_of(isa).of_float;
}

template <>
const KernelTable<double>& kernels_of<double>(const std::string& isa) {
    return *target_of(isa).of_double;
}

}  // namespace gradiometer
