// What delivery of #DB does to DR6, DR7 and DEBUGCTL, and what leaves them alone. AMD APM vol 2, "Debug-Status
// Register (DR6)", "Debug-Control Register (DR7)", "Control-Transfer Breakpoint Features"; Intel SDM vol 3, "Debug
// Status Register (DR6)".
#pragma once

#include "oracle/chapters/debug/rules/access_breakpoints.hpp"
#include "oracle/chapters/debug/rules/code_breakpoints.hpp"
#include "oracle/chapters/debug/rules/single_step.hpp"
#include "oracle/chapters/debug/rules/task_switch.hpp"

namespace faultline::oracle::debug {

/// Register n: no rule of access_breakpoints.hpp says anything about it.
template <class D>
typename D::Bool unspoken(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return !executes(stim) ||
           (!hit(pre, stim, n) && !masking_decides(pre, stim, n) && !Dbg030::applies(pre, stim, n) &&
            !Dbg033::applies(pre, stim, n) && !Dbg034::applies(pre, stim, n) && !Exe015::applies(pre, stim, n));
}

struct Dbg054 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-054", "B0–B3 show the breakpoints met now: stale bits vanish with the next #DB",
             APM2 "Debug-Status Register (DR6); kvm-unit-tests 1da1819e, x86/debug.c, hw_bp2");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::code_db, b(r, n) == (enabled(pre, n) && fetch_match(pre, stim, n))) &&
               implies(r.event == event::trap && unspoken(pre, stim, n), implies(b(r, n), held(pre, n)));
    }
};

struct Dbg050 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-050", "A trap is delivered before the next instruction's breakpoint is looked at",
             APM2 "Using Breakpoints");
    static constexpr Aspect aspect = Aspect::Dr6;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES {
        return runs(pre, stim) && enabled(pre, n) && rw_is(pre, n, 0) && len_is(pre, n, 0) &&
               address_of(pre, n) == stim.next && stim.next != stim.rip;
    }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, !b(r, n)); }
};

struct Dbg073 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-073", "ICEBP sets no cause bit: B0–B3 become 0 (Intel) or stay (AMD)",
             APM2 "Debug-Status Register (DR6); " KUT "is_icebp_db; Xen c447b730, arch/x86/debug.c", "S5");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return is(stim, kind::icebp) && !held(pre, n); }
    FAULTLINE_ALLOWS { return implies(r.event == event::icebp, b(r, n) == (pre.amd && has(pre.dr6, 1ull << n))); }
};

struct Dbg074 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-074", "ICEBP does not set DR6.BS, not even under TF",
                                          KUT "singlestep_with_movss_blocking_and_icebp", "S5");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return is(stim, kind::icebp); }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r); }
};

struct Dbg053 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-053", "The processor never clears DR6.BS, BD and BT", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        const typename D::Bits cleared = dr6_found(pre, stim, r) & ~r.dr6;
        return implies(is_db(r), !has(cleared, dr::dr6_bs | dr::dr6_bd | dr::dr6_bt));
    }
};

struct Exe016 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-016", "DR6.BD is set by general detect only", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(is_db(r) && r.event != event::gd_db, !has(r.dr6 & ~dr6_found(pre, stim, r), dr::dr6_bd));
    }
};

struct Exe017 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-017", "DR6.BT is set by a task switch only", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(is_db(r) && !(stim.task_trap && r.event == event::trap),
                       !has(r.dr6 & ~dr6_found(pre, stim, r), dr::dr6_bt));
    }
};

struct Exe018 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-018", "A #DB that is no bus-lock trap does not modify DR6.BLD", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(is_db(r),
                       has(r.dr6, dr::dr6_bld) == (!pre.bus_lock || has(dr6_found(pre, stim, r), dr::dr6_bld)));
    }
};

struct Exe019 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-019", "A #DB outside an RTM region leaves DR6.RTM = 1",
                                          SDM3 "Debug Status Register (DR6); " KUT "run_tests");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(is_db(r), has(r.dr6, dr::dr6_rtm)); }
};

struct Exe020 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-020", "#DB leaves the reserved bits of DR6 as they are", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        constexpr std::uint64_t status = dr::dr6_b | dr::dr6_bld | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt | dr::dr6_rtm;
        return implies(is_db(r) && !(writes_dr6(pre, stim) && executed(r)), !has(r.dr6 ^ pre.dr6, ~status));
    }
};

struct Exe021 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-021", "Nothing but #DB and MOV to DR6 changes DR6", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return !(software(stim) && stim.vector == 1); }
    FAULTLINE_ALLOWS {
        return implies(!is_db(r) && !(writes_dr6(pre, stim) && r.event == event::none), r.dr6 == pre.dr6);
    }
};

struct Dbg077 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-077", "INT 1 is a software interrupt: it leaves DR6 alone",
                                          "XTF swint-emulation; " SDM2 "INT n/INTO/INT3/INT1");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return software(stim) && stim.vector == 1; }
    FAULTLINE_ALLOWS { return implies(!is_db(r), r.dr6 == pre.dr6); }
};

struct Dbg027 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-027", "Entry to the #DB handler clears DR7.GD, whatever the cause",
                                          APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(is_db(r) && r.event != event::gd_db, !has(r.dr7, dr::dr7_gd)); }
};

struct Exe022 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-022", "Events leave DR7 alone, but for GD", APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(!((writes_dr7(pre, stim) || switches_task(stim)) && executed(r)),
                       !has(r.dr7 ^ pre.dr7, ~dr::dr7_gd));
    }
};

struct Exe023 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-023", "Nothing but #DB and MOV to DR7 changes DR7.GD", APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(!is_db(r) && !(writes_dr7(pre, stim) && r.event == event::none),
                       !has(r.dr7 ^ pre.dr7, dr::dr7_gd));
    }
};

struct Dbg082 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-082", "#DB clears DEBUGCTL.BTF and DEBUGCTL.LBR", APM2 "Control-Transfer Breakpoint Features");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(is_db(r), r.debugctl == 0); }
};

struct Exe043 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-043", "Nothing but #DB and WRMSR changes DEBUGCTL", APM2 "Debug-Control MSR (DebugCtl)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(!is_db(r), r.debugctl == ite(r.event == event::none, stim.debugctl_after, pre.debugctl));
    }
};

struct Dbg055 : RulePerRegister {
    static constexpr RuleInfo info = free(
        "DBG-055", "Where ICEBP need not leave B0–B3, it may; where it is fused with a held breakpoint, either holds",
        SDM3 "Debug Status Register (DR6) (\"certain debug exceptions may clear bits 0-3\")");
    using excepts = Excepts<Dbg073>;
    FAULTLINE_APPLIES { return is(stim, kind::icebp) && (!pre.amd || pre.held != 0); }
    FAULTLINE_ALLOWS {
        return r.event == event::icebp && b(r, n) == (held(pre, n) || (!pre.amd && has(pre.dr6, 1ull << n)));
    }
};

struct Dbg056 : RulePerRegister {
    static constexpr RuleInfo info =
        free("DBG-056", "Bn may also be set for a breakpoint that matches and is disabled or suppressed",
             SDM3 "Debug Status Register (DR6) (\"may or may not be set if the breakpoint is not enabled\")");
    using excepts = Excepts<Exe015, Dbg025, Dbg054, Dbg073>;
    template <class D>
    static typename D::Bool fetched(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
        return fetch_match(pre, stim, n) || fetch_undefined(pre, stim, n);
    }
    FAULTLINE_APPLIES {
        return executes(stim) && (fetched(pre, stim, n) ||
                                  (!enabled(pre, n) && (access_match(pre, stim, n) || access_undefined(pre, stim, n))));
    }
    FAULTLINE_ALLOWS {
        return is_db(r) && b(r, n) && (r.event == event::trap || fetched(pre, stim, n)) &&
               !(r.event == event::code_db && enabled(pre, n));
    }
};

struct Dbg095 : RulePerRegister {
    static constexpr RuleInfo info = free(
        "DBG-095", "A trap whose next instruction carries an enabled instruction breakpoint may report its Bn, too",
        SDM3
        "Debug Exceptions (one #DB may report several conditions); S. Christopherson, KVM list, 2025-12-12; "
        "kvm-unit-tests, x86/debug.c, singlestep_with_code_db");
    using excepts = Excepts<Exe015, Dbg050, Dbg054>;
    /// MOV to DR counts at once. Whether the breakpoint is met when the handler returns is a question of its own.
    FAULTLINE_APPLIES {
        Pre<D> after = pre;
        const auto load = [&](auto& value, std::uint64_t number) {
            value = ite(is(stim, kind::mov_dr) && stim.dr_write && stim.dr_number == number, stim.dr_value, value);
        };
        load(after.dr0, 0), load(after.dr1, 1), load(after.dr2, 2), load(after.dr3, 3);
        after.dr7 =
            ite(writes_dr7(pre, stim), stim.dr_value, ite(switches_task(stim), pre.dr7 & ~local_enables, pre.dr7));
        Stimulus<D> following = stim;
        following.rip = stim.next;
        return runs(pre, stim) && enabled(after, n) &&
               (fetch_match(after, following, n) || fetch_undefined(after, following, n));
    }
    FAULTLINE_ALLOWS { return r.event == event::trap && b(r, n); }
};

struct Dbg084 : RuleBase {
    static constexpr RuleInfo info =
        free("DBG-084", "Elsewhere than on AMD, a #DB that is no bus-lock trap may set DR6.BLD to 1",
             SDM3 "Debug Status Register (DR6); KVM's payload handling does so", {}, RuleVendor::Intel);
    using excepts = Excepts<Exe018>;
    FAULTLINE_APPLIES { return !pre.amd; }
    FAULTLINE_ALLOWS { return has(r.dr6, dr::dr6_bld); }
};

struct Exe038 : RuleBase {
    static constexpr RuleInfo info = free("EXE-038", "ICEBP may leave DEBUGCTL.BTF and DEBUGCTL.LBR",
                                          APM2 "Control-Transfer Breakpoint Features (silent about ICEBP)");
    using excepts = Excepts<Dbg082>;
    FAULTLINE_APPLIES { return is(stim, kind::icebp); }
    FAULTLINE_ALLOWS { return r.event == event::icebp && r.debugctl == pre.debugctl; }
};

inline constexpr auto db_delivery_rules =
    boost::hana::tuple_t<Dbg054, Dbg050, Dbg073, Dbg074, Dbg053, Exe016, Exe017, Exe018, Exe019, Exe020, Exe021, Dbg077,
                         Dbg027, Exe022, Exe023, Dbg082, Exe043, Dbg055, Dbg056, Dbg095, Dbg084, Exe038>;

}  // namespace faultline::oracle::debug
