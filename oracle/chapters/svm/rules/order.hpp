// Does an instruction intercept come, and before which exceptions: AMD APM vol 2, "Instruction Intercepts", Table 15-7,
// and for what it does not say, "Intercept Operation". I/O and MSRs: maps.hpp.
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Svm100 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-100", "Nothing is intercepted that the VMCB does not ask for", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return executing(stim) && !stim.intercepted && !selected(stim) && !idle_selected(pre, stim) &&
               !armed_selected(stim);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm007 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-007", "An instruction breakpoint on an instruction comes before its intercept", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return meets(stim, raises::code_breakpoint); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm008 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-008", "A data breakpoint's trap, left by the instruction before, comes before an intercept",
             SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return meets(stim, raises::pending_trap); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm101 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-101", "An instruction that meets nothing exits where its intercept is asked for", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return asked(stim) && !checks(stim, Intercept::Io, Intercept::Msr, Intercept::Pause, Intercept::Icebp) &&
               meets_none(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

// --- Control and debug registers

struct Svm102 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-102",
                                          "The exceptions of CR0 and CR3 accesses that need no memory come before the "
                                          "intercept: #UD, CPL, illegal values",
                                          SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return (accesses_cr0(stim) || accesses_cr3(stim)) &&
               meets(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm103 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-103", "The intercepts of LMSW and SMSW come before what their memory operand meets", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return accesses_cr0(stim) && asked(stim) && meets(stim, raises::memory) &&
               meets_none(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm104 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-104", "The intercept of a CR3 write comes before the #GP of page directory pointers", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return accesses_cr3(stim) && asked(stim) && meets(stim, raises::memory) &&
               meets_none(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm105 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-105", "All exceptions of accesses to other control registers come before the intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return accesses_cr(stim) && !accesses_cr0(stim) && !accesses_cr3(stim) && meets(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm003 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-003", "#GP comes before a DR intercept, of CPL or of a value", SVM_INSTRUCTIONS, "S1");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return accesses_dr(stim) && meets(stim, raises::privilege | raises::operand); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm004 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-004", "General detect comes before a DR intercept",
                                          SVM_INSTRUCTIONS " (\"all normal exception checks take precedence\")", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return accesses_dr(stim) && meets(stim, raises::general_detect); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm005 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-005", "#UD of a reserved debug register comes before a DR intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return accesses_dr(stim) && meets(stim, raises::undefined); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

/// Two sections: the table lets all normal exceptions go first, the general guideline those about values last.
struct Svm006 : RuleBase {
    static constexpr RuleInfo info = free("SVM-006", "A DR intercept may come before the #GP of the value",
                                          SVM_OPERATION " (\"before … exceptions based on specific operand values\")");
    using excepts = Excepts<Svm003>;
    FAULTLINE_APPLIES {
        return accesses_dr(stim) && asked(stim) && meets(stim, raises::operand) &&
               meets_none(stim, raises::undefined | raises::privilege | raises::general_detect);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

// --- Selective CR0 writes

struct Svm025 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-025", "The selective intercept is not for MOV to CR0 that changes nothing but TS and MP",
             SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return selected(stim) && stim.form == form::mov && !changes_more_than_ts_mp(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm107 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-107", "The selective intercept is for MOV to CR0 that changes another bit than TS and MP",
             SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return selected(stim) && stim.form == form::mov && changes_more_than_ts_mp(stim) &&
               meets_none(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm026 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-026", "The selective intercept is for every LMSW, whatever it writes", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return selected(stim) && stim.form == form::lmsw &&
               meets_none(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm108 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-108", "The selective intercept is not for CLTS", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return selected(stim) && stim.form == form::clts; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

// --- Descriptor tables

struct Svm109 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-109", "#UD and #GP, of CPL or of a value, come before the intercepts of descriptor table registers",
             SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return accesses_tables(stim) && meets(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm110 : RuleBase {
    static constexpr RuleInfo info =
        free("SVM-110", "The intercept of a descriptor table register may come before #GP of a value",
             SVM_OPERATION " (\"before … exceptions based on specific operand values\")");
    using excepts = Excepts<Svm109>;
    FAULTLINE_APPLIES {
        return accesses_tables(stim) && asked(stim) && meets(stim, raises::operand) &&
               meets_none(stim, raises::undefined | raises::privilege);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm112 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-112", "The intercepts of descriptor table registers come before any memory access", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return accesses_tables(stim) && asked(stim) && meets(stim, raises::memory) &&
               meets_none(stim, raises::undefined | raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

// --- Exceptions first

struct Svm113 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-113", "All exceptions of RDTSC, RDTSCP, RDPMC and RDPRU come before the intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Rdtsc, Intercept::Rdtscp, Intercept::Rdpmc, Intercept::Rdpru) &&
               meets(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm114 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-114", "All exceptions of HLT, MONITOR and MWAIT come before the intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Hlt, Intercept::Monitor, Intercept::Mwait) && meets(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm115 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-115", "All exceptions of INVLPG and INVLPGA come before the intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Invlpg, Intercept::Invlpga) && meets(stim, raises::exceptions); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm116 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-116", "The exceptions of INVD, WBINVD and TLBSYNC come before the intercept", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Invd, Intercept::Wbinvd, Intercept::Tlbsync) && meets(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm117 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-117", "The exceptions of VMRUN, VMLOAD, VMSAVE, STGI, CLGI and SKINIT come before the intercept",
             SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return (checks(stim, Intercept::Vmrun, Intercept::Vmload, Intercept::Vmsave) ||
                checks(stim, Intercept::Stgi, Intercept::Clgi, Intercept::Skinit)) &&
               meets(stim, raises::exceptions);
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

// --- Instructions with another intercept

struct Svm190 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-190", "The idle HLT intercept takes HLT while no virtual interrupt is pending", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return idle_selected(pre, stim) && !stim.filtered && meets_none(stim, raises::exceptions); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm191 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-191", "The idle HLT intercept leaves HLT alone while a virtual interrupt is pending", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return idle_selected(pre, stim) && stim.filtered; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm192 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-192", "The conditional MWAIT intercept takes MWAIT that would have waited", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return armed_selected(stim) && meets_none(stim, raises::exceptions); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm028 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-028", "The intercept of a task switch comes after the gate and the incoming TSS have been checked",
             APM2 "Task Switch Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return switches_task(stim) && meets(stim, raises::exceptions); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

// --- The intercept first

struct Svm014 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-014", "The intercepts of PUSHF, POPF, RSM and IRET come before every exception", SVM_INSTRUCTIONS, "S4");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return intercept_first(stim) && asked(stim) && meets(stim, raises::exceptions) && meets_none(stim, 0);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm016 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-016", "The intercept of INT n comes before every exception, its gate's checks included",
             SVM_INSTRUCTIONS, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::SoftwareInterrupt) && asked(stim) && meets(stim, raises::exceptions) &&
               meets_none(stim, 0);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm118 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-118", "The intercept of VMMCALL comes before its #UD", SVM_INSTRUCTIONS "; VMMCALL Instruction");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Vmmcall) && asked(stim) && meets(stim, raises::exceptions) &&
               meets_none(stim, 0);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm119 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-119", "The intercept of XSETBV comes before #GP", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Xsetbv) && asked(stim) && meets(stim, raises::privilege | raises::operand) &&
               meets_none(stim, raises::undefined);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm120 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-120", "#UD of XSETBV comes before the intercept", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Xsetbv) && meets(stim, raises::undefined); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm121 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-121", "#GP of a CPL that is not 0 comes before the intercepts of INVLPGB and INVPCID", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return invalidates_by_process(stim) && meets(stim, raises::privilege); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm122 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-122", "The intercepts of INVLPGB and INVPCID come before every exception but #GP of CPL",
             SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return invalidates_by_process(stim) && asked(stim) && meets(stim, raises::exceptions) &&
               meets_none(stim, raises::privilege);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

// --- ICEBP and PAUSE

struct Svm017 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-017", "ICEBP has an intercept of its own", SVM_INSTRUCTIONS "; #DB (Debug)", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Icebp) && asked(stim) && meets_none(stim, 0); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm050 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-050", "Without a filter count every PAUSE exits", SVM_INSTRUCTIONS "; Pause Intercept Filtering");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Pause) && asked(stim) && meets_none(stim, 0); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm123 : RuleBase {
    static constexpr RuleInfo info =
        free("SVM-123", "Under a filter count a PAUSE may go on", SVM_INSTRUCTIONS "; Pause Intercept Filtering");
    using excepts = Excepts<Svm050>;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Pause) && stim.filtered; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

inline constexpr auto order_rules =
    boost::hana::tuple_t<Svm100, Svm007, Svm008, Svm101, Svm102, Svm103, Svm104, Svm105, Svm003, Svm004, Svm005, Svm006,
                         Svm025, Svm107, Svm026, Svm108, Svm109, Svm110, Svm112, Svm113, Svm114, Svm115, Svm116, Svm117,
                         Svm190, Svm191, Svm192, Svm028, Svm014, Svm016, Svm118, Svm119, Svm120, Svm121, Svm122, Svm017,
                         Svm050, Svm123>;

}  // namespace faultline::oracle::svm
