// Ops that touch general purpose registers only.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Nop {
    FAULTLINE_OP(Nop, "nop", "NOP");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_NOP); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context).done(); }
};

struct SetReg {
    FAULTLINE_OP(SetReg, "set-reg", "MOV r, imm (the whole register)", (Gpr, reg), (Value, value));
    Encoding encode(const Encoder& with) const { return with.load_absolute(reg); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(reg, {context.image.resolve(value)});
        return e.done();
    }
};

/// AMD APM vol 3 and SDM vol 2, "DIV": #DE when the divisor is zero or the quotient does not fit; the arithmetic
/// flags are undefined.
struct Div {
    FAULTLINE_OP(Div, "div", "DIV r", (Gpr, reg), (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_DIV, {with.reg(reg, width)}); }
    Effect effect(const EffectContext& context) const {
        __extension__ using Wide = unsigned __int128;
        constexpr auto unknown = "DIV of unknown values";
        EffectBuilder e(context);
        const bool byte = width.bytes == 1;  // AX / r8: quotient in AL, remainder in AH
        const unsigned bits = 8u * width.bytes;
        const auto divisor = e.need(reg, unknown, width);
        const auto low = e.need(Gpr::Rax, unknown, byte ? Width{2} : width);
        const auto high = byte ? 0 : e.need(Gpr::Rdx, unknown, width);
        if (e.stopped()) return e.done();
        const Wide dividend = byte ? low : Wide{high} << bits | low;
        if (divisor == 0 || dividend / divisor >> bits != 0) {
            e.fault(Cause::Divide);
            return e.done();
        }
        const auto quotient = static_cast<std::uint64_t>(dividend / divisor);
        const auto remainder = static_cast<std::uint64_t>(dividend % divisor);
        if (byte) {
            e.set(Gpr::Rax, {remainder << 8 | quotient}, {2});
        } else {
            e.set(Gpr::Rax, {quotient}, width);
            e.set(Gpr::Rdx, {remainder}, width);
        }
        e.forget_flags(rflags::arithmetic);
        return e.done();
    }
};

/// AH = AL / base, AL = AL mod base; #DE when it is zero. SDM vol 2, "AAM".
struct Aam {
    FAULTLINE_OP(Aam, "aam", "AAM imm8", (Word, base));
    bool valid() const { return base.number <= 0xFF; }
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_AAM, {with.imm(base.number)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (base.number == 0) e.fault(Cause::Divide);
        if (e.stopped()) return e.done();
        const auto al = e.reg(Gpr::Rax, {1});
        const std::uint64_t quotient = al.value / base.number, remainder = al.value % base.number;
        e.set(Gpr::Rax, {quotient << 8 | remainder, al.known}, {2});
        e.flags_of_result({remainder, al.known}, {1});
        return e.done();
    }
};

struct Cpuid {
    FAULTLINE_OP(Cpuid, "cpuid", "CPUID");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CPUID); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        for (const Gpr r : {Gpr::Rax, Gpr::Rbx, Gpr::Rcx, Gpr::Rdx}) e.set(r, {0, false});
        return e.done();
    }
};

struct Rdtsc {
    FAULTLINE_OP(Rdtsc, "rdtsc", "RDTSC");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RDTSC); }
    Effect effect(const EffectContext& context) const {
        constexpr std::uint64_t cr4_tsd = 1 << 2;
        EffectBuilder e(context);
        if (context.state.cr4 & cr4_tsd) e.privileged();
        for (const Gpr r : {Gpr::Rax, Gpr::Rdx}) e.set(r, {0, false});
        return e.done();
    }
};

struct Pause {
    FAULTLINE_OP(Pause, "pause", "PAUSE");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_PAUSE); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context).done(); }
};

using RegisterOps = std::variant<Nop, SetReg, Div, Aam, Cpuid, Rdtsc, Pause>;

}  // namespace faultline::guest::ops
