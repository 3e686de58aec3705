// PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE. The operand size says how much moves, the stack's width what RSP is.
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
    if (m.exits_on(Intercept::Pushf)) return false;
    std::uint64_t image = m.cpu.rflags & ~(rflags::vm | rflags::rf);
    if (m.quirks.any()) [[unlikely]]
        image = QuirkHooks::pushed_flags(m, image);
    return push<T>(m, static_cast<T>(image));
}

/// IOPL only at CPL0, IF only with CPL ≤ IOPL, never VM, VIF, VIP or RF; no fault for lack of privilege. AMD APM vol 3,
/// "POPF". The trap that TF asks for is the boundary's affair.
template <class T>
bool popf(Machine& m, const Instruction&) {
    if (m.exits_on(Intercept::Popf)) return false;
    T image;
    if (!pop(m, image)) return false;
    std::uint64_t loaded = rflags::arithmetic | rflags::tf | rflags::df | rflags::nt;
    if constexpr (sizeof(T) > 2) loaded |= rflags::ac | rflags::id;
    if (m.cpu.cpl <= (m.cpu.rflags >> 12 & 3)) loaded |= rflags::if_;
    if (m.cpu.cpl == 0) loaded |= rflags::iopl;
    if (m.quirks.any()) [[unlikely]]
        loaded = QuirkHooks::popped_flags(m, loaded);
    m.set_rflags(((m.cpu.rflags & ~(loaded | rflags::rf)) | (image & loaded)));
    return true;
}

/// rAX rCX rDX rBX rSP rBP rSI rDI from the top down, rSP as it was before. AMD APM vol 3, "PUSHA PUSHAD".
template <class T>
bool pusha(Machine& m, const Instruction&) {
    const auto slot = [&](unsigned n) { return m.in_stack(m.cpu.r[rsp] - (n + 1) * sizeof(T)); };
    for (unsigned n = rax; n <= rdi; ++n)
        if (!m.may_write(slot(n), sizeof(T), Via::Stack)) return false;
    for (unsigned n = rax; n <= rdi; ++n) m.store<T>(slot(n), static_cast<T>(m.cpu.r[n]), Via::Stack);
    m.set_stack_pointer(slot(rdi));
    return true;
}

/// The slot of rSP is read and dropped. AMD APM vol 3, "POPA POPAD".
template <class T>
bool popa(Machine& m, const Instruction&) {
    T value[8];
    for (unsigned n = 0; n < 8; ++n)
        if (!m.load(m.in_stack(m.cpu.r[rsp] + n * sizeof(T)), value[rdi - n], Via::Stack)) return false;
    for (const RegisterSlot slot : {rax, rcx, rdx, rbx, rbp, rsi, rdi}) set_reg<T>(m, offset_of(slot), value[slot]);
    m.set_stack_pointer(m.cpu.r[rsp] + sizeof value);
    return true;
}

template <class T>
bool leave(Machine& m, const Instruction&) {
    T value;
    const std::uint64_t frame = m.in_stack(m.cpu.r[rbp]);
    if (!m.load(frame, value, Via::Stack)) return false;
    m.set_stack_pointer(frame + sizeof(T));
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
        if (!m.load(m.in_stack(m.cpu.r[rbp] - n * sizeof(T)), outer, Via::Stack) || !push<T>(m, outer)) return fail();
    }
    if (level > 0 && !push<T>(m, static_cast<T>(frame))) return fail();
    const std::uint64_t top = m.in_stack(m.cpu.r[rsp] - size);
    if (!m.may_write(top, sizeof(T), Via::Stack)) return fail();
    m.set_stack_pointer(top);
    set_reg<T>(m, offset_of(rbp), static_cast<T>(frame));
    return true;
}

constexpr Row sized_row(Form form, Handler bits16, Handler bits32, Handler bits64) {
    Row row;
    row.handler[static_cast<std::size_t>(form)] = {nullptr, bits16, bits32, bits64};
    return row;
}

}  // namespace

std::span<const Entry> stack_family() {
    using u16 = std::uint16_t;
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_PUSH, row_of<Push, Form::R, Form::M, Form::I>()},
        {ZYDIS_MNEMONIC_POP, row_of<Pop, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_PUSHA, any_form(pusha<u16>)},
        {ZYDIS_MNEMONIC_PUSHAD, any_form(pusha<u32>)},
        {ZYDIS_MNEMONIC_POPA, any_form(popa<u16>)},
        {ZYDIS_MNEMONIC_POPAD, any_form(popa<u32>)},
        {ZYDIS_MNEMONIC_PUSHF, any_form(pushf<u16>)},
        {ZYDIS_MNEMONIC_PUSHFD, any_form(pushf<u32>)},
        {ZYDIS_MNEMONIC_PUSHFQ, any_form(pushf<u64>)},
        {ZYDIS_MNEMONIC_POPF, any_form(popf<u16>)},
        {ZYDIS_MNEMONIC_POPFD, any_form(popf<u32>)},
        {ZYDIS_MNEMONIC_POPFQ, any_form(popf<u64>)},
        {ZYDIS_MNEMONIC_ENTER, sized_row(Form::None, enter<u16>, enter<u32>, enter<u64>)},
        {ZYDIS_MNEMONIC_LEAVE, sized_row(Form::None, leave<u16>, leave<u32>, leave<u64>)},
    };
    return entries;
}

}  // namespace faultline::engine
