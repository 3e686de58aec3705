// Interrupts and NMIs that only the VMCB knows of. AMD APM vol 2 (24593, ~2024), "Injecting Virtual (INTR) Interrupts",
// "Virtual Interrupt Intercept", "NMI Virtualization", "Virtual GIF (VGIF)".
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

namespace vintr = guest::svm::vintr;

bool unmasked_by_gif(std::uint64_t control) { return !(control & vintr::gif_enable) || control & vintr::gif; }

bool above_task_priority(std::uint64_t control) {
    return control & vintr::ignore_tpr || (control >> 16 & 0xF) > (control & 0xF);
}

}  // namespace

/// A virtual NMI first, as NMIs do. "V_NMI is cleared and V_NMI_MASK is set before the IDT is accessed"; "V_IRQ is
/// cleared after checking for intercepts of virtual interrupts and before the IDT is accessed".
VirtualEvent take_virtual_interrupt(Machine& m, std::uint64_t pushed_rflags) {
    std::uint64_t& control = m.svm.virtual_interrupts;
    const auto taken = [&](bool goes_on) { return goes_on ? VirtualEvent::Taken : VirtualEvent::RunEnds; };
    if (!unmasked_by_gif(control)) return VirtualEvent::None;
    if (control & vintr::nmi_enable && control & vintr::nmi && !(control & vintr::nmi_mask)) {
        control = (control & ~vintr::nmi) | vintr::nmi_mask;
        m.drop(Machine::halted | Machine::unfinished_rep);
        return taken(m.deliver({vector::nmi, 0, 0}, Delivery::Nmi, m.cpu.rip, pushed_rflags));
    }
    if (control & vintr::irq && m.cpu.rflags & rflags::if_ && above_task_priority(control)) {
        if (m.exits_on(Intercept::VirtualInterrupt)) return taken(leave_guest(m));
        control &= ~vintr::irq;
        m.drop(Machine::halted | Machine::unfinished_rep);
        const auto number = static_cast<std::uint8_t>(control >> 32);
        return taken(m.deliver({number, 0, 0}, Delivery::Interrupt, m.cpu.rip, pushed_rflags));
    }
    if (!(control & (vintr::irq | vintr::nmi))) m.drop(Machine::virtual_line);
    return VirtualEvent::None;
}

}  // namespace faultline::engine
