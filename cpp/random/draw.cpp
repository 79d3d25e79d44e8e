#include "random/draw.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "parallel/pool.hpp"
#include "random/elementary.hpp"
#include "random/philox.hpp"

namespace gradiometer {
namespace {

// Two words of 64 bits: number 2 · block and 2 · block + 1 of a stream.
std::pair<uint64_t, uint64_t> random_words(const Stream& stream, int64_t block) {
    const auto [a, b, c, d] = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream.number,
                                      static_cast<uint32_t>(stream.purpose)},
                                     {static_cast<uint32_t>(stream.seed), static_cast<uint32_t>(stream.seed >> 32)});
    return {uint64_t{b} << 32 | a, uint64_t{d} << 32 | c};
}

double to_unit(uint64_t word) {
    return static_cast<double>(word >> 11) * 0x1p-53;
}

// Calls pair(block) for the draws 2 · block and 2 · block + 1, on all threads where there are many.
template <class DrawPair>
void draw_in_pairs(int64_t count, double* out, const DrawPair& draw_pair) {
    constexpr int64_t kBlocksPerThread = 2048;  // some 50 µs of work
    const int64_t blocks = (count + 1) / 2;
    const int threads = static_cast<int>(std::clamp<int64_t>(blocks / kBlocksPerThread, 1, num_threads()));
    run_parallel(threads, [&](Team& team, int thread) {
        const int64_t end = blocks * (thread + 1) / team.size();
        for (int64_t block = blocks * thread / team.size(); block < end; ++block) {
            const auto [first, second] = draw_pair(block);
            out[2 * block] = first;
            if (2 * block + 1 < count) out[2 * block + 1] = second;
        }
    });
}

// A number from 0 to bound - 1 from words of a stream, the next of which is number `used`.
uint64_t draw_below(const Stream& stream, uint64_t bound, int64_t& used) {
    for (;;) {
        const auto [even, odd] = random_words(stream, used / 2);
        const uint64_t word = used++ % 2 ? odd : even;
        const auto product = static_cast<unsigned __int128>(word) * bound;
        // The lowest 2^64 mod bound remainders belong to a quotient that comes once too often.
        if (static_cast<uint64_t>(product) >= bound || static_cast<uint64_t>(product) >= -bound % bound)
            return static_cast<uint64_t>(product >> 64);
    }
}

}  // namespace

void draw_uniform(const Stream& stream, int64_t count, double* out) {
    draw_in_pairs(count, out, [&](int64_t block) {
        const auto [a, b] = random_words(stream, block);
        return std::pair(to_unit(a), to_unit(b));
    });
}

void draw_normal(const Stream& stream, int64_t count, double* out) {
    draw_in_pairs(count, out, [&](int64_t block) {
        const auto [a, b] = random_words(stream, block);
        const double radius = std::sqrt(-2.0 * portable_log(to_unit(a) + 0x1p-53));  // of a number above 0, up to 1
        const SineCosine direction = portable_sine_cosine(to_unit(b));
        return std::pair(radius * direction.cosine, radius * direction.sine);
    });
}

void draw_permutation(const Stream& stream, int64_t count, int64_t* out) {
    std::iota(out, out + count, int64_t{0});
    int64_t used = 0;
    for (int64_t i = count - 1; i > 0; --i)
        std::swap(out[i], out[draw_below(stream, static_cast<uint64_t>(i) + 1, used)]);
}

}  // namespace gradiometer
