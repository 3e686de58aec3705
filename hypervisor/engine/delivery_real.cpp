// Into a handler in real mode. AMD APM vol 2, "Real-Mode Interrupt Control Transfers".
#include <array>

#include "hypervisor/engine/delivery.hpp"
#include "hypervisor/engine/frame.hpp"

namespace faultline::engine {

/// The table holds far pointers of four bytes. FLAGS, CS and IP are pushed, never an error code; IF, TF, AC and RF are
/// cleared, NT is not.
bool enter_real(Machine& m, const Event& event) {
    Cpu& cpu = m.cpu;
    if (event.number * 4u + 3 > cpu.idt_limit) return m.raise_gp();
    std::array<std::uint16_t, 2> pointer;  // IP, CS
    if (!m.system_read(table_address(m, cpu.idt_base + event.number * 4u), pointer.data(), sizeof pointer,
                       {vector::gp, 0, 0}))
        return false;

    FrameStack stack{cpu.segment[ss], m.stack_pointer(), false};
    const std::uint64_t frame[] = {event.pushed_rflags, cpu.segment[cs].selector, event.return_rip};
    if (!stack.has_room(true, std::size(frame), 2)) return m.raise(vector::ss);
    const guest::Segment code = real_segment(cpu.segment[cs], pointer[1]);
    if (pointer[0] > code.limit) return m.raise_gp();
    if (!push_frame(m, stack, frame, 2)) return false;

    m.set_segment(cs, code);
    m.set_stack_pointer(stack.pointer);
    cpu.rip = cpu.next_rip() = pointer[0];
    clear_flags(m, rflags::tf | rflags::rf | rflags::ac, true);
    return true;
}

}  // namespace faultline::engine
