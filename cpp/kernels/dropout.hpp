// Dropout (Srivastava et al. 2014). The mask is drawn again wherever it is needed from Philox4x32-10 (Salmon et al.
// 2011), keyed by seed, step, layer, row and column: it depends neither on threads nor on the width of a vector.
#pragma once

#include "kernels/kernels.hpp"
#include "simd/vector.hpp"

namespace gradiometer::GM_ISA {
namespace {

constexpr Index kMaskLanes = 16;                // columns side by side in one output word
constexpr Index kMaskColumns = 4 * kMaskLanes;  // columns that one set of counters serves

// Of each of 16 counters, (first_counter + lane, row, layer, step), the first word, then of each the second, and so on.
struct PhiloxWords {
    alignas(kAlignment) uint32_t word[kMaskColumns];
};

// Word by word, counters side by side in 64-bit lanes; only the lower halves mean anything.
struct PhiloxLanes {
    Ints<double> word[4];
};

GM_INLINE void philox_round(PhiloxLanes& lanes, uint32_t key0, uint32_t key1) {
    const Ints<double> product0 = multiply_lower_halves(lanes.word[0], broadcast_int<double>(0xD2511F53));
    const Ints<double> product1 = multiply_lower_halves(lanes.word[2], broadcast_int<double>(0xCD9E8D57));
    lanes.word[0] = logical_shift_right(product1, 32) ^ lanes.word[1] ^ broadcast_int<double>(key0);
    lanes.word[1] = product1;
    lanes.word[2] = logical_shift_right(product0, 32) ^ lanes.word[3] ^ broadcast_int<double>(key1);
    lanes.word[3] = product0;
}

GM_INLINE PhiloxWords philox(const DropoutSpec& spec, uint32_t first_counter, uint32_t row) {
    constexpr Index kAtOnce = 2 * kLanes<double>;
    constexpr Index kParts = kMaskLanes / kAtOnce;
    // The counters with even numbers and those with odd ones, which are put together in the end.
    PhiloxLanes even[kParts], odd[kParts];
    GM_UNROLL for (Index part = 0; part < kParts; ++part) {
        const Ints<double> first = broadcast_int<double>(first_counter + part * kAtOnce);
        const Ints<double> counter = first + lane_numbers<double>() + lane_numbers<double>();
        even[part] = {counter, broadcast_int<double>(row), broadcast_int<double>(spec.layer),
                      broadcast_int<double>(spec.step)};
        odd[part] = even[part];
        odd[part].word[0] = counter + broadcast_int<double>(1);
    }
    uint32_t key0 = spec.key[0];
    uint32_t key1 = spec.key[1];
    for (int round = 0; round < 10; ++round) {
        GM_UNROLL for (Index part = 0; part < kParts; ++part) {
            philox_round(even[part], key0, key1);
            philox_round(odd[part], key0, key1);
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    PhiloxWords out;
    for (int word = 0; word < 4; ++word) {
        GM_UNROLL for (Index part = 0; part < kParts; ++part) {
            const Ints<double> both =
                (even[part].word[word] & broadcast_int<double>(0xffffffff)) | (odd[part].word[word] << 32);
            __builtin_memcpy(out.word + word * kMaskLanes + part * kAtOnce, &both.v, sizeof(both.v));
        }
    }
    return out;
}

// kLanes<T> words, each in the lane of a T.
GM_INLINE Ints<float> load_words(const uint32_t* from, float) {
    Ints<float> words;
    __builtin_memcpy(&words.v, from, sizeof(words.v));
    return words;
}
GM_INLINE Ints<double> load_words(const uint32_t* from, double) {
    typedef uint32_t Half __attribute__((vector_size(GM_VECTOR_BYTES / 2)));
    Half half;
    __builtin_memcpy(&half, from, sizeof(half));
    return {__builtin_convertvector(half, Native<double>::Integers)};
}

template <class T>
void dropout(const DropoutSpec& spec, Index rows, Index first_row, Index columns, T* h, Index h_stride, T* derivative,
             Index derivative_stride, bool overwrite) {
    using Integer = typename Native<T>::Integer;
    const Vec<T> scale = broadcast(static_cast<T>(spec.scale));
    const Ints<T> threshold = broadcast_int<T>(static_cast<Integer>(spec.threshold));
    const Mask<T> some = first_lanes<T>(spec.keep_none ? 0 : kLanes<T>);
    for (Index r = 0; r < rows; ++r) {
        for (Index group = 0; group < columns; group += kMaskColumns) {
            const PhiloxWords words = philox(spec, static_cast<uint32_t>(group / kMaskColumns * kMaskLanes),
                                             static_cast<uint32_t>(first_row + r));
            const Index left = columns - group < kMaskColumns ? columns - group : kMaskColumns;
            T* h_row = h + r * h_stride + group;
            T* slope = derivative ? derivative + r * derivative_stride + group : nullptr;
            for (Index j = 0; j < left; j += kLanes<T>) {
                const Mask<T> kept = unsigned_at_least(load_words(words.word + j, T()), threshold) & some;
                const Vec<T> factor = keep(kept, scale);
                // A dropped unit is zero even where its value is not finite.
                store(h_row + j, keep(kept, load(h_row + j) * scale));
                if (slope) store(slope + j, overwrite ? factor : load(slope + j) * factor);
            }
        }
    }
}

}  // namespace
}  // namespace gradiometer::GM_ISA
