// MOVS, STOS and LODS: one element, or one iteration under REP.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

inline constexpr encoding::Form rep_form{.prefixes = ZYDIS_ATTRIB_HAS_REP};

inline ZydisMnemonic movs_mnemonic(Width width) {
    return encoding::by_width(width, ZYDIS_MNEMONIC_MOVSB, ZYDIS_MNEMONIC_MOVSW, ZYDIS_MNEMONIC_MOVSD,
                              ZYDIS_MNEMONIC_MOVSQ);
}
inline ZydisMnemonic stos_mnemonic(Width width) {
    return encoding::by_width(width, ZYDIS_MNEMONIC_STOSB, ZYDIS_MNEMONIC_STOSW, ZYDIS_MNEMONIC_STOSD,
                              ZYDIS_MNEMONIC_STOSQ);
}
inline ZydisMnemonic lods_mnemonic(Width width) {
    return encoding::by_width(width, ZYDIS_MNEMONIC_LODSB, ZYDIS_MNEMONIC_LODSW, ZYDIS_MNEMONIC_LODSD,
                              ZYDIS_MNEMONIC_LODSQ);
}

/// Advances RSI or RDI past the element just handled.
inline void step_pointer(EffectBuilder& e, Gpr pointer, Width width) {
    e.set(pointer, {stepped(e.state(), e.reg(pointer).value, width)}, e.slot());
}

inline void move_element(EffectBuilder& e, Width width) {
    e.store_through(Gpr::Rdi, width, e.load_through(Gpr::Rsi, width));
    step_pointer(e, Gpr::Rsi, width);
    step_pointer(e, Gpr::Rdi, width);
}
inline void store_element(EffectBuilder& e, Width width) {
    e.store_through(Gpr::Rdi, width, e.reg(Gpr::Rax, width));
    step_pointer(e, Gpr::Rdi, width);
}
inline void load_element(EffectBuilder& e, Width width) {
    e.set(Gpr::Rax, e.load_through(Gpr::Rsi, width), width);
    step_pointer(e, Gpr::Rsi, width);
}

inline Effect once(const EffectContext& context, void (*element)(EffectBuilder&, Width), Width width) {
    EffectBuilder e(context);
    element(e, width);
    return e.done();
}
/// With RCX = 0 nothing is touched; a fault leaves the registers of the iterations before. SDM vol 2, "REP".
inline Effect repeated(const EffectContext& context, void (*element)(EffectBuilder&, Width), Width width) {
    EffectBuilder e(context, Kind::Rep);
    if (e.iterate()) element(e, width);
    return e.done();
}

struct Movs {
    FAULTLINE_OP(Movs, "movs", "MOVS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(movs_mnemonic(width)); }
    Effect effect(const EffectContext& context) const { return once(context, move_element, width); }
};

struct Stos {
    FAULTLINE_OP(Stos, "stos", "STOS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(stos_mnemonic(width)); }
    Effect effect(const EffectContext& context) const { return once(context, store_element, width); }
};

struct Lods {
    FAULTLINE_OP(Lods, "lods", "LODS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(lods_mnemonic(width)); }
    Effect effect(const EffectContext& context) const { return once(context, load_element, width); }
};

struct RepMovs {
    FAULTLINE_OP(RepMovs, "rep-movs", "REP MOVS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(movs_mnemonic(width), {}, rep_form); }
    Effect effect(const EffectContext& context) const { return repeated(context, move_element, width); }
};

struct RepStos {
    FAULTLINE_OP(RepStos, "rep-stos", "REP STOS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(stos_mnemonic(width), {}, rep_form); }
    Effect effect(const EffectContext& context) const { return repeated(context, store_element, width); }
};

struct RepLods {
    FAULTLINE_OP(RepLods, "rep-lods", "REP LODS", (Width, width));
    Encoding encode(const Encoder& with) const { return with.instruction(lods_mnemonic(width), {}, rep_form); }
    Effect effect(const EffectContext& context) const { return repeated(context, load_element, width); }
};

using StringOps = std::variant<Movs, Stos, Lods, RepMovs, RepStos, RepLods>;

}  // namespace faultline::guest::ops
