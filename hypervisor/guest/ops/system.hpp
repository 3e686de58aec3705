// Privileged instructions and changes of privilege.
#pragma once

#include <variant>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Wbinvd {
    FAULTLINE_OP(Wbinvd, "wbinvd", "WBINVD");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_WBINVD); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        return e.done();
    }
};

struct Clts {
    FAULTLINE_OP(Clts, "clts", "CLTS");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CLTS); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.raw().cr0 &= ~cr0_ts;
        return e.done();
    }
};

/// CPL check of RDMSR and WRMSR, and whether the rest can be stated: for DEBUGCTL only, as a case does not say which
/// other MSRs a subject has.
inline bool addresses_debugctl(EffectBuilder& e) {
    e.privileged();
    if (e.need(Gpr::Rcx, "the MSR's index is unknown", {4}) != debugctl::msr)
        e.unmodelled("an MSR other than DEBUGCTL");
    return !e.stopped();
}

struct Rdmsr {
    FAULTLINE_OP(Rdmsr, "rdmsr", "RDMSR");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RDMSR); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (!addresses_debugctl(e)) return e.done();
        e.set(Gpr::Rax, {context.state.debugctl & 0xFFFF'FFFF});
        e.set(Gpr::Rdx, {context.state.debugctl >> 32});
        return e.done();
    }
};

struct Wrmsr {
    FAULTLINE_OP(Wrmsr, "wrmsr", "WRMSR");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_WRMSR); }
    /// Bits 63:16 are reserved on every processor: #GP(0). Which of 15:2 exist is the model's affair.
    Effect effect(const EffectContext& context) const {
        constexpr auto unknown = "DEBUGCTL is loaded from an unknown value";
        EffectBuilder e(context);
        if (!addresses_debugctl(e)) return e.done();
        const auto high = e.need(Gpr::Rdx, unknown, {4}), low = e.need(Gpr::Rax, unknown, {4});
        const auto value = high << 32 | low;
        if (value >> 16) e.fault(Cause::ReservedBits);
        if (value & ~(debugctl::lbr | debugctl::btf)) e.unmodelled("DEBUGCTL bits that only some processors have");
        e.raw().debugctl = value;
        return e.done();
    }
};

struct MovToCr4 {
    FAULTLINE_OP(MovToCr4, "mov-to-cr4", "MOV CR4, r", (Gpr, from));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.reg(ZYDIS_REGISTER_CR4), with.whole_reg(from)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        const auto value = e.need(from, "CR4 is loaded from an unknown value");
        if ((value ^ context.state.cr4) & ~cr4_de) e.unmodelled("CR4 changes in more than DE");
        e.raw().cr4 = value;
        return e.done();
    }
};

struct MovFromCr4 {
    FAULTLINE_OP(MovFromCr4, "mov-from-cr4", "MOV r, CR4", (Gpr, to));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.whole_reg(to), with.reg(ZYDIS_REGISTER_CR4)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.set(to, {context.state.cr4});
        return e.done();
    }
};

struct Syscall {
    FAULTLINE_OP(Syscall, "syscall", "SYSCALL");
    /// Elsewhere #UD on Intel, and on AMD through MSRs that the stages leave alone.
    static constexpr bool exists(Mode mode) { return mode == Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_SYSCALL); }
    /// SDM vol 2 and AMD APM vol 3, "SYSCALL": R11 gets RFLAGS with RF = 0.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Syscall);
        const auto& state = context.state;
        const auto& stage = *context.image.stage;
        e.set(Gpr::Rcx, {context.fallthrough});
        e.set(Gpr::R11, {state.rflags & ~rflags::rf, (state.rflags_known | rflags::rf) == ~0ull});
        e.set_flags(stage.sfmask, {0});
        e.transfer_to(stage.lstar);
        e.enter(0, layout::kernel_cs, layout::kernel_ss);
        return e.done();
    }
};

struct Sysret {
    FAULTLINE_OP(Sysret, "sysret", "SYSRETQ");
    static constexpr bool exists(Mode mode) { return mode == Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_SYSRET, {}, {.wide = true}); }
    /// RFLAGS = (R11 & 3C7FD7h) | 2. SDM vol 2, "SYSRET"; AMD APM vol 3, "SYSRET".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Sysret);
        e.privileged();
        const auto target = e.need(Gpr::Rcx, "SYSRET to an unknown address");
        const auto flags = e.need(Gpr::R11, "SYSRET loads unknown flags");
        if (!canonical(target))
            e.unmodelled("SYSRET to a non-canonical address: Intel and AMD fault at different places");
        e.set_rflags((flags & 0x3C'7FD7) | rflags::fixed1);
        e.transfer_to(target);
        e.enter(3, layout::user_cs, layout::user_ss);
        return e.done();
    }
};

using SystemOps = std::variant<Wbinvd, Clts, Rdmsr, Wrmsr, MovToCr4, MovFromCr4, Syscall, Sysret>;

}  // namespace faultline::guest::ops
