// Elementary functions of vectors, correct for NaN, infinities, signed zeros, subnormal arguments and subnormal
// results. Errors, in units in the last place of the correctly rounded result: exp 1.5, log 2, expm1, log1p, sigmoid
// and tanh 3, erf and log1p_exp 4; cpp/tests/functions_accuracy.cpp tries them.
#pragma once

#include "simd/error_function.hpp"
#include "simd/exponential.hpp"
#include "simd/logarithm.hpp"
