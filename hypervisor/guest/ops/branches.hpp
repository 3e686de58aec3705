// Near branches.
#pragma once

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Call {
    FAULTLINE_OP(Call, "call", "CALL rel32", (OpRef, to));
    Encoding encode() const { return encoding::branch(ZYDIS_MNEMONIC_CALL, Encoding::Patch::Relative32); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push({context.fallthrough});
        e.branch_to(context.image.op_address(to.index));
        return e.done();
    }
};

struct Ret {
    FAULTLINE_OP(Ret, "ret", "RET");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_RET); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(e.stack());
        e.release_stack();
        return e.done();
    }
};

struct Jmp {
    FAULTLINE_OP(Jmp, "jmp", "JMP rel32", (OpRef, to));
    Encoding encode() const { return encoding::branch(ZYDIS_MNEMONIC_JMP, Encoding::Patch::Relative32); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(context.image.op_address(to.index));
        return e.done();
    }
};

struct Jrcxz {
    FAULTLINE_OP(Jrcxz, "jrcxz", "JRCXZ rel8", (OpRef, to));
    Encoding encode() const { return encoding::branch(ZYDIS_MNEMONIC_JRCXZ, Encoding::Patch::Relative8); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (e.need(Gpr::Rcx, "JRCXZ depends on an unknown RCX") == 0) e.branch_to(context.image.op_address(to.index));
        return e.done();
    }
};

struct Jc {
    FAULTLINE_OP(Jc, "jc", "JC rel32", (OpRef, to));
    Encoding encode() const { return encoding::branch(ZYDIS_MNEMONIC_JB, Encoding::Patch::Relative32); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (!(context.state.rflags_known & rflags::cf)) e.unmodelled("JC depends on an unknown CF");
        if (context.state.rflags & rflags::cf) e.branch_to(context.image.op_address(to.index));
        return e.done();
    }
};

struct JmpReg {
    FAULTLINE_OP(JmpReg, "jmp-reg", "JMP r64", (Gpr, reg));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_JMP, {encoding::reg(reg)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(e.reg(reg));
        return e.done();
    }
};

}  // namespace faultline::guest::ops
