// BT BTS BTR BTC, BSF BSR LZCNT POPCNT, BSWAP, SETcc, CMOVcc.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

enum class BitOperation { Test, Set, Reset, Complement };

/// With a register bit offset, a memory operand is the element that holds the bit, however far away. CF is the bit;
/// the other flags are undefined, and left alone. AMD APM vol 3, "BT".
template <BitOperation operation>
struct Bit {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T number;
        if constexpr (form == Form::MI || form == Form::RI)
            number = static_cast<T>(i.imm);
        else
            number = reg<T>(m, i.src);
        const T mask = static_cast<T>(T{1} << (number % bits_of<T>));
        const auto change = [&](T value) {
            set_flags(m, rflags::cf, value & mask ? rflags::cf : 0);
            if constexpr (operation == BitOperation::Set)
                return static_cast<T>(value | mask);
            else if constexpr (operation == BitOperation::Reset)
                return static_cast<T>(value & ~mask);
            else if constexpr (operation == BitOperation::Complement)
                return static_cast<T>(value ^ mask);
            else
                return value;
        };
        if constexpr (form == Form::MR || form == Form::MI) {
            std::uint64_t address = effective_address(m, i);
            if constexpr (form == Form::MR) {
                const auto distance = static_cast<std::int64_t>(static_cast<std::make_signed_t<T>>(number));
                address += static_cast<std::uint64_t>((distance >> __builtin_ctz(bits_of<T>)) *
                                                      static_cast<std::int64_t>(sizeof(T)));
                address = at_address_size(i, address);
            }
            address = with_base(m, i, address);
            T value;
            if constexpr (operation == BitOperation::Test) {
                if (!m.load(address, value, via(i))) return false;
                change(value);
                return true;
            } else {
                return m.load_to_modify(address, value, via(i)) && m.store<T>(address, change(value), via(i));
            }
        } else {
            const T result = change(reg<T>(m, i.dst));
            if constexpr (operation != BitOperation::Test) set_reg<T>(m, i.dst, result);
            return true;
        }
    }
};

/// A source of zero sets ZF and leaves the destination alone. AMD APM vol 3, "BSF".
template <bool forward>
struct Scan {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if (!read_source<T, form>(m, i, value)) return false;
        set_flags(m, rflags::zf, value ? 0 : rflags::zf);
        if (!value) return true;
        const std::uint64_t wide = value;
        set_reg<T>(m, i.dst, static_cast<T>(forward ? __builtin_ctzll(wide) : 63 - __builtin_clzll(wide)));
        return true;
    }
};

struct Lzcnt {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if (!read_source<T, form>(m, i, value)) return false;
        const unsigned count = value ? static_cast<unsigned>(__builtin_clzll(value)) - (64 - bits_of<T>) : bits_of<T>;
        set_flags(m, rflags::cf | rflags::zf, (value ? 0 : rflags::cf) | (count ? 0 : rflags::zf));
        set_reg<T>(m, i.dst, static_cast<T>(count));
        return true;
    }
};

struct Popcnt {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if (!read_source<T, form>(m, i, value)) return false;
        set_flags(m, rflags::arithmetic, value ? 0 : rflags::zf);
        set_reg<T>(m, i.dst, static_cast<T>(__builtin_popcountll(value)));
        return true;
    }
};

/// A 16-bit operand is undefined: zero, as processors give.
struct Bswap {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const T value = reg<T>(m, i.dst);
        if constexpr (sizeof(T) == 8)
            set_reg<T>(m, i.dst, __builtin_bswap64(value));
        else if constexpr (sizeof(T) == 4)
            set_reg<T>(m, i.dst, __builtin_bswap32(value));
        else
            set_reg<T>(m, i.dst, 0);
        return true;
    }
};

template <Condition condition>
struct Set {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return write_destination<T, form>(m, i, static_cast<T>(holds<condition>(m)));
    }
};

/// The source is read, and the upper half of a 32-bit destination cleared, whatever the condition.
template <Condition condition>
struct Cmov {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if (!read_source<T, form>(m, i, value)) return false;
        set_reg<T>(m, i.dst, holds<condition>(m) ? value : reg<T>(m, i.dst));
        return true;
    }
};

template <BitOperation operation>
constexpr Row bit_row() {
    return row_of<Bit<operation>, Form::RR, Form::MR, Form::RI, Form::MI>();
}
template <class F>
constexpr Row unary_source_row() {
    return row_of<F, Form::RR, Form::RM>();
}
template <Condition condition>
constexpr Row set_row() {
    return row_of<Set<condition>, Form::R, Form::M>();
}
template <Condition condition>
constexpr Row cmov_row() {
    return unary_source_row<Cmov<condition>>();
}

}  // namespace

std::span<const Entry> bit_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_BT, bit_row<BitOperation::Test>()},   {ZYDIS_MNEMONIC_BTS, bit_row<BitOperation::Set>()},
        {ZYDIS_MNEMONIC_BTR, bit_row<BitOperation::Reset>()}, {ZYDIS_MNEMONIC_BTC, bit_row<BitOperation::Complement>()},
        {ZYDIS_MNEMONIC_BSF, unary_source_row<Scan<true>>()}, {ZYDIS_MNEMONIC_BSR, unary_source_row<Scan<false>>()},
        {ZYDIS_MNEMONIC_LZCNT, unary_source_row<Lzcnt>()},    {ZYDIS_MNEMONIC_POPCNT, unary_source_row<Popcnt>()},
        {ZYDIS_MNEMONIC_BSWAP, row_of<Bswap, Form::R>()},     {ZYDIS_MNEMONIC_SETO, set_row<Condition::O>()},
        {ZYDIS_MNEMONIC_SETNO, set_row<Condition::NO>()},     {ZYDIS_MNEMONIC_SETB, set_row<Condition::B>()},
        {ZYDIS_MNEMONIC_SETNB, set_row<Condition::NB>()},     {ZYDIS_MNEMONIC_SETZ, set_row<Condition::Z>()},
        {ZYDIS_MNEMONIC_SETNZ, set_row<Condition::NZ>()},     {ZYDIS_MNEMONIC_SETBE, set_row<Condition::BE>()},
        {ZYDIS_MNEMONIC_SETNBE, set_row<Condition::NBE>()},   {ZYDIS_MNEMONIC_SETS, set_row<Condition::S>()},
        {ZYDIS_MNEMONIC_SETNS, set_row<Condition::NS>()},     {ZYDIS_MNEMONIC_SETP, set_row<Condition::P>()},
        {ZYDIS_MNEMONIC_SETNP, set_row<Condition::NP>()},     {ZYDIS_MNEMONIC_SETL, set_row<Condition::L>()},
        {ZYDIS_MNEMONIC_SETNL, set_row<Condition::NL>()},     {ZYDIS_MNEMONIC_SETLE, set_row<Condition::LE>()},
        {ZYDIS_MNEMONIC_SETNLE, set_row<Condition::NLE>()},   {ZYDIS_MNEMONIC_CMOVO, cmov_row<Condition::O>()},
        {ZYDIS_MNEMONIC_CMOVNO, cmov_row<Condition::NO>()},   {ZYDIS_MNEMONIC_CMOVB, cmov_row<Condition::B>()},
        {ZYDIS_MNEMONIC_CMOVNB, cmov_row<Condition::NB>()},   {ZYDIS_MNEMONIC_CMOVZ, cmov_row<Condition::Z>()},
        {ZYDIS_MNEMONIC_CMOVNZ, cmov_row<Condition::NZ>()},   {ZYDIS_MNEMONIC_CMOVBE, cmov_row<Condition::BE>()},
        {ZYDIS_MNEMONIC_CMOVNBE, cmov_row<Condition::NBE>()}, {ZYDIS_MNEMONIC_CMOVS, cmov_row<Condition::S>()},
        {ZYDIS_MNEMONIC_CMOVNS, cmov_row<Condition::NS>()},   {ZYDIS_MNEMONIC_CMOVP, cmov_row<Condition::P>()},
        {ZYDIS_MNEMONIC_CMOVNP, cmov_row<Condition::NP>()},   {ZYDIS_MNEMONIC_CMOVL, cmov_row<Condition::L>()},
        {ZYDIS_MNEMONIC_CMOVNL, cmov_row<Condition::NL>()},   {ZYDIS_MNEMONIC_CMOVLE, cmov_row<Condition::LE>()},
        {ZYDIS_MNEMONIC_CMOVNLE, cmov_row<Condition::NLE>()},
    };
    return entries;
}

}  // namespace faultline::engine
