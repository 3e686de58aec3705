// Privileged instructions and changes of privilege.
#pragma once

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Wbinvd {
    FAULTLINE_OP(Wbinvd, "wbinvd", "WBINVD");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_WBINVD); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        return e.done();
    }
};

struct Clts {
    FAULTLINE_OP(Clts, "clts", "CLTS");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_CLTS); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        return e.done();
    }
};

/// Only DEBUGCTL can be stated: which other MSRs a subject has, the case does not say.
struct Rdmsr {
    FAULTLINE_OP(Rdmsr, "rdmsr", "RDMSR");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_RDMSR); }
    Effect effect(const EffectContext& context) const;
};

struct Wrmsr {
    FAULTLINE_OP(Wrmsr, "wrmsr", "WRMSR");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_WRMSR); }
    Effect effect(const EffectContext& context) const;
};

struct MovToCr4 {
    FAULTLINE_OP(MovToCr4, "mov-to-cr4", "MOV CR4, r64", (Gpr, from));
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_MOV, {encoding::reg(ZYDIS_REGISTER_CR4), encoding::reg(from)});
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
    FAULTLINE_OP(MovFromCr4, "mov-from-cr4", "MOV r64, CR4", (Gpr, to));
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_MOV, {encoding::reg(to), encoding::reg(ZYDIS_REGISTER_CR4)});
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
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_SYSCALL); }
    Effect effect(const EffectContext& context) const;
};

struct Sysret {
    FAULTLINE_OP(Sysret, "sysret", "SYSRETQ");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_SYSRET, {}, {.wide = true}); }
    Effect effect(const EffectContext& context) const;
};

struct Iret {
    FAULTLINE_OP(Iret, "iret", "IRETQ");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_IRETQ); }
    Effect effect(const EffectContext& context) const;
};

}  // namespace faultline::guest::ops
