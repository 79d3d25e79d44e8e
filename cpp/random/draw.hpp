// Random numbers of a network: initial weights and the order of examples. All are drawn in double from Philox counters
// (number of the draw, stream, purpose) under the seed, and computed with operations that every machine rounds alike,
// so a seed gives the same bits everywhere and with every number of threads.
#pragma once

#include <cstdint>

namespace gradiometer {

// The last counter word. Dropout counts its steps there from 0, so these stay above.
enum class Purpose : uint32_t { weight = 0xF0000000u, bias, shuffle };

struct Stream {
    uint64_t seed;
    uint32_t number;  // the layer, or the epoch
    Purpose purpose;
};

// out[0 … count): uniform in [0, 1), multiples of 2^-53.
void draw_uniform(const Stream& stream, int64_t count, double* out);

// out[0 … count): standard normal (Box and Muller 1958).
void draw_normal(const Stream& stream, int64_t count, double* out);

// out (rows × columns, row-major): orthonormal columns, or rows if there are fewer of them, uniformly distributed: the
// Q of the QR decomposition of a normal matrix, signed so that R has a positive diagonal (Saxe et al. 2014; Mezzadri
// 2007).
void draw_orthogonal(const Stream& stream, int64_t rows, int64_t columns, double* out);

// out: the numbers 0 … count - 1 in random order, each order equally likely (Fisher and Yates; Lemire 2019 for numbers
// below a bound without bias).
void draw_permutation(const Stream& stream, int64_t count, int64_t* out);

}  // namespace gradiometer
