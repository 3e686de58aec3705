// Delivery of exceptions and interrupts through the IDT in long mode.
// AMD APM vol 2, "Long-Mode Interrupt Control Transfers", "Exceptions and Interrupts".
#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// Exceptions that push an error code.
constexpr bool has_error_code(std::uint8_t number) {
    return number < 32 && (1u << 8 | 0x1Fu << 10 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30) >> number & 1;
}

/// Pushed with RF set: faults other than #DB. AMD APM vol 2, "Resume Flag (RF) Bit".
constexpr bool is_fault(std::uint8_t number) {
    return number != vector::db && number != vector::nmi && number != vector::bp && number != 4 && number != vector::df;
}

constexpr bool is_contributory(std::uint8_t number) {
    return number == vector::de || (number >= vector::ts && number <= vector::gp) || number == 21 || number == 29 ||
           number == 30;
}

/// AMD APM vol 2, "#DF—Double-Fault Exception (Vector 8)".
constexpr bool makes_double_fault(std::uint8_t first, std::uint8_t second) {
    if (is_contributory(first)) return is_contributory(second);
    return first == vector::pf && (is_contributory(second) || second == vector::pf);
}

/// Gate descriptor of long mode, 16 bytes.
struct Gate {
    std::uint64_t low = 0, high = 0;

    std::uint64_t target() const { return (low & 0xFFFF) | (low >> 32 & 0xFFFF'0000) | high << 32; }
    std::uint16_t selector() const { return static_cast<std::uint16_t>(low >> 16); }
    unsigned ist() const { return low >> 32 & 7; }
    unsigned type() const { return low >> 40 & 0x1F; }
    unsigned dpl() const { return low >> 45 & 3; }
    bool present() const { return low >> 47 & 1; }
};
constexpr unsigned interrupt_gate = 14, trap_gate = 15;

/// 64-bit TSS. AMD APM vol 2, "64-Bit Task State Segment".
constexpr std::uint64_t tss_rsp0 = 4, tss_ist1 = 0x24;

bool read_tss_stack(Machine& m, std::uint64_t offset, std::uint32_t external, std::uint64_t& stack) {
    const Fault too_small{vector::ts, selector_error(m.cpu.tr.selector) | external};
    if (offset + 7 > m.cpu.tr.limit) {
        m.fault = too_small;
        return false;
    }
    return m.system_read(m.cpu.tr.base + offset, &stack, sizeof stack, too_small);
}

}  // namespace

bool Machine::enter_handler(std::uint8_t number, std::uint32_t error, Delivery delivery, std::uint64_t return_rip,
                            std::uint64_t pushed_rflags) {
    if (quirks.any()) [[unlikely]]
        QuirkHooks::before_delivery(*this, number, error, delivery, return_rip, pushed_rflags);
    const bool software = delivery == Delivery::Software;
    const std::uint32_t external = software ? 0 : 1;
    const std::uint32_t gate_error = number * 8u | 2 | external;

    if (number * 16u + 15 > cpu.idt_limit) return raise(vector::gp, gate_error);
    Gate gate;
    if (!system_read(cpu.idt_base + number * 16u, &gate, sizeof gate, {vector::gp, gate_error})) return false;
    if (gate.type() != interrupt_gate && gate.type() != trap_gate) return raise(vector::gp, gate_error);
    const bool checks_dpl = quirks.any() ? QuirkHooks::checks_dpl(*this, software) : software;
    if (checks_dpl && gate.dpl() < cpu.cpl) return raise(vector::gp, gate_error);
    if (!gate.present()) return raise(vector::np, gate_error);

    const std::uint16_t selector = gate.selector();
    const std::uint32_t cs_error = selector_error(selector) | external;
    if (is_null(selector)) return raise(vector::gp, external);
    Descriptor code_segment;
    if (!read_descriptor(*this, selector, {vector::gp, cs_error}, code_segment)) return false;
    if (!code_segment.is_code() || code_segment.dpl() > cpu.cpl || !code_segment.has(attribute::long_mode) ||
        code_segment.has(attribute::big))
        return raise(vector::gp, cs_error);
    if (!code_segment.has(attribute::present)) return raise(vector::np, cs_error);
    const auto new_cpl =
        code_segment.has(attribute::conforming) ? cpu.cpl : static_cast<std::uint8_t>(code_segment.dpl());

    std::uint64_t stack = cpu.r[rsp];
    if (gate.ist()) {
        if (!read_tss_stack(*this, tss_ist1 + 8 * (gate.ist() - 1), external, stack)) return false;
    } else if (new_cpl != cpu.cpl || quirk(Quirk::same_level_switches_stack)) {
        if (!read_tss_stack(*this, tss_rsp0 + 8u * new_cpl, external, stack)) return false;
    }
    if (!canonical(gate.target())) return raise(vector::gp, external);

    // The frame, lowest address first; RSP is aligned before it is pushed.
    const bool with_error = (delivery == Delivery::Exception && has_error_code(number)) ||
                            (number == vector::db && quirk(Quirk::db_pushes_error_code));
    const std::uint64_t frame[] = {error,         return_rip, cpu.segment[cs].selector,
                                   pushed_rflags, cpu.r[rsp], cpu.segment[ss].selector};
    const std::size_t size = with_error ? sizeof frame : sizeof frame - 8;
    const std::uint64_t top = (quirk(Quirk::stack_unaligned) ? stack : stack & ~15ull) - size;
    if (!system_write(top, with_error ? frame : frame + 1, size, {vector::ss, external})) return false;
    if (!mark_accessed(*this, selector, code_segment)) return false;

    const std::uint64_t from = cpu.rip;
    set_segment(cs, code_segment.segment(static_cast<std::uint16_t>((selector & ~3u) | new_cpl)));
    // "SS is loaded with a null selector" on a change of privilege. AMD APM vol 2, "Long-Mode Stack Switches".
    if (new_cpl != cpu.cpl && !quirk(Quirk::inner_level_keeps_ss))
        set_segment(ss, {new_cpl, 0, 0, static_cast<std::uint16_t>(new_cpl << 5)});
    if (new_cpl != cpu.cpl) set_cpl(new_cpl);
    cpu.r[rsp] = top;
    cpu.rip = cpu.next_rip() = gate.target();
    std::uint64_t cleared = rflags::tf | rflags::nt | rflags::rf | rflags::vm;
    if (gate.type() == interrupt_gate) cleared |= rflags::if_;
    if (quirks.any()) [[unlikely]] cleared = QuirkHooks::cleared_flags(*this, cleared);
    const std::uint64_t dr7 = debug.dr7(), debugctl = debug.debugctl;
    set_rflags(cpu.rflags & ~cleared);

    if (number == vector::db && delivery == Delivery::Exception) {
        debug.enter_handler();
    } else {
        if (!software) debug.record_interrupt();
        debug.record_branch(from, cpu.rip);
    }
    if (quirks.any()) [[unlikely]] QuirkHooks::after_delivery(*this, number, delivery, dr7, debugctl);
    return true;
}

bool Machine::deliver(Fault event, Delivery delivery, std::uint64_t return_rip, std::uint64_t pushed_rflags) {
    while (!enter_handler(event.vector, event.error, delivery, return_rip, pushed_rflags)) {
        const bool exception = delivery == Delivery::Exception;
        if (exception && event.vector == vector::df) {
            stop(Exit::Shutdown);
            return false;
        }
        const Fault first = event;
        event = exception && makes_double_fault(event.vector, fault.vector) ? Fault{vector::df, 0, 0} : fault;
        if (quirks.any()) [[unlikely]] QuirkHooks::nested_fault(*this, first.vector, event);
        // A nested fault finds the interrupted boundary, whatever the first event would have returned to.
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
    if (quirks.any()) [[unlikely]] QuirkHooks::recorded(*this, event, all, dr6);
    debug.pending = 0;
    drop(causes);
    return deliver({vector::db, 0, 0}, Delivery::Exception, return_rip, pushed_rflags);
}

}  // namespace faultline::engine
