// Single stepping by RFLAGS.TF, and by branches with DEBUGCTL.BTF. AMD APM vol 2, "Single Stepping" and "Single
// Stepping Control Transfers"; Intel SDM vol 3, "Single-Step Exception Condition".
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

template <class D>
typename D::Bool trap_steps(const Response<D>& r) {
    return unless_code_db(r, r.event == event::trap && has(r.dr6, dr::dr6_bs));
}
/// DR6.BS is set and was not before.
template <class D>
typename D::Bool sets_bs(const Pre<D>& pre, const Stimulus<D>& stim, const Response<D>& r) {
    return is_db(r) && has(r.dr6, dr::dr6_bs) && !has(dr6_found(pre, stim, r), dr::dr6_bs);
}
template <class D>
typename D::Bool loads_flags(const Stimulus<D>& stim) {
    return is(stim, kind::popf) || is(stim, kind::iret);
}
/// POPF or IRET that turns TF off.
template <class D>
typename D::Bool ends_stepping(const Stimulus<D>& stim) {
    return loads_flags(stim) && !stim.tf_after;
}

/// SYSRET under a TF that only SYSRET's own rule makes trap: loaded by it, or on AMD, which says so.
template <class D>
typename D::Bool steps_as_sysret(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::sysret) && (pre.amd || !pre.tf);
}

struct Dbg051 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-051", "With TF = 1 when an instruction starts, #DB with DR6.BS follows it", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return step(pre, stim) && !btf(pre) && !ends_stepping(stim) && !is(stim, kind::sti) &&
               !steps_as_sysret(pre, stim) && !is(stim, kind::hlt);
    }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Dbg060 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-060", "SYSRET that loads TF = 1 is followed by #DB before the target executes",
             APM2 "Single Stepping", {}, RuleVendor::Amd);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return step(pre, stim) && !btf(pre) && steps_as_sysret(pre, stim); }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Dbg061 : RuleBase {
    static constexpr RuleInfo info = arch(
        "DBG-061", "POPF or IRET that clears TF is itself still followed by the step trap", KUT "singlestep_basic");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return step(pre, stim) && !btf(pre) && ends_stepping(stim); }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Dbg064 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-064", "STI's shadow does not hold back the step trap", KUT "singlestep_with_sti_blocking");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return step(pre, stim) && !btf(pre) && is(stim, kind::sti); }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Dbg090 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-090", "HLT under TF is followed by one step trap behind it", KUT "singlestep_with_sti_hlt");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return step(pre, stim) && !btf(pre) && is(stim, kind::hlt); }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Exe041 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-041", "With TF = 1 and DEBUGCTL.BTF = 1, #DB with DR6.BS follows each taken branch",
             APM2 "Single Stepping Control Transfers");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return step(pre, stim) && btf(pre); }
    FAULTLINE_ALLOWS { return trap_steps(r); }
};

struct Dbg058 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-058", "POPF that sets TF is not itself followed by the step trap", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return runs(pre, stim) && !pre.tf && stim.tf_after && is(stim, kind::popf); }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r); }
};

struct Dbg059 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-059", "IRET that sets TF is followed by the step trap only after its target", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return runs(pre, stim) && !pre.tf && stim.tf_after && is(stim, kind::iret); }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r); }
};

struct Dbg081 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-081", "With DEBUGCTL.BTF = 1, TF steps no instruction that is not a taken branch",
             APM2 "Single Stepping Control Transfers");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return runs(pre, stim) && stepping(stim, pre) && btf(pre) && !stim.branch; }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r); }
};

struct Xcp102 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-102", "SYSCALL that masks TF is not followed by a step trap at the kernel's entry",
             "kvm-unit-tests 1da1819e, x86/syscall.c, syscall_tf_handler; " APM2 "SYSCALL and SYSRET MSRs", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return runs(pre, stim) && is(stim, kind::syscall) && pre.tf && !stim.tf_after; }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r); }
};

struct Dbg052 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-052", "DR6.BS is set by single stepping only", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return !step(pre, stim) && !Dbg058::applies(pre, stim, n) && !Dbg059::applies(pre, stim, n) &&
               !Dbg081::applies(pre, stim, n) && !Xcp102::applies(pre, stim, n) && !is(stim, kind::icebp);
    }
    FAULTLINE_ALLOWS { return !sets_bs(pre, stim, r) || has(pre.held, dr::dr6_bs); }
};

struct Exe048 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-048", "A fault-class #DB of an instruction under TF does not set DR6.BS: the step is not done",
             APM2 "Single Stepping (after the instruction is executed)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return step(pre, stim); }
    FAULTLINE_ALLOWS { return implies(sets_bs(pre, stim, r), r.event == event::trap); }
};

struct Dbg089 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-089", "An instruction that faults is followed by no step trap",
                                          SDM3 "Single-Step Exception Condition (after the instruction is executed)");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES { return stim.faults && pre.tf && executes(stim); }
    FAULTLINE_ALLOWS { return r.event != event::trap; }
};

struct Exe013 : RuleBase {
    static constexpr RuleInfo info = free(
        "EXE-013", "With TF = 1 and DEBUGCTL.BTF = 1, the delivery of an exception or interrupt may itself be stepped",
        APM2 "Single Stepping Control Transfers (\"every branch instruction, interrupt, or exception\")");
    using excepts = Excepts<struct Exe036>;
    FAULTLINE_APPLIES { return pre.tf && btf(pre) && !is(stim, kind::boundary); }
    FAULTLINE_ALLOWS {
        return (r.event == event::fault || r.event == event::delivered) && (r.held & ~dr::dr6_b) == dr::dr6_bs;
    }
};

struct Exe014 : RuleBase {
    static constexpr RuleInfo info = free(
        "EXE-014", "A step trap between the iterations of a REP instruction may be left out",
        APM2 "Using Breakpoints (table Breakpoint Location by Condition: REP \"can breakpoint between iterations\")");
    using excepts = Excepts<Dbg051>;
    FAULTLINE_APPLIES { return is(stim, kind::rep) && !stim.last; }
    FAULTLINE_ALLOWS { return executed(r) && !sets_bs(pre, stim, r); }
};

struct Exe029 : RuleBase {
    static constexpr RuleInfo info =
        free("EXE-029", "Where SYSRET changes TF, the value before it may decide about the step trap",
             SDM2 "SYSRET—Return From Fast System Call (silent)", {}, RuleVendor::Intel);
    using excepts = Excepts<Dbg060, Exe041, Dbg052, struct Exe009>;
    /// AMD says that TF loaded by SYSRET traps at once; about TF cleared by it nobody says anything.
    FAULTLINE_APPLIES {
        return runs(pre, stim) && is(stim, kind::sysret) && pre.tf != stim.tf_after && (pre.tf || !pre.amd) &&
               (!btf(pre) || stim.branch);
    }
    FAULTLINE_ALLOWS {
        return executed(r) &&
               ((pre.tf && r.event == event::trap && has(r.dr6, dr::dr6_bs)) || (!pre.tf && !sets_bs(pre, stim, r)));
    }
};

struct Exe030 : RuleBase {
    static constexpr RuleInfo info = free("EXE-030", "HLT under TF may halt before the step trap is taken",
                                          SDM2 "HLT—Halt (a debug exception resumes execution)");
    using excepts = Excepts<Dbg090>;
    FAULTLINE_APPLIES { return is(stim, kind::hlt); }
    FAULTLINE_ALLOWS { return r.event == event::none; }
};

struct Exe031 : RuleBase {
    static constexpr RuleInfo info =
        free("EXE-031", "Where an instruction changes DEBUGCTL.BTF, the new value may decide about its own step trap",
             APM2 "Single Stepping Control Transfers (silent)");
    using excepts = Excepts<Dbg051, Dbg081, struct Exe009>;
    FAULTLINE_APPLIES {
        return runs(pre, stim) && pre.tf && is(stim, kind::ordinary) && !stim.branch &&
               has(stim.debugctl_after ^ pre.debugctl, guest::debugctl::btf);
    }
    FAULTLINE_ALLOWS {
        return executed(r) && ((btf(pre) && r.event == event::trap && has(r.dr6, dr::dr6_bs)) ||
                               (!btf(pre) && !sets_bs(pre, stim, r)));
    }
};

inline constexpr auto single_step_rules =
    boost::hana::tuple_t<Dbg051, Dbg060, Dbg061, Dbg064, Dbg090, Exe041, Dbg058, Dbg059, Dbg081, Xcp102, Dbg052, Exe048,
                         Dbg089, Exe013, Exe014, Exe029, Exe030, Exe031>;

}  // namespace faultline::oracle::debug
