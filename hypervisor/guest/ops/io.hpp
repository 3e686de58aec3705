// IN, OUT, INS, OUTS. What a port reads as is never known.
#pragma once

#include <variant>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/strings.hpp"

namespace faultline::guest::ops {

constexpr bool io_width(Width width) { return width.bytes == 1 || width.bytes == 2 || width.bytes == 4; }

/// The imm8 forms name ports 0–FFh. Ports that reach the exit port would end the run.
constexpr bool immediate_port(Port port, Width width) {
    return io_width(width) && port.number <= 0xFF &&
           (port.number > layout::exit_port || port.number + width.bytes <= layout::exit_port);
}

inline Known port_in_dx(const EffectBuilder& e) { return e.reg(Gpr::Rdx, {2}); }

inline Effect input(const EffectContext& context, bool dx, Port port, Width width) {
    EffectBuilder e(context);
    const auto number = dx ? port_in_dx(e) : Known{port.number};
    e.io_permission(number, width);
    e.io_access(number, width);
    e.set(Gpr::Rax, {0, false}, width);
    return e.done();
}
inline Effect output(const EffectContext& context, bool dx, Port port, Width width) {
    EffectBuilder e(context);
    const auto number = dx ? port_in_dx(e) : Known{port.number};
    e.io_permission(number, width);
    e.io_access(number, width);
    return e.done();
}

// Permission comes before the memory operand, the operand's faults before the port is touched.
inline void input_element(EffectBuilder& e, Width width) {
    e.io_permission(port_in_dx(e), width);
    e.store_through(Gpr::Rdi, width, {0, false});
    e.io_access(port_in_dx(e), width);
    step_pointer(e, Gpr::Rdi, width);
}
inline void output_element(EffectBuilder& e, Width width) {
    e.io_permission(port_in_dx(e), width);
    e.load_through(Gpr::Rsi, width);
    e.io_access(port_in_dx(e), width);
    step_pointer(e, Gpr::Rsi, width);
}

inline ZydisMnemonic ins_mnemonic(Width width) {
    return encoding::by_width(width, ZYDIS_MNEMONIC_INSB, ZYDIS_MNEMONIC_INSW, ZYDIS_MNEMONIC_INSD);
}
inline ZydisMnemonic outs_mnemonic(Width width) {
    return encoding::by_width(width, ZYDIS_MNEMONIC_OUTSB, ZYDIS_MNEMONIC_OUTSW, ZYDIS_MNEMONIC_OUTSD);
}

struct In {
    FAULTLINE_OP(In, "in", "IN AL/AX/EAX, imm8", (Port, port), (Width, width));
    bool valid() const { return immediate_port(port, width); }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_IN, {with.reg(Gpr::Rax, width), with.imm(port.number)});
    }
    Effect effect(const EffectContext& context) const { return input(context, false, port, width); }
};

struct Out {
    FAULTLINE_OP(Out, "out", "OUT imm8, AL/AX/EAX", (Port, port), (Width, width));
    bool valid() const { return immediate_port(port, width); }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_OUT, {with.imm(port.number), with.reg(Gpr::Rax, width)});
    }
    Effect effect(const EffectContext& context) const { return output(context, false, port, width); }
};

struct InDx {
    FAULTLINE_OP(InDx, "in-dx", "IN AL/AX/EAX, DX", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_IN, {with.reg(Gpr::Rax, width), with.reg(Gpr::Rdx, {2})});
    }
    Effect effect(const EffectContext& context) const { return input(context, true, {}, width); }
};

struct OutDx {
    FAULTLINE_OP(OutDx, "out-dx", "OUT DX, AL/AX/EAX", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_OUT, {with.reg(Gpr::Rdx, {2}), with.reg(Gpr::Rax, width)});
    }
    Effect effect(const EffectContext& context) const { return output(context, true, {}, width); }
};

struct Ins {
    FAULTLINE_OP(Ins, "ins", "INS m, DX", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const { return with.instruction(ins_mnemonic(width)); }
    Effect effect(const EffectContext& context) const { return once(context, input_element, width); }
};

struct Outs {
    FAULTLINE_OP(Outs, "outs", "OUTS DX, m", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const { return with.instruction(outs_mnemonic(width)); }
    Effect effect(const EffectContext& context) const { return once(context, output_element, width); }
};

/// Whether a count of zero still checks the port is left open: "REP" (SDM vol 2) says that nothing is done, and Intel
/// processors raise #GP(0) all the same.
inline Effect repeated_on_port(const EffectContext& context, void (*element)(EffectBuilder&, Width), Width width) {
    EffectBuilder e(context, Kind::Rep);
    if (e.iterate()) {
        element(e, width);
    } else {
        EffectBuilder check(context);
        check.io_permission(check.reg(Gpr::Rdx, {2}), width);
        if (check.stopped()) e.unmodelled("REP INS or OUTS with a count of zero on a port that may not be used");
    }
    return e.done();
}

struct RepIns {
    FAULTLINE_OP(RepIns, "rep-ins", "REP INS m, DX", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const { return with.instruction(ins_mnemonic(width), {}, rep_form); }
    Effect effect(const EffectContext& context) const { return repeated_on_port(context, input_element, width); }
};

struct RepOuts {
    FAULTLINE_OP(RepOuts, "rep-outs", "REP OUTS DX, m", (Width, width));
    bool valid() const { return io_width(width); }
    Encoding encode(const Encoder& with) const { return with.instruction(outs_mnemonic(width), {}, rep_form); }
    Effect effect(const EffectContext& context) const { return repeated_on_port(context, output_element, width); }
};

using IoOps = std::variant<In, Out, InDx, OutDx, Ins, Outs, RepIns, RepOuts>;

}  // namespace faultline::guest::ops
