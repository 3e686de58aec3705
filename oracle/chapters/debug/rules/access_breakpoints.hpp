// Data and I/O breakpoints: which accesses they meet, and the trap that follows. AMD APM vol 2, "Data Breakpoints",
// "I/O Breakpoints", "Setting Breakpoints"; Intel SDM vol 3, "Data Memory and I/O Breakpoint Exception Conditions".
//
// For each register some constraining rule here speaks about an op that runs: either it says that the access is met
// (#DB, Bn = 1), or that it is not (Bn = 0 unless held). DBG-028 says either, where it is LEN's masking that decides.
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

/// The same as access_match, were LEN counted from an unaligned DRn.
template <class D>
typename D::Bool unmasked_match(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    const auto written = [&](auto& address, auto& length, auto& write) {
        return write && in_unmasked_range(pre, n, address, length);
    };
    const auto touched = [&](auto& address, auto& length, auto&) { return in_unmasked_range(pre, n, address, length); };
    return (rw_is(pre, n, 1) && any_access(stim, written)) || (rw_is(pre, n, 3) && any_access(stim, touched)) ||
           (rw_is(pre, n, 2) && pre.de && !len_is(pre, n, 2) && stim.io &&
            in_unmasked_range(pre, n, stim.io_port, stim.io_width));
}
/// LEN's masking decides.
template <class D>
typename D::Bool masking_decides(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return runs(pre, stim) && enabled(pre, n) && access_match(pre, stim, n) != unmasked_match(pre, stim, n);
}
/// Met only by accesses that begin below the range.
template <class D>
typename D::Bool met_from_below(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return !any_access(stim, [&](auto& address, auto& length, auto& write) {
        return length != 0 && (write || rw_is(pre, n, 3)) && in_range(pre, n, address, typename D::Bits(1));
    });
}
/// A met breakpoint of type `rw`.
template <class D>
typename D::Bool met(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n, std::uint64_t rw) {
    return runs(pre, stim) && hit(pre, stim, n) && rw_is(pre, n, rw);
}
template <class D>
typename D::Bool trap_reports(const Response<D>& r, unsigned n) {
    return unless_code_db(r, r.event == event::trap && b(r, n));
}
/// Met in a REP iteration that is not the last.
template <class D>
typename D::Bool between_iterations(const Stimulus<D>& stim) {
    return is(stim, kind::rep) && !stim.last;
}

struct Dbg028 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-028", "LEN masks low bits of the breakpoint address: the range is aligned",
             APM2 "Setting Breakpoints (table Breakpoint-Setting Examples)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return masking_decides(pre, stim, n); }
    FAULTLINE_ALLOWS {
        return (hit(pre, stim, n) && trap_reports(r, n)) ||
               (!hit(pre, stim, n) && implies(r.event == event::trap, implies(b(r, n), held(pre, n))));
    }
};

struct Dbg029 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-029", "A data breakpoint is met when any accessed byte lies in its range",
             APM2 "Setting Breakpoints (table Breakpoint-Setting Examples)");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES { return (met(pre, stim, n, 1) || met(pre, stim, n, 3)) && met_from_below(pre, stim, n); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg030 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-030", "A data breakpoint with R/W = 01 ignores reads", APM2 "Data Breakpoints");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES {
        return runs(pre, stim) && enabled(pre, n) && rw_is(pre, n, 1) && touches_range(pre, stim, n) &&
               !hit(pre, stim, n) && !masking_decides(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, implies(b(r, n), held(pre, n))); }
};

struct Dbg031 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-031", "A data breakpoint with R/W = 11 is met by reads and by writes", APM2 "Data Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return met(pre, stim, n, 3); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg033 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-033", "With CR4.DE = 1, R/W = 10 is met by port I/O only, not by memory", APM2 "I/O Breakpoints");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES {
        return runs(pre, stim) && enabled(pre, n) && rw_is(pre, n, 2) && pre.de && touches_range(pre, stim, n) &&
               !hit(pre, stim, n) && !masking_decides(pre, stim, n) && !io_low_bits_match(pre, stim, n) &&
               !access_undefined(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, implies(b(r, n), held(pre, n))); }
};

struct Dbg034 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-034", "The port is zero-extended to 64 bits before it is compared with DRn", APM2 "I/O Breakpoints",
             {}, RuleVendor::Amd);
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES {
        return runs(pre, stim) && enabled(pre, n) && io_low_bits_match(pre, stim, n) && !masking_decides(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, implies(b(r, n), held(pre, n))); }
};

struct Dbg047 : RulePerRegister {
    static constexpr RuleInfo info = arch(
        "DBG-047", "A write to a data breakpoint's range raises #DB after the instruction", APM2 "Data Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return met(pre, stim, n, 1); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg048 : RulePerRegister {
    static constexpr RuleInfo info = arch("DBG-048",
                                          "With CR4.DE = 1, an access to an I/O breakpoint's ports raises #DB "
                                          "after the instruction",
                                          APM2 "I/O Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return met(pre, stim, n, 2) && !is(stim, kind::rep); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg088 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-088", "In a repeated INS or OUTS, an I/O breakpoint raises #DB after each iteration that meets it",
             APM2 "I/O Breakpoints; " SDM3 "Data Memory and I/O Breakpoint Exception Conditions");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return met(pre, stim, n, 2) && is(stim, kind::rep); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg039 : RulePerRegister {
    static constexpr RuleInfo info = arch("DBG-039", "RF does not suppress data and I/O breakpoints",
                                          SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES { return pre.rf && is(stim, kind::ordinary) && runs(pre, stim) && hit(pre, stim, n); }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Dbg057 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-057", "A single step and a breakpoint of one instruction give one #DB with both bits",
             APM2 "Debug-Status Register (DR6) (\"other status bits ... can be set ... along with the BS bit\")");
    static constexpr Aspect aspect = Aspect::Dr6;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES {
        return is(stim, kind::ordinary) && step(pre, stim) && stim.debugctl_after == pre.debugctl && hit(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, b(r, n) && has(r.dr6, dr::dr6_bs)); }
};

struct Dbg092 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-092", "DR7.LE and DR7.GE have no effect", APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES {
        return !has(pre.dr7, 0x300) && is(stim, kind::ordinary) && runs(pre, stim) && hit(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return trap_reports(r, n); }
};

struct Exe015 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("EXE-015", "A breakpoint that neither Ln nor Gn enables is not reported",
             APM2 "Debug-Status Register (DR6) (\"enabled breakpoint condition ... cleared to 0 otherwise\")");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return runs(pre, stim) && !enabled(pre, n); }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, !b(r, n)); }
};

struct Dbg032 : RulePerRegister {
    static constexpr RuleInfo info =
        free("DBG-032", "R/W = 10 with CR4.DE = 0 is undefined: any access to the range may be reported",
             APM2 "Debug-Control Register (DR7)");
    using excepts = Excepts<struct Dbg054, struct Exe009, struct Exe050, struct Exe035>;
    FAULTLINE_APPLIES { return enabled(pre, n) && !pre.de && access_undefined(pre, stim, n) && completes(pre, stim); }
    FAULTLINE_ALLOWS {
        return (runs(pre, stim) && r.event == event::trap && b(r, n) && !has(r.held, 1ull << n)) ||
               (shadows(pre, stim) && r.event == event::none && has(r.held, 1ull << n));
    }
};

struct Exe039 : RulePerRegister {
    static constexpr RuleInfo info = free("EXE-039", "An I/O breakpoint of eight bytes is undefined: it may match",
                                          APM2 "I/O Breakpoints (LENn is set to 00b, 01b, or 11b)");
    using excepts = Excepts<struct Dbg054, struct Exe009, struct Exe050>;
    FAULTLINE_APPLIES { return enabled(pre, n) && pre.de && access_undefined(pre, stim, n) && runs(pre, stim); }
    FAULTLINE_ALLOWS { return r.event == event::trap && b(r, n); }
};

struct Exe040 : RulePerRegister {
    static constexpr RuleInfo info =
        free("EXE-040", "Elsewhere than on AMD, an I/O breakpoint may compare only the low 16 bits of DRn",
             SDM3 "Data Memory and I/O Breakpoint Exception Conditions (silent)", {}, RuleVendor::Intel);
    using excepts = Excepts<Dbg028, Dbg034, struct Exe009, struct Exe050>;
    FAULTLINE_APPLIES { return !pre.amd && enabled(pre, n) && io_low_bits_match(pre, stim, n) && runs(pre, stim); }
    FAULTLINE_ALLOWS { return r.event == event::trap && b(r, n); }
};

struct Dbg087 : RulePerRegister {
    static constexpr RuleInfo info =
        free("DBG-087",
             "A data breakpoint met in a REP iteration may be reported after a later one, at the latest at the end",
             APM2 "Data Breakpoints; " SDM3 "Data Memory and I/O Breakpoint Exception Conditions");
    using excepts = Excepts<Dbg028, Dbg029, Dbg031, Dbg047, struct Dbg066, struct Exe035>;
    FAULTLINE_APPLIES {
        return between_iterations(stim) && runs(pre, stim) &&
               (held(pre, n) || (hit(pre, stim, n) && !rw_is(pre, n, 2)));
    }
    FAULTLINE_ALLOWS { return executed(r) && has(r.held, 1ull << n) && !(r.event == event::trap && b(r, n)); }
};

inline constexpr auto access_breakpoints_rules =
    boost::hana::tuple_t<Dbg047, Dbg031, Dbg048, Dbg088, Dbg028, Dbg029, Dbg030, Dbg033, Dbg034, Dbg039, Dbg057, Dbg092,
                         Exe015, Dbg032, Exe039, Exe040, Dbg087>;

}  // namespace faultline::oracle::debug
