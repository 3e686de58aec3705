// Hardware task switches: the debug trap that the new TSS asks for, and what becomes of local breakpoints. Intel SDM
// vol 3, "Task-Switch Exception Condition"; AMD APM vol 2, "Debug-Status Register (DR6)", "Debug-Control Register
// (DR7)".
#pragma once

#include "oracle/chapters/debug/rules/single_step.hpp"

namespace faultline::oracle::debug {

inline constexpr std::uint64_t local_enables = 0x55, local_exact = 0x100;  // DR7.L0–L3, DR7.LE

/// Another task is entered.
template <class D>
typename D::Bool enters_task(const Pre<D>& pre, const Stimulus<D>& stim) {
    return switches_task(stim) && runs(pre, stim);
}

struct Dbg078 : RuleBase {
    static constexpr RuleInfo info = arch(
        "DBG-078", "A switch to a task whose TSS has T = 1 gives #DB with DR6.BT before the task's first instruction",
        SDM3 "Task-Switch Exception Condition and Task-State Segment (TSS)", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return enters_task(pre, stim) && stim.task_trap; }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::trap && has(r.dr6, dr::dr6_bt)); }
};

struct Dbg080 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-080", "A task switch clears DR7.L0–L3", APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return enters_task(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), !has(r.dr7, local_enables)); }
};

struct Exe051 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-051", "A task switch leaves DR7 alone but for the local enables",
                                          APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return enters_task(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), !has(r.dr7 ^ pre.dr7, ~(local_enables | dr::dr7_gd))); }
};

struct Exe052 : RuleBase {
    static constexpr RuleInfo info = free("EXE-052", "A task switch may clear DR7.LE together with L0–L3",
                                          SDM3 "Debug Control Register (DR7) (silent about LE)");
    using excepts = Excepts<Exe051>;
    FAULTLINE_APPLIES { return enters_task(pre, stim); }
    FAULTLINE_ALLOWS {
        return executed(r) && !has(r.dr7, local_exact) &&
               !has(r.dr7 ^ pre.dr7, ~(local_enables | local_exact | dr::dr7_gd));
    }
};

struct Exe053 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-053", "A task switch loads RF from the new TSS", SDM3 "Task Switching (the state of the new task)");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return enters_task(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), r.rf == stim.rf_after); }
};

struct Exe054 : RuleBase {
    static constexpr RuleInfo info =
        free("EXE-054", "Across a task switch under TF, before or after it, the step trap may be there or not",
             APM2 "Single Stepping and " SDM3 "Task Switching (both silent)");
    using excepts = Excepts<Dbg051, Exe041, Dbg052, struct Exe009>;
    FAULTLINE_APPLIES { return enters_task(pre, stim) && (pre.tf || stim.tf_after) && (!btf(pre) || stim.branch); }
    FAULTLINE_ALLOWS {
        return executed(r) &&
               ((pre.tf && !sets_bs(pre, stim, r)) || (!pre.tf && r.event == event::trap && has(r.dr6, dr::dr6_bs)));
    }
};

inline constexpr auto task_switch_rules = boost::hana::tuple_t<Dbg078, Dbg080, Exe051, Exe052, Exe053, Exe054>;

}  // namespace faultline::oracle::debug
