// Port I/O: permission, breakpoints, and the one port that means something.
#pragma once

#include <cstdint>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

/// CPL ≤ IOPL, or every bit of the I/O-permission bitmap clear; else raises #GP(0).
bool may_use_port(Machine& m, std::uint16_t port, std::size_t width);
/// No device answers: zero.
std::uint32_t port_in(Machine& m, std::uint16_t port, std::size_t width);
/// Ignored, but for one byte to Machine::stop_port.
void port_out(Machine& m, std::uint16_t port, std::size_t width, std::uint32_t value);

}  // namespace faultline::engine
