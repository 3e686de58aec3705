// What the exit of an intercepted exception reports: AMD APM vol 2, "Exception Intercepts" and its subsections, "State
// Saved on Exit", "Intercepts During IDT Interrupt Delivery". Where these rules are silent, EXITINFO1 and EXITINFO2 are
// undefined: of #DF and #TS, too, although both push an error code. After a shutdown all is (EXC-032).
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Exc117 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-117", "An intercepted exception exits with 40h plus its vector",
                                          APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return excepting(stim) && stim.source != source::shutdown; }
    FAULTLINE_ALLOWS { return exits_with<D>(r, stim.vector + number(Intercept::Exception)); }
};

struct Exc118 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-118", "An intercepted shutdown exits with 7Fh", APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return from(stim, source::shutdown); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, number(Intercept::Shutdown)); }
};

// --- Where the guest stands

struct Exc012 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-012", "RIP of an intercepted #DB is the instruction's for a fault, the next one's for a trap",
             APM2 "#DB (Debug)", "S5");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return exception(stim, vec::db); }
    FAULTLINE_ALLOWS { return !r.exits || r.rip == stim.rip; }
};

struct Exc015 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-015", "RIP of an intercepted #BP, #OF or #BR is that of INT3, INTO or BOUND",
             SVM_EXCEPTIONS "; #BP (Breakpoint)", "S2");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return of_interrupt_op(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.rip == stim.rip; }
};

/// #DF has none: EXC-006.
struct Exc119 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-119", "RIP of an intercepted fault is what its delivery would push",
                                          SVM_EXCEPTIONS " (\"match those that would otherwise have been pushed\")");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES {
        return exceptional(stim) && !of_interrupt_op(stim) && stim.vector != vec::db && stim.vector != vec::df &&
               stim.vector != vec::ts;
    }
    FAULTLINE_ALLOWS { return !r.exits || r.rip == stim.rip; }
};

struct Exc120 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-120", "RIP of an intercepted #TS is that of the instruction", APM2 "#TS (Invalid TSS)");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return exception(stim, vec::ts); }
    FAULTLINE_ALLOWS { return !r.exits || r.rip == stim.rip; }
};

struct Exc121 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-121", "RIP of an intercepted #TS may be that of the new task's first instruction",
             APM2 "#TS (Invalid TSS)");
    using excepts = Excepts<Exc120>;
    FAULTLINE_APPLIES { return exception(stim, vec::ts); }
    FAULTLINE_ALLOWS { return r.rip == stim.incoming_rip; }
};

struct Exc122 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-122", "nRIP of an intercepted #BP, #OF or #BR is the next instruction's", SVM_SAVED, "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return of_interrupt_op(stim) && pre.nrips; }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == stim.next_rip; }
};

struct Svm012 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-012", "nRIP of every other intercepted exception is zero", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exceptional(stim) && !of_interrupt_op(stim) && pre.nrips; }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == 0; }
};

struct Exc123 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-123", "nRIP of another exception that INT3, INTO or BOUND meets may be the next instruction's",
             SVM_SAVED " (\"exceptions caused by the INT3, INTO, and BOUND instructions\")");
    using excepts = Excepts<Svm012>;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.interrupt_op && pre.nrips; }
    FAULTLINE_ALLOWS { return r.next_rip == stim.next_rip; }
};

struct Exc124 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-124", "RF is the guest's, as it is when an exception intercept triggers", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return exceptional(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.rf == stim.rf; }
};

/// CS and RIP are those of the frame; of RFLAGS the manual says nothing but "as of the moment the intercept triggers".
/// An instruction breakpoint's frame has RF clear, as the guest has it; general detect's has it set.
struct Exc125 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-125", "RF of an intercepted fault may be set, as in the image that its delivery would push",
             SVM_SAVED "; RFLAGS Register, Resume Flag (RF) Bit");
    using excepts = Excepts<Exc124>;
    FAULTLINE_APPLIES { return from(stim, source::fault) && (stim.vector != vec::db || has(stim.dr6, 1 << 13)); }
    FAULTLINE_ALLOWS { return r.rf; }
};

struct Exc126 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-126", "An intercepted exception leaves the interrupt shadow", SVM_SAVED "; Interrupt Shadows");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exceptional(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.shadow == stim.shadow; }
};

struct Exc127 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-127", "An exception met in a delivery may find the interrupt shadow gone",
             APM2 "Interrupt Shadows (silent about deliveries)");
    using excepts = Excepts<Exc126>;
    FAULTLINE_APPLIES { return exceptional(stim) && delivering(stim); }
    FAULTLINE_ALLOWS { return !r.shadow; }
};

// --- What the exception itself writes

struct Exc009 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-009", "An intercepted #PF has not written CR2", APM2 "#PF (Page Fault)", "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exception(stim, vec::pf); }
    FAULTLINE_ALLOWS { return !r.exits || r.cr2 == stim.cr2; }
};

struct Exc128 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-128", "No other intercepted exception writes CR2",
                                          SVM_EXCEPTIONS " (\"no special registers are written\")");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.vector != vec::pf; }
    FAULTLINE_ALLOWS { return !r.exits || r.cr2 == stim.cr2; }
};

struct Exc011 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-011", "DR6 of an intercepted #DB is what its handler would find", APM2 "#DB (Debug)", "S2");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return exception(stim, vec::db); }
    FAULTLINE_ALLOWS { return !r.exits || r.dr6 == stim.dr6; }
};

struct Exc129 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-129", "DR7 of an intercepted #DB is what its handler would find", APM2 "#DB (Debug)", "S2");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return exception(stim, vec::db); }
    FAULTLINE_ALLOWS { return !r.exits || r.dr7 == stim.dr7; }
};

struct Exc130 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-130", "No other intercepted exception writes DR6",
                                          SVM_EXCEPTIONS " (\"no special registers are written\")");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.vector != vec::db; }
    FAULTLINE_ALLOWS { return !r.exits || r.dr6 == stim.dr6; }
};

struct Exc131 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-131", "No other intercepted exception writes DR7",
                                          SVM_EXCEPTIONS " (\"no special registers are written\")");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.vector != vec::db; }
    FAULTLINE_ALLOWS { return !r.exits || r.dr7 == stim.dr7; }
};

// --- EXITINFO

struct Exc008 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-008", "EXITINFO1 of #NP, #SS, #GP, #AC, #CP and #SX is the error code",
                                          APM2
                                          "#NP (Segment Not Present); #SS (Stack Fault); #GP (General Protection); #AC "
                                          "(Alignment Check); #CP (Control Protection); #SX (Security Exception)",
                                          "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return exceptional(stim) && stim.has_error &&
               one_of(stim.vector, vec::np, vec::ss, vec::gp, vec::ac, vec::cp, vec::sx);
    }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.error); }
};

struct Exc010 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-010", "EXITINFO1 of #PF is the error code in protected mode's format, in paged real mode as well",
             APM2 "#PF (Page Fault)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exception(stim, vec::pf); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.error); }
};

struct Exc132 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-132", "EXITINFO2 of #PF is the faulting address", APM2 "#PF (Page Fault)", "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return exception(stim, vec::pf); }
    FAULTLINE_ALLOWS { return !r.exits || r.info2 == stim.address; }
};

// --- EXITINTINFO

struct Exc133 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-133", "EXITINTINFO is not valid where nothing was being delivered", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && !delivering(stim); }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, guest::svm::event_info::valid, 0); }
};

struct Exc134 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-134", "EXITINTINFO is valid where an event was being delivered", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && delivering(stim); }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, guest::svm::event_info::valid, guest::svm::event_info::valid); }
};

struct Exc027 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-027",
                                          "EXITINTINFO has the vector of what was being delivered: the aggregate of "
                                          "all events before the intercepted one",
                                          SVM_DURING, "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && delivering(stim); }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0xFF, stim.prior_vector); }
};

struct Exc135 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-135", "EXITINTINFO calls exceptions type 3", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && stim.prior_source == prior::exception; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0x700, 0x300); }
};

struct Exc025 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-025", "EXITINTINFO calls INT1, INT3 and INTO type 3, too", SVM_DURING, "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && stim.prior_source == prior::one_byte; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0x700, 0x300); }
};

struct Exc136 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-136", "EXITINTINFO calls INT n type 4", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && stim.prior_source == prior::software; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0x700, 0x400); }
};

struct Exc137 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-137", "EXITINTINFO calls external and virtual interrupts type 0", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && stim.prior_source == prior::external; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0x700, 0); }
};

struct Exc138 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-138", "EXITINTINFO calls NMI type 2", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && stim.prior_source == prior::nmi; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, 0x700, 0x200); }
};

struct Exc030 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-030", "EXITINTINFO has EV set where the event would have pushed an error code", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && delivering(stim); }
    FAULTLINE_ALLOWS {
        return int_info_is<D>(
            r, guest::svm::event_info::has_error,
            ite(stim.prior_has_error, typename D::Bits(guest::svm::event_info::has_error), typename D::Bits(0)));
    }
};

/// Without EV the field is undefined: EXC-026.
struct Exc139 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-139", "EXITINTINFO has that error code", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return met(stim) && delivering(stim) && stim.prior_has_error; }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, ~0xFFFFFFFFull, stim.prior_error << 32); }
};

inline constexpr auto reflection_rules =
    boost::hana::tuple_t<Exc117, Exc118, Exc012, Exc015, Exc119, Exc120, Exc121, Exc122, Svm012, Exc123, Exc124, Exc125,
                         Exc126, Exc127, Exc009, Exc128, Exc011, Exc129, Exc130, Exc131, Exc008, Exc010, Exc132, Exc133,
                         Exc134, Exc027, Exc135, Exc025, Exc136, Exc137, Exc138, Exc030, Exc139>;

}  // namespace faultline::oracle::svm
