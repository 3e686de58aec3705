// Near branches.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Call {
    FAULTLINE_OP(Call, "call", "CALL rel", (OpRef, to));
    Encoding encode(const Encoder& with) const { return with.branch(ZYDIS_MNEMONIC_CALL); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push({e.return_offset()});
        e.branch_to(to);
        return e.done();
    }
};

struct Ret {
    FAULTLINE_OP(Ret, "ret", "RET");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RET); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(e.stack());
        e.release_stack();
        return e.done();
    }
};

struct Jmp {
    FAULTLINE_OP(Jmp, "jmp", "JMP rel", (OpRef, to));
    Encoding encode(const Encoder& with) const { return with.branch(ZYDIS_MNEMONIC_JMP); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(to);
        return e.done();
    }
};

struct Jrcxz {
    FAULTLINE_OP(Jrcxz, "jrcxz", "JRCXZ, JECXZ or JCXZ rel8", (OpRef, to));
    Encoding encode(const Encoder& with) const { return with.branch_if_count_is_zero(); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (e.need(Gpr::Rcx, "JRCXZ depends on an unknown RCX", e.slot()) == 0) e.branch_to(to);
        return e.done();
    }
};

struct Jc {
    FAULTLINE_OP(Jc, "jc", "JC rel", (OpRef, to));
    Encoding encode(const Encoder& with) const { return with.branch(ZYDIS_MNEMONIC_JB); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        if (!(context.state.rflags_known & rflags::cf)) e.unmodelled("JC depends on an unknown CF");
        if (context.state.rflags & rflags::cf) e.branch_to(to);
        return e.done();
    }
};

struct JmpReg {
    FAULTLINE_OP(JmpReg, "jmp-reg", "JMP r", (Gpr, reg));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_JMP, {with.reg(reg)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.branch_to(e.reg(reg));
        return e.done();
    }
};

using BranchOps = std::variant<Call, Ret, Jmp, Jrcxz, Jc, JmpReg>;

}  // namespace faultline::guest::ops
