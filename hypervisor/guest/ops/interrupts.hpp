// Ops that raise an event, or wait for one.
#pragma once

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// DPL check of the software interrupts, and the vector. ICEBP has neither. SDM vol 2, "INT n/INTO/INT3/INT1".
inline void software_interrupt(EffectBuilder& e, std::uint8_t vector) {
    const bool dpl3 = e.context().gates == Gates::Dpl3 && layout::callable_from_cpl3(vector);
    if (e.state().cpl == 3 && !dpl3) e.fault(13, vector * 8u + 2);
    // The stage's stubs of these vectors expect an error code, which INT n does not push, or (#UD) the program's end.
    constexpr std::uint32_t not_for_int = 1u << 6 | 1u << 8 | 0x1Fu << 10 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30;
    if (vector < 32 && not_for_int >> vector & 1)
        e.unmodelled("INT n with a vector whose handler expects an error code");
    e.raw().vector = vector;
}

struct Int3 {
    FAULTLINE_OP(Int3, "int3", "INT3 (CC)");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_INT3); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Int3);
        software_interrupt(e, 3);
        return e.done();
    }
};

struct Int {
    FAULTLINE_OP(Int, "int", "INT imm8 (CD ib)", (Vector, vector));
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_INT, {encoding::imm(vector.number)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::IntN);
        software_interrupt(e, vector.number);
        return e.done();
    }
};

struct Icebp {
    FAULTLINE_OP(Icebp, "icebp", "INT1 (F1)");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_INT1); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context, Kind::Icebp).done(); }
};

struct Ud2 {
    FAULTLINE_OP(Ud2, "ud2", "UD2");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_UD2); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(6);
        return e.done();
    }
};

struct Hlt {
    FAULTLINE_OP(Hlt, "hlt", "HLT");
    Encoding encode() const { return encoding::instruction(ZYDIS_MNEMONIC_HLT); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Hlt);
        e.privileged();
        return e.done();
    }
};

}  // namespace faultline::guest::ops
