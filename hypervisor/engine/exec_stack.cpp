// PUSH POP PUSHF POPF ENTER LEAVE.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

struct Push {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if constexpr (form == Form::I)
            value = static_cast<T>(i.imm);
        else if (!read_destination<T, form>(m, i, value))
            return false;
        return push<T>(m, value);
    }
};

/// A memory destination based on RSP is addressed after the increment. AMD APM vol 3, "POP".
struct Pop {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const std::uint64_t top = m.cpu.r[rsp];
        T value;
        if (!pop(m, value)) return false;
        if (write_destination<T, form>(m, i, value)) return true;
        m.cpu.r[rsp] = top;
        return false;
    }
};

template <class T>
bool pushf(Machine& m, const Instruction&) {
    std::uint64_t image = m.cpu.rflags & ~(rflags::vm | rflags::rf);
    if (m.quirks.any()) [[unlikely]] image = QuirkHooks::pushed_flags(m, image);
    return push<T>(m, static_cast<T>(image));
}

/// IOPL only at CPL0, IF only with CPL ≤ IOPL, never VM, VIF, VIP or RF; no fault for lack of privilege. AMD APM vol 3,
/// "POPF". The trap that TF asks for is the boundary's affair.
template <class T>
bool popf(Machine& m, const Instruction&) {
    T image;
    if (!pop(m, image)) return false;
    std::uint64_t loaded = rflags::arithmetic | rflags::tf | rflags::df | rflags::nt;
    if constexpr (sizeof(T) > 2) loaded |= rflags::ac | rflags::id;
    if (m.cpu.cpl <= (m.cpu.rflags >> 12 & 3)) loaded |= rflags::if_;
    if (m.cpu.cpl == 0) loaded |= rflags::iopl;
    if (m.quirks.any()) [[unlikely]] loaded = QuirkHooks::popped_flags(m, loaded);
    m.set_rflags(((m.cpu.rflags & ~(loaded | rflags::rf)) | (image & loaded)));
    return true;
}

template <class T>
bool leave(Machine& m, const Instruction&) {
    T value;
    const std::uint64_t frame = m.cpu.r[rbp];
    if (!m.load(frame, value, Via::Stack)) return false;
    m.cpu.r[rsp] = frame + sizeof(T);
    set_reg<T>(m, offset_of(rbp), value);
    return true;
}

/// AMD APM vol 3, "ENTER". The last step of the manual's account is a check that the new stack may be written.
template <class T>
bool enter(Machine& m, const Instruction& i) {
    const std::uint64_t size = i.imm, level = i.disp % 32;
    const std::uint64_t old_rsp = m.cpu.r[rsp];
    const auto fail = [&] {
        m.cpu.r[rsp] = old_rsp;
        return false;
    };
    if (!push<T>(m, reg<T>(m, offset_of(rbp)))) return false;
    const std::uint64_t frame = m.cpu.r[rsp];
    for (std::uint64_t n = 1; n < level; ++n) {
        T outer;
        if (!m.load(m.cpu.r[rbp] - n * sizeof(T), outer, Via::Stack) || !push<T>(m, outer)) return fail();
    }
    if (level > 0 && !push<T>(m, static_cast<T>(frame))) return fail();
    const std::uint64_t top = m.cpu.r[rsp] - size;
    if (!m.may_write(top, sizeof(T), Via::Stack)) return fail();
    m.cpu.r[rsp] = top;
    set_reg<T>(m, offset_of(rbp), static_cast<T>(frame));
    return true;
}

constexpr Row enter_row() {
    Row row;
    row.handler[static_cast<std::size_t>(Form::None)] = {nullptr, enter<std::uint16_t>, nullptr, enter<std::uint64_t>};
    return row;
}

constexpr Row leave_row() {
    Row row;
    row.handler[static_cast<std::size_t>(Form::None)] = {nullptr, leave<std::uint16_t>, nullptr, leave<std::uint64_t>};
    return row;
}

}  // namespace

std::span<const Entry> stack_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_PUSH, row_of<Push, Form::R, Form::M, Form::I>()},
        {ZYDIS_MNEMONIC_POP, row_of<Pop, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_PUSHFQ, any_form(pushf<std::uint64_t>)},
        {ZYDIS_MNEMONIC_PUSHF, any_form(pushf<std::uint16_t>)},
        {ZYDIS_MNEMONIC_POPFQ, any_form(popf<std::uint64_t>)},
        {ZYDIS_MNEMONIC_POPF, any_form(popf<std::uint16_t>)},
        {ZYDIS_MNEMONIC_ENTER, enter_row()},
        {ZYDIS_MNEMONIC_LEAVE, leave_row()},
    };
    return entries;
}

}  // namespace faultline::engine
