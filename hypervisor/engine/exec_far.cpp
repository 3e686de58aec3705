// JMP, CALL and RET far. AMD APM vol 2, "Control-Transfer Privilege Checks"; vol 3, "CALL (Far)", "JMP (Far)",
// "RET (Far)".
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"
#include "hypervisor/engine/task_switch.hpp"

namespace faultline::engine {
namespace {

/// A TSS or a task gate, in legacy mode; the processor checks CPL and RPL against the DPL of what the selector names,
/// and with a gate not against that of the TSS behind it. AMD APM vol 2, "Switching Tasks", "Task Switches Using Task
/// Gates". Call gates are not implemented; where there could be none it is #GP.
bool through_system_descriptor(Machine& m, std::uint16_t selector, const Descriptor& d, TaskLink link) {
    namespace type = system_type;
    const std::uint32_t error = selector_error(selector);
    const unsigned found = d.system_type();
    const bool is_tss =
        found == type::tss || found == type::tss_busy || found == type::tss16 || found == type::tss16_busy;
    const bool is_call_gate = found == type::call_gate || (found == type::call_gate16 && !m.long_mode());
    const bool is_task = (is_tss || found == type::task_gate) && !m.long_mode();
    if (!is_task && !is_call_gate) return m.raise(vector::gp, error);
    if (d.dpl() < m.cpu.cpl || d.dpl() < rpl(selector)) return m.raise(vector::gp, error);
    if (!is_tss && !d.present()) return m.raise(vector::np, error);
    if (is_call_gate) return m.unimplemented();

    return switch_task_by_instruction(m, is_tss ? selector : d.gate_selector(), link);
}

bool check_code(Machine& m, std::uint16_t selector, const Descriptor& d, std::uint64_t target) {
    const std::uint32_t error = selector_error(selector);
    const bool level_fits =
        d.is_conforming() ? d.dpl() <= m.cpu.cpl : d.dpl() == m.cpu.cpl && rpl(selector) <= m.cpu.cpl;
    const bool undefined = m.long_mode() && d.has(attribute::long_mode | attribute::big);
    if (!d.is_code() || !level_fits || undefined) return m.raise(vector::gp, error);
    if (!d.present()) return m.raise(vector::np, error);
    return check_target(m, d, target);
}

/// CS and the offset in a slot each; RSP moves only if both are stored.
template <class T>
bool push_return(Machine& m) {
    const std::uint64_t old_rsp = m.cpu.r[rsp];
    if (push<T>(m, static_cast<T>(m.cpu.segment[cs].selector)) && push<T>(m, static_cast<T>(m.cpu.next_rip())))
        return true;
    m.cpu.r[rsp] = old_rsp;
    return false;
}

template <class T, bool call>
bool transfer(Machine& m, std::uint16_t selector, T target) {
    guest::Segment segment;
    if (m.real_mode()) {
        segment = real_segment(m.cpu.segment[cs], selector);
        if (target > segment.limit) return m.raise_gp();
    } else {
        if (is_null(selector)) return m.raise_gp();
        Descriptor d;
        if (!read_descriptor(m, selector, {vector::gp, selector_error(selector), 0}, d)) return false;
        if (d.is_system()) return through_system_descriptor(m, selector, d, call ? TaskLink::Nest : TaskLink::Jump);
        if (!check_code(m, selector, d, target) || !mark_accessed(m, selector, d)) return false;
        segment = d.segment(with_rpl(selector, m.cpu.cpl));
    }
    if (call && !push_return<T>(m)) return false;
    m.set_segment(cs, segment);
    m.transfer(target);
    return true;
}

/// m16:16, m16:32, m16:64: the offset comes first.
template <class T, bool call>
bool through_memory(Machine& m, const Instruction& i) {
    const std::uint64_t pointer = linear_address(m, i);
    T target;
    std::uint16_t selector;
    return m.load(pointer, target, via(i)) && m.load(pointer + sizeof(T), selector, via(i)) &&
           transfer<T, call>(m, selector, target);
}

/// ptr16:16, ptr16:32.
template <class T, bool call>
bool direct(Machine& m, const Instruction& i) {
    return transfer<T, call>(m, static_cast<std::uint16_t>(i.disp), static_cast<T>(i.imm));
}

/// A return to an outer level pops its stack too; `imm` bytes of parameters go from both. AMD APM vol 2, "Return
/// Control Transfers".
template <class T>
bool far_return(Machine& m, const Instruction& i) {
    const auto slot = [&](std::uint64_t offset) { return m.in_stack(m.cpu.r[rsp] + offset); };
    T target, selector;
    if (!m.load(slot(0), target, Via::Stack) || !m.load(slot(sizeof(T)), selector, Via::Stack)) return false;
    const auto new_cs = static_cast<std::uint16_t>(selector);
    std::uint64_t stack = m.cpu.r[rsp] + 2 * sizeof(T) + i.imm;
    if (m.real_mode()) {
        const guest::Segment segment = real_segment(m.cpu.segment[cs], new_cs);
        if (target > segment.limit) return m.raise_gp();
        m.set_stack_pointer(stack);
        m.set_segment(cs, segment);
        m.transfer(target);
        return true;
    }
    Descriptor code;
    if (!check_return_cs(m, new_cs, code)) return false;
    const auto cpl = static_cast<std::uint8_t>(rpl(new_cs));
    guest::Segment new_ss = m.cpu.segment[ss];
    if (cpl > m.cpu.cpl) {
        T outer_rsp, outer_ss;
        Descriptor data;
        const bool to_long64 = m.long_mode() && code.has(attribute::long_mode);
        if (!m.load(slot(2 * sizeof(T) + i.imm), outer_rsp, Via::Stack) ||
            !m.load(slot(3 * sizeof(T) + i.imm), outer_ss, Via::Stack) ||
            !check_return_ss(m, static_cast<std::uint16_t>(outer_ss), cpl, to_long64, data))
            return false;
        new_ss = data.segment(static_cast<std::uint16_t>(outer_ss));
        stack = outer_rsp + i.imm;
    }
    if (!check_target(m, code, target)) return false;
    enter_level(m, code.segment(new_cs), new_ss, cpl);
    m.set_stack_pointer(stack);
    m.transfer(target);
    return true;
}

/// By the width of the offset.
constexpr std::array<Handler, 4> widths(Handler bits16, Handler bits32, Handler bits64) {
    return {nullptr, bits16, bits32, bits64};
}

template <bool call>
constexpr Row transfer_row() {
    using u16 = std::uint16_t;
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    Row row;
    row.handler[static_cast<std::size_t>(Form::M)] =
        widths(through_memory<u16, call>, through_memory<u32, call>, through_memory<u64, call>);
    row.handler[static_cast<std::size_t>(Form::I)] = widths(direct<u16, call>, direct<u32, call>, nullptr);
    return row;
}

constexpr Row return_row() {
    Row row;
    for (const Form form : {Form::None, Form::I})
        row.handler[static_cast<std::size_t>(form)] =
            widths(far_return<std::uint16_t>, far_return<std::uint32_t>, far_return<std::uint64_t>);
    return row;
}

}  // namespace

std::span<const Entry> far_family() {
    static constexpr Entry entries[] = {
        {special::far_jump, transfer_row<false>()},
        {special::far_call, transfer_row<true>()},
        {special::far_return, return_row()},
    };
    return entries;
}

}  // namespace faultline::engine
