// Which images this host can run at all: what Linux lets a traced process have of a case's environment.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "hypervisor/guest/image.hpp"

namespace faultline::native {

/// Why the image cannot run, in words that last; empty when it can.
std::string_view why_unsuitable(const guest::Image& image);

/// The enabled breakpoints of DR7, with nothing else set.
std::uint64_t enabled_breakpoints(std::uint64_t dr7);

/// An instruction's opcode, as far as it decides what is looked at here.
struct Opcode {
    std::uint16_t code = 0;     ///< 0Fxxh for the two-byte map; 0 when the bytes ran out
    bool operand_size = false;  ///< prefix 66h
    std::uint8_t next = 0;      ///< the byte behind it: ModRM or an immediate
    unsigned rex = 0;
    unsigned offset = 0;  ///< of the byte behind it
};
Opcode opcode_at(const guest::Image& image, std::uint64_t offset);

/// Whether the case's IDT lets software interrupts of some vectors through at CPL3.
bool gates_dpl3(const guest::Image& image);

}  // namespace faultline::native
