// An image: stage plus assembled case, bytes that any backend can run.
//
// A backend keeps one copy of Stage::memory per vCPU, restores what the last run dirtied, writes the
// case's few bytes over it (`apply`) and starts at Stage::entry. It needs nothing else: this header
// must never include op.hpp or case.hpp, so that a backend cannot know what a program means.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// What the prologue and the stubs read, at layout::params. The prologue runs at CPL0 and loads, in this
/// order: IDT, CR0 and TR (if reload), CR4, DEBUGCTL (if use_debugctl), DR0–3, DR6, DR7, GPRs; then IRET of the mode's
/// width pops `entry_frame`.
struct Params {
    std::uint64_t cr4 = 0;
    std::uint64_t use_debugctl = 0;  ///< 0: DEBUGCTL is neither written nor read
    std::uint64_t debugctl = 0;
    std::array<std::uint64_t, 4> dr{};
    std::uint64_t dr6 = dr::dr6_reset, dr7 = dr::dr7_reset;
    std::array<std::uint64_t, gpr_count> gpr{};  ///< RSP's slot is unused: entry_frame has it
    struct {
        std::uint64_t rip, cs, rflags, rsp, ss;
    } entry_frame{};
    std::uint64_t idt_limit_and_base[2]{};  ///< operand of LIDT (10 bytes used)
    std::uint64_t code_size = 0;            ///< bytes of program before the end's UD2
    // Reaction policy, read by the stubs (guest::Policy says what each means).
    std::uint64_t db_skip = 0;              ///< #DB: 1 resumes at the next op instead of the pushed RIP
    std::uint64_t db_rf_set = 0;            ///< #DB: bits ORed into the saved RFLAGS (0 or RF)
    std::uint64_t db_clear_dr6 = 1;         ///< #DB: 1 writes dr6_reset to DR6
    std::uint64_t fault_flags_and = ~0ull;  ///< other faults: mask ANDed to the saved RFLAGS (~0 or ~RF)
    /// 1: the backend puts `gpr` into the vCPU before the entry and takes the final values out of it, RAX, RCX, RDX
    /// and RSP excepted; prologue and epilogue leave the others alone. A backend's own choice: 0 in an image.
    std::uint64_t gprs_by_backend = 0;
    std::uint64_t reload = 0;  ///< 1: the prologue loads CR0 and TR, the epilogue puts the stage's back
    std::uint64_t cr0 = 0;     ///< with `reload` only; TR's descriptor is a patch of the image
    // World svm; guest::Vmm says what each means. The VMCB is a matter of patches.
    std::uint64_t forced_exceptions = 0;
    std::uint64_t stop_at_exceptions = 0, stop_at_instructions = 0;  ///< 0 or 1
};

inline constexpr std::uint64_t skip_table = layout::params + 0x400;  ///< one byte per code byte
static_assert(sizeof(Params) <= 0x400);

inline constexpr std::uint64_t stub_stride = 16;

/// Named places in the stage's text that the oracle and people need.
struct StageSymbols {
    std::uint64_t prologue = 0, identify = 0;
    std::uint64_t stubs = 0;              ///< stub of vector v starts at stubs + stub_stride * v
    std::uint64_t syscall_entry = 0;      ///< LSTAR: one instruction, `jmp rcx`
    std::uint64_t epilogue_read_dr7 = 0;  ///< the epilogue's first DR access: the one that GD can stop
    std::uint64_t epilogue_begin = 0, epilogue_end = 0;
    std::uint64_t text_begin = 0, text_end = 0;
};

/// Segment register contents for the initial state, hidden part included.
struct Segment {
    std::uint16_t selector = 0;
    std::uint64_t base = 0;
    std::uint32_t limit = 0;
    std::uint16_t attributes = 0;  ///< descriptor bits 55:52 and 47:40, as in a VMCB
};

/// The fixed surroundings of a world and mode: pristine memory and the vCPU's state at `entry`.
struct Stage {
    Mode mode = Mode::Long64;          ///< of the stage itself: Long64 also serves compat32
    std::uint32_t version = 3;         ///< changes whenever bytes of `memory` change meaning
    std::vector<std::uint8_t> memory;  ///< layout::ram_size bytes
    StageSymbols symbols;
    std::uint64_t entry = 0;  ///< RIP to start a case; RSP = layout::rsp0_top, RFLAGS = 2
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    Segment cs, ss, ds, es, fs, gs, tr;
    std::uint64_t gdt_base = 0, idt_base = 0;
    std::uint16_t gdt_limit = 0, idt_limit = 0;
    std::uint64_t star = 0, lstar = 0, sfmask = 0;
    /// World svm: where the guest's VMCB is. The state above is the monitor's then. Zero elsewhere
    std::uint64_t vmcb = 0;
};

/// The one stage of a world and mode (long64 and compat32 have the same); built on first use, never changes. Null where
/// there is none yet.
const Stage* stage_of(World world, Mode mode);

/// What a run does when the guest halts. A backend delivers it once per HLT, at once.
enum class Wake : std::uint8_t { None, Interrupt, Nmi };
inline constexpr std::uint8_t wake_vector = 0x30;  ///< of Wake::Interrupt

/// What stands after the last op and raises #UD there: UD2; and in real mode LOCK NOP, because software that emulates
/// it may know no UD2 (KVM does not).
constexpr std::array<std::uint8_t, 2> end_bytes(Mode mode) {
    return mode == Mode::Real16 ? std::array<std::uint8_t, 2>{0xF0, 0x90} : std::array<std::uint8_t, 2>{0x0F, 0x0B};
}

/// Tape::unsuitable of a backend that has no hypervisor for an image with Stage::vmcb.
inline constexpr std::string_view needs_a_hypervisor = "a program of world svm needs a hypervisor";

struct Image {
    const Stage* stage = nullptr;
    Mode mode = Mode::Long64;  ///< of the program
    Params params;
    std::uint16_t code_size = 0;                          ///< without the end's UD2
    std::array<std::uint8_t, layout::code_limit> code{};  ///< ops, then the end
    /// Distance from each byte to the next op's first. 0 at the end, after which there is none.
    std::array<std::uint8_t, layout::code_limit> skip{};
    /// Quadwords of stage memory that this case changes (IDT, GDT, TSS); `apply` writes them, and whoever reuses the
    /// memory puts Stage::memory's back.
    struct Patch {
        std::uint64_t address, value;
    };
    std::uint16_t patch_count = 0;
    std::array<Patch, 64> patches{};
    std::uint16_t op_count = 0;
    std::array<std::uint16_t, 128> op_offset{};  ///< op_count + 1 entries; the last is the end
    std::uint16_t stack_count = 0;
    std::array<std::uint64_t, 32> stack{};  ///< slots of stack_slot_bytes() at params.entry_frame.rsp upward
    Wake wake = Wake::None;
    std::uint32_t step_limit = 0;  ///< instructions after which every candidate has ended

    /// Prot32 at CPL0 and real16: a byte of the IRET frame (EIP, CS, EFLAGS) that the prologue leaves below the initial
    /// stack. Nothing elsewhere.
    std::optional<std::uint8_t> entry_frame_byte(std::uint64_t address) const {
        const std::uint64_t offset = address - (initial_stack() - 12);
        if (long_mode(mode) || (mode == Mode::Prot32 && (params.entry_frame.cs & 3) != 0) || offset >= 12) return {};
        const auto& frame = params.entry_frame;
        const std::uint64_t slot = offset < 4 ? frame.rip : offset < 8 ? frame.cs : frame.rflags;
        return static_cast<std::uint8_t>(slot >> 8 * (offset % 4));
    }
    unsigned stack_slot_bytes() const { return address_bytes(mode); }
    /// Linear address of the lowest of them.
    std::uint64_t initial_stack() const {
        return params.entry_frame.rsp + (mode == Mode::Real16 ? params.entry_frame.ss << 4 : 0);
    }
    std::uint64_t op_address(std::size_t index) const { return layout::code + op_offset[index]; }
    std::uint64_t end_address() const { return layout::code + code_size; }
    std::span<const Patch> all_patches() const { return std::span(patches).first(patch_count); }
    /// The number a value stands for in this image.
    std::uint64_t resolve(const Value& value) const {
        return value.literal + (value.op ? op_address(value.op->index) : 0);
    }
};

}  // namespace faultline::guest
