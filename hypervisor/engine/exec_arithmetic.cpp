// ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, XADD, CMPXCHG and its wide forms.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

/// AND, OR, XOR, TEST: CF and OF are cleared; AF is undefined, and cleared here.
template <class T>
T logic_with_flags(Machine& m, T result) {
    set_flags(m, rflags::arithmetic, flags_of_result(result));
    return result;
}

struct Add {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return add_with_flags(m, a, b);
    }
};
struct Adc {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return add_with_flags(m, a, b, flag(m, rflags::cf));
    }
};
struct Sub {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return subtract_with_flags(m, a, b);
    }
};
struct Sbb {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return subtract_with_flags(m, a, b, flag(m, rflags::cf));
    }
};
struct And {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return logic_with_flags(m, static_cast<T>(a & b));
    }
};
struct Or {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return logic_with_flags(m, static_cast<T>(a | b));
    }
};
struct Xor {
    template <class T>
    static T apply(Machine& m, T a, T b) {
        return logic_with_flags(m, static_cast<T>(a ^ b));
    }
};

/// Destination := destination op source. The memory write comes last and cannot fault, so flags may be set before.
template <class Operation>
struct Binary {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T source;
        return read_source<T, form>(m, i, source) &&
               modify_destination<T, form>(m, i, [&](T value) { return Operation::apply(m, value, source); });
    }
};

/// CMP and TEST: flags only.
template <class Operation>
struct Compare {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T a, b;
        if (!read_destination<T, form>(m, i, a) || !read_source<T, form>(m, i, b)) return false;
        Operation::apply(m, a, b);
        return true;
    }
};

/// INC and DEC leave CF alone.
template <bool increment>
struct Step {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return modify_destination<T, form>(m, i, [&](T value) {
            const std::uint64_t carry = m.cpu.rflags & rflags::cf;
            const T result = increment ? add_with_flags(m, value, T{1}) : subtract_with_flags(m, value, T{1});
            set_flags(m, rflags::cf, carry);
            return result;
        });
    }
};

struct Neg {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return modify_destination<T, form>(m, i, [&](T value) { return subtract_with_flags(m, T{0}, value); });
    }
};

struct Not {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return modify_destination<T, form>(m, i, [](T value) { return static_cast<T>(~value); });
    }
};

struct Xadd {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T old{}, sum{};
        const T source = reg<T>(m, i.src);
        if (!modify_destination<T, form>(m, i, [&](T value) {
                old = value;
                return sum = add_with_flags(m, value, source);
            }))
            return false;
        set_reg<T>(m, i.src, old);
        if constexpr (form == Form::RR) set_reg<T>(m, i.dst, sum);  // XADD r, r with one register: the sum wins
        return true;
    }
};

/// Memory is written even when the comparison fails, with what it held (AMD APM vol 3, "CMPXCHG"). A 32-bit register
/// destination then keeps its upper half: that is what processors do, the manual does not say.
struct Cmpxchg {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const T expected = reg<T>(m, offset_of(rax)), source = reg<T>(m, i.src);
        std::uint64_t linear = 0;
        T old;
        if constexpr (form == Form::MR) {
            linear = linear_address(m, i);
            if (!m.load_to_modify(linear, old, via(i))) return false;
        } else {
            old = reg<T>(m, i.dst);
        }
        const bool equal = old == expected;
        if constexpr (form == Form::MR) {
            if (!m.store(linear, equal ? source : old, via(i))) return false;
        } else if (equal) {
            set_reg<T>(m, i.dst, source);
        }
        subtract_with_flags(m, expected, old);
        if (!equal) set_reg<T>(m, offset_of(rax), old);
        return true;
    }
};

bool cmpxchg8b(Machine& m, const Instruction& i) {
    const std::uint64_t linear = linear_address(m, i);
    std::uint64_t value;
    if (!m.load_to_modify(linear, value, via(i))) return false;
    const auto joined = [&](RegisterSlot high, RegisterSlot low) {
        return static_cast<std::uint64_t>(reg<std::uint32_t>(m, offset_of(high))) << 32 |
               reg<std::uint32_t>(m, offset_of(low));
    };
    const bool equal = value == joined(rdx, rax);
    if (!m.store(linear, equal ? joined(rcx, rbx) : value, via(i))) return false;
    if (!equal) {
        set_reg<std::uint32_t>(m, offset_of(rax), static_cast<std::uint32_t>(value));
        set_reg<std::uint32_t>(m, offset_of(rdx), static_cast<std::uint32_t>(value >> 32));
    }
    set_flags(m, rflags::zf, equal ? rflags::zf : 0);
    return true;
}

bool cmpxchg16b(Machine& m, const Instruction& i) {
    const std::uint64_t linear = linear_address(m, i);
    if (linear % 16) return m.raise_gp();
    std::uint64_t low, high;
    if (!m.load_to_modify(linear, low, via(i)) || !m.load_to_modify(linear + 8, high, via(i))) return false;
    const bool equal = low == m.cpu.r[rax] && high == m.cpu.r[rdx];
    if (!m.store(linear, equal ? m.cpu.r[rbx] : low, via(i)) ||
        !m.store(linear + 8, equal ? m.cpu.r[rcx] : high, via(i)))
        return false;
    if (!equal) {
        m.cpu.r[rax] = low;
        m.cpu.r[rdx] = high;
    }
    set_flags(m, rflags::zf, equal ? rflags::zf : 0);
    return true;
}

template <class F>
constexpr Row binary_row() {
    return row_of<F, Form::RR, Form::RM, Form::MR, Form::RI, Form::MI>();
}
template <class F>
constexpr Row unary_row() {
    return row_of<F, Form::R, Form::M>();
}

}  // namespace

std::span<const Entry> arithmetic_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_ADD, binary_row<Binary<Add>>()},
        {ZYDIS_MNEMONIC_OR, binary_row<Binary<Or>>()},
        {ZYDIS_MNEMONIC_ADC, binary_row<Binary<Adc>>()},
        {ZYDIS_MNEMONIC_SBB, binary_row<Binary<Sbb>>()},
        {ZYDIS_MNEMONIC_AND, binary_row<Binary<And>>()},
        {ZYDIS_MNEMONIC_SUB, binary_row<Binary<Sub>>()},
        {ZYDIS_MNEMONIC_XOR, binary_row<Binary<Xor>>()},
        {ZYDIS_MNEMONIC_CMP, binary_row<Compare<Sub>>()},
        {ZYDIS_MNEMONIC_TEST, binary_row<Compare<And>>()},
        {ZYDIS_MNEMONIC_INC, unary_row<Step<true>>()},
        {ZYDIS_MNEMONIC_DEC, unary_row<Step<false>>()},
        {ZYDIS_MNEMONIC_NEG, unary_row<Neg>()},
        {ZYDIS_MNEMONIC_NOT, unary_row<Not>()},
        {ZYDIS_MNEMONIC_XADD, row_of<Xadd, Form::RR, Form::MR>()},
        {ZYDIS_MNEMONIC_CMPXCHG, row_of<Cmpxchg, Form::RR, Form::MR>()},
        {ZYDIS_MNEMONIC_CMPXCHG8B, any_form(cmpxchg8b)},
        {ZYDIS_MNEMONIC_CMPXCHG16B, any_form(cmpxchg16b)},
    };
    return entries;
}

}  // namespace faultline::engine
