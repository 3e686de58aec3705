// INT n, INT3, INTO, ICEBP, BOUND, UD, IRET, HLT: where control leaves the program's own flow.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"
#include "hypervisor/engine/task_switch.hpp"

namespace faultline::engine {
namespace {

/// INT n, INT3 and INTO: no trap of their own for TF, which their delivery clears. AMD APM vol 2, "Single Stepping".
bool software_interrupt(Machine& m, std::uint8_t number, Delivery delivery) {
    m.step_settled = m.branched = true;
    return m.enter_handler({number, 0, 0}, delivery, m.cpu.next_rip(), m.cpu.rflags);
}

/// AMD APM vol 2, "Instruction Intercepts": before any exception, and vectors 0–31 are none here; "INTn Intercepts".
bool int_n(Machine& m, const Instruction& i) {
    const auto number = static_cast<std::uint8_t>(i.imm);
    if (m.quirk(Quirk::int_n_meets_exception_intercepts) && (number == vector::db || number == vector::bp) &&
        m.exits_on(Fault{number, 0, 0}))
        return false;
    if (m.exits_on(Intercept::SoftwareInterrupt, number)) return false;
    return software_interrupt(m, number, Delivery::Software);
}

/// A trap, but one whose intercept finds RIP at the instruction. AMD APM vol 2, "Exception Intercepts".
bool software_exception(Machine& m, std::uint8_t number) {
    if (m.quirk(Quirk::int3_meets_int_n_intercept) && m.exits_on(Intercept::SoftwareInterrupt, number)) return false;
    if (m.exits_on(Fault{number, 0, 0})) return false;
    return software_interrupt(m, number, Delivery::SoftwareException);
}
bool int3(Machine& m, const Instruction&) { return software_exception(m, vector::bp); }
/// Not in 64-bit mode, where the decoder knows no such opcode.
bool into(Machine& m, const Instruction&) { return !flag(m, rflags::of) || software_exception(m, vector::of); }

/// A signed index against the two bounds in memory: #BR is a fault. AMD APM vol 3, "BOUND".
struct Bound {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        using Signed = std::make_signed_t<T>;
        const std::uint64_t bounds = linear_address(m, i);
        T lower, upper;
        if (!m.load(bounds, lower, via(i)) || !m.load(bounds + sizeof(T), upper, via(i))) return false;
        const auto index = static_cast<Signed>(reg<T>(m, i.dst));
        const bool inside = index >= static_cast<Signed>(lower) && index <= static_cast<Signed>(upper);
        return inside || m.raise(vector::br);
    }
};

/// ICEBP: an instruction that is a #DB. No DPL check, no cause bit; a breakpoint held by a MOV SS before it joins.
/// A fault met on the way finds RIP at the ICEBP and EXT set.
bool icebp(Machine& m, const Instruction&) {
    if (m.exits_on(Intercept::Icebp)) return false;
    if (m.quirk(Quirk::icebp_raises_ud)) return m.raise_ud();
    m.step_settled = m.branched = true;
    return m.deliver_debug(DebugEvent::Icebp, 0, m.cpu.next_rip(), m.cpu.rflags);
}

bool undefined(Machine& m, const Instruction&) { return m.raise_ud(); }

bool hlt(Machine& m, const Instruction&) {
    if (m.cpu.cpl != 0) return m.raise_gp();
    if (m.exits_on(Intercept::Hlt)) return false;
    // "This intercept occurs only if a virtual interrupt is not pending": "Instruction Intercepts", "IDLE HLT".
    const bool idle = !(m.svm.virtual_interrupts & (guest::svm::vintr::irq | guest::svm::vintr::nmi));
    if (idle && m.exits_on(Intercept::IdleHlt)) return false;
    m.pend(Machine::halted);
    m.stop(Exit::Hlt);
    return true;
}

// ---- IRET. AMD APM vol 2, "Returning From Interrupt Procedures"; vol 3, "IRET" ----------------------------------

/// RFLAGS from an image of this width, by the level that executes the IRET: IF with CPL ≤ IOPL; IOPL, VIF and VIP only
/// at CPL0. Real mode leaves VIF and VIP alone. Nobody complains about a bit that stays.
std::uint64_t returned_flags(const Machine& m, std::uint64_t image, unsigned width) {
    std::uint64_t loaded = rflags::arithmetic | rflags::tf | rflags::df | rflags::nt;
    if (width > 2) loaded |= rflags::rf | rflags::ac | rflags::id;
    if (m.cpu.cpl <= (m.cpu.rflags >> 12 & 3)) loaded |= rflags::if_;
    if (m.cpu.cpl == 0) loaded |= rflags::iopl;
    if (m.cpu.cpl == 0 && width > 2 && !m.real_mode()) loaded |= rflags::vif | rflags::vip;
    if (m.quirk(Quirk::iret_ignores_rf)) loaded &= ~rflags::rf;
    if (m.quirk(Quirk::iret_loses_iopl)) loaded &= ~rflags::iopl;
    return (m.cpu.rflags & ~loaded) | (image & loaded);
}

bool finish_iret(Machine& m, std::uint64_t rip, std::uint64_t flags) {
    m.set_rflags(flags);
    m.open_nmi();
    m.transfer(rip);
    return true;
}

/// NT says that a task has to be returned to: the one that the link of the current TSS names. AMD APM vol 2, "Nesting
/// Tasks".
bool return_to_task(Machine& m) {
    std::uint16_t link;
    const Fault wrong{vector::ts, selector_error(m.cpu.tr.selector), 0};
    if (m.cpu.tr.limit < sizeof link - 1) return m.raise(wrong.vector, wrong.error);
    if (!m.system_read(table_address(m, m.cpu.tr.base), &link, sizeof link, wrong)) return false;
    if (!switch_task_by_instruction(m, link, TaskLink::Return)) return false;
    m.open_nmi();
    return true;
}

/// In 64-bit mode SS:RSP are popped whatever the operand size, elsewhere only by a return to an outer level.
template <class T>
bool iret(Machine& m, const Instruction&) {
    if (m.exits_on(Intercept::Iret)) return false;  // before any exception: "Instruction Intercepts"
    if (!m.real_mode() && flag(m, rflags::nt) && !m.quirk(Quirk::iret_ignores_nt))
        return m.long_mode() ? m.raise_gp() : return_to_task(m);
    const auto pop_slot = [&](unsigned n, T& value) {
        return m.load(m.in_stack(m.cpu.r[rsp] + n * sizeof(T)), value, Via::Stack);
    };
    T image[5];  // RIP, CS, RFLAGS, RSP, SS
    for (unsigned n = 0; n < 3; ++n)
        if (!pop_slot(n, image[n])) return false;
    const auto new_cs = static_cast<std::uint16_t>(image[1]);
    const std::uint64_t flags = returned_flags(m, image[2], sizeof(T));
    if (m.real_mode()) {
        const guest::Segment code = real_segment(m.cpu.segment[cs], new_cs);
        if (image[0] > code.limit) return m.raise_gp();
        m.set_stack_pointer(m.cpu.r[rsp] + 3 * sizeof(T));
        m.set_segment(cs, code);
        return finish_iret(m, image[0], flags);
    }
    // A return to virtual-8086 mode, which this machine does not have.
    if (!m.long_mode() && sizeof(T) == 4 && m.cpu.cpl == 0 && image[2] & rflags::vm) return m.unimplemented();

    const auto cpl = static_cast<std::uint8_t>(rpl(new_cs));
    Descriptor code, data;
    if (!check_return_cs(m, new_cs, code)) return false;
    guest::Segment new_ss = m.cpu.segment[ss];
    std::uint64_t stack = m.cpu.r[rsp] + 3 * sizeof(T);
    if (m.long64() || cpl > m.cpu.cpl) {
        if (!pop_slot(3, image[3]) || !pop_slot(4, image[4])) return false;
        const auto selector = static_cast<std::uint16_t>(image[4]);
        const bool to_long64 = m.long_mode() && code.has(attribute::long_mode);
        if (!check_return_ss(m, selector, cpl, to_long64, data)) return false;
        new_ss = data.segment(selector);
        stack = image[3];
    }
    if (!check_target(m, code, image[0])) return false;
    enter_level(m, code.segment(new_cs), new_ss, cpl);
    m.set_stack_pointer(stack);
    return finish_iret(m, image[0], flags);
}

}  // namespace

std::span<const Entry> interrupt_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_INT, any_form(int_n)},
        {ZYDIS_MNEMONIC_INT3, any_form(int3)},
        {ZYDIS_MNEMONIC_INTO, any_form(into)},
        {ZYDIS_MNEMONIC_BOUND, row_of<Bound, Form::RM>()},
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
