// Into a handler in legacy protected mode. AMD APM vol 2, "Legacy Protected-Mode Interrupt Control Transfers".
#include <array>

#include "hypervisor/engine/delivery.hpp"
#include "hypervisor/engine/frame.hpp"
#include "hypervisor/engine/task_switch.hpp"

namespace faultline::engine {
namespace {

/// Gate descriptor of legacy mode, 8 bytes. AMD APM vol 2, "Gate Descriptors". A 16-bit gate has no upper half of the
/// offset.
struct Gate {
    std::uint64_t raw = 0;

    std::uint16_t selector() const { return static_cast<std::uint16_t>(raw >> 16); }
    unsigned type() const { return raw >> 40 & 0x1F; }  ///< with the S bit, which must be clear
    unsigned dpl() const { return raw >> 45 & 3; }
    bool present() const { return raw >> 47 & 1; }
    bool is_task() const { return type() == system_type::task_gate; }
    bool is_16bit() const { return type() == system_type::interrupt_gate16 || type() == system_type::trap_gate16; }
    bool is_interrupt() const {
        return type() == system_type::interrupt_gate || type() == system_type::interrupt_gate16;
    }
    bool is_trap() const { return type() == system_type::trap_gate || type() == system_type::trap_gate16; }
    std::uint64_t target() const { return (raw & 0xFFFF) | (is_16bit() ? 0 : raw >> 32 & 0xFFFF'0000); }
};

/// SSn:ESPn of the current TSS. AMD APM vol 2, "Legacy Task-State Segment"; a 16-bit TSS keeps SPn and SSn in 4 bytes.
bool read_stack(Machine& m, const Event& event, unsigned level, std::uint16_t& selector, std::uint64_t& pointer) {
    if (m.cpu.tr.attributes & 8) {
        std::array<std::uint16_t, 3> slot;
        if (!read_inner_stack(m, event, 4 + 8 * level, slot.data(), sizeof slot)) return false;
        pointer = slot[0] | std::uint64_t{slot[1]} << 16;
        selector = slot[2];
    } else {
        std::array<std::uint16_t, 2> slot;
        if (!read_inner_stack(m, event, 2 + 4 * level, slot.data(), sizeof slot)) return false;
        pointer = slot[0];
        selector = slot[1];
    }
    return true;
}

/// The stack of an inner level: #TS, or #SS for an absent one. AMD APM vol 2, "Stack Switching" of legacy transfers.
bool find_inner_stack(Machine& m, const Event& event, unsigned level, std::uint16_t& selector, Descriptor& stack,
                      std::uint64_t& pointer) {
    if (!read_stack(m, event, level, selector, pointer)) return false;
    if (is_null(selector)) return m.raise(vector::ts, event.external());
    const std::uint32_t error = event.selector_error(selector);
    if (!read_descriptor(m, selector, {vector::ts, error, 0}, stack)) return false;
    if (rpl(selector) != level || stack.dpl() != level || !stack.is_writable_data()) return m.raise(vector::ts, error);
    return stack.present() || m.raise(vector::ss, error);
}

bool enter_task(Machine& m, const Event& event, std::uint16_t selector) {
    TaskSwitch request{.selector = selector,
                       .link = TaskLink::Nest,
                       .resume_rip = event.return_rip,
                       .saved_rflags = event.pushed_rflags,
                       .external = event.external(),
                       .error_code = std::nullopt};
    if (event.pushes_error) request.error_code = event.error;
    return switch_task(m, request);
}

}  // namespace

bool enter_legacy(Machine& m, const Event& event) {
    Cpu& cpu = m.cpu;
    if (event.number * 8u + 7 > cpu.idt_limit) return m.raise(vector::gp, event.gate_error());
    Gate gate;
    if (!m.system_read(table_address(m, cpu.idt_base + event.number * 8u), &gate, sizeof gate,
                       {vector::gp, event.gate_error(), 0}))
        return false;
    if (!gate.is_task() && !gate.is_interrupt() && !gate.is_trap()) return m.raise(vector::gp, event.gate_error());
    if (!check_gate(m, event, gate.dpl(), gate.present())) return false;
    if (gate.is_task()) return enter_task(m, event, gate.selector());

    Descriptor code;
    std::uint8_t new_cpl;
    if (!find_handler_code(m, event, gate.selector(), code, new_cpl)) return false;
    const bool inward = new_cpl != cpu.cpl;
    const unsigned width = gate.is_16bit() ? 2 : 4;
    FrameStack stack{cpu.segment[ss], m.stack_pointer(), new_cpl == 3};
    std::uint16_t inner_ss = 0;
    Descriptor inner;
    if (inward) {
        if (!find_inner_stack(m, event, new_cpl, inner_ss, inner, stack.pointer)) return false;
        stack.segment = inner.segment(inner_ss);
    }

    // SS and ESP only with a change of level; what was pushed first comes first.
    const std::uint64_t frame[] = {cpu.segment[ss].selector, cpu.r[rsp],       event.pushed_rflags,
                                   cpu.segment[cs].selector, event.return_rip, event.error};
    const std::span values(frame + (inward ? 0 : 2), frame + (event.pushes_error ? 6 : 5));
    if (!stack.has_room(false, values.size(), width))
        return m.raise(vector::ss, inward ? event.selector_error(inner_ss) : event.external());
    if (gate.target() > code.limit()) return m.raise(vector::gp, event.external());
    if (!push_frame(m, stack, values, width) || !mark_accessed(m, gate.selector(), code) ||
        (inward && !mark_accessed(m, inner_ss, inner)))
        return false;

    m.set_segment(cs, code.segment(with_rpl(gate.selector(), new_cpl)));
    if (inward) {
        m.set_segment(ss, inner.segment(inner_ss));
        m.set_cpl(new_cpl);
    }
    m.set_stack_pointer(stack.pointer);
    cpu.rip = cpu.next_rip() = gate.target();
    clear_flags(m, rflags::tf | rflags::nt | rflags::rf | rflags::vm, gate.is_interrupt());
    return true;
}

}  // namespace faultline::engine
