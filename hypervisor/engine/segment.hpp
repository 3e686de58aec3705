// Descriptors and segment registers. AMD APM vol 2, "Segmented Virtual Memory".
//
// A segment register (Cpu::segment, ldtr, tr) is a guest::Segment: the selector, and the hidden part that a load took
// from the descriptor: base, limit in bytes with G already applied, and attributes. It is usable iff its attributes
// have `present`: null selectors and what a task switch could not load leave that bit clear. In 64-bit mode and in real
// mode nobody asks: there bases and limits are ignored but for FS and GS, here only base and limit count.
#pragma once

#include <cstdint>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

/// The eight bytes of a descriptor in the GDT or LDT.
struct Descriptor {
    std::uint64_t raw = 0;

    std::uint64_t base() const { return (raw >> 16 & 0xFF'FFFF) | (raw >> 56) << 24; }
    std::uint32_t limit() const {
        const auto scaled = static_cast<std::uint32_t>((raw & 0xFFFF) | (raw >> 32 & 0xF'0000));
        return raw >> 55 & 1 ? scaled << 12 | 0xFFF : scaled;
    }
    std::uint16_t attributes() const { return static_cast<std::uint16_t>((raw >> 40 & 0xFF) | (raw >> 44 & 0xF00)); }
    unsigned dpl() const { return attribute::dpl(attributes()); }
    bool has(std::uint16_t mask) const { return (attributes() & mask) == mask; }
    bool present() const { return has(attribute::present); }
    bool is_system() const { return !has(attribute::user_segment); }
    bool is_code() const { return has(attribute::user_segment | attribute::code); }
    bool is_conforming() const { return is_code() && has(attribute::conforming); }
    bool is_data() const { return has(attribute::user_segment) && !has(attribute::code); }
    bool is_writable_data() const { return is_data() && has(attribute::writable); }
    bool is_readable() const { return is_data() || (is_code() && has(attribute::readable)); }
    /// Of a system descriptor: one of SystemType.
    unsigned system_type() const { return raw >> 40 & 0xF; }
    /// Of a gate: the selector it leads to.
    std::uint16_t gate_selector() const { return static_cast<std::uint16_t>(raw >> 16); }
    guest::Segment segment(std::uint16_t selector) const { return {selector, base(), limit(), attributes()}; }
};

/// Types of system descriptors. AMD APM vol 2, "System Descriptors". In long mode 9 and 11 are 64-bit TSSs, 12, 14 and
/// 15 64-bit gates, and of the others only 2 means anything.
namespace system_type {
inline constexpr unsigned tss16 = 1, ldt = 2, tss16_busy = 3, call_gate16 = 4, task_gate = 5, interrupt_gate16 = 6,
                          trap_gate16 = 7, tss = 9, tss_busy = 11, call_gate = 12, interrupt_gate = 14, trap_gate = 15;
inline constexpr unsigned busy = 2;  ///< what sets a TSS apart from an available one
}  // namespace system_type

constexpr bool is_null(std::uint16_t selector) { return (selector & 0xFFFC) == 0; }
constexpr unsigned rpl(std::uint16_t selector) { return selector & 3; }
constexpr std::uint16_t with_rpl(std::uint16_t selector, unsigned level) {
    return static_cast<std::uint16_t>((selector & ~3u) | level);
}

/// Error code of a fault about a selector: without its RPL. AMD APM vol 2, "Selector-Error Code".
constexpr std::uint32_t selector_error(std::uint16_t selector) { return selector & 0xFFFCu; }

constexpr bool is_usable(const guest::Segment& segment) { return (segment.attributes & attribute::present) != 0; }
/// What loading a null selector leaves.
constexpr guest::Segment null_segment(std::uint16_t selector, unsigned dpl = 0) {
    return {selector, 0, 0, static_cast<std::uint16_t>(dpl << 5)};
}
/// What a load in real mode makes of a segment: limit and attributes stay. AMD APM vol 2, "Real Mode".
constexpr guest::Segment real_segment(const guest::Segment& before, std::uint16_t selector) {
    return {selector, std::uint64_t{selector} << 4, before.limit, before.attributes};
}

/// Address of a byte of a descriptor table or TSS: 64 bits in long mode, else 32.
inline std::uint64_t table_address(const Machine& m, std::uint64_t address) {
    return m.long_mode() ? address : static_cast<std::uint32_t>(address);
}

/// Reads the descriptor that a non-null selector names; raises `outside` when it lies beyond its table.
bool read_descriptor(Machine& m, std::uint16_t selector, Fault outside, Descriptor& out);
/// Sets the accessed bit in memory where it is clear.
bool mark_accessed(Machine& m, std::uint16_t selector, Descriptor& descriptor);

/// MOV and POP to a segment register, and LSS and its kind, with every check.
bool load_segment(Machine& m, SegmentSlot slot, std::uint16_t selector);

/// Checks CS for a far return or IRET to the same or an outer privilege level: #GP or #NP.
bool check_return_cs(Machine& m, std::uint16_t selector, Descriptor& out);
/// Checks SS for the same; `cpl` is the new one, and a null selector only for a return to 64-bit mode.
bool check_return_ss(Machine& m, std::uint16_t selector, unsigned cpl, bool to_long64, Descriptor& out);
/// #GP(0) unless `offset` lies in this code segment: canonical in 64-bit mode, else within its limit.
bool check_target(Machine& m, const Descriptor& code, std::uint64_t offset);
/// Takes both over. Data segments that the outer level may not use become null.
void enter_level(Machine& m, const guest::Segment& new_cs, const guest::Segment& new_ss, std::uint8_t cpl);

/// Flat segments as SYSCALL and SYSRET make them, whatever the descriptor tables say.
guest::Segment flat_code(std::uint16_t selector, unsigned dpl, bool long64 = true);
guest::Segment flat_data(std::uint16_t selector, unsigned dpl);

}  // namespace faultline::engine
