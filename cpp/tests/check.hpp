// What the kernel tests share: checks that count failures, made-up numbers, and buffers exactly as large as a contract
// allows, so that the address sanitizer sees the first element too many.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/dispatch.hpp"

namespace gradiometer::test {

// What one subject of one table found, and a hash of the bits that must be the same on every table with FMA.
struct Report {
    int checks = 0;
    int failures = 0;
    uint64_t bits = 14695981039346656037u;

    void expect(bool good, const std::string& what) {
        ++checks;
        if (good) return;
        if (++failures <= 5) std::fprintf(stderr, "    %s\n", what.c_str());
    }
    template <class T>
    void equal(T found, T wanted, const std::string& what) {
        const bool same = found == wanted || (found != found && wanted != wanted);
        expect_instead(same, static_cast<double>(found), static_cast<double>(wanted), what);
    }
    // |found - wanted| ≤ tolerance · scale, where scale is the size of what was summed.
    void close(double found, double wanted, double tolerance, double scale, const std::string& what) {
        const bool good =
            std::fabs(found - wanted) <= tolerance * scale || found == wanted || (found != found && wanted != wanted);
        expect_instead(good, found, wanted, what);
    }
    template <class T>
    void hash(T value) {
        unsigned char bytes[sizeof(T)];
        std::memcpy(bytes, &value, sizeof(T));
        for (const unsigned char byte : bytes) bits = (bits ^ byte) * 1099511628211u;
    }

  private:
    void expect_instead(bool good, double found, double wanted, const std::string& what) {
        char numbers[80] = "";
        if (!good) std::snprintf(numbers, sizeof(numbers), ": %.17g instead of %.17g", found, wanted);
        expect(good, good ? what : what + numbers);
    }
};

// Numbers between -1 and 1, the same on every machine. Every eleventh is zero.
class Numbers {
  public:
    explicit Numbers(uint64_t seed) : state_(seed * 2654435761u + 1) {}
    double next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return ++count_ % 11 == 0 ? 0.0 : static_cast<double>(static_cast<int64_t>(state_) >> 11) * 0x1p-52;
    }
    template <class T>
    std::vector<T> array(Index count) {
        std::vector<T> out(static_cast<size_t>(count));
        for (T& x : out) x = static_cast<T>(next());
        return out;
    }
    // rows × columns in padded rows; the room beside the columns is zero.
    template <class T>
    std::vector<T> padded_rows(Index rows, Index columns) {
        std::vector<T> out(static_cast<size_t>(rows * padded<T>(columns)));
        for (Index r = 0; r < rows; ++r)
            for (Index j = 0; j < columns; ++j) out[r * padded<T>(columns) + j] = static_cast<T>(next());
        return out;
    }

  private:
    uint64_t state_;
    int count_ = 0;
};

// Where element (k, column) of an (inner × columns) matrix stands in panels: the last panel is as wide as its columns,
// rounded up to a vector.
template <class T>
Index panel_place(const KernelTable<T>& table, Index inner, Index columns, Index k, Index column) {
    const Index first = column / table.panel * table.panel;
    const Index width = columns - first > table.lanes ? 2 * table.lanes : table.lanes;
    return first * inner + k * width + column - first;
}

template <class T>
Index panel_size(const KernelTable<T>& table, Index inner, Index columns) {
    return inner * ((columns + table.lanes - 1) / table.lanes * table.lanes);
}

// a · b + c as the table's instruction set does it.
template <class T>
T multiply_add(const KernelTable<T>& table, T a, T b, T c) {
    if (std::string(table.isa) != "baseline") return std::fma(a, b, c);
    const T product = a * b;
    return product + c;
}

template <class T>
constexpr double kEpsilon = sizeof(T) == 4 ? 0x1p-23 : 0x1p-52;

// Of the smallest subnormal number.
template <class T>
constexpr int kSmallestExponent = sizeof(T) == 4 ? -149 : -1074;

// The numbers from `begin` to `end` become 2^exponent times as large.
template <class T>
void scale(std::vector<T>& numbers, Index begin, Index end, int exponent) {
    for (Index i = begin; i < end; ++i) numbers[i] = std::ldexp(numbers[i], exponent);
}

inline std::string at(std::initializer_list<std::pair<const char*, Index>> where) {
    std::string text;
    for (const auto& [name, value] : where)
        text += std::string(text.empty() ? "" : ", ") + name + " " + std::to_string(value);
    return text;
}

// One subject each; the files beside this one define them for both types.
template <class T>
void try_matmul(const KernelTable<T>& table, Report& report);
template <class T>
void try_panels(const KernelTable<T>& table, Report& report);
template <class T>
void try_activations(const KernelTable<T>& table, Report& report);
template <class T>
void try_dropout(const KernelTable<T>& table, Report& report);
template <class T>
void try_batch_norm(const KernelTable<T>& table, Report& report);
template <class T>
void try_layer_norm(const KernelTable<T>& table, Report& report);
template <class T>
void try_residual(const KernelTable<T>& table, Report& report);
template <class T>
void try_losses(const KernelTable<T>& table, Report& report);
template <class T>
void try_statistics(const KernelTable<T>& table, Report& report);
template <class T>
void try_updates(const KernelTable<T>& table, Report& report);
template <class T>
void try_tiny(const KernelTable<T>& table, Report& report);
template <class T>
void try_tiny_updates(const KernelTable<T>& table, Report& report);

}  // namespace gradiometer::test
