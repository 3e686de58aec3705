// Task gates: Intel SDM vol 2, INT n/INTO/INT3/INT1, TASK-GATE; SDM vol 3, Task Management.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

struct Xcp246 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-246", "A task gate whose checks succeed switches to the task", SDM3 "Task Switching");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return task_ok(pre, stim); }
    FAULTLINE_ALLOWS { return is(r, result::task_switch); }
};

struct Xcp247 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-247", "A task gate to what is no TSS, or a busy one, meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return through_task_gate(pre, stim) && !stim.tss_available; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp068 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-068", "A task gate to a TSS that is not present meets #NP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return through_task_gate(pre, stim) && stim.tss_available && !stim.tss_present; }
    FAULTLINE_ALLOWS { return meets(r, vec::np); }
};

struct Xcp248 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-248", "A fault about a task gate's TSS carries that selector without RPL", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return through_task_gate(pre, stim) && !task_ok(pre, stim); }
    FAULTLINE_ALLOWS { return code_is<D>(r, stim.gate_selector & 0xFFFC); }
};

struct Xcp249 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-249", "The task switched to is the one that the gate names", SDM3 "Task-Gate Descriptor");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::task_switch), r.selector == stim.gate_selector); }
};

struct Xcp081 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-081", "The interrupted task is saved with the RIP that a frame would show", SDM3 "Task Switching");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::task_switch), r.rip == stim.rip); }
};

struct Xcp250 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-250", "The interrupted task is saved with the RF that a frame would show",
             SDM3 "Debug Exceptions, Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::task_switch), r.rf == stim.rf); }
};

inline constexpr auto task_rules = boost::hana::tuple_t<Xcp246, Xcp247, Xcp068, Xcp248, Xcp249, Xcp081, Xcp250>;

}  // namespace faultline::oracle::exceptions
