// MOV to and from debug registers. Access checks (CPL, DE, GD, reserved bits) are the debug chapter's.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct MovToDr {
    FAULTLINE_OP(MovToDr, "mov-to-dr", "MOV DRn, r", (DrNumber, dr), (Gpr, from));
    Encoding encode(const Encoder& with) const { return with.mov_dr(dr, from, true); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::MovDr);
        e.raw().dr_number = dr.number;
        e.raw().dr_write = true;
        e.raw().dr_gpr = from;
        e.raw().dr_value = e.need(from, "a debug register is loaded from an unknown value");
        return e.done();
    }
};

struct MovFromDr {
    FAULTLINE_OP(MovFromDr, "mov-from-dr", "MOV r, DRn", (DrNumber, dr), (Gpr, to));
    Encoding encode(const Encoder& with) const { return with.mov_dr(dr, to, false); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context, Kind::MovDr);
        e.raw().dr_number = dr.number;
        e.raw().dr_gpr = to;
        return e.done();
    }
};

using DebugRegisterOps = std::variant<MovToDr, MovFromDr>;

}  // namespace faultline::guest::ops
