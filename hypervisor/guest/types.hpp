// The small value types from which ops and cases are built.
//
// Every field of an op has one of these types. A type knows its own text form (text.hpp); the
// generator and the shrinker choose values by type (harness/generate). Nothing here knows a backend.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace faultline::guest {

enum class World : std::uint8_t { Bare, Svm, Vmx, SevEs, Snp };
enum class Mode : std::uint8_t { Long64, Compat32, Prot32, Real16 };
/// Whether the processor is in long mode, so that handlers run in 64-bit mode.
constexpr bool long_mode(Mode mode) { return mode == Mode::Long64 || mode == Mode::Compat32; }
/// Bytes of an address, a stack slot and the default operand of PUSH, POP, CALL, RET, PUSHF in this mode: 8, 4 or 2.
constexpr std::uint8_t address_bytes(Mode mode) { return mode == Mode::Long64 ? 8 : mode == Mode::Real16 ? 2 : 4; }
/// The processor vendor whose manual is in force for a guest, as CPUID leaf 0 tells it.
enum class Vendor : std::uint8_t { Unknown, Amd, Intel };

/// General purpose registers in encoding order (rax=0 … r15=15).
enum class Gpr : std::uint8_t { Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15 };
inline constexpr std::size_t gpr_count = 16;

/// A debug register number as encoded in ModRM.reg plus REX.R: 0–15 (8–15 do not exist, #UD).
struct DrNumber {
    std::uint8_t number = 0;
    auto operator<=>(const DrNumber&) const = default;
};

/// Operand width in bytes: 1, 2, 4 or 8.
struct Width {
    std::uint8_t bytes = 8;
    auto operator<=>(const Width&) const = default;
};

/// An I/O port.
struct Port {
    std::uint16_t number = 0;
    auto operator<=>(const Port&) const = default;
};

/// A 16-bit immediate: a selector, a frame's size.
struct Word {
    std::uint16_t number = 0;
    auto operator<=>(const Word&) const = default;
};

/// An interrupt vector.
struct Vector {
    std::uint8_t number = 0;
    auto operator<=>(const Vector&) const = default;
};

/// A bit of a 32-bit operand, or ENTER's nesting level: 0–31.
struct BitIndex {
    std::uint8_t number = 0;
    auto operator<=>(const BitIndex&) const = default;
};

/// Position of an op in its program. `ops.size()` names the end (the stage's terminating UD2).
struct OpRef {
    std::uint16_t index = 0;
    auto operator<=>(const OpRef&) const = default;
};

/// A 64-bit value: a literal, or the linear address of an op (text form `op3`, `op3+1`), which
/// only the assembler can turn into a number.
struct Value {
    std::optional<OpRef> op;  ///< set: the value is address_of(op) + literal
    std::uint64_t literal = 0;
    auto operator<=>(const Value&) const = default;
};

/// Memory operand `[base + disp]`, or `[disp]` without a base. No segment override. A register
/// base of RSP or RBP makes it a stack-segment reference (a non-canonical address is #SS, not #GP).
struct Mem {
    std::optional<Gpr> base;
    std::int32_t disp = 0;  ///< sign-extended to 64 bits
    auto operator<=>(const Mem&) const = default;
};

enum class Gates : std::uint8_t { Dpl0, Dpl3 };  ///< which IDT (layout::idt_dpl0, idt_dpl3)

/// RFLAGS bits the project speaks about.
namespace rflags {
inline constexpr std::uint64_t cf = 1ull << 0, fixed1 = 1ull << 1, pf = 1ull << 2, af = 1ull << 4, zf = 1ull << 6,
                               sf = 1ull << 7, tf = 1ull << 8, if_ = 1ull << 9, df = 1ull << 10, of = 1ull << 11,
                               iopl = 3ull << 12, nt = 1ull << 14, rf = 1ull << 16, vm = 1ull << 17, ac = 1ull << 18,
                               vif = 1ull << 19, vip = 1ull << 20, id = 1ull << 21;
inline constexpr std::uint64_t arithmetic = cf | pf | af | zf | sf | of;
}  // namespace rflags

/// DR6 and DR7 bits and their values after RESET.
/// AMD APM vol 2, "Debug Registers", "Debug-Status Register (DR6)" and "Debug-Control Register (DR7)".
namespace dr {
inline constexpr std::uint64_t dr6_reset = 0xFFFF0FF0, dr7_reset = 0x400;
inline constexpr std::uint64_t dr6_b = 0xF, dr6_bld = 1ull << 11, dr6_bd = 1ull << 13, dr6_bs = 1ull << 14,
                               dr6_bt = 1ull << 15, dr6_rtm = 1ull << 16;
inline constexpr std::uint64_t dr7_gd = 1ull << 13, dr7_enables = 0xFF;
}  // namespace dr

/// DEBUGCTL (MSR 1D9h). AMD APM vol 2, "Debug-Extension-Control MSR (DebugCtl)".
namespace debugctl {
inline constexpr std::uint32_t msr = 0x1D9;
inline constexpr std::uint64_t lbr = 1, btf = 2;
}  // namespace debugctl

inline constexpr std::uint64_t cr4_de = 1ull << 3;
inline constexpr std::uint64_t cr0_pe = 1, cr0_ts = 1ull << 3, cr0_wp = 1ull << 16, cr0_am = 1ull << 18,
                               cr0_pg = 1ull << 31;

}  // namespace faultline::guest
