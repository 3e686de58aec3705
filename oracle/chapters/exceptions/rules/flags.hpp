// The flags that a handler starts with. Intel SDM vol 3, Flag Usage By Exception- or Interrupt-Handler Procedure; SDM
// vol 2, INT n/INTO/INT3/INT1.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

struct Xcp045 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-045", "An interrupt gate clears IF",
                                          SDM3_INT "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && stim.gate_type == gate::interrupt; }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.if_); }
};

struct Xcp216 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-216", "A trap gate keeps IF", SDM3_INT "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre) && stim.gate_type == gate::trap; }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.if_ == pre.if_); }
};

struct Xcp046 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-046", "A handler starts with TF clear",
                                          SDM3_INT "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.tf); }
};

struct Xcp217 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-217", "A handler starts with NT clear",
                                          SDM3_INT "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.nt); }
};

struct Xcp007 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-007", "A handler starts with RF clear",
                                          SDM3_INT "Flag Usage By Exception- or Interrupt-Handler Procedure");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.rf_after); }
};

struct Xcp047 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-047", "A delivery through a gate keeps AC", INTN " (which clears TF, VM, RF, NT and by the gate IF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.ac == pre.ac); }
};

struct Xcp086 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-086", "In real mode a delivery clears IF", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.if_); }
};

struct Xcp218 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-218", "In real mode a delivery clears TF", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.tf); }
};

struct Xcp219 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-219", "In real mode a delivery clears AC", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), !r.ac); }
};

struct Xcp221 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-221", "In real mode a delivery keeps NT", INTN " (clears IF, TF and AC only)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.nt == pre.nt); }
};

inline constexpr auto flags_rules =
    boost::hana::tuple_t<Xcp045, Xcp216, Xcp046, Xcp217, Xcp007, Xcp047, Xcp086, Xcp218, Xcp219, Xcp221>;

}  // namespace faultline::oracle::exceptions
