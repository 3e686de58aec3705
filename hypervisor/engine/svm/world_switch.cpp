// VMRUN and #VMEXIT: what is saved and loaded, in the manual's order. AMD APM vol 2 (24593, ~2024), "VMRUN
// Instruction", "Basic Operation"; "#VMEXIT".
#include <algorithm>
#include <array>
#include <cstddef>

#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

namespace svm = guest::svm;

constexpr std::array switched_segments{es, cs, ss, ds};

std::array<std::uint64_t*, 5> branch_registers(DebugUnit& debug) {
    return {&debug.debugctl, &debug.last_branch_from, &debug.last_branch_to, &debug.last_int_from, &debug.last_int_to};
}

// ---- The host ---------------------------------------------------------------------------------------------------

/// "Saving Host State". Completion of the VMRUN clears RF.
void save_host(Machine& m, std::uint64_t rip) {
    const Cpu& cpu = m.cpu;
    HostState& host = m.svm.host;
    host.rip = rip;
    host.rsp = cpu.r[rsp];
    host.rax = cpu.r[rax];
    host.rflags = cpu.rflags & ~rflags::rf;
    host.cr0 = cpu.cr0;
    host.cr3 = cpu.cr3;
    host.cr4 = cpu.cr4;
    host.efer = cpu.efer;
    host.pat = cpu.pat;
    host.gdt_base = cpu.gdt_base;
    host.gdt_limit = cpu.gdt_limit;
    host.idt_base = cpu.idt_base;
    host.idt_limit = cpu.idt_limit;
    for (std::size_t n = 0; n < switched_segments.size(); ++n) host.segment[n] = cpu.segment[switched_segments[n]];
    const auto branches = branch_registers(m.debug);
    std::transform(branches.begin(), branches.end(), host.branches.begin(), [](const auto* value) { return *value; });
    if (m.svm.owned) return;
    // Nothing reads it, but who forgot to reserve the page shall notice.
    const std::uint64_t image[] = {host.rip,
                                   host.rsp,
                                   host.rax,
                                   host.rflags,
                                   host.cr0,
                                   host.cr3,
                                   host.cr4,
                                   host.efer,
                                   host.gdt_base,
                                   host.idt_base,
                                   host.gdt_limit,
                                   host.idt_limit,
                                   host.segment[0].selector,
                                   host.segment[1].selector,
                                   host.segment[2].selector,
                                   host.segment[3].selector};
    m.write_physical(m.svm.host_save_area, image, sizeof image);
}

/// "Forces CR0.PE = 1, RFLAGS.VM = 0. Sets the host CPL to zero. Disables all breakpoints in the host DR7 register."
/// LDTR, TR, FS, GS, CR2, DR6 and every register not named stay the guest's.
void load_host(Machine& m) {
    Cpu& cpu = m.cpu;
    const HostState& host = m.svm.host;
    for (std::size_t n = 0; n < switched_segments.size(); ++n) cpu.segment[switched_segments[n]] = host.segment[n];
    cpu.gdt_base = host.gdt_base;
    cpu.gdt_limit = host.gdt_limit;
    cpu.idt_base = host.idt_base;
    cpu.idt_limit = host.idt_limit;
    cpu.cr0 = host.cr0 | cr0::pe;
    cpu.cr3 = host.cr3;
    cpu.cr4 = host.cr4;
    cpu.efer = host.efer;
    if (m.svm.nested_paging) cpu.pat = host.pat;
    cpu.rflags = host.rflags & ~rflags::vm;
    cpu.r[rsp] = host.rsp;
    cpu.r[rax] = host.rax;
    cpu.rip = cpu.next_rip() = host.rip;
    cpu.cpl = 0;
    m.debug.set_dr7(guest::dr::dr7_reset);
    if (m.svm.lbr_virtualisation) {
        const auto branches = branch_registers(m.debug);
        for (std::size_t n = 0; n < branches.size(); ++n) *branches[n] = host.branches[n];
    }
}

// ---- The guest --------------------------------------------------------------------------------------------------

/// "Control Bits".
void load_controls(Machine& m, const Vmcb& v) {
    Svm& state = m.svm;
    state.intercepts = intercepts_of(v);
    state.in_guest = true;
    state.iopm = v.iopm_base & ~0xFFFull;
    state.msrpm = v.msrpm_base & ~0xFFFull;
    state.tsc_offset = v.tsc_offset;
    state.virtual_interrupts = v.virtual_interrupts;
    if (v.virtual_interrupts & (svm::vintr::irq | svm::vintr::nmi)) m.pend(Machine::virtual_line);
    state.pauses_left = v.pause_filter_count;
    state.lbr_virtualisation = v.virtualisation & 1;
    state.delivering = 0;
    // "The extra translation uses the same paging mode as the VMM used when it executed the most recent VMRUN."
    if (v.nested_control & 1) state.nested_paging = {state.host.cr0, v.nested_cr3, state.host.cr4, state.host.efer};
}

/// "Some of the attribute bits are actually observed by hardware, depending on the segment register": of CS D, L, P and
/// R, so that it is a code segment whatever the VMCB says.
guest::Segment code_from_vmcb(const svm::VmcbSegment& segment) {
    guest::Segment code = from_vmcb(segment);
    code.attributes |= attribute::present | attribute::user_segment | attribute::code;
    return code;
}

/// "Loading Guest State". EFER.LMA is what EFER.LME and CR0.PG make it. RIP may be anything.
void load_guest(Machine& m, const Vmcb& v) {
    Cpu& cpu = m.cpu;
    cpu.segment[es] = from_vmcb(v.es);
    cpu.segment[cs] = code_from_vmcb(v.cs);
    cpu.segment[ss] = from_vmcb(v.ss);
    cpu.segment[ds] = from_vmcb(v.ds);
    cpu.gdt_base = sign_extended(v.gdtr.base);
    cpu.gdt_limit = static_cast<std::uint16_t>(v.gdtr.limit);
    cpu.idt_base = sign_extended(v.idtr.base);
    cpu.idt_limit = static_cast<std::uint16_t>(v.idtr.limit);
    cpu.cr0 = (v.cr0 & cr0::defined) | cr0::et;
    cpu.cr2 = v.cr2;
    cpu.cr3 = v.cr3;
    cpu.cr4 = v.cr4;
    if (m.svm.nested_paging) cpu.pat = v.g_pat;
    const bool long_mode = v.efer & efer::lme && v.cr0 & cr0::pg;
    cpu.efer = (v.efer & ~efer::lma) | (long_mode ? efer::lma : 0);
    cpu.rflags = (v.rflags & rflags_defined & ~rflags::vm) | rflags::fixed1;
    cpu.r[rsp] = v.rsp;
    cpu.r[rax] = v.rax;
    cpu.rip = cpu.next_rip() = v.rip;
    cpu.cpl = cpu.cr0 & cr0::pe ? v.cpl & 3 : 0;
    m.debug.dr6 = DebugUnit::writable_dr6(v.dr6);
    m.debug.set_dr7(DebugUnit::writable_dr7(v.dr7));
    if (m.svm.lbr_virtualisation) {
        const std::array loaded{v.debugctl & DebugUnit::writable_debugctl, v.branch_from, v.branch_to, v.exception_from,
                                v.exception_to};
        const auto branches = branch_registers(m.debug);
        for (std::size_t n = 0; n < branches.size(); ++n) *branches[n] = loaded[n];
    }
    // One kind of shadow, although the processor knows two: "SVM" has one bit for both.
    m.shadow = v.interrupt_shadow & 1 ? Shadow::Sti : Shadow::None;
    m.drop(Machine::shadowed);
    if (m.shadow != Shadow::None) m.pend(Machine::shadowed);
}

/// "If a #VMEXIT occurs during the virtual NMI delivery … V_NMI_MASK is saved as 0."
std::uint64_t interrupts_to_save(const Svm& state) {
    constexpr std::uint64_t type = 7 << 8, nmi = svm::event_info::make(svm::event_info::Nmi, 0) & type;
    const bool delivering_nmi = state.delivering & svm::event_info::valid && (state.delivering & type) == nmi;
    const bool enabled = state.virtual_interrupts & svm::vintr::nmi_enable;
    return state.virtual_interrupts & ~(delivering_nmi && enabled ? svm::vintr::nmi_mask : 0);
}

/// "Writes back to the VMCB the current guest state—the same subset of processor state as is loaded by the VMRUN".
void save_guest(Machine& m, VmcbWriter& vmcb) {
    Cpu& cpu = m.cpu;
    vmcb.set(&Vmcb::es, vmcb_segment(cpu.segment[es]));
    vmcb.set(&Vmcb::cs, vmcb_segment(cpu.segment[cs]));
    vmcb.set(&Vmcb::ss, vmcb_segment(cpu.segment[ss]));
    vmcb.set(&Vmcb::ds, vmcb_segment(cpu.segment[ds]));
    vmcb.set(&Vmcb::gdtr, {0, 0, cpu.gdt_limit, cpu.gdt_base});
    vmcb.set(&Vmcb::idtr, {0, 0, cpu.idt_limit, cpu.idt_base});
    vmcb.set(&Vmcb::cpl, cpu.cpl);
    vmcb.set(&Vmcb::efer, cpu.efer);
    vmcb.set(&Vmcb::cr0, cpu.cr0);
    vmcb.set(&Vmcb::cr2, cpu.cr2);
    vmcb.set(&Vmcb::cr3, cpu.cr3);
    vmcb.set(&Vmcb::cr4, cpu.cr4);
    if (m.svm.nested_paging) vmcb.set(&Vmcb::g_pat, cpu.pat);
    vmcb.set(&Vmcb::dr6, m.debug.dr6);
    vmcb.set(&Vmcb::dr7, m.debug.dr7());
    vmcb.set(&Vmcb::rflags, m.current_rflags());
    vmcb.set(&Vmcb::rip, cpu.rip);
    vmcb.set(&Vmcb::rsp, cpu.r[rsp]);
    vmcb.set(&Vmcb::rax, cpu.r[rax]);
    vmcb.set(&Vmcb::interrupt_shadow, m.in_shadow);
    vmcb.set(&Vmcb::virtual_interrupts, interrupts_to_save(m.svm));
    if (m.svm.lbr_virtualisation) {
        vmcb.set(&Vmcb::debugctl, m.debug.debugctl);
        vmcb.set(&Vmcb::branch_from, m.debug.last_branch_from);
        vmcb.set(&Vmcb::branch_to, m.debug.last_branch_to);
        vmcb.set(&Vmcb::exception_from, m.debug.last_int_from);
        vmcb.set(&Vmcb::exception_to, m.debug.last_int_to);
    }
}

/// "Up to 15 bytes are recorded, read from guest CS:RIP … as many bytes as could be fetched"; "all other intercepts
/// clear bits 7:0". AMD APM vol 2, "Nested and Intercepted #PF".
void report_bytes(Machine& m, VmcbWriter& vmcb) {
    if (!m.svm.report.data_page_fault) {
        vmcb.set(&Vmcb::instruction_length, 0);
        return;
    }
    std::array<std::uint8_t, 15> bytes{};
    vmcb.set(&Vmcb::instruction_length, static_cast<std::uint8_t>(m.fetch_bytes(bytes)));
    vmcb.set(&Vmcb::instruction_bytes, bytes);
}

void report_exit(Machine& m, VmcbWriter& vmcb) {
    const ExitReport& report = m.svm.report;
    vmcb.set(&Vmcb::exit_code, report.code);
    vmcb.set(&Vmcb::exit_info_1, report.info_1);
    vmcb.set(&Vmcb::exit_info_2, report.info_2);
    vmcb.set(&Vmcb::exit_int_info, m.svm.delivering);
    vmcb.set(&Vmcb::next_rip, report.next_rip);
    report_bytes(m, vmcb);
}

/// Nothing of the guest's is pending in the host, and whatever the VMRUN found pending is gone, too: a breakpoint that
/// a MOV SS before it held back would come with GIF = 0.
void settle(Machine& m) {
    m.debug.seen = m.debug.pending = 0;
    m.resumed_at = Machine::never;
    m.monitor(Machine::never);
    m.shadow = Shadow::None;
    m.drop(Machine::causes | Machine::shadowed | Machine::unfinished_rep | Machine::halted | Machine::exiting |
           Machine::virtual_line);
    m.step_settled = true;
}

bool resume_host(Machine& m) {
    Svm& state = m.svm;
    load_host(m);
    settle(m);
    state.nested_paging.reset();
    m.registers_changed();
    const bool owned = state.owned;
    state.gif = state.in_guest = state.owned = false;
    state.intercepts = {};
    state.tsc_offset = state.virtual_interrupts = state.delivering = 0;
    state.pauses_left = 0;
    state.lbr_virtualisation = false;
    if (owned) {
        m.stop(Exit::VmExit);
        return false;
    }
    // "EFLAGS.TF causes a #DB trap after the VMRUN completes on the host side": "VMRUN and TF/RF Bits in EFLAGS".
    if (m.cpu.rflags & rflags::tf && !m.debug.branch_step()) {
        m.debug.pending = guest::dr::dr6_bs;
        m.pend(Machine::causes);
    }
    return true;
}

}  // namespace

bool enter_guest(Machine& m, std::uint64_t physical, std::uint64_t host_rip) {
    const Vmcb v = read_vmcb(m, physical);
    save_host(m, host_rip);
    m.svm.vmcb = physical;
    if (is_illegal(m, v)) {
        VmcbWriter vmcb(m, physical);
        m.svm.report = {.code = svm::exit_code::invalid};
        m.svm.delivering = 0;
        report_exit(m, vmcb);
        return resume_host(m);
    }
    const bool virtual8086 = v.rflags & rflags::vm && v.cr0 & cr0::pe && !(v.efer & efer::lme && v.cr0 & cr0::pg);
    if (virtual8086) return m.unimplemented();
    settle(m);
    load_controls(m, v);
    const std::uint64_t cr2 = m.cpu.cr2, dr6 = m.debug.dr6;
    load_guest(m, v);
    m.registers_changed();
    m.svm.gif = true;
    if (m.quirks.any()) [[unlikely]]
        QuirkHooks::entered(m, v, cr2, dr6);
    return inject_event(m, v);
}

void Machine::enter_guest(std::uint64_t vmcb) {
    svm.owned = true;
    engine::enter_guest(*this, vmcb, cpu.rip);
}

bool leave_guest(Machine& m) {
    VmcbWriter vmcb(m, m.svm.vmcb);
    save_guest(m, vmcb);
    report_exit(m, vmcb);
    // The event has been injected, or is what EXITINTINFO tells of.
    std::uint64_t event;
    m.memory.read(m.svm.vmcb + offsetof(Vmcb, event_injection), &event, sizeof event);
    vmcb.set(&Vmcb::event_injection, event & ~svm::event_info::valid);
    if (m.quirks.any()) [[unlikely]]
        QuirkHooks::left(m, event);
    return resume_host(m);
}

}  // namespace faultline::engine
