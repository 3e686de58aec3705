// PUSH and POP of registers, immediates and memory; stack frames.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Push {
    FAULTLINE_OP(Push, "push", "PUSH r", (Gpr, reg));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_PUSH, {with.reg(reg)}); }
    /// PUSH RSP stores RSP's value before the decrement. SDM vol 2, "PUSH".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push(e.reg(reg));
        return e.done();
    }
};

struct Pop {
    FAULTLINE_OP(Pop, "pop", "POP r", (Gpr, reg));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_POP, {with.reg(reg)}); }
    /// POP RSP ends with the loaded value. SDM vol 2, "POP".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto value = e.stack();
        if (reg != Gpr::Rsp) e.release_stack();
        e.set(reg, value, e.slot());
        return e.done();
    }
};

struct PushImm {
    FAULTLINE_OP(PushImm, "push-imm", "PUSH imm, sign-extended", (std::int32_t, value));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_PUSH, {with.signed_imm(value)}, {.wide = true});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push({static_cast<std::uint64_t>(std::int64_t{value})});
        return e.done();
    }
};

struct PushMem {
    FAULTLINE_OP(PushMem, "push-mem", "PUSH m", (Mem, at));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_PUSH, {with.mem(at)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push(e.load(at, e.slot()));
        return e.done();
    }
};

struct PopMem {
    FAULTLINE_OP(PopMem, "pop-mem", "POP m", (Mem, at));
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_POP, {with.mem(at)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.store_after_pop(at, e.stack());
        e.release_stack();
        return e.done();
    }
};

/// Pushes RBP; with a level, the frame pointers of the levels above and its own; then makes room. SDM vol 2, "ENTER":
/// it faults like a write at the final stack pointer, which it does not make.
struct Enter {
    FAULTLINE_OP(Enter, "enter", "ENTER imm16, imm8", (Word, size), (BitIndex, level));
    bool valid() const { return level.number <= 2; }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_ENTER, {with.imm(size.number), with.imm(level.number)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        auto frame = level.number > 1 ? e.need(Gpr::Rbp, "RBP is unknown") : 0;
        e.push(e.reg(Gpr::Rbp));
        const auto own = e.stack_pointer();
        for (unsigned i = 1; i < level.number; ++i) e.push(e.stack_at(frame -= e.slot().bytes));
        if (level.number > 0) e.push({own});
        const auto final = e.stack_pointer() - size.number;
        e.probe_stack(final);
        e.set(Gpr::Rbp, {own}, e.slot());
        e.set(Gpr::Rsp, {final}, e.slot());
        return e.done();
    }
};

struct Leave {
    FAULTLINE_OP(Leave, "leave", "LEAVE");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_LEAVE); }
    /// SDM vol 2, "LEAVE": the stack pointer takes RBP's value, then RBP is popped.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto frame = e.need(Gpr::Rbp, "RBP is unknown", e.slot());
        const auto saved = e.stack_at(frame);
        e.set(Gpr::Rsp, {frame + e.slot().bytes}, e.slot());
        e.set(Gpr::Rbp, saved, e.slot());
        return e.done();
    }
};

using StackOps = std::variant<Push, Pop, PushImm, PushMem, PopMem, Enter, Leave>;

}  // namespace faultline::guest::ops
