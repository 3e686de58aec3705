// JMP Jcc JrCXZ LOOP CALL RET, near and far. A branch to a non-canonical address, or beyond the limit of CS, faults on
// the branch.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// Target of a relative branch; an operand of 16 or 32 bits truncates it. AMD APM vol 3, "JMP (Near)".
template <class T>
std::uint64_t relative(const Machine& m, const Instruction& i) {
    return static_cast<T>(m.cpu.r[next_rip_slot] + i.imm);
}

template <class T, Form form>
bool target_of(Machine& m, const Instruction& i, std::uint64_t& target) {
    if constexpr (form == Form::I) {
        target = relative<T>(m, i);
        return true;
    } else {
        T value;
        if (!read_destination<T, form>(m, i, value)) return false;
        target = value;
        return true;
    }
}

struct Jmp {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::uint64_t target;
        return target_of<T, form>(m, i, target) && m.jump(target);
    }
};

struct Call {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::uint64_t target;
        if (!target_of<T, form>(m, i, target)) return false;
        if (!m.is_target(target)) return m.raise_gp();
        if (!push<T>(m, static_cast<T>(m.cpu.next_rip()))) return false;
        m.transfer(target);
        return true;
    }
};

struct Ret {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T target;
        if (!m.load(m.stack_pointer(), target, Via::Stack) || !m.jump(target)) return false;
        m.set_stack_pointer(m.cpu.r[rsp] + sizeof(T) + (form == Form::I ? i.imm : 0));
        return true;
    }
};

template <Condition condition>
struct Jcc {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return !holds<condition>(m) || m.jump(relative<T>(m, i));
    }
};

struct Jrcxz {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return index_register(m, i, rcx) != 0 || m.jump(relative<T>(m, i));
    }
};

enum class LoopWhile { Always, Zero, NotZero };

template <LoopWhile condition>
struct Loop {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const std::uint64_t old = m.cpu.r[rcx];
        set_index_register(m, i, rcx, old - 1);
        const bool again = condition == LoopWhile::Always || flag(m, rflags::zf) == (condition == LoopWhile::Zero);
        if (index_register(m, i, rcx) == 0 || !again || m.jump(relative<T>(m, i))) return true;
        m.cpu.r[rcx] = old;
        return false;
    }
};

/// Direct code segments only: call gates are not implemented.
bool check_far_target(Machine& m, std::uint16_t selector, std::uint64_t target, guest::Segment& out) {
    const std::uint32_t error = selector_error(selector);
    if (is_null(selector)) return m.raise_gp();
    Descriptor d;
    if (!read_descriptor(m, selector, {vector::gp, error, 0}, d)) return false;
    if (!d.has(attribute::user_segment)) return m.unimplemented();
    const bool level_fits =
        d.has(attribute::conforming) ? d.dpl() <= m.cpu.cpl : d.dpl() == m.cpu.cpl && (selector & 3u) <= m.cpu.cpl;
    if (!d.is_code() || !level_fits || d.has(attribute::long_mode | attribute::big)) return m.raise(vector::gp, error);
    if (!d.has(attribute::present)) return m.raise(vector::np, error);
    if (!d.has(attribute::long_mode)) return m.unimplemented();  // compatibility mode
    if (!canonical(target)) return m.raise_gp();
    if (!mark_accessed(m, selector, d)) return false;
    out = d.segment(static_cast<std::uint16_t>((selector & ~3u) | m.cpu.cpl));
    return true;
}

/// m16:16, m16:32, m16:64: the offset comes first.
template <class T, bool call>
bool far_transfer(Machine& m, const Instruction& i) {
    const std::uint64_t pointer = linear_address(m, i);
    T target;
    std::uint16_t selector;
    guest::Segment segment;
    if (!m.load(pointer, target, via(i)) || !m.load(pointer + sizeof(T), selector, via(i)) ||
        !check_far_target(m, selector, target, segment))
        return false;
    if constexpr (call) {
        const std::uint64_t top = m.cpu.r[rsp];
        if (!push<T>(m, static_cast<T>(m.cpu.segment[cs].selector))) return false;
        if (!push<T>(m, static_cast<T>(m.cpu.next_rip()))) {
            m.cpu.r[rsp] = top;
            return false;
        }
    }
    m.set_segment(cs, segment);
    m.transfer(target);
    return true;
}

template <class T>
bool far_return(Machine& m, const Instruction& i) {
    const std::uint64_t top = m.cpu.r[rsp];
    T target, selector;
    if (!m.load(top, target, Via::Stack) || !m.load(top + sizeof(T), selector, Via::Stack)) return false;
    const auto new_cs = static_cast<std::uint16_t>(selector);
    Descriptor code;
    if (!check_return_cs(m, new_cs, code)) return false;
    const auto cpl = static_cast<std::uint8_t>(new_cs & 3);
    std::uint64_t stack = top + 2 * sizeof(T) + i.imm;
    guest::Segment new_ss = m.cpu.segment[ss];
    if (cpl > m.cpu.cpl) {
        T outer_rsp, outer_ss;
        Descriptor data;
        if (!m.load(stack, outer_rsp, Via::Stack) || !m.load(stack + sizeof(T), outer_ss, Via::Stack) ||
            !check_return_ss(m, static_cast<std::uint16_t>(outer_ss), cpl, data))
            return false;
        new_ss = data.segment(static_cast<std::uint16_t>(outer_ss));
        stack = outer_rsp + i.imm;
    }
    if (!canonical(target)) return m.raise_gp();
    enter_level(m, code.segment(new_cs), new_ss, cpl);
    m.cpu.r[rsp] = stack;
    m.transfer(target);
    return true;
}

template <class F, Form... forms>
constexpr Row near_row() {
    Row row;
    ((row.handler[static_cast<std::size_t>(forms)] = {nullptr, &F::template run<std::uint16_t, forms>,
                                                      &F::template run<std::uint32_t, forms>,
                                                      &F::template run<std::uint64_t, forms>}),
     ...);
    return row;
}
template <Condition condition>
constexpr Row jcc_row() {
    return near_row<Jcc<condition>, Form::I>();
}

/// Far forms go by the width of the offset.
constexpr Row far_row(Handler bits16, Handler bits32, Handler bits64) {
    Row row;
    for (auto& by_width : row.handler) by_width = {nullptr, bits16, bits32, bits64};
    return row;
}

}  // namespace

std::span<const Entry> branch_family() {
    using u16 = std::uint16_t;
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_JMP, near_row<Jmp, Form::I, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_CALL, near_row<Call, Form::I, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_RET, near_row<Ret, Form::None, Form::I>()},
        {special::far_jump, far_row(far_transfer<u16, false>, far_transfer<u32, false>, far_transfer<u64, false>)},
        {special::far_call, far_row(far_transfer<u16, true>, far_transfer<u32, true>, far_transfer<u64, true>)},
        {special::far_return, far_row(far_return<u16>, far_return<u32>, far_return<u64>)},
        {ZYDIS_MNEMONIC_JRCXZ, near_row<Jrcxz, Form::I>()},
        {ZYDIS_MNEMONIC_JECXZ, near_row<Jrcxz, Form::I>()},
        {ZYDIS_MNEMONIC_JCXZ, near_row<Jrcxz, Form::I>()},
        {ZYDIS_MNEMONIC_LOOP, near_row<Loop<LoopWhile::Always>, Form::I>()},
        {ZYDIS_MNEMONIC_LOOPE, near_row<Loop<LoopWhile::Zero>, Form::I>()},
        {ZYDIS_MNEMONIC_LOOPNE, near_row<Loop<LoopWhile::NotZero>, Form::I>()},
        {ZYDIS_MNEMONIC_JO, jcc_row<Condition::O>()},
        {ZYDIS_MNEMONIC_JNO, jcc_row<Condition::NO>()},
        {ZYDIS_MNEMONIC_JB, jcc_row<Condition::B>()},
        {ZYDIS_MNEMONIC_JNB, jcc_row<Condition::NB>()},
        {ZYDIS_MNEMONIC_JZ, jcc_row<Condition::Z>()},
        {ZYDIS_MNEMONIC_JNZ, jcc_row<Condition::NZ>()},
        {ZYDIS_MNEMONIC_JBE, jcc_row<Condition::BE>()},
        {ZYDIS_MNEMONIC_JNBE, jcc_row<Condition::NBE>()},
        {ZYDIS_MNEMONIC_JS, jcc_row<Condition::S>()},
        {ZYDIS_MNEMONIC_JNS, jcc_row<Condition::NS>()},
        {ZYDIS_MNEMONIC_JP, jcc_row<Condition::P>()},
        {ZYDIS_MNEMONIC_JNP, jcc_row<Condition::NP>()},
        {ZYDIS_MNEMONIC_JL, jcc_row<Condition::L>()},
        {ZYDIS_MNEMONIC_JNL, jcc_row<Condition::NL>()},
        {ZYDIS_MNEMONIC_JLE, jcc_row<Condition::LE>()},
        {ZYDIS_MNEMONIC_JNLE, jcc_row<Condition::NLE>()},
    };
    return entries;
}

}  // namespace faultline::engine
