// Model-specific registers.
#pragma once

#include <cstdint>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

/// False: no such MSR. The caller raises #GP(0).
bool read_msr(Machine& m, std::uint32_t index, std::uint64_t& value);
/// False: no such MSR, or a value it does not take.
bool write_msr(Machine& m, std::uint32_t index, std::uint64_t value);

/// Whether a PAT may hold this: each byte one of UC, WC, WT, WP, WB, UC−. AMD APM vol 2, "PAT Register".
bool is_pat(std::uint64_t value);

}  // namespace faultline::engine
