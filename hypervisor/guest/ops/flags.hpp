// Ops about RFLAGS.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

/// Flags that POPF and IRET load whatever the privilege. AMD APM vol 3, "POPF", "IRET"; SDM vol 2, the same.
inline constexpr std::uint64_t popf_loads =
    rflags::arithmetic | rflags::tf | rflags::df | rflags::nt | rflags::ac | rflags::id;

/// IF if CPL ≤ IOPL, IOPL at CPL 0 only: for POPF and IRET. Nothing faults for privilege.
inline std::uint64_t privileged_flags(const State& state) {
    const auto iopl = (state.rflags & rflags::iopl) >> 12;
    return (state.cpl <= iopl ? rflags::if_ : 0) | (state.cpl == 0 ? rflags::iopl : 0);
}

/// The bits that PUSHF, POPF and IRET move: 16 in real16.
constexpr std::uint64_t flags_image(Mode mode) { return mode == Mode::Real16 ? 0xFFFF : ~0ull; }

struct Pushf {
    FAULTLINE_OP(Pushf, "pushf", "PUSHFQ, PUSHFD or PUSHF");
    Encoding encode(const Encoder& with) const {
        return with.by_slot(ZYDIS_MNEMONIC_PUSHFQ, ZYDIS_MNEMONIC_PUSHFD, ZYDIS_MNEMONIC_PUSHF);
    }
    /// The image shows VM and RF as 0. SDM vol 2, "PUSHF/PUSHFD/PUSHFQ".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.push({context.state.rflags & ~(rflags::rf | rflags::vm), context.state.rflags_known == ~0ull});
        return e.done();
    }
};

struct Popf {
    FAULTLINE_OP(Popf, "popf", "POPFQ, POPFD or POPF");
    Encoding encode(const Encoder& with) const {
        return with.by_slot(ZYDIS_MNEMONIC_POPFQ, ZYDIS_MNEMONIC_POPFD, ZYDIS_MNEMONIC_POPF);
    }
    /// VM, VIF and VIP stay, RF ends 0; the 16-bit form leaves AC and ID too. SDM vol 2, "POPF/POPFD/POPFQ".
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Popf);
        const auto image = e.need(e.stack(), "RFLAGS is loaded from an unknown value");
        e.set_flags((popf_loads | privileged_flags(context.state)) & flags_image(e.mode()), {image});
        e.release_stack();
        return e.done();
    }
};

struct Stc {
    FAULTLINE_OP(Stc, "stc", "STC");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_STC); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set_flags(rflags::cf, {rflags::cf});
        return e.done();
    }
};

struct Clc {
    FAULTLINE_OP(Clc, "clc", "CLC");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CLC); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set_flags(rflags::cf, {0});
        return e.done();
    }
};

struct Cld {
    FAULTLINE_OP(Cld, "cld", "CLD");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CLD); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set_flags(rflags::df, {0});
        return e.done();
    }
};

struct Std {
    FAULTLINE_OP(Std, "std", "STD");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_STD); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set_flags(rflags::df, {rflags::df});
        return e.done();
    }
};

/// The shadow, open only when IF was 0, is the chapter's.
struct Sti {
    FAULTLINE_OP(Sti, "sti", "STI");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_STI); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::Sti);
        e.iopl_sensitive();
        e.set_flags(rflags::if_, {rflags::if_});
        return e.done();
    }
};

struct Cli {
    FAULTLINE_OP(Cli, "cli", "CLI");
    Encoding encode(const Encoder& with) const { return with.instruction(ZYDIS_MNEMONIC_CLI); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.iopl_sensitive();
        e.set_flags(rflags::if_, {0});
        return e.done();
    }
};

using FlagOps = std::variant<Pushf, Popf, Stc, Clc, Cld, Std, Sti, Cli>;

}  // namespace faultline::guest::ops
