// EVENTINJ. AMD APM vol 2 (24593, ~2024), "Event Injection".
#include "hypervisor/engine/delivery.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

namespace info = guest::svm::event_info;

struct Injection {
    std::uint64_t raw = 0;

    bool valid() const { return (raw & info::valid) != 0; }
    unsigned type() const { return raw >> 8 & 7; }
    std::uint8_t vector() const { return static_cast<std::uint8_t>(raw); }
    bool has_error() const { return (raw & info::has_error) != 0; }
    std::uint32_t error() const { return static_cast<std::uint32_t>(raw >> 32); }
    /// "Behaves like a trap raised by INT3 and INTO instructions".
    bool is_software_exception() const { return vector() == vector::bp || vector() == vector::of; }
};

constexpr unsigned exception_count = 32;

}  // namespace

/// Of the vectors below 32 only 2 is named as none of an exception. Impossible in 64-bit mode are BOUND and INTO, which
/// it does not have.
bool is_illegal_injection(const Machine& m, const Vmcb& v) {
    const Injection event{v.event_injection};
    if (!event.valid() && !m.quirk(Quirk::vmrun_refuses_invalid_injection)) return false;
    switch (event.type()) {
        case info::Nmi: return m.quirk(Quirk::vmrun_refuses_vector_of_nmi) && event.vector() != vector::nmi;
        case info::External:
        case info::Software: return false;
        case info::Exception: break;
        default: return !m.quirk(Quirk::vmrun_accepts_reserved_injection_type);
    }
    const bool long64 = v.efer & efer::lme && v.cr0 & cr0::pg && v.cs.attributes & attribute::long_mode;
    const bool impossible = long64 && (event.vector() == vector::br || event.vector() == vector::of);
    return (event.vector() >= exception_count && !m.quirk(Quirk::vmrun_accepts_exception_above_31)) ||
           (event.vector() == vector::nmi && !m.quirk(Quirk::vmrun_accepts_nmi_as_exception)) ||
           (impossible && !m.quirk(Quirk::impossible_injection_accepted));
}

/// "Unconditionally before executing the first guest instruction", and no intercept of the event itself. What a
/// software interrupt or exception returns to is nRIP, which the processor needs for nothing else: software interrupts
/// "cannot be properly injected if the processor does not support the NextRIP field". An injected NMI blocks
/// none, but for virtual ones ("NMI Virtualization").
bool inject_event(Machine& m, const Vmcb& v) {
    const Injection event{v.event_injection};
    if (!event.valid() || (m.quirks.any() && QuirkHooks::loses_injection(m, v.event_injection))) return true;
    const std::uint8_t number = event.vector();
    const std::uint64_t here = m.cpu.rip,
                        flags = m.cpu.rflags & ~(m.quirk(Quirk::injection_clears_tf) ? rflags::tf : 0);
    const bool delivered = [&] {
        switch (event.type()) {
            case info::External: return m.deliver({number, 0, 0}, Delivery::Interrupt, here, flags);
            case info::Nmi:
                if (m.svm.virtual_interrupts & guest::svm::vintr::nmi_enable)
                    m.svm.virtual_interrupts |= guest::svm::vintr::nmi_mask;
                return m.deliver({m.quirk(Quirk::injected_nmi_uses_vector) ? number : vector::nmi, 0, 0}, Delivery::Nmi,
                                 here, flags);
            case info::Software:
                return m.deliver({number, 0, 0}, Delivery::Software,
                                 m.quirk(Quirk::injected_int_n_ignores_nrip) ? here : v.next_rip, flags);
            default: break;
        }
        if (event.is_software_exception())
            return m.deliver({number, 0, 0}, Delivery::SoftwareException,
                             m.quirk(Quirk::injected_int3_ignores_nrip) ? here : v.next_rip, flags);
        Fault exception{number, m.quirk(Quirk::injected_error_code_dropped) ? 0 : event.error(), 0};
        exception.has_error = event.has_error();
        if (m.quirk(Quirk::injected_page_fault_writes_cr2) && number == vector::pf) m.cpu.cr2 = 0;
        if (m.quirk(Quirk::injected_exception_is_intercepted) && m.exits_on(exception)) return leave_guest(m);
        return m.deliver(exception, Delivery::Exception,
                         m.quirk(Quirk::injected_fault_returns_behind) ? v.next_rip : here,
                         flags | (is_fault(number) ? rflags::rf : 0));
    }();
    if (!delivered) return false;
    // The shadow covers the instruction that would have been the first one.
    if (m.svm.in_guest) {
        m.shadow = Shadow::None;
        m.drop(Machine::shadowed);
    }
    return true;
}

}  // namespace faultline::engine
