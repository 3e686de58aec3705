// MOV to and from CR0, CR2, CR3 and CR8, LMSW and SMSW: for programs under a hypervisor, who intercepts them.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

inline Encoding load_control(const Encoder& with, ZydisRegister control, Gpr from) {
    return with.instruction(ZYDIS_MNEMONIC_MOV, {with.reg(control), with.whole_reg(from)});
}
inline Encoding read_control(const Encoder& with, ZydisRegister control, Gpr to) {
    return with.instruction(ZYDIS_MNEMONIC_MOV, {with.whole_reg(to), with.reg(control)});
}
/// Of a control register whose value a case does not fix.
inline Effect unknown_control(const EffectContext& context, Gpr to) {
    EffectBuilder e(context);
    e.privileged();
    e.set(to, {0, false});
    return e.done();
}

/// CR0 after the bits that programs may change: MP, EM and TS decide about x87 instructions alone, which no op is.
inline void write_cr0(EffectBuilder& e, std::uint64_t value) {
    constexpr std::uint64_t free = 0xE;
    if ((value ^ e.state().cr0) & ~free) e.does_more("CR0 changes in more than MP, EM and TS");
    e.raw().cr0 = value;
}

struct MovToCr0 {
    FAULTLINE_OP(MovToCr0, "mov-to-cr0", "MOV CR0, r", (Gpr, from));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return load_control(with, ZYDIS_REGISTER_CR0, from); }
    /// The illegal combinations: AMD APM vol 2, "CR0 Register"; vol 3, "MOV (CRn)". What PG does to the mode is left.
    Effect effect(const EffectContext& context) const {
        constexpr std::uint64_t nw = 1ull << 29, cd = 1ull << 30;
        EffectBuilder e(context);
        e.privileged();
        const auto value = e.need(from, "CR0 is loaded from an unknown value");
        const bool paging_alone = value & cr0_pg && !(value & cr0_pe);
        if (value >> 32 || paging_alone || (value & nw && !(value & cd))) e.fault(Cause::ReservedBits);
        if ((value ^ context.state.cr0) & cr0_pg) e.unmodelled("paging is switched on or off");
        write_cr0(e, value);
        return e.done();
    }
};

struct MovFromCr0 {
    FAULTLINE_OP(MovFromCr0, "mov-from-cr0", "MOV r, CR0", (Gpr, to));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return read_control(with, ZYDIS_REGISTER_CR0, to); }
    Effect effect(const EffectContext& context) const { return unknown_control(context, to); }
};

struct MovToCr2 {
    FAULTLINE_OP(MovToCr2, "mov-to-cr2", "MOV CR2, r", (Gpr, from));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return load_control(with, ZYDIS_REGISTER_CR2, from); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.does_more("CR2 is written");
        return e.done();
    }
};

struct MovFromCr2 {
    FAULTLINE_OP(MovFromCr2, "mov-from-cr2", "MOV r, CR2", (Gpr, to));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return read_control(with, ZYDIS_REGISTER_CR2, to); }
    Effect effect(const EffectContext& context) const { return unknown_control(context, to); }
};

struct MovToCr3 {
    FAULTLINE_OP(MovToCr3, "mov-to-cr3", "MOV CR3, r", (Gpr, from));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return load_control(with, ZYDIS_REGISTER_CR3, from); }
    /// AMD APM vol 2, "CR2 and CR3 Registers": in long mode 63:52 must be zero, and a processor may have fewer bits.
    Effect effect(const EffectContext& context) const {
        constexpr unsigned must_be_zero = 52, every_processor_has = 32;
        EffectBuilder e(context);
        e.privileged();
        const auto value = e.need(from, "CR3 is loaded from an unknown value");
        if (value >> must_be_zero) e.fault(Cause::ReservedBits);
        if (value >> every_processor_has) e.unmodelled("address bits of CR3 that not every processor has");
        e.does_more("CR3 is written");
        return e.done();
    }
};

struct MovFromCr3 {
    FAULTLINE_OP(MovFromCr3, "mov-from-cr3", "MOV r, CR3", (Gpr, to));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return read_control(with, ZYDIS_REGISTER_CR3, to); }
    Effect effect(const EffectContext& context) const { return unknown_control(context, to); }
};

struct MovToCr8 {
    FAULTLINE_OP(MovToCr8, "mov-to-cr8", "MOV CR8, r", (Gpr, from));
    static constexpr World world = World::Svm;
    /// Elsewhere by a LOCK prefix to MOV CR0, which not every processor has.
    static constexpr bool exists(Mode mode) { return mode == Mode::Long64; }
    Encoding encode(const Encoder& with) const { return load_control(with, ZYDIS_REGISTER_CR8, from); }
    /// AMD APM vol 2, "Task-Priority Register (CR8)": 3:0 are the priority, the rest must be zero.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        if (e.need(from, "CR8 is loaded from an unknown value") > 0xF) e.fault(Cause::ReservedBits);
        return e.done();
    }
};

struct MovFromCr8 {
    FAULTLINE_OP(MovFromCr8, "mov-from-cr8", "MOV r, CR8", (Gpr, to));
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode == Mode::Long64; }
    Encoding encode(const Encoder& with) const { return read_control(with, ZYDIS_REGISTER_CR8, to); }
    Effect effect(const EffectContext& context) const { return unknown_control(context, to); }
};

struct Lmsw {
    FAULTLINE_OP(Lmsw, "lmsw", "LMSW r16", (Gpr, from));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_LMSW, {with.reg(from, {2})}); }
    /// PE can be set and not cleared. AMD APM vol 3, "LMSW".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        const auto value = e.need(from, "LMSW of an unknown value", {2});
        write_cr0(e, (context.state.cr0 & ~0xEull) | (value & 0xF));
        return e.done();
    }
};

struct Smsw {
    FAULTLINE_OP(Smsw, "smsw", "SMSW r", (Gpr, to));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_SMSW, {with.reg(to)}); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(to, {0, false}, e.slot());
        return e.done();
    }
};

using ControlRegisterOps =
    std::variant<MovToCr0, MovFromCr0, MovToCr2, MovFromCr2, MovToCr3, MovFromCr3, MovToCr8, MovFromCr8, Lmsw, Smsw>;

}  // namespace faultline::guest::ops
