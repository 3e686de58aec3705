// What a hypervisor intercepts and no other op stands for: SVM's own instructions, and those about caches, TLBs,
// counters and waiting. Without a hypervisor their meaning depends on more than a case says.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// rAX at the address size.
inline Encoding with_address_in_rax(const Encoder& with, ZydisMnemonic mnemonic) {
    return with.instruction(mnemonic, {with.reg(Gpr::Rax)});
}

/// Privileged, and nothing that a program could see.
inline Effect privileged_only(const EffectContext& context) {
    EffectBuilder e(context);
    e.privileged();
    return e.done();
}
/// Privileged, with the address of a VMCB in rAX: a page. Above it lies what the processor supports, which is at least
/// 32 bits. AMD APM vol 3, "VMRUN", "VMLOAD", "VMSAVE".
inline Effect on_vmcb(const EffectContext& context, const char* what) {
    EffectBuilder e(context);
    e.privileged();
    const auto address = e.need(Gpr::Rax, "the address of the VMCB is unknown", e.slot());
    if (address % 0x1000 != 0) e.fault(Cause::ReservedBits);
    if (address >> 32) e.unmodelled("a VMCB at an address that not every processor has");
    e.does_more(what);
    return e.done();
}
/// Undefined unless CPUID announces it, and that a case does not say.
inline Effect optional_feature(const EffectContext& context, const char* what) {
    EffectBuilder e(context);
    e.unmodelled(what);
    return e.done();
}

struct Vmrun {
    FAULTLINE_OP(Vmrun, "vmrun", "VMRUN");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with_address_in_rax(with, ZYDIS_MNEMONIC_VMRUN); }
    Effect effect(const EffectContext& context) const { return on_vmcb(context, "a guest of the guest"); }
};

struct Vmload {
    FAULTLINE_OP(Vmload, "vmload", "VMLOAD");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with_address_in_rax(with, ZYDIS_MNEMONIC_VMLOAD); }
    Effect effect(const EffectContext& context) const { return on_vmcb(context, "VMLOAD"); }
};

struct Vmsave {
    FAULTLINE_OP(Vmsave, "vmsave", "VMSAVE");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with_address_in_rax(with, ZYDIS_MNEMONIC_VMSAVE); }
    Effect effect(const EffectContext& context) const { return on_vmcb(context, "VMSAVE"); }
};

struct Vmmcall {
    FAULTLINE_OP(Vmmcall, "vmmcall", "VMMCALL");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_VMMCALL); }
    /// AMD APM vol 3, "VMMCALL": #UD where nobody intercepts it.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

struct Stgi {
    FAULTLINE_OP(Stgi, "stgi", "STGI");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_STGI); }
    /// GIF is set while a guest runs, and the only op that clears it is not followed further.
    Effect effect(const EffectContext& context) const { return privileged_only(context); }
};

struct Clgi {
    FAULTLINE_OP(Clgi, "clgi", "CLGI");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CLGI); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.does_more("GIF is cleared");
        return e.done();
    }
};

struct Invlpga {
    FAULTLINE_OP(Invlpga, "invlpga", "INVLPGA");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_INVLPGA, {with.reg(Gpr::Rax), with.reg(Gpr::Rcx, {4})});
    }
    Effect effect(const EffectContext& context) const { return privileged_only(context); }
};

struct Skinit {
    FAULTLINE_OP(Skinit, "skinit", "SKINIT");
    static constexpr World world = World::Svm;
    static constexpr bool exists(Mode mode) { return mode != Mode::Real16; }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_SKINIT, {with.reg(Gpr::Rax, {4})});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.does_more("a secure loader is started");
        return e.done();
    }
};

struct Rsm {
    FAULTLINE_OP(Rsm, "rsm", "RSM");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RSM); }
    /// AMD APM vol 3, "RSM": #UD outside system management mode.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

struct Invd {
    FAULTLINE_OP(Invd, "invd", "INVD");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_INVD); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        e.does_more("what only a cache holds is lost");
        return e.done();
    }
};

struct Invlpg {
    FAULTLINE_OP(Invlpg, "invlpg", "INVLPG m", (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_INVLPG, {with.mem(at, {1})}); }
    /// No access: the operand is only an address.
    Effect effect(const EffectContext& context) const { return privileged_only(context); }
};

struct Rdtscp {
    FAULTLINE_OP(Rdtscp, "rdtscp", "RDTSCP");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RDTSCP); }
    /// Every processor with SVM has it. CR4.TSD is clear.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(Gpr::Rax, {0, false});
        e.set(Gpr::Rdx, {0, false});
        e.set(Gpr::Rcx, {0, false});
        return e.done();
    }
};

struct Rdpmc {
    FAULTLINE_OP(Rdpmc, "rdpmc", "RDPMC");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RDPMC); }
    /// CR4.PCE is clear. Four counters are every processor's. AMD APM vol 3, "RDPMC".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.privileged();
        if (e.need(Gpr::Rcx, "the counter's number is unknown", {4}) > 3)
            e.unmodelled("a counter that not every processor has");
        e.set(Gpr::Rax, {0, false});
        e.set(Gpr::Rdx, {0, false});
        return e.done();
    }
};

struct Monitor {
    FAULTLINE_OP(Monitor, "monitor", "MONITOR");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_MONITOR); }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "MONITOR is optional"); }
};

struct Mwait {
    FAULTLINE_OP(Mwait, "mwait", "MWAIT");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_MWAIT); }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "MWAIT is optional"); }
};

struct Xsetbv {
    FAULTLINE_OP(Xsetbv, "xsetbv", "XSETBV");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_XSETBV); }
    /// #UD without CR4.OSXSAVE, which nobody sets.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.fault(Cause::InvalidOpcode);
        return e.done();
    }
};

struct Rdpru {
    FAULTLINE_OP(Rdpru, "rdpru", "RDPRU");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_RDPRU); }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "RDPRU is optional"); }
};

struct Invpcid {
    FAULTLINE_OP(Invpcid, "invpcid", "INVPCID r, m128", (Gpr, type), (Mem, at));
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const {
        const Width width{static_cast<std::uint8_t>(with.slot().bytes == 8 ? 8 : 4)};
        return with.instruction(ZYDIS_MNEMONIC_INVPCID, {with.reg(type, width), with.mem(at, {16})});
    }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "INVPCID is optional"); }
};

struct Tlbsync {
    FAULTLINE_OP(Tlbsync, "tlbsync", "TLBSYNC");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_TLBSYNC); }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "TLBSYNC is optional"); }
};

struct Mcommit {
    FAULTLINE_OP(Mcommit, "mcommit", "MCOMMIT");
    static constexpr World world = World::Svm;
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_MCOMMIT); }
    Effect effect(const EffectContext& context) const { return optional_feature(context, "MCOMMIT is optional"); }
};

using HypervisedOps = std::variant<Vmrun, Vmload, Vmsave, Vmmcall, Stgi, Clgi, Invlpga, Skinit, Rsm, Invd, Invlpg,
                                   Rdtscp, Rdpmc, Monitor, Mwait, Xsetbv, Rdpru, Invpcid, Tlbsync, Mcommit>;

}  // namespace faultline::guest::ops
