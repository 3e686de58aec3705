// Which events exception intercepts take: AMD APM vol 2, "Exception Intercepts".
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Exc111 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-111", "An exception whose intercept is not asked for is not intercepted", SVM_EXCEPTIONS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return exceptional(stim) && !stim.intercepted; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc112 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-112", "An exception whose intercept is asked for exits", SVM_EXCEPTIONS, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.intercepted && !delivering(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc004 : RuleBase {
    static constexpr RuleInfo info = arch(
        "EXC-004", "An exception met in a delivery is intercepted before it is combined with what was being delivered",
        SVM_EXCEPTIONS, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.intercepted && delivering(stim) && stim.vector != vec::df; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc005 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-005", "A #DF that two exceptions become is intercepted where neither was", SVM_EXCEPTIONS, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return exceptional(stim) && stim.intercepted && delivering(stim) && stim.vector == vec::df; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc016 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-016", "INT n meets no exception intercept, whatever its vector", SVM_EXCEPTIONS, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::software); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc023 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-023", "An external interrupt meets no exception intercept, whatever its vector",
             APM2 "Interrupt Intercepts", "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::external); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc113 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-113", "The #DB of ICEBP does not meet the #DB intercept", APM2 "#DB (Debug)", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::icebp); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc024 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-024", "An injected event meets no intercept", SVM_INJECTION, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::injected); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc114 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-114", "An NMI meets no exception intercept", APM2 "Vector 2 (Reserved)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::nmi); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc001 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-001", "An NMI may exit where the intercept of vector 2 is asked for, whose effect is undefined",
             APM2 "Vector 2 (Reserved)", "S2");
    using excepts = Excepts<Exc114>;
    FAULTLINE_APPLIES { return from(stim, source::nmi) && stim.intercepted; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc115 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-115", "A shutdown whose intercept is asked for exits", APM2 "Shutdown Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::shutdown) && stim.intercepted; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc116 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-116", "A shutdown whose intercept is not asked for is none", APM2 "Shutdown Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return from(stim, source::shutdown) && !stim.intercepted; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

inline constexpr auto exception_rules = boost::hana::tuple_t<Exc111, Exc112, Exc004, Exc005, Exc016, Exc023, Exc113,
                                                             Exc024, Exc114, Exc001, Exc115, Exc116>;

}  // namespace faultline::oracle::svm
