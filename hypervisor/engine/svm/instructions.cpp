// VMRUN VMLOAD VMSAVE VMMCALL STGI CLGI INVLPGA SKINIT. AMD APM vol 3 (24594), each instruction's own page; vol 2,
// "Enabling SVM", "VMSAVE and VMLOAD Instructions", "VMMCALL Instruction", "SVM-Lock".
#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

/// Protected mode, EFER.SVME, CPL0. SVM-Lock lets STGI and SKINIT do without SVME.
bool may_execute(Machine& m, bool needs_svme = true) {
    if (m.real_mode() || (needs_svme && !(m.cpu.efer & efer::svme))) return m.raise_ud();
    return m.cpu.cpl == 0 || m.raise_gp();
}

/// rAX at the address size: the physical address of a VMCB, which is a page.
bool vmcb_address(Machine& m, const Instruction& i, std::uint64_t& physical) {
    physical = at_address_size(i, m.cpu.r[rax]);
    return (physical % Memory::page_size == 0 && !(physical >> physical_address_bits)) || m.raise_gp();
}

/// Seen from the host, one instruction: what becomes of TF is the world switch's to say.
bool vmrun(Machine& m, const Instruction& i) {
    std::uint64_t physical;
    if (!may_execute(m) || !vmcb_address(m, i, physical) || m.exits_on(Intercept::Vmrun)) return false;
    m.svm.owned = false;
    return enter_guest(m, physical, m.cpu.next_rip());
}

bool vmload(Machine& m, const Instruction& i) {
    std::uint64_t physical;
    if (!may_execute(m) || !vmcb_address(m, i, physical) || m.exits_on(Intercept::Vmload)) return false;
    load_guest_rest(m, physical);
    return true;
}

bool vmsave(Machine& m, const Instruction& i) {
    std::uint64_t physical;
    if (!may_execute(m) || !vmcb_address(m, i, physical) || m.exits_on(Intercept::Vmsave)) return false;
    const Cpu& cpu = m.cpu;
    VmcbWriter vmcb(m, physical);
    vmcb.set(&Vmcb::fs, vmcb_segment(cpu.segment[fs]));
    vmcb.set(&Vmcb::gs, vmcb_segment(cpu.segment[gs]));
    vmcb.set(&Vmcb::tr, vmcb_segment(cpu.tr));
    vmcb.set(&Vmcb::ldtr, vmcb_segment(cpu.ldtr));
    vmcb.set(&Vmcb::kernel_gs_base, cpu.kernel_gs_base);
    vmcb.set(&Vmcb::star, cpu.star);
    vmcb.set(&Vmcb::lstar, cpu.lstar);
    vmcb.set(&Vmcb::cstar, cpu.cstar);
    vmcb.set(&Vmcb::sfmask, cpu.sfmask);
    vmcb.set(&Vmcb::sysenter_cs, cpu.sysenter_cs);
    vmcb.set(&Vmcb::sysenter_esp, cpu.sysenter_esp);
    vmcb.set(&Vmcb::sysenter_eip, cpu.sysenter_eip);
    return true;
}

/// The intercept comes first, and without one there is nobody to call.
bool vmmcall(Machine& m, const Instruction&) {
    if (m.exits_on(Intercept::Vmmcall)) return false;
    return m.raise_ud();
}

/// A guest's own GIF where it has one, and else the processor's. "Virtual GIF (VGIF)".
bool set_gif(Machine& m, bool value) {
    std::uint64_t& control = m.svm.virtual_interrupts;
    if (control & guest::svm::vintr::gif_enable)
        control = (control & ~guest::svm::vintr::gif) | (value ? guest::svm::vintr::gif : 0);
    else
        m.svm.gif = value;
    return true;
}

bool stgi(Machine& m, const Instruction&) {
    return may_execute(m, false) && !m.exits_on(Intercept::Stgi) && set_gif(m, true);
}

bool clgi(Machine& m, const Instruction&) {
    return may_execute(m) && !m.exits_on(Intercept::Clgi) && set_gif(m, false);
}

/// The TLB is coherent with the tables, so that there is nothing to invalidate.
bool invlpga(Machine& m, const Instruction&) { return may_execute(m) && !m.exits_on(Intercept::Invlpga); }

bool skinit(Machine& m, const Instruction&) {
    if (!may_execute(m, false) || m.exits_on(Intercept::Skinit)) return false;
    return m.unimplemented();
}

}  // namespace

std::span<const Entry> svm_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_VMRUN, any_form(vmrun)},     {ZYDIS_MNEMONIC_VMLOAD, any_form(vmload)},
        {ZYDIS_MNEMONIC_VMSAVE, any_form(vmsave)},   {ZYDIS_MNEMONIC_VMMCALL, any_form(vmmcall)},
        {ZYDIS_MNEMONIC_STGI, any_form(stgi)},       {ZYDIS_MNEMONIC_CLGI, any_form(clgi)},
        {ZYDIS_MNEMONIC_INVLPGA, any_form(invlpga)}, {ZYDIS_MNEMONIC_SKINIT, any_form(skinit)},
    };
    return entries;
}

void load_guest_rest(Machine& m, std::uint64_t vmcb) {
    const Vmcb v = read_vmcb(m, vmcb);
    Cpu& cpu = m.cpu;
    cpu.segment[fs] = from_vmcb(v.fs);
    cpu.segment[gs] = from_vmcb(v.gs);
    cpu.tr = from_vmcb(v.tr);
    cpu.ldtr = from_vmcb(v.ldtr);
    cpu.kernel_gs_base = sign_extended(v.kernel_gs_base);
    cpu.star = v.star;
    cpu.lstar = v.lstar;
    cpu.cstar = v.cstar;
    cpu.sfmask = static_cast<std::uint32_t>(v.sfmask);
    cpu.sysenter_cs = v.sysenter_cs;
    cpu.sysenter_esp = v.sysenter_esp;
    cpu.sysenter_eip = v.sysenter_eip;
}

}  // namespace faultline::engine
