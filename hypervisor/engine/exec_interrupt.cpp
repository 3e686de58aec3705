// INT n, INT3, ICEBP, UD, IRET, HLT: where control leaves the program's own flow.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// INT n and INT3: no trap of their own for TF, which their delivery clears. AMD APM vol 2, "Single Stepping".
bool software_interrupt(Machine& m, std::uint8_t number) {
    m.step_settled = m.branched = true;
    return m.enter_handler(number, 0, Delivery::Software, m.cpu.next_rip(), m.cpu.rflags);
}

bool int_n(Machine& m, const Instruction& i) { return software_interrupt(m, static_cast<std::uint8_t>(i.imm)); }
bool int3(Machine& m, const Instruction&) { return software_interrupt(m, vector::bp); }

/// ICEBP: an instruction that is a #DB. No DPL check, no cause bit; a breakpoint held by a MOV SS before it joins.
/// A fault met on the way finds RIP at the ICEBP and EXT set.
bool icebp(Machine& m, const Instruction&) {
    if (m.quirk(Quirk::icebp_raises_ud)) return m.raise_ud();
    m.step_settled = m.branched = true;
    return m.deliver_debug(DebugEvent::Icebp, 0, m.cpu.next_rip(), m.cpu.rflags);
}

bool undefined(Machine& m, const Instruction&) { return m.raise_ud(); }

bool hlt(Machine& m, const Instruction&) {
    if (m.cpu.cpl != 0) return m.raise_gp();
    m.pend(Machine::halted);
    m.stop(Exit::Hlt);
    return true;
}

/// AMD APM vol 2, "Returning From Interrupt Procedures" in long mode: SS:RSP are popped whatever the operand size.
template <class T>
bool iret(Machine& m, const Instruction&) {
    if (flag(m, rflags::nt) && !m.quirk(Quirk::iret_ignores_nt)) return m.raise_gp();
    T image[5];  // RIP, CS, RFLAGS, RSP, SS
    for (std::size_t n = 0; n < 5; ++n)
        if (!m.load(m.cpu.r[rsp] + n * sizeof(T), image[n], Via::Stack)) return false;
    const auto new_cs = static_cast<std::uint16_t>(image[1]), new_ss = static_cast<std::uint16_t>(image[4]);
    const auto cpl = static_cast<std::uint8_t>(new_cs & 3);
    Descriptor code, data;
    if (!check_return_cs(m, new_cs, code) || !check_return_ss(m, new_ss, cpl, true, data)) return false;
    if (!canonical(image[0])) return m.raise_gp();

    std::uint64_t loaded = rflags::arithmetic | rflags::tf | rflags::df | rflags::nt;
    if constexpr (sizeof(T) > 2) loaded |= rflags::rf | rflags::ac | rflags::id;
    if (m.cpu.cpl <= (m.cpu.rflags >> 12 & 3)) loaded |= rflags::if_;
    if (m.cpu.cpl == 0) loaded |= rflags::iopl;
    if (m.cpu.cpl == 0 && sizeof(T) > 2) loaded |= rflags::vif | rflags::vip;
    if (m.quirk(Quirk::iret_ignores_rf)) loaded &= ~rflags::rf;
    if (m.quirk(Quirk::iret_loses_iopl)) loaded &= ~rflags::iopl;
    const std::uint64_t flags = (m.cpu.rflags & ~loaded) | (image[2] & loaded);
    m.cpu.r[rsp] = image[3];
    enter_level(m, code.segment(new_cs), data.segment(new_ss), cpl);
    m.set_rflags(flags);
    m.nmi_blocked = false;
    m.transfer(image[0]);
    return true;
}

}  // namespace

std::span<const Entry> interrupt_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_INT, any_form(int_n)},
        {ZYDIS_MNEMONIC_INT3, any_form(int3)},
        {ZYDIS_MNEMONIC_INT1, any_form(icebp)},
        {ZYDIS_MNEMONIC_UD0, any_form(undefined)},
        {ZYDIS_MNEMONIC_UD1, any_form(undefined)},
        {ZYDIS_MNEMONIC_UD2, any_form(undefined)},
        {ZYDIS_MNEMONIC_HLT, any_form(hlt)},
        {ZYDIS_MNEMONIC_IRET, any_form(iret<std::uint16_t>)},
        {ZYDIS_MNEMONIC_IRETD, any_form(iret<std::uint32_t>)},
        {ZYDIS_MNEMONIC_IRETQ, any_form(iret<std::uint64_t>)},
    };
    return entries;
}

}  // namespace faultline::engine
