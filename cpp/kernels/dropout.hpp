// Dropout (Srivastava et al. 2014). The mask is drawn again wherever it is needed from Philox4x32-10 (Salmon et al.
// 2011), keyed by seed, step, layer, row and column: it depends neither on threads nor on the width of a vector.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

constexpr Index kMaskLanes = 16;                // columns side by side in one output word
constexpr Index kMaskColumns = 4 * kMaskLanes;  // columns that one set of counters serves

// Four words for each of 16 counters: (first_counter + lane, row, layer, step).
struct PhiloxWords {
    uint32_t word[4][kMaskLanes];
};

GM_INLINE PhiloxWords philox(const DropoutSpec& spec, uint32_t first_counter, uint32_t row) {
    PhiloxWords out;
    for (Index lane = 0; lane < kMaskLanes; ++lane) {
        out.word[0][lane] = first_counter + static_cast<uint32_t>(lane);
        out.word[1][lane] = row;
        out.word[2][lane] = spec.layer;
        out.word[3][lane] = spec.step;
    }
    uint32_t key0 = spec.key[0];
    uint32_t key1 = spec.key[1];
    for (int round = 0; round < 10; ++round) {
        for (Index lane = 0; lane < kMaskLanes; ++lane) {
            const uint64_t product0 = uint64_t{0xD2511F53u} * out.word[0][lane];
            const uint64_t product1 = uint64_t{0xCD9E8D57u} * out.word[2][lane];
            const uint32_t c1 = out.word[1][lane];
            const uint32_t c3 = out.word[3][lane];
            out.word[0][lane] = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
            out.word[1][lane] = static_cast<uint32_t>(product1);
            out.word[2][lane] = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
            out.word[3][lane] = static_cast<uint32_t>(product0);
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return out;
}

template <class T>
void dropout(const DropoutSpec& spec, Index rows, Index first_row, Index columns, T* h, Index h_stride, T* derivative,
             Index derivative_stride, bool overwrite) {
    const T scale = static_cast<T>(spec.scale);
    for (Index r = 0; r < rows; ++r) {
        for (Index group = 0; group < columns; group += kMaskColumns) {
            const PhiloxWords words = philox(spec, static_cast<uint32_t>(group / kMaskColumns * kMaskLanes),
                                             static_cast<uint32_t>(first_row + r));
            T factor[kMaskColumns];
            for (int word = 0; word < 4; ++word)
                for (Index lane = 0; lane < kMaskLanes; ++lane)
                    factor[word * kMaskLanes + lane] =
                        !spec.keep_none && words.word[word][lane] >= spec.threshold ? scale : T(0);
            const Index left = columns - group < kMaskColumns ? columns - group : kMaskColumns;
            T* h_row = h + r * h_stride + group;
            for (Index j = 0; j < left; j += kLanes<T>) {
                // A dropped unit is zero even where its value is not finite.
                const Vec<T> f = load(factor + j);
                store(h_row + j, keep(f != zero<T>(), load(h_row + j) * f));
            }
            if (!derivative) continue;
            T* slope = derivative + r * derivative_stride + group;
            for (Index j = 0; j < left; j += kLanes<T>)
                store(slope + j, overwrite ? load(factor + j) : load(slope + j) * load(factor + j));
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
