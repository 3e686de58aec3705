// JMP Jcc JrCXZ LOOP CALL RET, the near ones. A branch to a non-canonical address, or beyond the limit of CS, faults on
// the branch.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

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

}  // namespace

std::span<const Entry> branch_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_JMP, near_row<Jmp, Form::I, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_CALL, near_row<Call, Form::I, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_RET, near_row<Ret, Form::None, Form::I>()},
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
