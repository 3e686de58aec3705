// Data breakpoints on what a delivery itself touches.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

/// A delivery reads the IDT, the descriptor tables and the TSS, and writes a frame. No manual says whether such
/// accesses meet data breakpoints; processors report them (CVE-2015-8104: a watched stack in #DB's own delivery
/// never ends).
struct Xcp227 : RulePerRegister {
    static constexpr RuleInfo info = arch(
        "XCP-227",
        "A delivery holds no debug exception back for its handler unless a data breakpoint watches what it touches",
        SDM3 "Data Memory and I/O Breakpoint Exception Conditions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return !has(r.held, 1ull << n); }
};

struct Xcp228 : RulePerRegister {
    static constexpr RuleInfo info =
        free("XCP-228",
             "A delivery may leave for the handler's first instruction what its accesses to IDT, TSS and stack met",
             SDM3
             "Data Memory and I/O Breakpoint Exception Conditions (silent about deliveries); CVE-2015-8104 and "
             "XSA-156: processors report them");
    using excepts = Excepts<Xcp227>;
    FAULTLINE_APPLIES { return delivering(stim); }
    FAULTLINE_ALLOWS { return has(stim.watched, 1ull << n); }
};

inline constexpr auto watch_rules = boost::hana::tuple_t<Xcp227, Xcp228>;

}  // namespace faultline::oracle::exceptions
