// What quirks do at the boundary between instructions, around an instruction, and on the way into a handler.
// quirk_debug.cpp has those of the debug registers and of matching.
#include "hypervisor/engine/quirk_hooks.hpp"

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

using Kind = QuirkState::Kind;
namespace dr = guest::dr;

namespace {

constexpr std::uint32_t idt_bit = 2, ext_bit = 1;

bool is(Kind kind, std::initializer_list<Kind> kinds) {
    for (const Kind k : kinds)
        if (kind == k) return true;
    return false;
}

/// Instructions that leave the guest on most hypervisors.
bool exits(Kind kind) { return is(kind, {Kind::Cpuid, Kind::Msr, Kind::Wbinvd, Kind::Hlt}); }

constexpr bool is_contributory(std::uint8_t number) {
    return number == vector::de || (number >= vector::ts && number <= vector::gp);
}

}  // namespace

Kind QuirkHooks::kind_at_rip(Machine& m) {
    std::array<std::uint8_t, max_instruction_length> bytes;
    const std::size_t fetched = m.fetch_bytes(bytes);
    const auto at = [&](std::size_t i) { return i < fetched ? bytes[i] : 0; };
    std::size_t i = 0;
    bool repeated = false;
    const bool rex = m.long64();
    for (;; ++i) {
        const int byte = at(i);
        if (byte == 0xF2 || byte == 0xF3)
            repeated = true;
        else if (byte != 0x66 && byte != 0x67 && !(rex && byte >> 4 == 4))
            break;
    }
    switch (at(i)) {
        case 0x90: return repeated ? Kind::Pause : Kind::Other;
        case 0x9D: return Kind::Popf;
        case 0x8E: return (at(i + 1) >> 3 & 7) == ss ? Kind::MovSs : Kind::Other;
        case 0xCC: return Kind::Int3;
        case 0xCD: return Kind::Int;
        case 0xCF: return Kind::Iret;
        case 0xF1: return Kind::Icebp;
        case 0xF4: return Kind::Hlt;
        case 0xE6:
        case 0xE7:
        case 0xEE:
        case 0xEF: return Kind::Out;
        case 0x6E:
        case 0x6F: return repeated ? Kind::Repeated : Kind::Out;
        case 0x6C:
        case 0x6D:
        case 0xA4:
        case 0xA5:
        case 0xA6:
        case 0xA7:
        case 0xAA:
        case 0xAB:
        case 0xAC:
        case 0xAD:
        case 0xAE:
        case 0xAF: return repeated ? Kind::Repeated : Kind::Other;
        case 0x0F: break;
        default: return Kind::Other;
    }
    switch (at(i + 1)) {
        case 0x05: return Kind::Syscall;
        case 0x07: return Kind::Sysret;
        case 0x09: return Kind::Wbinvd;
        case 0x0B: return Kind::Ud2;
        case 0x21:
        case 0x23: return Kind::MovDr;
        case 0x30:
        case 0x32: return Kind::Msr;
        case 0xA1: return Kind::PopFs;
        case 0xA2: return Kind::Cpuid;
        default: return Kind::Other;
    }
}

bool QuirkHooks::fails_entry(Machine& m) {
    m.stop(Exit::EntryFailure);
    return false;
}

std::optional<bool> QuirkHooks::boundary(Machine& m, bool inside_rep, std::uint64_t& trap_rip, std::uint64_t& pushed) {
    QuirkState& s = m.quirk_state;
    const bool stepped = (m.debug.pending & dr::dr6_bs) != 0, hit = (m.debug.pending & dr::dr6_b) != 0;
    s.injecting = false;
    s.trapping = m.debug.pending != 0;
    if (m.shadow == Shadow::MovSs) {
        if (m.quirk(Quirk::held_breakpoint_at_once) && hit) m.shadow = Shadow::None;
        if (m.quirk(Quirk::held_breakpoint_lost)) m.debug.pending &= ~dr::dr6_b;
    }
    if (m.quirk(Quirk::sti_shadow_holds_traps) && m.shadow == Shadow::Sti) m.shadow = Shadow::MovSs;
    s.boundary_shadow = m.shadow;
    s.rf = m.cpu.rflags & rflags::rf;
    if (!m.debug.pending || m.shadow == Shadow::MovSs) return std::nullopt;

    if (m.quirk(Quirk::intercept_before_trap) && intercepted_at_rip(m)) {
        m.debug.pending = 0;
        m.drop(Machine::causes);
        return std::nullopt;
    }
    if (m.quirk(Quirk::stepping_sti_fails_entry) && stepped && m.shadow == Shadow::Sti) return fails_entry(m);
    if (m.quirk(Quirk::code_breakpoint_before_trap)) {
        const std::uint64_t pending = m.debug.pending;
        if (const std::uint64_t hits = match_code(m, inside_rep)) {
            m.debug.pending = 0;
            const bool delivered = m.deliver_debug(DebugEvent::Condition, hits, m.cpu.rip, m.cpu.rflags);
            m.debug.pending = pending;
            m.pend(Machine::causes);
            return delivered;
        }
    }
    const bool interrupt =
        m.quirk(Quirk::interrupt_before_trap) && m.attention & Machine::interrupt_line && m.cpu.rflags & rflags::if_;
    const bool nmi = m.quirk(Quirk::nmi_before_trap) && m.attention & Machine::nmi_line && !m.nmi_blocked;
    if ((interrupt || nmi) && m.shadow == Shadow::None) {
        m.drop((interrupt ? Machine::interrupt_line : Machine::nmi_line) | Machine::halted | Machine::unfinished_rep);
        m.nmi_blocked |= nmi;
        return m.deliver({interrupt ? m.interrupt_vector : vector::nmi, 0, 0},
                         interrupt ? Delivery::Interrupt : Delivery::Nmi, m.cpu.rip, pushed);
    }
    if (m.quirk(Quirk::trap_reinjected_as_fault) && hit) trap_rip = s.last_rip;
    if (m.quirk(Quirk::step_pushes_own_rip) && stepped) trap_rip = s.last_rip;
    if (inside_rep && m.quirk(Quirk::rep_trap_pushes_next_rip)) trap_rip = s.last_rip + s.last_length;
    if (inside_rep && m.quirk(Quirk::rep_trap_pushes_rf_clear)) pushed &= ~rflags::rf;
    if (m.quirk(Quirk::trap_pushes_rf)) pushed |= rflags::rf;
    if (m.quirk(Quirk::cpuid_step_pending) && s.kind == Kind::Cpuid && stepped) {
        m.drop(Machine::halted | Machine::unfinished_rep | Machine::shadowed);
        m.shadow = Shadow::None;
        const bool delivered = m.deliver_debug(DebugEvent::Condition, 0, trap_rip, pushed);
        m.debug.pending = dr::dr6_bs;
        m.pend(Machine::causes);
        s.kind = Kind::Other;
        return delivered;
    }
    return std::nullopt;
}

void QuirkHooks::before_instruction(Machine& m) {
    QuirkState& s = m.quirk_state;
    s.kind = kind_at_rip(m);
    s.last_rip = m.cpu.rip;
    s.count = m.cpu.r[rcx];
    const Instruction* instruction = m.fetch();
    s.last_length = instruction ? instruction->length : 0;
    s.data_hits = s.io_hits = 0;
    s.modified = 1;
    s.at_code_breakpoint = s.detected = false;
    s.disabled_hits = 0;
}

void QuirkHooks::after_instruction(Machine& m, bool stepping, bool completed) {
    QuirkState& s = m.quirk_state;
    const Kind kind = s.kind;
    std::uint64_t& pending = m.debug.pending;
    const bool tf = (m.cpu.rflags & rflags::tf) != 0, more = (m.attention & Machine::unfinished_rep) != 0;
    const auto step_if = [&](bool condition) {
        if (!condition) return;
        pending |= dr::dr6_bs;
        m.pend(Machine::causes);
    };
    const auto no_step_if = [&](bool condition) {
        if (condition) pending &= ~dr::dr6_bs;
    };

    step_if(m.quirk(Quirk::faulting_instruction_stepped) && stepping && !completed);
    if (kind == Kind::MovSs && !completed && m.quirk(Quirk::faulting_mov_ss_opens_shadow)) {
        m.shadow = Shadow::MovSs;
        m.pend(Machine::shadowed);
    }
    if (!completed) return;

    no_step_if(m.quirk(Quirk::hlt_not_stepped) && kind == Kind::Hlt);
    no_step_if(m.quirk(Quirk::pause_not_stepped) && kind == Kind::Pause);
    no_step_if(m.quirk(Quirk::mov_dr_not_stepped) && kind == Kind::MovDr);
    no_step_if(m.quirk(Quirk::step_lost_after_port_output) && kind == Kind::Out);
    no_step_if(m.quirk(Quirk::step_lost_by_iret) && is(kind, {Kind::Iret, Kind::Sysret}));
    no_step_if(m.quirk(Quirk::rep_stepped_at_end) && more);
    no_step_if(m.quirk(Quirk::rep_zero_not_stepped) && kind == Kind::Repeated && s.count == 0);
    no_step_if(m.quirk(Quirk::clearing_tf_loses_trap) && is(kind, {Kind::Popf, Kind::Iret}) && !tf);
    step_if(m.quirk(Quirk::setting_tf_traps_at_once) && is(kind, {Kind::Popf, Kind::Iret}) && tf && !stepping);
    no_step_if(m.quirk(Quirk::sysret_tf_late) && kind == Kind::Sysret);
    step_if(m.quirk(Quirk::syscall_steps_masked_tf) && kind == Kind::Syscall && stepping);
    step_if(m.quirk(Quirk::software_interrupt_stepped) && is(kind, {Kind::Int, Kind::Int3}) && stepping);
    step_if(m.quirk(Quirk::icebp_stepped) && kind == Kind::Icebp && stepping);
    step_if(m.quirk(Quirk::btf_ignored) && stepping && !m.step_settled && m.shadow != Shadow::MovSs);
    if (m.quirk(Quirk::mov_ss_stepped) && m.shadow == Shadow::MovSs && stepping) {
        m.shadow = Shadow::None;
        step_if(true);
    }
    if (m.quirk(Quirk::rep_steps_once_more) && kind == Kind::Repeated && stepping && s.count != 0 && !more) {
        m.cpu.rip = s.last_rip;  // the iteration that finds RCX = 0 becomes a step of its own
        m.pend(Machine::unfinished_rep);
    }
    if (m.quirk(Quirk::any_segment_load_opens_shadow) && kind == Kind::PopFs) {
        m.shadow = Shadow::MovSs;
        m.pend(Machine::shadowed);
        no_step_if(true);
    }
    if (m.quirk(Quirk::shadow_covers_two)) {
        s.covered_twice = m.in_mov_ss_shadow && !s.covered_twice;
        if (s.covered_twice && m.shadow == Shadow::None && m.debug.pending | m.debug.seen) {
            m.shadow = Shadow::MovSs;
            m.pend(Machine::shadowed);
        }
    }
    if (m.quirk(Quirk::rf_hides_traps) && s.rf) pending = m.debug.seen = 0;
    if (m.quirk(Quirk::rf_survives) && s.rf && !is(kind, {Kind::Iret, Kind::Popf, Kind::Sysret, Kind::Syscall}))
        if (!m.branched || !is(kind, {Kind::Int, Kind::Int3, Kind::Icebp})) m.set_rflags(m.cpu.rflags | rflags::rf);
    if (m.quirk(Quirk::software_interrupt_drops_held) && is(kind, {Kind::Int, Kind::Int3})) pending = 0;
    if (m.quirk(Quirk::held_breakpoint_lost_on_exit) && m.in_mov_ss_shadow && stepping && exits(kind))
        pending &= ~dr::dr6_b;
    if (m.quirk(Quirk::stale_dr6_after_exit) && s.dr6_written && exits(kind)) m.debug.dr6 = s.dr6_before_write;

    std::uint64_t late = 0;
    if (m.quirk(Quirk::rep_io_breakpoint_at_end)) late |= s.io_hits;
    if (m.quirk(Quirk::rep_data_breakpoint_at_end)) late |= s.data_hits;
    if (more) {
        s.late = (s.late_rip == s.last_rip ? s.late : 0) | late;
        s.late_rip = s.last_rip;
        m.debug.seen &= ~late;
    } else {
        if (s.late && s.late_rip == s.last_rip) m.saw(s.late);
        s.late = 0;
    }
}

void QuirkHooks::fault(Machine& m) {
    if (m.quirk_state.late) {  // the iterations before this one completed
        m.fault = {vector::db, 0, 0};
        return;
    }
    const bool rechecked = m.fault.vector == vector::ud || m.fault.vector == vector::gp;
    if (m.quirk(Quirk::code_breakpoint_rechecked) && rechecked && m.quirk_state.rf)
        if (const std::uint64_t hits = m.debug.match_code(m.code_address(m.cpu.rip))) m.fault = {vector::db, 0, hits};
    if (m.quirk(Quirk::undefined_opcode_as_gp) && m.fault.vector == vector::ud) m.fault = {vector::gp, 0, 0};
}

bool QuirkHooks::debug_exception(Machine& m, DebugEvent event, std::uint64_t& causes, std::uint64_t& return_rip,
                                 std::uint64_t& pushed) {
    QuirkState& s = m.quirk_state;
    const bool tf = (m.cpu.rflags & rflags::tf) != 0;
    if (s.late && s.late_rip == s.last_rip) {  // what waits for the end of a REP string joins any #DB before it
        causes |= s.late;
        pushed |= rflags::rf;
    }
    s.late = 0;
    const std::uint64_t all = causes | m.debug.pending;
    const bool is_icebp = event == DebugEvent::Icebp;
    s.detected = (causes & dr::dr6_bd) != 0;
    if (m.quirk(Quirk::icebp_in_shadow_fails_entry) && is_icebp && tf && s.boundary_shadow == Shadow::MovSs)
        return fails_entry(m);
    if (m.quirk(Quirk::db_in_shadow_fails_entry) && tf && s.boundary_shadow != Shadow::None && !(all & dr::dr6_bs))
        return fails_entry(m);
    if (is_icebp) {
        if (m.quirk(Quirk::icebp_pushes_own_rip) || (m.quirk(Quirk::icebp_not_skipped) && all)) return_rip = m.cpu.rip;
        if (m.quirk(Quirk::held_breakpoint_not_fused)) {
            s.unfused = m.debug.pending;
            m.debug.pending = 0;
        }
    }
    if (s.detected) {
        if (m.quirk(Quirk::general_detect_as_trap)) return_rip = m.cpu.next_rip();
        if (m.quirk(Quirk::general_detect_pushes_rf)) pushed |= rflags::rf;
    }
    if (s.at_code_breakpoint) {
        const Instruction* instruction = m.fetch();
        if (m.quirk(Quirk::code_breakpoint_as_trap) && instruction) return_rip += instruction->length;
        if (m.quirk(Quirk::code_breakpoint_pushes_rf)) pushed |= rflags::rf;
    }
    return true;
}

void QuirkHooks::before_delivery(Machine& m, std::uint8_t& number, std::uint32_t& error, Delivery& delivery,
                                 std::uint64_t& return_rip, std::uint64_t& pushed) {
    const QuirkState& s = m.quirk_state;
    const bool software = delivery == Delivery::Software || delivery == Delivery::SoftwareException,
               exception = delivery == Delivery::Exception;
    const bool is_fault = exception && number != vector::db && number != vector::bp && number != vector::df;
    if (software) {
        if (m.quirk(Quirk::software_interrupt_pushes_own_rip)) return_rip = m.cpu.rip;
        if (m.quirk(Quirk::software_interrupt_pushes_rf)) pushed |= rflags::rf;
        if (m.quirk(Quirk::int_1_and_3_as_exceptions) && s.kind == Kind::Int &&
            (number == vector::db || number == vector::bp))
            delivery = Delivery::Exception;
    }
    if (is_fault) {
        if (m.quirk(Quirk::faults_push_rf_clear)) pushed &= ~rflags::rf;
        if (m.quirk(Quirk::fault_pushes_next_rip)) return_rip = s.last_rip + s.last_length;
    }
    if (exception && number == vector::gp) {
        if (m.quirk(Quirk::gp_error_code_nonzero) && error == 0) error = idt_bit;
        if (is(s.kind, {Kind::Int, Kind::Int3}) && error & idt_bit) {
            if (m.quirk(Quirk::refused_interrupt_sets_ext)) error |= ext_bit;
            if (m.quirk(Quirk::refused_interrupt_lacks_idt)) error &= ~idt_bit;
            if (m.quirk(Quirk::refused_interrupt_pushes_next_rip)) return_rip = s.last_rip + s.last_length;
        }
    }
    if (exception && number == vector::pf) {
        if (m.quirk(Quirk::page_fault_lacks_write)) error &= ~pf::write;
        if (m.quirk(Quirk::page_fault_lacks_user)) error &= ~pf::user;
        if (m.quirk(Quirk::page_fault_lacks_present)) error &= ~pf::present;
        if (m.quirk(Quirk::cr2_is_page_address)) m.cpu.cr2 &= ~(Memory::page_size - 1);
    }
    if ((delivery == Delivery::Interrupt || delivery == Delivery::Nmi) && s.kind == Kind::Hlt &&
        m.quirk(Quirk::interrupt_returns_to_hlt))
        return_rip = s.last_rip;
    if (m.quirk(Quirk::pushed_tf_clear)) pushed &= ~rflags::tf;
    if (m.quirk(Quirk::pushed_if_clear)) pushed &= ~rflags::if_;
}

bool QuirkHooks::checks_dpl(const Machine& m, bool software) {
    const Kind kind = m.quirk_state.kind;
    if (m.quirk(Quirk::exceptions_check_dpl)) return true;
    if (m.quirk_state.injecting) {
        const bool int_n = (m.svm.delivering >> 8 & 7) == guest::svm::event_info::Software;
        if (m.quirk(int_n ? Quirk::injected_int_n_ignores_dpl : Quirk::injected_int3_ignores_dpl)) return false;
        return software || m.quirk(Quirk::injected_exception_checks_dpl);
    }
    if (m.quirk(Quirk::icebp_checks_dpl) && kind == Kind::Icebp) return true;
    if (m.quirk(Quirk::software_interrupt_ignores_dpl)) return false;
    if (m.quirk(Quirk::int3_ignores_gate_dpl) && kind == Kind::Int3) return false;
    return software;
}

std::uint64_t QuirkHooks::cleared_flags(const Machine& m, std::uint64_t cleared) {
    if (m.quirk(Quirk::handler_keeps_tf)) cleared &= ~rflags::tf;
    if (m.quirk(Quirk::handler_keeps_if)) cleared &= ~rflags::if_;
    if (m.quirk(Quirk::handler_keeps_nt)) cleared &= ~rflags::nt;
    if (m.quirk(Quirk::delivery_clears_ac)) cleared |= rflags::ac;
    return cleared;
}

void QuirkHooks::after_delivery(Machine& m, std::uint8_t number, Delivery delivery, std::uint64_t dr7_before,
                                std::uint64_t debugctl_before) {
    QuirkState& s = m.quirk_state;
    const auto set_dr7 = [&](std::uint64_t value) {
        m.debug.set_dr7(value);
        m.breakpoints_changed();
    };
    if (number == vector::db && delivery == Delivery::Exception) {
        if (m.quirk(Quirk::db_keeps_general_detect) || (m.quirk(Quirk::general_detect_stays_armed) && s.detected))
            set_dr7(dr7_before);
        if (m.quirk(Quirk::db_keeps_general_detect)) m.debug.debugctl |= debugctl_before & guest::debugctl::lbr;
        if (m.quirk(Quirk::db_keeps_btf)) m.debug.debugctl |= debugctl_before & guest::debugctl::btf;
        if (m.quirk(Quirk::db_disables_breakpoints)) set_dr7(m.debug.dr7() & ~dr::dr7_enables);
        if (s.unfused) m.saw(s.unfused);
        s.unfused = 0;
    } else if (m.quirk(Quirk::any_delivery_clears_general_detect)) {
        set_dr7(m.debug.dr7() & ~dr::dr7_gd);
    }
    s.at_code_breakpoint = s.detected = false;
}

void QuirkHooks::nested_fault(Machine& m, std::uint8_t first, Fault& event) {
    const Fault& second = m.fault;
    const bool doubled = event.vector == vector::df;
    if (doubled && m.quirk(Quirk::contributory_pair_in_series) && is_contributory(first) &&
        is_contributory(second.vector))
        event = second;
    if (doubled && m.quirk(Quirk::page_fault_pair_in_series) && first == vector::pf && second.vector == vector::pf)
        event = second;
    if (!doubled && m.quirk(Quirk::benign_pair_makes_double_fault) && is_contributory(second.vector) &&
        !is_contributory(first) && first != vector::pf)
        event = {vector::df, 0, 0};
    if (event.vector != vector::pf && event.vector != vector::df && m.quirk(Quirk::nested_fault_lacks_ext))
        event.error &= ~ext_bit;
}

std::uint64_t QuirkHooks::pushed_flags(const Machine& m, std::uint64_t image) {
    if (m.quirk(Quirk::pushf_shows_rf)) image |= m.quirk_state.rf;
    if (m.quirk(Quirk::pushf_at_cpl3_shows_if) && m.cpu.cpl == 3) image |= rflags::if_;
    return image;
}

std::uint64_t QuirkHooks::popped_flags(const Machine& m, std::uint64_t loaded) {
    if (m.quirk(Quirk::popf_loads_rf)) loaded |= rflags::rf;
    if (m.quirk(Quirk::popf_at_cpl3_loads_if)) loaded |= rflags::if_;
    if (m.quirk(Quirk::popf_at_cpl3_loads_iopl)) loaded |= rflags::iopl;
    return loaded;
}

void QuirkHooks::store_first_page(Machine& m, std::uint64_t linear, const void* from, std::size_t length) {
    const std::size_t first = Memory::page_size - linear % Memory::page_size;
    const Translation at = m.mmu.translate(linear, Access::Write, m.user_);
    if (at.ok && first < length) m.write_physical(at.physical, from, first);
}

}  // namespace faultline::engine
