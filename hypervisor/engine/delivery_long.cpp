// Into a handler in long mode, from 64-bit and from compatibility mode.
// AMD APM vol 2, "Long-Mode Interrupt Control Transfers".
#include "hypervisor/engine/delivery.hpp"
#include "hypervisor/engine/frame.hpp"

namespace faultline::engine {
namespace {

/// Gate descriptor of long mode, 16 bytes. AMD APM vol 2, "Gate Descriptors" of long mode.
struct Gate {
    std::uint64_t low = 0, high = 0;

    std::uint64_t target() const { return (low & 0xFFFF) | (low >> 32 & 0xFFFF'0000) | high << 32; }
    std::uint16_t selector() const { return static_cast<std::uint16_t>(low >> 16); }
    unsigned ist() const { return low >> 32 & 7; }
    unsigned type() const { return low >> 40 & 0x1F; }  ///< with the S bit, which must be clear
    unsigned dpl() const { return low >> 45 & 3; }
    bool present() const { return low >> 47 & 1; }
};

/// 64-bit TSS. AMD APM vol 2, "64-Bit Task State Segment".
constexpr std::uint64_t tss_rsp0 = 4, tss_ist1 = 0x24;

}  // namespace

bool enter_long(Machine& m, const Event& event) {
    Cpu& cpu = m.cpu;
    if (event.number * 16u + 15 > cpu.idt_limit) return m.raise(vector::gp, event.gate_error());
    Gate gate;
    if (!m.system_read(cpu.idt_base + event.number * 16u, &gate, sizeof gate, {vector::gp, event.gate_error(), 0}))
        return false;
    if (gate.type() != system_type::interrupt_gate && gate.type() != system_type::trap_gate)
        return m.raise(vector::gp, event.gate_error());
    if (!check_gate(m, event, gate.dpl(), gate.present())) return false;

    const std::uint16_t selector = gate.selector();
    Descriptor code;
    std::uint8_t new_cpl;
    if (!find_handler_code(m, event, selector, code, new_cpl)) return false;

    std::uint64_t stack = cpu.r[rsp];
    const bool inward = new_cpl != cpu.cpl;
    if (gate.ist()) {
        if (!read_inner_stack(m, event, tss_ist1 + 8 * (gate.ist() - 1), &stack, sizeof stack)) return false;
    } else if (inward || m.quirk(Quirk::same_level_switches_stack)) {
        if (!read_inner_stack(m, event, tss_rsp0 + 8u * new_cpl, &stack, sizeof stack)) return false;
    }
    // Also of the current stack, although a push below it may be canonical. SDM vol 2, "INT n/INTO/INT3/INT1".
    if (!canonical(stack)) return m.raise(vector::ss, event.external());
    if (!canonical(gate.target())) return m.raise(vector::gp, event.external());

    // The frame, lowest address first; RSP is aligned before it is pushed.
    const std::uint64_t frame[] = {event.error,         event.return_rip, cpu.segment[cs].selector,
                                   event.pushed_rflags, cpu.r[rsp],       cpu.segment[ss].selector};
    const std::size_t size = event.pushes_error ? sizeof frame : sizeof frame - 8;
    const std::uint64_t* const first = event.pushes_error ? frame : frame + 1;
    const std::uint64_t top = (m.quirk(Quirk::stack_unaligned) ? stack : stack & ~15ull) - size;
    if (!canonical(top) || !canonical(top + size - 1)) return m.raise(vector::ss, event.external());
    const bool pushed = new_cpl == 3 ? write_as_user(m, top, first, size)
                                     : m.system_write(top, first, size, {vector::ss, event.external(), 0});
    if (!pushed || !mark_accessed(m, selector, code)) return false;

    m.set_segment(cs, code.segment(with_rpl(selector, new_cpl)));
    // "SS is loaded with a null selector" on a change of privilege. AMD APM vol 2, "Long-Mode Stack Switches".
    if (inward && !m.quirk(Quirk::inner_level_keeps_ss)) m.set_segment(ss, null_segment(new_cpl, new_cpl));
    if (inward) m.set_cpl(new_cpl);
    cpu.r[rsp] = top;
    cpu.rip = cpu.next_rip() = gate.target();
    clear_flags(m, rflags::tf | rflags::nt | rflags::rf | rflags::vm, gate.type() == system_type::interrupt_gate);
    return true;
}

}  // namespace faultline::engine
