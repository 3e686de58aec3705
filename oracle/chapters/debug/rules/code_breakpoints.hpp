// Instruction breakpoints and RFLAGS.RF. AMD APM vol 2, "Instruction Breakpoints"; Intel SDM vol 3,
// "Instruction-Breakpoint Exception Condition".
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

/// An enabled instruction breakpoint of defined length at the op.
template <class D>
typename D::Bool code_match(const Pre<D>& pre, const Stimulus<D>& stim) {
    return any_register([&](unsigned n) { return enabled(pre, n) && fetch_match(pre, stim, n); });
}
/// The same, or one of undefined length that might match.
template <class D>
typename D::Bool code_candidate(const Pre<D>& pre, const Stimulus<D>& stim) {
    return any_register(
        [&](unsigned n) { return enabled(pre, n) && (fetch_match(pre, stim, n) || fetch_undefined(pre, stim, n)); });
}
template <class D>
typename D::Bool in_known_shadow(const Pre<D>& pre) {
    return pre.shadow && vendor_known(pre);
}

struct Dbg037 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-037", "An instruction breakpoint raises #DB before the instruction, unless RFLAGS.RF = 1",
             APM2 "Instruction Breakpoints", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return code_match(pre, stim) && starts(stim) && !pre.rf && !in_known_shadow(pre); }
    FAULTLINE_ALLOWS { return r.event == event::code_db; }
};

struct Dbg038 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-038", "RFLAGS.RF = 1 suppresses instruction breakpoints for one instruction",
             APM2 "Instruction Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return code_candidate(pre, stim) && starts(stim) && pre.rf; }
    FAULTLINE_ALLOWS { return r.event != event::code_db; }
};

struct Dbg046 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-046", "In an SS shadow, instruction breakpoints are suppressed by Intel and not by AMD",
             SDM3
             "Instruction-Breakpoint Exception Condition; Linux baf67ca8e545, \"KVM: x86: Suppress code #DBs on "
             "Intel if MOV/POP SS blocking is active\"",
             "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return starts(stim) && !pre.rf && in_known_shadow(pre) &&
               ((pre.intel && code_candidate(pre, stim)) || (pre.amd && code_match(pre, stim)));
    }
    FAULTLINE_ALLOWS { return (r.event == event::code_db) == pre.amd; }
};

struct Dbg040 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-040", "The #DB of an instruction breakpoint pushes RF = 0",
                                          SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return code_candidate(pre, stim); }
    FAULTLINE_ALLOWS { return implies(r.event == event::code_db, !r.rf); }
};

struct Dbg049 : RulePerRegister {
    static constexpr RuleInfo info = arch(
        "DBG-049", "Where an op meets an instruction and a data breakpoint, the instruction breakpoint comes first",
        APM2 "Using Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES { return Dbg037::applies(pre, stim, n) && hit(pre, stim, n); }
    FAULTLINE_ALLOWS { return r.event == event::code_db; }
};

struct Exe003 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-003", "An instruction breakpoint is reported only at the instruction an enabled one names",
             APM2 "Debug-Control Register (DR7) and Instruction Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return !starts(stim) ||
               (!code_match(pre, stim) && !Dbg038::applies(pre, stim, n) && !Dbg046::applies(pre, stim, n));
    }
    FAULTLINE_ALLOWS { return r.event != event::code_db; }
};

struct Dbg036 : RulePerRegister {
    static constexpr RuleInfo info =
        free("DBG-036", "An instruction breakpoint with LEN ≠ 00 is undefined: it may match",
             APM2 "Debug-Control Register (DR7)");
    using excepts = Excepts<Exe003, struct Dbg054>;
    FAULTLINE_APPLIES {
        return enabled(pre, n) && fetch_undefined(pre, stim, n) && starts(stim) && !pre.rf &&
               !(pre.shadow && pre.intel);
    }
    FAULTLINE_ALLOWS { return r.event == event::code_db && b(r, n); }
};

struct Exe010 : RuleBase {
    static constexpr RuleInfo info =
        free("EXE-010", "Where the vendor is unknown, an SS shadow may suppress instruction breakpoints",
             SDM3 "Instruction-Breakpoint Exception Condition (\"may not be triggered\")");
    using excepts = Excepts<Dbg037, Dbg049>;
    FAULTLINE_APPLIES { return pre.shadow && !vendor_known(pre); }
    FAULTLINE_ALLOWS { return r.event != event::code_db; }
};

inline constexpr auto code_breakpoints_rules =
    boost::hana::tuple_t<Dbg037, Dbg038, Dbg046, Dbg040, Dbg049, Exe003, Dbg036, Exe010>;

}  // namespace faultline::oracle::debug
