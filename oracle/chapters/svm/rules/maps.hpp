// I/O and MSR intercepts, port by port and MSR by MSR: AMD APM vol 2, "IOIO Intercepts" and "MSR Intercepts".
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Svm020 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-020", "IOPL and the TSS's bitmap come before the I/O intercept", SVM_IOIO ", IN and OUT Behavior");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && meets(stim, raises::privilege); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm124 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-124", "A port whose bit in the I/O permissions map is set is intercepted",
             SVM_IOIO ", I/O Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Io) && asked(stim) && has(stim.map, 1) &&
               meets_none(stim, raises::privilege | raises::memory);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm021 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-021", "An access to several ports is intercepted for the bit of any of them",
             SVM_IOIO ", IN and OUT Behavior");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Io) && asked(stim) && !has(stim.map, 1) && ports_intercepted(stim) != 0 &&
               meets_none(stim, raises::privilege | raises::memory);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm125 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-125", "Ports whose bits are clear are not intercepted", SVM_IOIO ", I/O Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && asked(stim) && ports_intercepted(stim) == 0; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm126 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-126", "The I/O intercept comes before what the memory operand of a string instruction meets",
             SVM_IOIO ", IN and OUT Behavior");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Io) && asked(stim) && ports_intercepted(stim) != 0 &&
               meets(stim, raises::memory) && meets_none(stim, raises::privilege);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm127 : RuleBase {
    static constexpr RuleInfo info =
        free("SVM-127", "REP INS or OUTS of nothing may go on", SVM_IOIO ", (REP) OUTS and INS (silent)");
    using excepts = Excepts<Svm021, Svm124>;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && stim.count_zero; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm128 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-128", "#GP of a CPL that is not 0 comes before the MSR intercept",
                                          SVM_MSR ", RDMSR and WRMSR Behavior");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Msr) && meets(stim, raises::privilege); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm129 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-129", "An MSR whose bit for this direction is set in the permissions map is intercepted",
             SVM_MSR ", MSR Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Msr) && asked(stim) && msr_covered(stim) && has(stim.map, 1) &&
               meets_none(stim, raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm130 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-130", "An MSR whose bit for this direction is clear in the permissions map is not intercepted",
             SVM_MSR ", MSR Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Msr) && asked(stim) && msr_covered(stim) && !has(stim.map, 1); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Svm023 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-023", "An MSR that the permissions map does not cover is intercepted",
                                          SVM_MSR ", MSR Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Msr) && asked(stim) && !msr_covered(stim) &&
               meets_none(stim, raises::privilege | raises::operand);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm024 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-024", "The MSR intercept comes before the exceptions of a particular MSR",
             SVM_MSR ", RDMSR and WRMSR Behavior");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return checks(stim, Intercept::Msr) && asked(stim) && (!msr_covered(stim) || has(stim.map, 1)) &&
               meets(stim, raises::operand) && meets_none(stim, raises::privilege);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

inline constexpr auto maps_rules =
    boost::hana::tuple_t<Svm020, Svm124, Svm021, Svm125, Svm126, Svm127, Svm128, Svm129, Svm130, Svm023, Svm024>;

}  // namespace faultline::oracle::svm
