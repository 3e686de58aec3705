// The registers of one vCPU: plain data in the manual's terms.
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::engine {

namespace rflags = guest::rflags;

/// General purpose registers in encoding order. Two more slots let every effective address be base + index·scale +
/// displacement: one that is always zero, and one that holds the RIP of the next instruction.
enum RegisterSlot : std::uint8_t { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, zero_slot = 16, next_rip_slot = 17 };
inline constexpr std::size_t register_slots = 18;

/// Segment registers in encoding order.
enum SegmentSlot : std::uint8_t { es, cs, ss, ds, fs, gs };

/// Attributes of a segment as guest::Segment packs them (descriptor bits 55:52 and 47:40).
/// AMD APM vol 2, "Long-Mode Segment Descriptors".
namespace attribute {
inline constexpr std::uint16_t accessed = 1, writable = 1 << 1, readable = 1 << 1, conforming = 1 << 2, code = 1 << 3,
                               expand_down = 1 << 2, user_segment = 1 << 4, present = 1 << 7, long_mode = 1 << 9,
                               big = 1 << 10;
constexpr unsigned dpl(unsigned attributes) { return attributes >> 5 & 3; }
}  // namespace attribute

namespace cr0 {
inline constexpr std::uint64_t pe = 1, mp = 1 << 1, em = 1 << 2, ts = 1 << 3, et = 1 << 4, ne = 1 << 5, wp = 1 << 16,
                               am = 1 << 18, nw = 1 << 29, cd = 1 << 30, pg = 1ull << 31;
inline constexpr std::uint64_t defined = pe | mp | em | ts | et | ne | wp | am | nw | cd | pg;
}  // namespace cr0
namespace cr4 {
inline constexpr std::uint64_t tsd = 1 << 2, de = 1 << 3, pse = 1 << 4, pae = 1 << 5, mce = 1 << 6, pge = 1 << 7,
                               pce = 1 << 8, osfxsr = 1 << 9, osxmmexcpt = 1 << 10;
inline constexpr std::uint64_t defined = tsd | de | pse | pae | mce | pge | pce;  ///< here; the rest must be zero
}  // namespace cr4
namespace efer {
inline constexpr std::uint64_t sce = 1, lme = 1 << 8, lma = 1 << 10, nxe = 1 << 11, svme = 1 << 12;
inline constexpr std::uint64_t defined = sce | lme | lma | nxe | svme;
}  // namespace efer

inline constexpr std::uint64_t rflags_defined = rflags::arithmetic | rflags::tf | rflags::if_ | rflags::df |
                                                rflags::iopl | rflags::nt | rflags::rf | rflags::vm | rflags::ac |
                                                rflags::vif | rflags::vip | rflags::id;

/// What CS, CR0.PE and EFER.LMA make of the code being executed. AMD APM vol 2, "Operating Modes".
enum class CodeMode : std::uint8_t { Long64, Compat32, Compat16, Protected32, Protected16, Real };
inline constexpr std::size_t code_modes = 6;

struct Cpu {
    std::array<std::uint64_t, register_slots> r{};
    std::uint64_t rip = 0;                  ///< an offset in CS, in every mode
    std::uint64_t rflags = rflags::fixed1;  ///< always up to date; no lazy flags
    std::uint8_t cpl = 0;
    std::array<guest::Segment, 6> segment{};  ///< by SegmentSlot
    guest::Segment ldtr, tr;
    std::uint64_t gdt_base = 0, idt_base = 0;
    std::uint16_t gdt_limit = 0, idt_limit = 0;
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0, efer = 0;
    std::uint64_t star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0, tsc_aux = 0;
    std::uint64_t sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
    std::uint64_t pat = 0x0007'0406'0007'0406, apic_base = 0xFEE0'0900;
    std::uint64_t tsc_offset = 0;

    /// The instruction after the current one; a branch overwrites it.
    std::uint64_t& next_rip() { return r[next_rip_slot]; }
};

constexpr std::uint64_t sign_extended(std::uint64_t address) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << 16) >> 16);
}
/// Bits 63:47 all equal. AMD APM vol 2, "Canonical Address Form".
constexpr bool canonical(std::uint64_t address) { return sign_extended(address) == address; }

}  // namespace faultline::engine
