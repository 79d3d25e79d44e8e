#pragma once
#include <cstdint>
namespace gradiometer {
void permutation(std::uint64_t seed, std::uint64_t epoch, std::int64_t count, std::int64_t* out);
}
