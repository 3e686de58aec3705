// Ops that raise an event, or wait for one.
#pragma once

#include <variant>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// DPL check of the software interrupts, and the vector. ICEBP has neither; real mode has no gates.
/// SDM vol 2, "INT n/INTO/INT3/INT1".
inline void software_interrupt(EffectBuilder& e, std::uint8_t vector) {
    e.raw().vector = vector;
    const bool real = e.mode() == Mode::Real16;
    if (!real && gate_of(e.surroundings(), e.context().gates, vector).dpl < e.state().cpl) e.fault(Cause::GateDpl);
    // The stage's stubs of these vectors expect an error code, which INT n does not push, or (#UD) the program's end.
    constexpr std::uint32_t not_for_int = 1u << 6 | 1u << 8 | 0x1Fu << 10 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30;
    const auto reserved = real ? 1u << 6 : not_for_int;
    if (vector < 32 && reserved >> vector & 1) e.unmodelled("INT n with a vector whose handler expects an exception");
}

struct Int3 {
    FAULTLINE_OP(Int3, "int3", "INT3 (CC)");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_INT3); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Int3);
        software_interrupt(e, 3);
        return e.done();
    }
};

struct Int {
    FAULTLINE_OP(Int, "int", "INT imm8 (CD ib)", (Vector, vector));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_INT, {with.imm(vector.number)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::IntN);
        software_interrupt(e, vector.number);
        return e.done();
    }
};

struct Icebp {
    FAULTLINE_OP(Icebp, "icebp", "INT1 (F1)");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_INT1); }
    Effect effect(const EffectContext& context) const { return EffectBuilder(context, Kind::Icebp).done(); }
};

struct Ud2 {
    FAULTLINE_OP(Ud2, "ud2", "UD2");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_UD2); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

/// Undefined by definition, with a memory operand that is never accessed. SDM vol 2, "UD".
struct Ud1 {
    FAULTLINE_OP(Ud1, "ud1", "UD1 r, m", (Gpr, reg), (Mem, at));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_UD1, {with.reg(reg, {4}), with.mem(at, {4})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

/// LOCK goes with no MOV: #UD before the operand is looked at. SDM vol 2, "LOCK".
struct LockMov {
    FAULTLINE_OP(LockMov, "lock-mov", "LOCK MOV m, r", (Mem, at), (Gpr, from), (Width, width));
    Encoding encode(const Encoder& with) const {
        return Encoder::locked(with.instruction(ZYDIS_MNEMONIC_MOV, {with.mem(at, width), with.reg(from, width)}));
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

/// With OF = 0 it does nothing. SDM vol 2, "INT n/INTO/INT3/INT1".
struct Into {
    FAULTLINE_OP(Into, "into", "INTO (CE)");
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_INTO); }
    Effect effect(const EffectContext& context) const {
        const bool overflow = context.state.rflags & rflags::of;
        EffectBuilder e(context, overflow ? Kind::IntN : Kind::Ordinary);
        if (!(context.state.rflags_known & rflags::of)) e.unmodelled("INTO depends on an unknown OF");
        if (overflow) software_interrupt(e, 4);
        return e.done();
    }
};

/// Both bounds are read; a signed index outside them is #BR. SDM vol 2, "BOUND".
struct Bound {
    FAULTLINE_OP(Bound, "bound", "BOUND r, m&m", (Gpr, reg), (Mem, at), (Width, width));
    bool valid() const { return width.bytes == 2 || width.bytes == 4; }
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const {
        const Width pair{static_cast<std::uint8_t>(2 * width.bytes)};
        return with.instruction(ZYDIS_MNEMONIC_BOUND, {with.reg(reg, width), with.mem(at, pair)});
    }
    Effect effect(const EffectContext& context) const {
        constexpr auto unknown = "BOUND of unknown values";
        const auto number = [this](std::uint64_t value) {
            return width.bytes == 2 ? static_cast<std::int16_t>(value) : static_cast<std::int32_t>(value);
        };
        EffectBuilder e(context);
        const Known lower = e.load(at, width);
        e.next_part(at, width, width.bytes);
        const bool below = !e.stopped() && lower.known && e.reg(reg, width).known &&
                           number(e.reg(reg, width).value) < number(lower.value);
        const Known upper = e.load(at, width, width.bytes);
        if (below && e.raw().faults) {
            e.raw().faults = false;
            e.unmodelled("BOUND is decided by its first bound: whether the second is read is not stated");
        }
        const auto index = number(e.need(reg, unknown, width));
        const auto low = number(e.need(lower, unknown)), high = number(e.need(upper, unknown));
        if (index < low || index > high) e.fault(Cause::Bound);
        return e.done();
    }
};

struct Hlt {
    FAULTLINE_OP(Hlt, "hlt", "HLT");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_HLT); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Hlt);
        e.privileged();
        return e.done();
    }
};

using InterruptOps = std::variant<Int3, Int, Icebp, Ud2, Ud1, LockMov, Into, Bound, Hlt>;

}  // namespace faultline::guest::ops
