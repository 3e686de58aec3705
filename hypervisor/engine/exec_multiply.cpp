// MUL IMUL DIV IDIV, and the sign extensions that prepare a division.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

__extension__ using Unsigned128 = unsigned __int128;
__extension__ using Signed128 = __int128;

/// rDX:rAX; AH:AL for bytes.
template <class T>
void set_pair(Machine& m, T high, T low) {
    if constexpr (sizeof(T) == 1) {
        set_reg<std::uint16_t>(m, offset_of(rax), static_cast<std::uint16_t>(high << 8 | low));
    } else {
        set_reg<T>(m, offset_of(rax), low);
        set_reg<T>(m, offset_of(rdx), high);
    }
}

template <class T>
Unsigned128 pair(const Machine& m) {
    if constexpr (sizeof(T) == 1)
        return reg<std::uint16_t>(m, offset_of(rax));
    else
        return static_cast<Unsigned128>(reg<T>(m, offset_of(rdx))) << bits_of<T> | reg<T>(m, offset_of(rax));
}

template <class T>
Signed128 sign_extended(T value) {
    return static_cast<std::make_signed_t<T>>(value);
}

/// CF and OF tell whether the upper half matters; the other flags are undefined, and left alone.
void product_flags(Machine& m, bool significant) {
    set_flags(m, rflags::cf | rflags::of, significant ? rflags::cf | rflags::of : 0);
}

template <bool is_signed>
struct MultiplyWide {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T source;
        if (!read_destination<T, form>(m, i, source)) return false;
        const T a = reg<T>(m, offset_of(rax));
        const auto product = is_signed ? static_cast<Unsigned128>(sign_extended(a) * sign_extended(source))
                                       : static_cast<Unsigned128>(a) * source;
        const T low = static_cast<T>(product), high = static_cast<T>(product >> bits_of<T>);
        set_pair(m, high, low);
        product_flags(m, is_signed ? static_cast<Signed128>(product) != sign_extended(low) : high != 0);
        return true;
    }
};

/// IMUL r, r/m and IMUL r, r/m, imm.
struct Imul {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T source;
        if (!read_source<T, form>(m, i, source)) return false;
        const T other = form == Form::RRI || form == Form::RMI ? static_cast<T>(i.imm) : reg<T>(m, i.dst);
        const Signed128 product = sign_extended(source) * sign_extended(other);
        const T low = static_cast<T>(product);
        set_reg<T>(m, i.dst, low);
        product_flags(m, product != sign_extended(low));
        return true;
    }
};

/// #DE for a divisor of zero and for a quotient that does not fit; nothing is changed then.
template <bool is_signed>
struct Divide {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T divisor;
        if (!read_destination<T, form>(m, i, divisor)) return false;
        if (divisor == 0) return m.raise(vector::de);
        if constexpr (is_signed) {
            Signed128 dividend = static_cast<Signed128>(pair<T>(m));
            if constexpr (sizeof(T) < 8) {
                constexpr unsigned unused = 128 - 2 * bits_of<T>;
                dividend = static_cast<Signed128>(static_cast<Unsigned128>(dividend) << unused) >> unused;
            }
            const Signed128 by = sign_extended(divisor);
            // The least dividend fits no quotient, and −2¹²⁷ / −1 would overflow the host too.
            if (sizeof(T) == 8 && static_cast<Unsigned128>(dividend) == static_cast<Unsigned128>(1) << 127)
                return m.raise(vector::de);
            const Signed128 quotient = dividend / by;
            if (quotient != sign_extended(static_cast<T>(quotient))) return m.raise(vector::de);
            set_pair(m, static_cast<T>(dividend % by), static_cast<T>(quotient));
        } else {
            const Unsigned128 dividend = pair<T>(m), quotient = dividend / divisor;
            if (quotient >> bits_of<T>) return m.raise(vector::de);
            set_pair(m, static_cast<T>(dividend % divisor), static_cast<T>(quotient));
        }
        return true;
    }
};

/// CBW, CWDE, CDQE: rAX from its lower half.
template <class To, class From>
bool extend_accumulator(Machine& m, const Instruction&) {
    set_reg<To>(m, offset_of(rax),
                static_cast<To>(static_cast<std::make_signed_t<From>>(reg<From>(m, offset_of(rax)))));
    return true;
}

/// CWD, CDQ, CQO: rDX from the sign of rAX.
template <class T>
bool spread_sign(Machine& m, const Instruction&) {
    set_reg<T>(m, offset_of(rdx), reg<T>(m, offset_of(rax)) >> (bits_of<T> - 1) ? static_cast<T>(~T{0}) : T{0});
    return true;
}

template <class F>
constexpr Row unary_row() {
    return row_of<F, Form::R, Form::M>();
}

}  // namespace

std::span<const Entry> multiply_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_MUL, unary_row<MultiplyWide<false>>()},
        {ZYDIS_MNEMONIC_IMUL, row_of<Imul, Form::RR, Form::RM, Form::RRI, Form::RMI>()},
        {special::imul_wide, unary_row<MultiplyWide<true>>()},
        {ZYDIS_MNEMONIC_DIV, unary_row<Divide<false>>()},
        {ZYDIS_MNEMONIC_IDIV, unary_row<Divide<true>>()},
        {ZYDIS_MNEMONIC_CBW, any_form(extend_accumulator<std::uint16_t, std::uint8_t>)},
        {ZYDIS_MNEMONIC_CWDE, any_form(extend_accumulator<std::uint32_t, std::uint16_t>)},
        {ZYDIS_MNEMONIC_CDQE, any_form(extend_accumulator<std::uint64_t, std::uint32_t>)},
        {ZYDIS_MNEMONIC_CWD, any_form(spread_sign<std::uint16_t>)},
        {ZYDIS_MNEMONIC_CDQ, any_form(spread_sign<std::uint32_t>)},
        {ZYDIS_MNEMONIC_CQO, any_form(spread_sign<std::uint64_t>)},
    };
    return entries;
}

}  // namespace faultline::engine
