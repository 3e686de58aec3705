// Loads of SS, which open the interrupt shadow, and of FS, which do not. POP SS does not exist in 64-bit mode.
#pragma once

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

inline void load_ss(EffectBuilder& e, Known source) {
    const auto selector = static_cast<std::uint16_t>(e.need(source, "SS is loaded from an unknown selector"));
    check_stack_selector(e, selector);
    e.raw().ss = selector;
}

struct MovSs {
    FAULTLINE_OP(MovSs, "mov-ss", "MOV SS, r16", (Gpr, from));
    /// A 32-bit source needs no prefix: 8E /2.
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_MOV, {encoding::reg(ZYDIS_REGISTER_SS), encoding::reg(from, {4})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::LoadSs);
        load_ss(e, e.reg(from, {2}));
        return e.done();
    }
};

struct MovSsMem {
    FAULTLINE_OP(MovSsMem, "mov-ss-mem", "MOV SS, m16", (Mem, at));
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_MOV, {encoding::reg(ZYDIS_REGISTER_SS), encoding::mem(at, {2})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::LoadSs);
        load_ss(e, e.load(at, {2}));
        return e.done();
    }
};

struct PopFs {
    FAULTLINE_OP(PopFs, "pop-fs", "POP FS");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_POP, {encoding::reg(ZYDIS_REGISTER_FS)}); }
    Effect effect(const EffectContext& context) const;
};

}  // namespace faultline::guest::ops
