// Delivery of exceptions and interrupts: the classes of events, what becomes of a fault on the way, and what the modes'
// ways to a handler share. AMD APM vol 2, "Exceptions and Interrupts".
#include "hypervisor/engine/delivery.hpp"

#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

/// Exceptions that push an error code.
constexpr bool has_error_code(std::uint8_t number) {
    return number < 32 && (1u << 8 | 0x1Fu << 10 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30) >> number & 1;
}

constexpr bool is_contributory(std::uint8_t number) {
    return number == vector::de || (number >= vector::ts && number <= vector::gp) || number == 21 || number == 29 ||
           number == 30;
}

/// As EXITINTINFO tells it. INT3 and INTO count as exceptions, and real mode pushes no error codes. AMD APM vol 2,
/// "Intercepts during IDT Interrupt Delivery".
std::uint64_t described(const Event& event, bool real_mode) {
    namespace info = guest::svm::event_info;
    const auto type = [&] {
        switch (event.delivery) {
            case Delivery::Interrupt: return info::External;
            case Delivery::Nmi: return info::Nmi;
            case Delivery::Software: return info::Software;
            default: return info::Exception;
        }
    }();
    return event.pushes_error && !real_mode ? info::make(type, event.number, event.error)
                                            : info::make(type, event.number);
}

/// AMD APM vol 2, "#DF—Double-Fault Exception (Vector 8)".
constexpr bool makes_double_fault(std::uint8_t first, std::uint8_t second) {
    if (is_contributory(first)) return is_contributory(second);
    return first == vector::pf && (is_contributory(second) || second == vector::pf);
}

}  // namespace

bool check_gate(Machine& m, const Event& event, unsigned dpl, bool present) {
    const bool checks_dpl = m.quirks.any() ? QuirkHooks::checks_dpl(m, event.software()) : event.software();
    if (checks_dpl && dpl < m.cpu.cpl) return m.raise(vector::gp, event.gate_error());
    return present || m.raise(vector::np, event.gate_error());
}

bool find_handler_code(Machine& m, const Event& event, std::uint16_t selector, Descriptor& code,
                       std::uint8_t& new_cpl) {
    const std::uint32_t error = event.selector_error(selector);
    if (is_null(selector)) return m.raise(vector::gp, event.external());
    if (!read_descriptor(m, selector, {vector::gp, error, 0}, code)) return false;
    if (!code.is_code() || code.dpl() > m.cpu.cpl) return m.raise(vector::gp, error);
    // Handlers are 64-bit code in long mode: "Interrupt-Gate and Trap-Gate Usage" of the long-mode transfers.
    if (m.long_mode() && (!code.has(attribute::long_mode) || code.has(attribute::big)))
        return m.raise(vector::gp, error);
    if (!code.present()) return m.raise(vector::np, error);
    new_cpl = code.is_conforming() ? m.cpu.cpl : static_cast<std::uint8_t>(code.dpl());
    return true;
}

bool read_inner_stack(Machine& m, const Event& event, std::uint64_t offset, void* to, std::size_t length) {
    const Fault too_small{vector::ts, event.selector_error(m.cpu.tr.selector), 0};
    if (offset + length - 1 > m.cpu.tr.limit) {
        m.fault = too_small;
        return false;
    }
    return m.system_read(table_address(m, m.cpu.tr.base + offset), to, length, too_small);
}

void clear_flags(Machine& m, std::uint64_t cleared, bool interrupt_gate) {
    if (interrupt_gate) cleared |= rflags::if_;
    if (m.quirks.any()) [[unlikely]]
        cleared = QuirkHooks::cleared_flags(m, cleared);
    m.set_rflags(m.cpu.rflags & ~cleared);
}

bool Machine::enter_handler(Fault raised, Delivery delivery, std::uint64_t return_rip, std::uint64_t pushed_rflags) {
    std::uint8_t number = raised.vector;
    std::uint32_t error = raised.error;
    if (quirks.any()) [[unlikely]]
        QuirkHooks::before_delivery(*this, number, error, delivery, return_rip, pushed_rflags);
    const bool has_error = raised.has_error.value_or(has_error_code(number));
    const bool pushes_error =
        (delivery == Delivery::Exception && has_error) || (number == vector::db && quirk(Quirk::db_pushes_error_code));
    const Event event{number, delivery, pushes_error, error, return_rip, pushed_rflags};
    if (svm.in_guest) [[unlikely]]
        svm.delivering = described(event, real_mode());
    const std::uint64_t from = cpu.rip, dr7 = debug.dr7(), debugctl = debug.debugctl;
    const bool entered = real_mode()   ? enter_real(*this, event)
                         : long_mode() ? enter_long(*this, event)
                                       : enter_legacy(*this, event);
    if (!entered) return false;

    svm.delivering = 0;
    if (number == vector::db && delivery == Delivery::Exception) {
        debug.enter_handler();
    } else {
        if (!event.software()) debug.record_interrupt();
        debug.record_branch(from, cpu.rip);
    }
    if (quirks.any()) [[unlikely]]
        QuirkHooks::after_delivery(*this, number, delivery, dr7, debugctl);
    return true;
}

bool Machine::deliver(Fault event, Delivery delivery, std::uint64_t return_rip, std::uint64_t pushed_rflags) {
    constexpr unsigned most_faults = 64;  // far more than any chain that ends
    unsigned faults = 0;
    while (!enter_handler(event, delivery, return_rip, pushed_rflags)) {
        if (attention & stopped) return false;  // a task switch to what the machine does not have
        // A task switch that is intercepted, or a second exception: "checked for intercepts before being combined with
        // the prior exception". AMD APM vol 2, "Exception Intercepts", "EXITINTINFO Pseudo-Code".
        const bool combined_first = quirk(Quirk::combined_before_intercept) && delivery == Delivery::Exception &&
                                    makes_double_fault(event.vector, fault.vector);
        if (attention & exiting || (!combined_first && exits_on(fault))) return leave_guest(*this);
        // #AC is benign: one that meets itself in its delivery does so for ever.
        if (++faults > most_faults) {
            stop(Exit::StepLimit);
            return false;
        }
        const bool exception = delivery == Delivery::Exception;
        if (exception && event.vector == vector::df) {
            if (exits_on(Intercept::Shutdown)) return leave_guest(*this);
            stop(Exit::Shutdown);
            return false;
        }
        const Fault first = event;
        event = fault;
        if (exception && makes_double_fault(first.vector, fault.vector)) {
            event = {vector::df, 0, 0};
            if (exits_on(event)) return leave_guest(*this);
        }
        if (quirks.any()) [[unlikely]]
            QuirkHooks::nested_fault(*this, first.vector, event);
        // A nested fault finds the interrupted boundary, whatever the first event would have returned to; after a task
        // switch, that of the new task.
        delivery = Delivery::Exception;
        return_rip = cpu.rip;
        pushed_rflags = cpu.rflags | (is_fault(event.vector) ? rflags::rf : 0);
    }
    return true;
}

bool Machine::deliver_debug(DebugEvent event, std::uint64_t debug_causes, std::uint64_t return_rip,
                            std::uint64_t pushed_rflags) {
    if (quirks.any()) [[unlikely]]
        if (!QuirkHooks::debug_exception(*this, event, debug_causes, return_rip, pushed_rflags)) return false;
    const std::uint64_t all = debug_causes | debug.pending, dr6 = debug.dr6;
    debug.record(event, all);
    if (quirks.any()) [[unlikely]]
        QuirkHooks::recorded(*this, event, all, dr6);
    debug.pending = 0;
    drop(causes);
    const Fault exception{vector::db, 0, 0};
    // "A vector 1 exception generated by … ICEBP does not trigger the #DB intercept", and what is saved of DR6 and DR7
    // is "what would be visible to a #DB exception handler". AMD APM vol 2, "#DB (Debug)" of the exception intercepts.
    const bool interceptable = event == DebugEvent::Condition || quirk(Quirk::icebp_meets_db_intercept);
    if (interceptable && exits_on(exception)) {
        if (quirk(Quirk::db_exits_before_dr6))
            debug.dr6 = dr6;
        else if (!quirk(Quirk::db_exit_keeps_general_detect))
            debug.clear_general_detect();
        return leave_guest(*this);
    }
    return deliver(exception, Delivery::Exception, return_rip, pushed_rflags);
}

}  // namespace faultline::engine
