#include "hypervisor/native/suitability.hpp"

#include "hypervisor/guest/layout.hpp"

namespace faultline::native {
namespace {

namespace layout = guest::layout;
namespace rflags = guest::rflags;

constexpr std::uint64_t task_size_max = 0x7FFF'FFFF'F000;

unsigned type_of(std::uint64_t dr7, unsigned n) { return dr7 >> (16 + 4 * n) & 3; }
std::uint64_t size_of(std::uint64_t dr7, unsigned n) {
    constexpr std::uint64_t sizes[] = {1, 2, 8, 4};
    return sizes[dr7 >> (18 + 4 * n) & 3];
}

/// What ptrace refuses: arch/x86/kernel/hw_breakpoint.c, arch_bp_generic_fields, arch_build_bp_info and
/// hw_breakpoint_arch_parse.
std::string_view refused_breakpoint(const guest::Params& p) {
    for (unsigned n = 0; n < 4; ++n) {
        if (!(p.dr7 >> 2 * n & 3)) continue;
        const std::uint64_t size = size_of(p.dr7, n), address = p.dr[n];
        if (type_of(p.dr7, n) == 2) return "Linux refuses an enabled breakpoint of type 10 (I/O)";
        if (type_of(p.dr7, n) == 0 && size != 1)
            return "Linux refuses an instruction breakpoint with LEN other than 00";
        if (address & (size - 1)) return "Linux refuses an enabled breakpoint at an unaligned address";
        if (address > task_size_max - size) return "Linux refuses an enabled breakpoint at a kernel address";
    }
    return {};
}

/// Loads of segment registers that find another descriptor in Linux's table than in the stage's.
bool loads_other_segment(const Opcode& op) {
    switch (op.code) {
        case 0x8E: return (op.next >> 3 & 7) != 2;  // MOV to anything but SS
        case 0x07:
        case 0x1F:
        case 0x0FA1:
        case 0x0FA9:  // POP ES, DS, FS, GS
        case 0x0FB2:
        case 0x0FB4:
        case 0x0FB5:  // LSS, LFS, LGS
        case 0xC4:
        case 0xC5:  // LES, LDS
        case 0x9A:
        case 0xEA:
        case 0xCA:
        case 0xCB: return true;  // far CALL, JMP, RET
        case 0xFF: return (op.next >> 3 & 7) == 3 || (op.next >> 3 & 7) == 5;
        default: return false;
    }
}

/// Instructions of which Linux makes something else, whatever they do. SECCOMP_RET does not see every system call
/// (kernel/seccomp.c lets uretprobe through), and #OF is reported like the #GP of the program's end (traps.c,
/// exc_overflow).
std::string_view taken_by_linux(const Opcode& op, guest::Mode mode) {
    if (op.code == 0x0F05 || op.code == 0x0F34) return "a system call instruction enters Linux";
    if (op.code == 0xCE && mode != guest::Mode::Long64) return "Linux reports #OF as it does the program's end";
    return {};
}

bool pushes_flags(const guest::Image& image) {
    for (unsigned i = 0; i < image.op_count; ++i)
        if (opcode_at(image, image.op_offset[i]).code == 0x9C) return true;
    return false;
}

}  // namespace

std::uint64_t enabled_breakpoints(std::uint64_t dr7) {
    std::uint64_t kept = 0;
    for (unsigned n = 0; n < 4; ++n)
        if (dr7 >> 2 * n & 3) kept |= dr7 & (3ull << 2 * n | 0xFull << (16 + 4 * n));
    return kept;
}

Opcode opcode_at(const guest::Image& image, std::uint64_t offset) {
    Opcode op;
    const auto byte = [&](std::uint64_t at) { return at < image.code.size() ? image.code[at] : std::uint8_t{0}; };
    const bool long64 = image.mode == guest::Mode::Long64;
    for (;; ++offset) {
        const std::uint8_t b = byte(offset);
        if (b == 0x66) op.operand_size = true;
        const bool prefix = b == 0x66 || b == 0x67 || b == 0xF0 || b == 0xF2 || b == 0xF3 || b == 0x26 || b == 0x2E ||
                            b == 0x36 || b == 0x3E || b == 0x64 || b == 0x65;
        if (!prefix || offset >= image.code.size()) break;
    }
    if (long64 && (byte(offset) & 0xF0) == 0x40) op.rex = byte(offset++);
    op.code = byte(offset++);
    if (op.code == 0x0F) op.code = static_cast<std::uint16_t>(0x0F00 | byte(offset++));
    op.next = byte(offset);
    op.offset = static_cast<unsigned>(offset);
    return op;
}

bool gates_dpl3(const guest::Image& image) {
    const auto& operand = image.params.idt_limit_and_base;
    return (operand[0] >> 16 | operand[1] << 48) == layout::idt_dpl3;
}

std::string_view why_unsuitable(const guest::Image& image) {
    const guest::Params& p = image.params;
    // IF and IOPL are Linux's. The others are outside FLAG_MASK of arch/x86/kernel/ptrace.c.
    constexpr std::uint64_t settable = rflags::arithmetic | rflags::fixed1 | rflags::tf | rflags::if_ | rflags::df |
                                       rflags::nt | rflags::rf | rflags::ac;
    if (!guest::long_mode(image.mode) || image.stage != guest::stage_of(guest::World::Bare, image.mode))
        return "no traced process has this mode";
    if (image.patch_count) return "the case changes descriptor tables, and the host has its own";
    if (p.reload && (p.cr0 ^ image.stage->cr0) & ~guest::cr0_am) return "CR0 is the host's";
    if ((p.entry_frame.cs & 3) != 3) return "a traced process runs at CPL 3";
    if (p.entry_frame.rflags & rflags::iopl) return "IOPL is 0 in a traced process";
    if (!(p.entry_frame.rflags & rflags::if_) && pushes_flags(image))
        return "IF is 1 in a traced process, and the program looks at it";
    if (p.entry_frame.rflags & ~settable) return "Linux does not set these RFLAGS for a traced process";
    if (p.use_debugctl) return "DEBUGCTL is not a traced process's to set";
    if (p.dr7 & guest::dr::dr7_gd) return "Linux does not set DR7.GD for a traced process";
    if ((p.dr6 | p.dr7) >> 32) return "DR6 or DR7 has high bits";
    if (const auto refused = refused_breakpoint(p); !refused.empty()) return refused;
    for (unsigned i = 0; i < image.op_count; ++i) {
        const Opcode op = opcode_at(image, image.op_offset[i]);
        if (const auto why = taken_by_linux(op, image.mode); !why.empty()) return why;
        if (loads_other_segment(op)) return "the program loads a segment from a descriptor table that is Linux's";
    }
    return {};
}

}  // namespace faultline::native
