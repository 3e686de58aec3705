// Illegal event injection: AMD APM vol 2, "Event Injection".
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Exc037 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-037", "VMRUN refuses to inject an event of a reserved type", SVM_INJECTION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return reserved_type(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc034 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-034", "VMRUN refuses to inject vector 2 as an exception: NMI is none", SVM_INJECTION, "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return injecting_exception(stim, vec::nmi); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc100 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-100", "VMRUN refuses to inject a vector as an exception that no exception has",
             SVM_INJECTION "; Vectors", "S2");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return (no_vector(stim) || reserved_vector(stim)); }
    FAULTLINE_ALLOWS { return r.exits; }
};

/// Which vectors "do not correspond to an exception" is said of vector 2 alone.
struct Exc035 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-035", "VMRUN may inject a reserved vector as an exception",
             SVM_INJECTION " (names no vector but 2); QEMU refuses 31, Bochs none of them", "S2");
    using excepts = Excepts<Exc100>;
    FAULTLINE_APPLIES { return reserved_vector(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc036 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXC-036", "VMRUN refuses to inject #BR in 64-bit mode, which has no BOUND", SVM_INJECTION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return guest_in_64_bit_mode(stim) && injecting_exception(stim, vec::br); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc102 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-102", "VMRUN refuses to inject #OF in 64-bit mode, which has no INTO",
                                          SVM_INJECTION " (\"an event that is impossible for the guest mode\")");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return guest_in_64_bit_mode(stim) && injecting_exception(stim, vec::of); }
    FAULTLINE_ALLOWS { return r.exits; }
};

inline constexpr auto injection_rules = boost::hana::tuple_t<Exc037, Exc034, Exc100, Exc035, Exc036, Exc102>;

}  // namespace faultline::oracle::svm
