// Loads of SS, which open the interrupt shadow, and of FS, which do not. POP SS does not exist in 64-bit mode.
#pragma once

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// Whether SS may hold `selector` at `cpl`: by MOV SS at the CPL there is, by IRET at the one it returns to. Null needs
/// CPL < 3 and RPL = CPL; else RPL = DPL = CPL and writable data, which leaves the stage's own two selectors.
/// SDM vol 2, "MOV" and "IRET", 64-bit mode; AMD APM vol 2, "Segment-Register Loads with a NULL Selector".
inline void check_stack_selector(EffectBuilder& e, std::uint16_t selector, unsigned cpl) {
    if (selector <= 3) {
        if (cpl == 3 || selector != cpl) e.fault(13);
    } else if (selector != (cpl == 0 ? layout::kernel_ss : layout::user_ss)) {
        e.fault(13, selector & ~3u);
    }
}

inline void load_ss(EffectBuilder& e, Known source) {
    const auto selector = static_cast<std::uint16_t>(e.need(source, "SS is loaded from an unknown selector"));
    check_stack_selector(e, selector, e.state().cpl);
    e.raw().ss = selector;
}

struct MovSs {
    FAULTLINE_OP(MovSs, "mov-ss", "MOV SS, r16", (Gpr, from));
    Encoding encode() const {
        return encoding::instruction(ZYDIS_MNEMONIC_MOV, {encoding::reg(ZYDIS_REGISTER_SS), encoding::reg(from, {2})});
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
    /// A null selector loads; data and readable code need RPL ≤ DPL and CPL ≤ DPL. SDM vol 2, "POP" and "MOV".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto selector = static_cast<std::uint16_t>(e.need(e.stack(), "FS is loaded from an unknown selector"));
        const unsigned rpl = selector & 3, segment = selector & ~3u;
        const bool user = segment == (layout::user_ss & ~3u) || segment == (layout::user_cs & ~3u);
        const bool kernel = segment == layout::kernel_ss || segment == layout::kernel_cs;
        if (segment != 0 && !user && !(kernel && rpl == 0 && context.state.cpl == 0)) e.fault(13, segment);
        e.release_stack();
        return e.done();
    }
};

}  // namespace faultline::guest::ops
