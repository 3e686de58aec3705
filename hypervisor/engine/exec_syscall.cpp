// SYSCALL and SYSRET. AMD APM vol 3, "SYSCALL", "SYSRET". SYSENTER and SYSEXIT are not announced.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// Whether SYSCALL and SYSRET trap is decided by the TF they leave behind: "a #DB exception is taken before the target
/// instruction executes". AMD APM vol 2, "Single Stepping".
void step_by_new_flags(Machine& m) {
    m.step_settled = true;
    if (!flag(m, rflags::tf)) return;
    m.debug.pending |= guest::dr::dr6_bs;
    m.pend(Machine::causes);
}

guest::Segment code32(std::uint16_t selector, unsigned dpl) {
    guest::Segment segment = flat_code(selector, dpl);
    segment.attributes ^= attribute::long_mode | attribute::big;
    return segment;
}

/// From compatibility mode to 64-bit mode at CSTAR; outside long mode to 32-bit code at STAR, and then R11 and SFMASK
/// have no part.
bool syscall(Machine& m, const Instruction&) {
    if (!(m.cpu.efer & efer::sce)) return m.raise_ud();
    if (m.real_mode()) return m.unimplemented();
    const auto selector = static_cast<std::uint16_t>(m.cpu.star >> 32 & 0xFFFC);
    const guest::Segment stack = flat_data(static_cast<std::uint16_t>(selector + 8), 0);
    m.cpu.r[rcx] = m.cpu.next_rip();
    if (m.long_mode()) {
        const std::uint64_t target = m.long64() ? m.cpu.lstar : m.cpu.cstar;
        m.cpu.r[11] = m.quirk(Quirk::syscall_saves_rf) ? m.cpu.rflags | m.quirk_state.rf : m.cpu.rflags & ~rflags::rf;
        enter_level(m, flat_code(selector, 0), stack, 0);
        m.set_rflags(m.cpu.rflags & ~(m.quirk(Quirk::syscall_ignores_mask) ? 0 : m.cpu.sfmask) & ~rflags::rf);
        m.transfer(target);
    } else {
        enter_level(m, code32(selector, 0), stack, 0);
        m.set_rflags(m.cpu.rflags & ~(rflags::vm | rflags::if_ | rflags::rf));
        m.transfer(static_cast<std::uint32_t>(m.cpu.star));
    }
    step_by_new_flags(m);
    return true;
}

/// The target is not checked: a non-canonical RCX faults at CPL3, on the fetch. SS takes its selector as STAR gives it.
/// Only from 64-bit mode do the flags come out of R11, and only there a 64-bit operand returns to 64-bit mode.
bool sysret(Machine& m, const Instruction& i) {
    if (!(m.cpu.efer & efer::sce)) return m.raise_ud();
    if (m.real_mode() || m.cpu.cpl != 0) return m.raise_gp();
    const auto base = static_cast<std::uint16_t>(m.cpu.star >> 48);
    const bool from64 = m.long64(), to64 = i.flags & Instruction::wide;
    const std::uint64_t loaded = 0x3C7FD7 | (m.quirk(Quirk::sysret_loads_rf) ? rflags::rf : 0);
    const std::uint64_t flags = from64 ? (m.cpu.r[11] & loaded) | rflags::fixed1 : m.cpu.rflags | rflags::if_;
    m.set_segment(cs, to64 ? flat_code(static_cast<std::uint16_t>((base + 16) | 3), 3) : code32(base | 3, 3));
    m.set_segment(ss, flat_data(static_cast<std::uint16_t>(base + 8), 3));
    m.set_cpl(3);
    m.set_rflags(flags);
    m.transfer(to64 ? m.cpu.r[rcx] : static_cast<std::uint32_t>(m.cpu.r[rcx]));
    step_by_new_flags(m);
    return true;
}

}  // namespace

std::span<const Entry> syscall_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_SYSCALL, any_form(syscall)},
        {ZYDIS_MNEMONIC_SYSRET, any_form(sysret)},
    };
    return entries;
}

}  // namespace faultline::engine
