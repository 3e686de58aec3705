// What becomes of an event whose delivery meets a fault: Intel SDM vol 3, Double Fault Exception (#DF), and Error
// Code.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

struct Xcp187 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-187", "A delivery of which every check succeeds ends in the handler", INTN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return arrives(pre, stim) && !gate_dpl_below(pre, stim); }
    FAULTLINE_ALLOWS { return is(r, result::delivered); }
};

struct Xcp186 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-186", "Exceptions, ICEBP and external interrupts are not held against the gate's DPL",
             SDM3_INT "Protection of Exception- and Interrupt-Handler Procedures; XTF, swint-emulation (ICEBP)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return arrives(pre, stim) && gate_dpl_below(pre, stim); }
    FAULTLINE_ALLOWS { return is(r, result::delivered); }
};

struct Xcp019 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-019", "A fault met by an interrupt, external or by software, is handled serially",
             SDM3_INT "Double Fault Exception (#DF), Interrupt and Exception Classes (INT n, INTR, NMI: benign)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return (refused(pre, stim) || push_refused(pre, stim)) && !from(stim, source::exception) &&
               !from(stim, source::icebp);
    }
    FAULTLINE_ALLOWS { return is(r, result::serial); }
};

struct Xcp011 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-011", "A fault met by a benign exception, ICEBP's #DB among them, is handled serially",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return (refused(pre, stim) || push_refused(pre, stim)) && benign(stim) &&
               (from(stim, source::exception) || from(stim, source::icebp));
    }
    FAULTLINE_ALLOWS { return is(r, result::serial); }
};

struct Xcp012 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-012", "A contributory exception that meets another becomes #DF",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return refused(pre, stim) && contributory(stim); }
    FAULTLINE_ALLOWS { return is(r, result::double_fault); }
};

struct Xcp013 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-013", "A contributory exception that meets #PF is handled serially",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return push_refused(pre, stim) && contributory(stim); }
    FAULTLINE_ALLOWS { return is(r, result::serial); }
};

struct Xcp014 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-014", "A #PF that meets a contributory exception becomes #DF",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return refused(pre, stim) && exception(stim, vec::pf); }
    FAULTLINE_ALLOWS { return is(r, result::double_fault); }
};

struct Xcp229 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-229", "A #PF that meets #PF becomes #DF",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return push_refused(pre, stim) && exception(stim, vec::pf); }
    FAULTLINE_ALLOWS { return is(r, result::double_fault); }
};

struct Xcp015 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-015", "A #DF that meets a contributory exception is a shutdown",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return refused(pre, stim) && exception(stim, vec::df); }
    FAULTLINE_ALLOWS { return is(r, result::shutdown); }
};

struct Xcp230 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-230", "A #DF that meets #PF is a shutdown",
             SDM3_INT "Double Fault Exception (#DF), Conditions for Generating a Double Fault");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return push_refused(pre, stim) && exception(stim, vec::df); }
    FAULTLINE_ALLOWS { return is(r, result::shutdown); }
};

struct Xcp223 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-223", "A push that paging refuses meets #PF", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return push_refused(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::pf); }
};

struct Xcp009 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-009", "#DF's error code is 0, EXT included", SDM3_INT "Double Fault Exception (#DF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::double_fault), r.error == 0); }
};

struct Xcp022 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-022", "EXT is clear in a fault met by INT n, INT3 or INTO", INTN, "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && from(stim, source::software); }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial) && r.vector != vec::pf, !has(r.error, 1)); }
};

struct Xcp023 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-023", "EXT is set in a fault met by an exception, INTR or NMI", INTN, "S2");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return delivering(stim) && !in_real_mode(pre) &&
               (from(stim, source::exception) || from(stim, source::external));
    }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial) && r.vector != vec::pf, has(r.error, 1)); }
};

struct Xcp024 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-024", "EXT is set in a fault met by ICEBP",
             INTN " (\"otherwise (including INT1), EXT is 1\"); XTF, swint-emulation", "S5");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && from(stim, source::icebp); }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial) && r.vector != vec::pf, has(r.error, 1)); }
};

struct Xcp236 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-236", "In real mode no fault carries an error code", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial), r.error == 0); }
};

struct Xcp063 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-063", "A push for a handler below CPL 3 is a supervisor access: U of its #PF is clear",
             SDM3 "Determination of Access Rights");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && !handler_cpl(pre, stim, 3); }
    FAULTLINE_ALLOWS { return implies(serial(r, vec::pf), !has(r.error, pf::u)); }
};

struct Xcp233 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-233", "A push for a handler that stays at CPL 3 is a user access: U of its #PF is set",
             SDM3 "Determination of Access Rights");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && handler_cpl(pre, stim, 3); }
    FAULTLINE_ALLOWS { return implies(serial(r, vec::pf), has(r.error, pf::u)); }
};

struct Xcp237 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-237", "W of a push's #PF is set", SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(serial(r, vec::pf), has(r.error, pf::w)); }
};

struct Xcp238 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-238", "P of a push's #PF is clear exactly where the page is not present",
                                          SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(serial(r, vec::pf), has(r.error, pf::p) == stim.push_present); }
};

struct Xcp232 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-232", "Every other bit of a push's #PF error code is clear, EXT being none of them",
             SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(serial(r, vec::pf), !has(r.error, ~(pf::p | pf::w | pf::u))); }
};

struct Xcp020 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-020", "CR2 is written although #PF becomes #DF or a shutdown",
             SDM3_INT "Page-Fault Exception (#PF) (CR2 is updated whenever a page fault is detected)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return push_refused(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::double_fault) || is(r, result::shutdown), r.writes_cr2); }
};

struct Xcp231 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-231", "A serial #PF writes CR2", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return push_refused(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial), r.writes_cr2); }
};

struct Xcp239 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-239", "A serial fault that is no #PF leaves CR2 alone", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !push_refused(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::serial), !r.writes_cr2); }
};

struct Xcp240 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-240", "A double fault or shutdown without #PF leaves CR2 alone",
                                          SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !push_refused(pre, stim); }
    FAULTLINE_ALLOWS { return implies(!is(r, result::serial), !r.writes_cr2); }
};

struct Xcp243 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-243", "CR2 holds the first address that paging refuses of the first push that it refuses",
             INTN " (pushes in descending order); " SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(r.writes_cr2, r.cr2 == stim.push_address); }
};

struct Xcp244 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-244", "CR2 may hold the address of any byte of the frame that paging refuses",
             SDM3_INT "Page-Fault Exception (#PF) (the order in which a frame is checked is not said)");
    using excepts = Excepts<Xcp243>;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return r.writes_cr2 && ule(stim.push_low, r.cr2) && ule(r.cr2, stim.push_high); }
};

struct Xcp220 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-220", "A fault met by INT n, INT3, INTO or ICEBP points at that instruction",
             INTN " (\"the original event is not delivered\"); XTF, swint-emulation");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return delivering(stim) && (from(stim, source::software) || from(stim, source::icebp)); }
    FAULTLINE_ALLOWS { return implies(nested(r), r.rip == stim.origin); }
};

struct Xcp234 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-234", "A fault met by an exception or an external interrupt points where that event would have",
             SDM3_INT "Program or Task Restart");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return delivering(stim) && (from(stim, source::exception) || from(stim, source::external)); }
    FAULTLINE_ALLOWS { return implies(nested(r), r.rip == stim.origin); }
};

struct Xcp235 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-235", "A fault met by a delivery has RF set in its image",
                                          SDM3
                                          "Debug Exceptions, Instruction-Breakpoint Exception Condition (\"for any "
                                          "fault-class exception … the value pushed for RF is 1\")");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(nested(r), r.rf); }
};

struct Xcp222 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-222", "Outside Intel, the image of a fault met by a delivery may have RF clear where the event's is",
             APM2 "RFLAGS Register, Resume Flag (RF) Bit (\"normally\" set)", {}, RuleVendor::Amd);
    using excepts = Excepts<Xcp235>;
    FAULTLINE_APPLIES { return delivering(stim) && !pre.intel; }
    FAULTLINE_ALLOWS { return is(r, result::serial) && !stim.rf && !r.rf; }
};

struct Xcp008 : RuleBase {
    static constexpr RuleInfo info = free("XCP-008", "RF in #DF's image may be 0",
                                          SDM3_INT "Double Fault Exception (#DF) (program state undefined)");
    using excepts = Excepts<Xcp235>;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return is(r, result::double_fault) && !r.rf; }
};

struct Xcp010 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-010", "#DF's RIP may be anything",
             SDM3_INT "Double Fault Exception (#DF) (\"the saved contents of CS and EIP registers are undefined\")");
    using excepts = Excepts<Xcp220, Xcp234>;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return is(r, result::double_fault); }
};

struct Xcp245 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-245", "A misaligned push onto a CPL 3 stack under CR0.AM and EFLAGS.AC may meet #AC, also before #PF",
             SDM3_INT
             "Alignment Check Exception (#AC) (\"error code null, except possibly EXT\"); Double Fault Exception (#DF) "
             "(a benign fault of #DF's delivery: serial or shutdown)");
    using excepts =
        Excepts<Xcp011, Xcp012, Xcp013, Xcp014, Xcp015, Xcp019, Xcp020, Xcp186, Xcp187, Xcp223, Xcp229, Xcp230, Xcp231>;
    FAULTLINE_APPLIES { return target_ok(pre, stim) && stim.push_misaligned; }
    FAULTLINE_ALLOWS {
        return !r.writes_cr2 && ((serial(r, vec::ac) && code_is<D>(r, typename D::Bits(0))) ||
                                 (exception(stim, vec::df) && is(r, result::shutdown)));
    }
};

inline constexpr auto combine_rules =
    boost::hana::tuple_t<Xcp187, Xcp186, Xcp019, Xcp011, Xcp012, Xcp013, Xcp014, Xcp229, Xcp015, Xcp230, Xcp223, Xcp009,
                         Xcp022, Xcp023, Xcp024, Xcp236, Xcp063, Xcp233, Xcp237, Xcp238, Xcp232, Xcp020, Xcp231, Xcp239,
                         Xcp240, Xcp243, Xcp244, Xcp220, Xcp234, Xcp235, Xcp222, Xcp008, Xcp010, Xcp245>;

}  // namespace faultline::oracle::exceptions
