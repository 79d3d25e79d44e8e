#include "random/draw.hpp"
#include <numeric>
#include <random>
#include <algorithm>
namespace gradiometer {
void permutation(std::uint64_t seed, std::uint64_t epoch, std::int64_t count, std::int64_t* out) {
    std::iota(out, out + count, 0);
    std::mt19937_64 g(seed * 1000003 + epoch);
    std::shuffle(out, out + count, g);
}
}
