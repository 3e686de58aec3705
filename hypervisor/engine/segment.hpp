// Descriptors and segment registers. AMD APM vol 2, "Segmented Virtual Memory".
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
    bool is_code() const { return has(attribute::user_segment | attribute::code); }
    bool is_data() const { return has(attribute::user_segment) && !has(attribute::code); }
    guest::Segment segment(std::uint16_t selector) const { return {selector, base(), limit(), attributes()}; }
};

constexpr bool is_null(std::uint16_t selector) { return (selector & 0xFFFC) == 0; }

/// Error code of a fault about a selector: without its RPL. AMD APM vol 2, "Selector-Error Code".
constexpr std::uint32_t selector_error(std::uint16_t selector) { return selector & 0xFFFCu; }

/// Reads the descriptor that a non-null selector names; raises `outside` when it lies beyond its table.
bool read_descriptor(Machine& m, std::uint16_t selector, Fault outside, Descriptor& out);
/// Sets the accessed bit in memory where it is clear.
bool mark_accessed(Machine& m, std::uint16_t selector, Descriptor& descriptor);

/// MOV and POP to a segment register, and LFS and its kind, with every check.
bool load_segment(Machine& m, SegmentSlot slot, std::uint16_t selector);

/// Checks CS for a far return or IRET to the same or an outer privilege level: #GP or #NP.
bool check_return_cs(Machine& m, std::uint16_t selector, Descriptor& out);
/// Checks SS for the same; `cpl` is the new one.
bool check_return_ss(Machine& m, std::uint16_t selector, unsigned cpl, Descriptor& out);
/// Takes both over. Data segments that the outer level may not use become null.
void enter_level(Machine& m, const guest::Segment& new_cs, const guest::Segment& new_ss, std::uint8_t cpl);

/// Flat segments as SYSCALL and SYSRET make them, whatever the descriptor tables say.
guest::Segment flat_code(std::uint16_t selector, unsigned dpl);
guest::Segment flat_data(std::uint16_t selector, unsigned dpl);

}  // namespace faultline::engine
