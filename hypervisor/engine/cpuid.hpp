// What CPUID says: exactly what the machine has.
#pragma once

#include <cstdint>

namespace faultline::engine {

struct CpuidLeaf {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

inline constexpr unsigned physical_address_bits = 48;

/// No leaf here depends on ECX. A leaf beyond the last is all zeros. AMD APM vol 3, "Obtaining Processor Information
/// Via the CPUID Instruction".
CpuidLeaf cpuid_leaf(std::uint32_t number);

}  // namespace faultline::engine
