// Loads of SS, which open the interrupt shadow (LSS does not), and of FS, which do not.
#pragma once

#include <variant>

#include <algorithm>

#include "hypervisor/guest/ops/selectors.hpp"

namespace faultline::guest::ops {

inline void load_ss(EffectBuilder& e, Known source) {
    const auto selector = static_cast<std::uint16_t>(e.need(source, "SS is loaded from an unknown selector"));
    check_stack_selector(e, selector, e.state().cpl);
    e.raw().ss = selector;
}

struct MovSs {
    FAULTLINE_OP(MovSs, "mov-ss", "MOV SS, r16", (Gpr, from));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.reg(ZYDIS_REGISTER_SS), with.reg(from, {2})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::LoadSs);
        load_ss(e, e.reg(from, {2}));
        return e.done();
    }
};

struct MovSsMem {
    FAULTLINE_OP(MovSsMem, "mov-ss-mem", "MOV SS, m16", (Mem, at));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.reg(ZYDIS_REGISTER_SS), with.mem(at, {2})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::LoadSs);
        load_ss(e, e.load(at, {2}));
        return e.done();
    }
};

struct PopFs {
    FAULTLINE_OP(PopFs, "pop-fs", "POP FS");
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_POP, {with.reg(ZYDIS_REGISTER_FS)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        check_data_selector(e, static_cast<std::uint16_t>(e.need(e.stack(), "FS is loaded from an unknown selector")));
        discard_above_selector(e, 0);
        e.release_stack();
        return e.done();
    }
};

struct PopSs {
    FAULTLINE_OP(PopSs, "pop-ss", "POP SS");
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_POP, {with.reg(ZYDIS_REGISTER_SS)});
    }
    /// The stack pointer that moves is the one that was read through. SDM vol 2, "POP".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::LoadSs);
        load_ss(e, e.stack());
        discard_above_selector(e, 0);
        e.release_stack();
        return e.done();
    }
};

/// m16:32, or m16:16 in real16: offset first, selector above it. SDM vol 2, "LDS/LES/LFS/LGS/LSS"; no shadow: SDM vol
/// 3, "Masking Exceptions and Interrupts When Switching Stacks" names MOV and POP only.
struct Lss {
    FAULTLINE_OP(Lss, "lss", "LSS r, m16:32 (m16:16 in real16)", (Gpr, to), (Mem, at));
    static Width offset_width(Width slot) { return {std::min<std::uint8_t>(slot.bytes, 4)}; }
    Encoding encode(const Encoder& with) const {
        const Width width = offset_width(with.slot());
        const Width pointer{static_cast<std::uint8_t>(width.bytes + 2)};
        return with.instruction(ZYDIS_MNEMONIC_LSS, {with.reg(to, width), with.mem(at, pointer)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto width = offset_width(e.slot());
        const auto offset = e.load(at, width);
        e.next_part(at, {2}, width.bytes);
        load_ss(e, e.load(at, {2}, width.bytes));
        e.set(to, offset, width);
        return e.done();
    }
};

using ShadowOps = std::variant<MovSs, MovSsMem, PopFs, PopSs, Lss>;

}  // namespace faultline::guest::ops
