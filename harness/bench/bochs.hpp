// Bochs as a peer: how many instructions per second it interprets.
#pragma once

#include <optional>

namespace faultline::harness {

/// Millions of instructions per second of Debian's Bochs in a register loop, the start of the emulator taken off.
/// Empty when Bochs is not installed or did not run to its end.
std::optional<double> bochs_mips();

}  // namespace faultline::harness
