// SHL SHR SAR, ROL ROR RCL RCR, SHLD SHRD. Counts are masked to 5 bits, 6 for 64-bit operands; a count of zero changes
// nothing, no flag either. AMD APM vol 3, "SAL SHL", "RCL", "SHLD".
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

template <class T>
bool top(T value) {
    return value >> (bits_of<T> - 1) & 1;
}

template <class T>
constexpr unsigned masked(std::uint64_t count) {
    return static_cast<unsigned>(count) & (sizeof(T) == 8 ? 63 : 31);
}

/// After a shift: CF as given, OF as for a count of 1 (undefined for others), AF cleared (undefined).
template <class T>
void shift_flags(Machine& m, T result, bool carry, bool overflow) {
    set_flags(m, rflags::arithmetic, flags_of_result(result) | (carry ? rflags::cf : 0) | (overflow ? rflags::of : 0));
}

/// Rotates touch CF and OF only.
inline void rotate_flags(Machine& m, bool carry, bool overflow) {
    set_flags(m, rflags::cf | rflags::of, (carry ? rflags::cf : 0) | (overflow ? rflags::of : 0));
}

struct Shl {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        const std::uint64_t wide = count < 64 ? static_cast<std::uint64_t>(value) << count : 0;
        const T result = static_cast<T>(wide);
        const bool carry = count <= bits_of<T> && (value >> (bits_of<T> - count) & 1);
        shift_flags(m, result, carry, top(result) != carry);
        return result;
    }
};
struct Shr {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        const std::uint64_t wide = value;
        const T result = static_cast<T>(wide >> count);
        shift_flags(m, result, wide >> (count - 1) & 1, top(value));
        return result;
    }
};
struct Sar {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        const auto wide = static_cast<std::int64_t>(static_cast<std::make_signed_t<T>>(value));
        const T result = static_cast<T>(wide >> count);
        shift_flags(m, result, wide >> (count - 1) & 1, false);
        return result;
    }
};
struct Rol {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        const unsigned turn = count % bits_of<T>;
        const T result = turn ? static_cast<T>(value << turn | value >> (bits_of<T> - turn)) : value;
        rotate_flags(m, result & 1, top(result) != (result & 1));
        return result;
    }
};
struct Ror {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        const unsigned turn = count % bits_of<T>;
        const T result = turn ? static_cast<T>(value >> turn | value << (bits_of<T> - turn)) : value;
        rotate_flags(m, top(result), top(result) != (result >> (bits_of<T> - 2) & 1));
        return result;
    }
};
/// Through carry: a rotation of one bit more than the operand has.
struct Rcl {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        bool carry = flag(m, rflags::cf);
        for (unsigned n = count % (bits_of<T> + 1); n; --n) {
            const bool out = top(value);
            value = static_cast<T>(value << 1 | carry);
            carry = out;
        }
        rotate_flags(m, carry, top(value) != carry);
        return value;
    }
};
struct Rcr {
    template <class T>
    static T apply(Machine& m, T value, unsigned count) {
        bool carry = flag(m, rflags::cf);
        for (unsigned n = count % (bits_of<T> + 1); n; --n) {
            const bool out = value & 1;
            value = static_cast<T>(value >> 1 | static_cast<T>(carry) << (bits_of<T> - 1));
            carry = out;
        }
        rotate_flags(m, carry, top(value) != (value >> (bits_of<T> - 2) & 1));
        return value;
    }
};

/// The count is an immediate (an implied 1 included) or CL. A memory operand is accessed whatever the count.
template <class Operation>
struct Shift {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        constexpr bool immediate = form == Form::RI || form == Form::MI;
        const unsigned count = masked<T>(immediate ? i.imm : m.cpu.r[rcx]);
        if constexpr (!has_memory_destination(form)) {
            // Even a count of zero clears the upper half of a 32-bit register.
            const T value = reg<T>(m, i.dst);
            set_reg<T>(m, i.dst, count ? Operation::apply(m, value, count) : value);
            return true;
        }
        return modify_destination<T, form>(m, i,
                                           [&](T value) { return count ? Operation::apply(m, value, count) : value; });
    }
};

template <bool left>
struct DoubleShift {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        constexpr bool immediate = form == Form::RRI || form == Form::MRI;
        const unsigned count = masked<T>(immediate ? i.imm : m.cpu.r[rcx]);
        const T source = reg<T>(m, i.src);
        return modify_destination<T, form>(m, i, [&](T value) -> T {
            if (!count) return value;
            // Counts beyond a 16-bit operand are undefined: here they go on through the pair.
            const unsigned turn = count % (2 * bits_of<T>) > bits_of<T> ? count - bits_of<T> : count;
            const T first = turn == count ? value : source, second = turn == count ? source : value;
            const unsigned rest = bits_of<T> - turn;
            const T result = turn == bits_of<T> ? second
                             : left             ? static_cast<T>(first << turn | second >> rest)
                                                : static_cast<T>(first >> turn | second << rest);
            const bool carry = left ? first >> rest & 1 : first >> (turn - 1) & 1;
            shift_flags(m, result, carry, top(result) != top(value));
            return result;
        });
    }
};

template <class Operation>
constexpr Row shift_row() {
    return row_of<Shift<Operation>, Form::RI, Form::MI, Form::RR, Form::MR>();
}
template <bool left>
constexpr Row double_row() {
    return row_of<DoubleShift<left>, Form::RRI, Form::MRI, Form::RR, Form::MR>();
}

}  // namespace

std::span<const Entry> shift_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_SHL, shift_row<Shl>()},     {ZYDIS_MNEMONIC_SHR, shift_row<Shr>()},
        {ZYDIS_MNEMONIC_SAR, shift_row<Sar>()},     {ZYDIS_MNEMONIC_ROL, shift_row<Rol>()},
        {ZYDIS_MNEMONIC_ROR, shift_row<Ror>()},     {ZYDIS_MNEMONIC_RCL, shift_row<Rcl>()},
        {ZYDIS_MNEMONIC_RCR, shift_row<Rcr>()},     {ZYDIS_MNEMONIC_SHLD, double_row<true>()},
        {ZYDIS_MNEMONIC_SHRD, double_row<false>()},
    };
    return entries;
}

}  // namespace faultline::engine
