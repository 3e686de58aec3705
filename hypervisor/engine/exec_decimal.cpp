// AAA AAS AAD AAM DAA DAS and SALC: arithmetic on decimal digits, undefined in 64-bit mode.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint8_t al = 0, ah = 1;
constexpr std::uint64_t result_flags = rflags::sf | rflags::zf | rflags::pf;

std::uint8_t accumulator(const Machine& m) { return reg<std::uint8_t>(m, al); }
bool low_digit_overflows(const Machine& m) { return (accumulator(m) & 0xF) > 9 || flag(m, rflags::af); }

/// AAA and AAS: carry out of AL reaches AH besides the digit's own. OF SF ZF PF are undefined, and left alone.
/// SDM vol 2, "AAA", "AAS".
template <bool subtract>
bool adjust_ascii(Machine& m, const Instruction&) {
    const bool adjust = low_digit_overflows(m);
    if (adjust) {
        const auto ax = reg<std::uint16_t>(m, al);
        set_reg<std::uint16_t>(m, al, static_cast<std::uint16_t>(subtract ? ax - 0x106 : ax + 0x106));
    }
    set_reg<std::uint8_t>(m, al, accumulator(m) & 0xF);
    set_flags(m, rflags::af | rflags::cf, adjust ? rflags::af | rflags::cf : 0);
    return true;
}

/// DAA and DAS. OF is undefined, and left alone. SDM vol 2, "DAA", "DAS".
template <bool subtract>
bool adjust_packed(Machine& m, const Instruction&) {
    const std::uint8_t old = accumulator(m);
    const bool old_carry = flag(m, rflags::cf), low = low_digit_overflows(m), high = old > 0x99 || old_carry;
    const unsigned by = (low ? 6u : 0u) + (high ? 0x60u : 0u);
    const auto result = static_cast<std::uint8_t>(subtract ? old - by : old + by);
    // A borrow from the low digit's adjustment is a carry of DAS; DAA's can only come where `high` holds.
    const bool carry = high || (subtract && low && old < 6);
    set_reg<std::uint8_t>(m, al, result);
    set_flags(m, result_flags | rflags::af | rflags::cf,
              flags_of_result(result) | (low ? rflags::af : 0) | (carry ? rflags::cf : 0));
    return true;
}

/// OF AF CF are undefined, and left alone; a base of zero divides by zero. AMD APM vol 3, "AAM".
bool aam(Machine& m, const Instruction& i) {
    const auto base = static_cast<std::uint8_t>(i.imm);
    if (base == 0) return m.raise(vector::de);
    const std::uint8_t value = accumulator(m), digit = value % base;
    set_reg<std::uint8_t>(m, ah, value / base);
    set_reg<std::uint8_t>(m, al, digit);
    set_flags(m, result_flags, flags_of_result(digit));
    return true;
}

/// AMD APM vol 3, "AAD".
bool aad(Machine& m, const Instruction& i) {
    const auto value = static_cast<std::uint8_t>(accumulator(m) + reg<std::uint8_t>(m, ah) * i.imm);
    set_reg<std::uint16_t>(m, al, value);
    set_flags(m, result_flags, flags_of_result(value));
    return true;
}

/// Undocumented by AMD; opcode D6h of every processor. SDM vol 2, "SALC" is missing too: AL := CF ? FFh : 0.
bool salc(Machine& m, const Instruction&) {
    set_reg<std::uint8_t>(m, al, flag(m, rflags::cf) ? 0xFF : 0);
    return true;
}

}  // namespace

std::span<const Entry> decimal_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_AAA, any_form(adjust_ascii<false>)},
        {ZYDIS_MNEMONIC_AAS, any_form(adjust_ascii<true>)},
        {ZYDIS_MNEMONIC_DAA, any_form(adjust_packed<false>)},
        {ZYDIS_MNEMONIC_DAS, any_form(adjust_packed<true>)},
        {ZYDIS_MNEMONIC_AAM, any_form(aam)},
        {ZYDIS_MNEMONIC_AAD, any_form(aad)},
        {ZYDIS_MNEMONIC_SALC, any_form(salc)},
    };
    return entries;
}

}  // namespace faultline::engine
