// Ops that touch general purpose registers only.
#pragma once

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Nop {
    FAULTLINE_OP(Nop, "nop", "NOP");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_NOP); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context).done(); }
};

struct SetReg {
    FAULTLINE_OP(SetReg, "set-reg", "MOV r64, imm64", (Gpr, reg), (Value, value));
    Encoding encode() const { return encoding::load_absolute(reg); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto base = value.op ? context.image.op_address(value.op->index) : 0;
        e.set(reg, {base + value.literal});
        return e.done();
    }
};

/// AMD APM vol 3 and SDM vol 2, "DIV": #DE when the divisor is zero or the quotient does not fit; the arithmetic
/// flags are undefined.
struct Div {
    FAULTLINE_OP(Div, "div", "DIV r", (Gpr, reg), (Width, width));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_DIV, {encoding::reg(reg, width)}); }
    Effect effect(const EffectContext& context) const;
};

struct Cpuid {
    FAULTLINE_OP(Cpuid, "cpuid", "CPUID");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_CPUID); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        for (const Gpr r : {Gpr::Rax, Gpr::Rbx, Gpr::Rcx, Gpr::Rdx}) e.set(r, {0, false});
        return e.done();
    }
};

struct Rdtsc {
    FAULTLINE_OP(Rdtsc, "rdtsc", "RDTSC");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_RDTSC); }
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
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_PAUSE); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context).done(); }
};

}  // namespace faultline::guest::ops
