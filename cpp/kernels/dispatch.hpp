// Which instruction set this process computes with: the best that machine and operating system have, or the one that
// GRADIOMETER_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace gradiometer {

// Names of the instruction sets that this machine can run, the slowest first.
std::vector<std::string> available_isas();

// The chosen table, the same for the whole life of the process. Throws std::runtime_error where GRADIOMETER_ISA names
// one that is not available.
template <class T>
const KernelTable<T>& kernels();

// The table of a given instruction set; throws std::runtime_error where it is not available. For tests.
template <class T>
const KernelTable<T>& kernels_of(const std::string& isa);

}  // namespace gradiometer
