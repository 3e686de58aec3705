// PUSH and POP of registers, immediates and memory.
#pragma once

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Push {
    FAULTLINE_OP(Push, "push", "PUSH r64", (Gpr, reg));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_PUSH, {encoding::reg(reg)}); }
    /// PUSH RSP stores RSP's value before the decrement. SDM vol 2, "PUSH".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push(e.reg(reg));
        return e.done();
    }
};

struct Pop {
    FAULTLINE_OP(Pop, "pop", "POP r64", (Gpr, reg));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_POP, {encoding::reg(reg)}); }
    /// POP RSP ends with the loaded value. SDM vol 2, "POP".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto value = e.stack();
        if (reg != Gpr::Rsp) e.release_stack();
        e.set(reg, value);
        return e.done();
    }
};

struct PushImm {
    FAULTLINE_OP(PushImm, "push-imm", "PUSH imm32, sign-extended", (std::int32_t, value));
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_PUSH,
                                     {encoding::imm(static_cast<std::uint64_t>(std::int64_t{value}))}, {.wide = true});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push({static_cast<std::uint64_t>(std::int64_t{value})});
        return e.done();
    }
};

struct PushMem {
    FAULTLINE_OP(PushMem, "push-mem", "PUSH m64", (Mem, at));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_PUSH, {encoding::mem(at, {8})}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push(e.load(at, {8}));
        return e.done();
    }
};

struct PopMem {
    FAULTLINE_OP(PopMem, "pop-mem", "POP m64", (Mem, at));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_POP, {encoding::mem(at, {8})}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.store_after_pop(at, e.stack());
        e.release_stack();
        return e.done();
    }
};

}  // namespace faultline::guest::ops
