// What a delivery pushes. Intel SDM vol 3, chapter Interrupt and Exception Handling; AMD APM vol 2, chapter
// Exceptions and Interrupts.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

struct Xcp207 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-207", "#DF, #TS, #NP, #SS, #GP, #PF and #AC push an error code",
                                          SDM3_INT "Exception and Interrupt Vectors");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && carries_error(stim); }
    FAULTLINE_ALLOWS { return implies((is(r, result::delivered) || is(r, result::task_switch)), r.pushes_error); }
};

struct Xcp208 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-208", "Other exceptions push no error code", SDM3_INT "Exception and Interrupt Vectors");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return delivering(stim) && !in_real_mode(pre) && (from(stim, source::exception) || from(stim, source::icebp)) &&
               !carries_error(stim);
    }
    FAULTLINE_ALLOWS { return !r.pushes_error; }
};

struct Xcp028 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-028", "Interrupts, external or by INT n, INT3 and INTO, push no error code, whatever their vector",
             SDM3_INT "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return delivering(stim) && !in_real_mode(pre) && (from(stim, source::software) || from(stim, source::external));
    }
    FAULTLINE_ALLOWS { return !r.pushes_error; }
};

struct Xcp085 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-085", "In real mode nothing pushes an error code", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return !r.pushes_error; }
};

struct Xcp029 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-029", "The error code pushed is the event's, zero-extended to the slot", SDM3_INT "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(r.pushes_error, r.error == stim.error); }
};

struct Xcp056 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-056", "In long mode a frame always holds SS and RSP", SDM3_INT "64-Bit Mode Stack Frame");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_long_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.pushes_stack); }
};

struct Xcp055 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-055", "In protected mode a frame holds SS and ESP exactly where CPL changes",
             SDM3_INT "Exception- or Interrupt-Handler Procedures");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_protected_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.pushes_stack == inward(pre, stim)); }
};

struct Xcp209 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-209", "In real mode a frame holds FLAGS, CS and IP only", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return !r.pushes_stack; }
};

struct Xcp211 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-211", "In long mode a frame's slots are 8 bytes, in compatibility mode too",
             SDM3_INT "64-Bit Mode Stack Frame");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_long_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.slot == 8); }
};

struct Xcp212 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-212", "A 32-bit gate's frame has slots of 4 bytes", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_protected_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.slot == 4); }
};

struct Xcp213 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-213", "In real mode a frame's slots are 2 bytes", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.slot == 2); }
};

struct Xcp214 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-214", "The frame's RIP is the event's: of a fault the instruction, of a trap or interrupt the next one",
        SDM3_INT "Program or Task Restart");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.rip == stim.rip); }
};

struct Xcp215 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-215", "The frame's RF is the event's: set for a fault, else as it was",
                                          SDM3 "Debug Exceptions, Instruction-Breakpoint Exception Condition");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.rf == stim.rf); }
};

inline constexpr auto frame_rules = boost::hana::tuple_t<Xcp207, Xcp208, Xcp028, Xcp085, Xcp029, Xcp056, Xcp055, Xcp209,
                                                         Xcp211, Xcp212, Xcp213, Xcp214, Xcp215>;

}  // namespace faultline::oracle::exceptions
