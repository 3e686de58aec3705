// Events and their frames: what an op that faults, interrupts or simply completes leaves behind. The base facts
// that the debug rules stand on. Intel SDM vol 3, "Interrupt and Exception Handling"; vol 2, "INT n/INTO/INT3/INT1".
#pragma once

#include "oracle/chapters/debug/rules/access.hpp"
#include "oracle/chapters/debug/rules/registers.hpp"
#include "oracle/chapters/debug/rules/single_step.hpp"
#include "oracle/chapters/debug/rules/task_switch.hpp"

namespace faultline::oracle::debug {

struct Dbg041 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-041", "A fault other than an instruction breakpoint pushes RF = 1",
             SDM3 "Instruction-Breakpoint Exception Condition; " APM2 "RFLAGS Register (RF)");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return stim.faults || dr_stopped(pre, stim); }
    FAULTLINE_ALLOWS { return implies(r.event == event::fault || r.event == event::gd_db, r.rf); }
};

struct Dbg026 : RuleBase {
    static constexpr RuleInfo info =
        free("DBG-026", "The general-detect #DB may push RF = 0, as processors of both vendors do",
             "Linux 5623f751bd9c and its series, \"KVM: x86: Treat #DBs from the emulator as fault-like\"", "S5");
    using excepts = Excepts<Dbg041>;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && general_detect(pre); }
    FAULTLINE_ALLOWS { return r.event == event::gd_db && !r.rf; }
};

struct Dbg042 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-042", "A trap between the iterations of a REP instruction pushes RF = 1",
                                          SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return is(stim, kind::rep) && !stim.last; }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, r.rf); }
};

struct Dbg043 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-043", "A software interrupt pushes RF = 0", SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return software(stim); }
    FAULTLINE_ALLOWS { return implies(r.event == event::delivered, !r.rf); }
};

struct Dbg044 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-044", "POPF never sets RF", SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return is(stim, kind::popf); }
    FAULTLINE_ALLOWS { return implies(executed(r), !r.rf); }
};

struct Dbg045 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-045", "IRET loads RF from the frame", SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return is(stim, kind::iret); }
    FAULTLINE_ALLOWS { return implies(executed(r), r.rf == stim.rf_after); }
};

struct Exe028 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-028", "An instruction that completes leaves RF = 0, and a trap pushes that",
             APM2 "Instruction Breakpoints");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return !is(stim, kind::iret) && !is(stim, kind::popf) && !switches_task(stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::none || (r.event == event::trap && (!is(stim, kind::rep) || stim.last)),
                       !r.rf);
    }
};

struct Exe044 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-044", "An interrupt between instructions pushes the RF in force",
                                          SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return is(stim, kind::wake); }
    FAULTLINE_ALLOWS { return r.rf == pre.rf; }
};

struct Exe045 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-045", "ICEBP pushes RF = 0", SDM3 "Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return is(stim, kind::icebp); }
    FAULTLINE_ALLOWS { return implies(r.event == event::icebp, !r.rf); }
};

struct Xcp006 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-006", "Elsewhere than on Intel, INT n, INT3 and ICEBP executed with RF = 1 may push RF = 1",
             APM2 "RFLAGS Register (RF is cleared after successful completion)", {}, RuleVendor::Amd);
    using excepts = Excepts<Dbg043, Exe045>;
    FAULTLINE_APPLIES { return pre.rf && !pre.intel; }
    FAULTLINE_ALLOWS { return r.rf; }
};

struct Xcp001 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-001", "A fault pushes the RIP of the instruction that caused it", SDM3 "Program or Task Restart");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(r.event == event::code_db || r.event == event::fault, r.rip == stim.rip); }
};

struct Xcp002 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-002", "A software interrupt pushes the RIP of the next instruction",
                                          SDM3 "Program or Task Restart; XTF swint-emulation");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return software(stim); }
    FAULTLINE_ALLOWS { return implies(r.event == event::delivered, r.rip == stim.next); }
};

struct Dbg072 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-072", "ICEBP pushes the RIP of the next instruction",
             KUT "singlestep_with_movss_blocking_and_icebp; " SDM2 "INT n/INTO/INT3/INT1", "S5");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return is(stim, kind::icebp); }
    FAULTLINE_ALLOWS { return implies(r.event == event::icebp, r.rip == stim.next); }
};

struct Exe012 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-012", "A debug trap pushes the RIP of the next instruction, after a branch its target",
             APM2 "Using Breakpoints (table Breakpoint Location by Condition)");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(r.event == event::trap, r.rip == stim.next); }
};

struct Exe011 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-011", "An instruction that completes is followed by the next one", SDM3 "Program or Task Restart");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(r.event == event::none, r.rip == stim.next); }
};

struct Exe004 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-004", "An instruction with no reason to fault raises nothing but its own debug trap",
             SDM3 "Sources of Exceptions");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return completes(pre, stim) && !Dbg011::applies(pre, stim, n) && !Dbg020::applies(pre, stim, n);
    }
    FAULTLINE_ALLOWS { return unless_code_db(r, executed(r)); }
};

struct Exe005 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-005", "An instruction that must fault raises that fault instead of completing",
             SDM3 "Exception and Interrupt Reference");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return stim.faults && executes(stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::fault && r.vector == stim.vector); }
};

struct Xcp025 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-025", "A fault pushes the error code of its vector; EXT is 0 outside delivery", SDM3 "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::fault, r.error == ite(stim.faults, stim.error, typename D::Bits(0)));
    }
};

struct Exe007 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-007", "INT n and INT3 deliver their vector through the IDT", SDM2 "INT n/INTO/INT3/INT1");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return software(stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::delivered && r.vector == stim.vector); }
};

struct Dbg075 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-075", "ICEBP raises #DB whatever the gate's DPL", APM2 "Event Injection; XTF swint-emulation");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::icebp) && !stim.faults && pre.cpl != 0; }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::icebp); }
};

struct Exe008 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-008", "ICEBP raises #DB", SDM2 "INT n/INTO/INT3/INT1", "S5");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::icebp) && !stim.faults && pre.cpl == 0; }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::icebp); }
};

struct Exe037 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-037", "An interrupt taken at a boundary pushes that boundary's RIP", SDM3 "Program or Task Restart");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return is(stim, kind::wake); }
    FAULTLINE_ALLOWS { return r.event == event::delivered && r.vector == stim.vector && r.rip == stim.rip; }
};

/// A breakpoint that the trap reports and that is met, or was held.
template <class D>
typename D::Bool reports_breakpoint(const Pre<D>& pre, const Stimulus<D>& stim, const Response<D>& r) {
    return any_register([&](unsigned i) { return b(r, i) && (hit(pre, stim, i) || held(pre, i)); });
}

struct Exe009 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-009", "A debug trap follows an instruction only for a cause it reports", APM2 "Using Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return runs(pre, stim) && !step(pre, stim) && !stim.task_trap; }
    /// Whether DR6.BS may be what it reports, the rules of single stepping say.
    FAULTLINE_ALLOWS {
        return implies(r.event == event::trap, reports_breakpoint(pre, stim, r) || sets_bs(pre, stim, r));
    }
};

struct Exe050 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-050", "Where a step trap may be left out and is, a trap there reports a breakpoint",
             APM2 "Using Breakpoints");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return step(pre, stim) && !stim.task_trap &&
               ((is(stim, kind::rep) && !stim.last) || Exe029::applies(pre, stim, n) || Exe031::applies(pre, stim, n) ||
                switches_task(stim));
    }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::trap, has(r.dr6, dr::dr6_bs) || reports_breakpoint(pre, stim, r));
    }
};

struct Dbg062 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-062", "#DB clears TF for its handler; the pushed image keeps it", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS {
        return implies(is_db(r),
                       r.tf == ((r.event == event::trap && stim.tf_after) || (r.event != event::trap && pre.tf)));
    }
};

struct Xcp048 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-048", "The pushed image holds TF as it was before delivery cleared it",
                                          SDM3 "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(r.event == event::fault || r.event == event::delivered, r.tf == pre.tf); }
};

struct Exe046 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-046", "TF changes only by instructions that load it", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return implies(r.event == event::none, r.tf == stim.tf_after); }
};

inline constexpr auto events_rules =
    boost::hana::tuple_t<Dbg041, Dbg026, Dbg042, Dbg043, Dbg044, Dbg045, Exe028, Exe044, Exe045, Xcp006, Xcp001, Xcp002,
                         Dbg072, Exe012, Exe011, Exe005, Exe007, Dbg075, Exe008, Exe037, Exe004, Exe009, Exe050, Xcp025,
                         Dbg062, Xcp048, Exe046>;

}  // namespace faultline::oracle::debug
