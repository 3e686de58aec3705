// The registers of the descriptor tables, read and loaded: for programs under a hypervisor, who intercepts it.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// Limit, then base: 10 bytes in 64-bit mode, else 6.
inline Encoding pseudo_descriptor(const Encoder& with, ZydisMnemonic mnemonic, Mem at) {
    const bool quadword = with.slot().bytes == 8;
    return with.instruction(mnemonic, {with.mem(at, {static_cast<std::uint8_t>(quadword ? 10 : 6)})});
}
/// How a processor cuts the access is not stated; where all of it goes through, it does not matter.
inline Effect stored_pseudo_descriptor(const EffectContext& context, Mem at) {
    EffectBuilder e(context);
    e.store(at, {2}, {0, false});
    const Width base{static_cast<std::uint8_t>(e.slot().bytes == 8 ? 8 : 4)};
    e.next_part(at, base, 2);
    e.in_any_order(at, 2u + base.bytes);
    if (!e.stopped()) e.unmodelled("SGDT or SIDT writes");
    return e.done();
}
inline Effect loaded_table(const EffectContext& context, const char* what) {
    EffectBuilder e(context);
    e.privileged();
    e.does_more(what);
    return e.done();
}

struct Sgdt {
    FAULTLINE_OP(Sgdt, "sgdt", "SGDT m", (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return pseudo_descriptor(with, ZYDIS_MNEMONIC_SGDT, at); }
    Effect effect(const EffectContext& context) const { return stored_pseudo_descriptor(context, at); }
};

struct Sidt {
    FAULTLINE_OP(Sidt, "sidt", "SIDT m", (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return pseudo_descriptor(with, ZYDIS_MNEMONIC_SIDT, at); }
    Effect effect(const EffectContext& context) const { return stored_pseudo_descriptor(context, at); }
};

struct Sldt {
    FAULTLINE_OP(Sldt, "sldt", "SLDT r", (Gpr, to));
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_SLDT, {with.reg(to)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(to, {0, false}, e.slot());
        return e.done();
    }
};

struct Str {
    FAULTLINE_OP(Str, "str", "STR r", (Gpr, to));
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_STR, {with.reg(to)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(to, {0, false}, e.slot());
        return e.done();
    }
};

struct Lgdt {
    FAULTLINE_OP(Lgdt, "lgdt", "LGDT m", (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return pseudo_descriptor(with, ZYDIS_MNEMONIC_LGDT, at); }
    Effect effect(const EffectContext& context) const { return loaded_table(context, "GDTR is loaded"); }
};

struct Lidt {
    FAULTLINE_OP(Lidt, "lidt", "LIDT m", (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return pseudo_descriptor(with, ZYDIS_MNEMONIC_LIDT, at); }
    Effect effect(const EffectContext& context) const { return loaded_table(context, "IDTR is loaded"); }
};

struct Lldt {
    FAULTLINE_OP(Lldt, "lldt", "LLDT r16", (Gpr, from));
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_LLDT, {with.reg(from, {2})}); }
    Effect effect(const EffectContext& context) const { return loaded_table(context, "LDTR is loaded"); }
};

struct Ltr {
    FAULTLINE_OP(Ltr, "ltr", "LTR r16", (Gpr, from));
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_LTR, {with.reg(from, {2})}); }
    /// A null selector cannot be TR's.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        if ((e.need(from, "TR is loaded from an unknown value", {2}) & ~3ull) == 0) e.fault(Cause::NullSelector);
        e.does_more("TR is loaded");
        return e.done();
    }
};

using TableOps = std::variant<Sgdt, Sidt, Sldt, Str, Lgdt, Lidt, Lldt, Ltr>;

}  // namespace faultline::guest::ops
