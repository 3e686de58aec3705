// What the processor reads of the stage's tables, as bits: descriptors, gates, TSS fields. The stage's memory is made
// of these, and so are the assembler's patches for a case that wants something else there.
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/surroundings.hpp"

namespace faultline::guest {

/// Type (bits 3:0) of a TSS descriptor and the bit that marks it busy. AMD APM vol 2, "System Descriptors".
inline constexpr std::uint16_t available_tss = 0x9, busy = 0x2;

/// Hidden part of a segment register that was loaded with `selector`: everything but TSS descriptors is as
/// descriptor_of says. Limits: layout::segment_limit, and of TSSs the table's end.
Segment segment_of(Mode stage, std::uint16_t selector);

/// TR's, as LTR wants to find it: not busy.
Segment available_tr(std::uint16_t limit);

/// A segment descriptor's first quadword; long mode's system descriptors continue with zeros.
std::uint64_t descriptor_bits(const Segment& segment);

/// Of the stage's entry for `selector`, task gates and empty entries included.
std::uint64_t gdt_entry(Mode stage, std::uint16_t selector);

/// A gate as long mode (both quadwords) and prot32 (the first) have it: to the vector's stub, or to `target`.
std::array<std::uint64_t, 2> gate_bits(Mode stage, const Gate& gate);
std::array<std::uint64_t, 2> gate_bits(Mode stage, const Gate& gate, std::uint64_t target);
/// Bytes of a gate, or of a vector of the IVT: 16, 8, 4.
constexpr unsigned gate_size(Mode stage) { return long_mode(stage) ? 16 : stage == Mode::Real16 ? 4 : 8; }

/// The quadword at tss::stack0: RSP0, or ESP0 and SS0.
constexpr std::uint64_t stack0_bits(Mode stage, std::uint64_t sp, std::uint16_t ss) {
    return long_mode(stage) ? sp : (sp & 0xFFFF'FFFF) | std::uint64_t{ss} << 32;
}

/// Offsets in a TSS. AMD APM vol 2, "64-Bit Task State Segment", "Legacy Task-State Segment".
namespace tss {
inline constexpr std::uint64_t stack0 = 4;  ///< RSP0; ESP0, then SS0
inline constexpr std::uint64_t cr3 = 0x1C;  ///< prot32; a task switch loads it and never saves it
inline constexpr std::uint64_t ist1 = 0x24, ist2 = 0x2C, bitmap_offset = 0x66;
inline constexpr std::uint64_t bitmap = 0x68, bitmap_size = 0x2000;  ///< followed by one byte of ones
inline constexpr std::uint16_t limit = bitmap + bitmap_size, task_limit = 0x67;
}  // namespace tss

/// Prot32: a task's TSS of task_limit + 1 bytes, quadword by quadword.
std::array<std::uint64_t, (tss::task_limit + 1) / 8> task_bits(const Task& task, std::uint64_t eip, unsigned cpl,
                                                               bool trap);

}  // namespace faultline::guest
