// The gate, and the code segment behind it: Intel SDM vol 2, INT n/INTO/INT3/INT1, from IA-32e-MODE and PROTECTED-
// MODE to TRAP-OR-INTERRUPT-GATE.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

// Rules of combine.hpp that alternatives here except.
struct Xcp011;
struct Xcp012;
struct Xcp013;
struct Xcp014;
struct Xcp015;
struct Xcp019;
struct Xcp020;
struct Xcp186;
struct Xcp187;
struct Xcp223;
struct Xcp229;
struct Xcp230;
struct Xcp231;
struct Xcp239;
struct Xcp240;

struct Xcp030 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-030", "A vector whose gate lies beyond the IDT's limit meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return delivering(stim) && stim.gate_outside && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp087 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-087", "In real mode a vector beyond the interrupt table's limit meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return delivering(stim) && stim.gate_outside && in_real_mode(pre); }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp031 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-031", "A descriptor that is no interrupt, trap or task gate meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return delivering(stim) && !stim.gate_outside && !in_real_mode(pre) && stim.gate_type == gate::reserved;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp032 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-032", "In long mode a task gate meets #GP", INTN "; " APM2 "Task Gate Descriptor");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return delivering(stim) && !stim.gate_outside && in_long_mode(pre) && stim.gate_type == gate::task;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp034 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-034", "INT n, INT3 and INTO through a gate with DPL below CPL meet #GP",
                                          INTN "; XTF, swint-emulation");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return gate_type_ok(pre, stim) && !gate_dpl_ok(pre, stim) && stim.gate_present; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp035 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-035", "The check of the gate's DPL comes before that of its presence", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return gate_type_ok(pre, stim) && !gate_dpl_ok(pre, stim) && !stim.gate_present; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp036 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-036", "A gate that is not present meets #NP", INTN "; XTF, swint-emulation");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return gate_dpl_ok(pre, stim) && !gate_ok(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::np); }
};

struct Xcp026 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-026", "A fault about a gate carries the vector, and IDT set", SDM3_INT "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return gate_refused(pre, stim) && !in_real_mode(pre); }
    FAULTLINE_ALLOWS { return code_is<D>(r, gate_code(stim)); }
};

struct Xcp037 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-037", "A null code selector in the gate meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_reached(pre, stim) && null<D>(stim.gate_selector); }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp038 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-038", "A code selector beyond its table meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_reached(pre, stim) && !null<D>(stim.gate_selector) && stim.cs_outside; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp188 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-188", "A gate whose selector names no code segment meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_found(pre, stim) && !stim.cs_code; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp189 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-189", "A handler's code segment with DPL above CPL meets #GP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_type_ok(pre, stim) && !ule(stim.cs_dpl, pre.cpl); }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp040 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-040", "In long mode a handler's code segment that is not 64-bit meets #GP", SDM3_INT "64-Bit Mode IDT");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_dpl_ok(pre, stim) && !cs_size_ok(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp041 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-041", "Of a handler's code segment that is neither 64-bit nor present, either may be reported",
             INTN " (checks presence, and does not mention L and D)");
    using excepts = Excepts<Xcp040>;
    FAULTLINE_APPLIES { return cs_dpl_ok(pre, stim) && !cs_size_ok(pre, stim) && !stim.cs_present; }
    FAULTLINE_ALLOWS { return serial(r, vec::np); }
};

struct Xcp039 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-039", "A handler's code segment that is not present meets #NP", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_size_ok(pre, stim) && !stim.cs_present; }
    FAULTLINE_ALLOWS { return meets(r, vec::np); }
};

struct Xcp027 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-027", "A fault about the handler's code segment carries its selector without RPL", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return cs_reached(pre, stim) && !null<D>(stim.gate_selector) && !cs_ok(pre, stim); }
    FAULTLINE_ALLOWS { return code_is<D>(r, stim.gate_selector & 0xFFFC); }
};

struct Xcp190 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-190", "The #GP for a code segment that is not 64-bit may carry the gate's code instead",
             SDM3_INT "64-Bit Mode IDT (\"with the IDT vector number reported as the error code\")");
    using excepts = Excepts<Xcp027>;
    FAULTLINE_APPLIES { return cs_dpl_ok(pre, stim) && !cs_size_ok(pre, stim); }
    FAULTLINE_ALLOWS { return serial(r, vec::gp) && code_is<D>(r, gate_code(stim)); }
};

struct Xcp042 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-042", "In long mode a gate's offset that is not canonical meets #GP before anything is pushed",
             INTN "; " SDM3_INT "64-Bit Mode IDT");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return stack_ok(pre, stim) && in_long_mode(pre) && stim.target_out_of_range; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp043 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-043",
        "In protected mode a gate's offset beyond the limit of the code segment meets #GP before anything is pushed",
        INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return stack_ok(pre, stim) && in_protected_mode(pre) && stim.target_out_of_range; }
    FAULTLINE_ALLOWS { return meets(r, vec::gp); }
};

struct Xcp191 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-191",
        "Faults that name nothing carry a null selector: null CS or SS, no room on the same stack, a bad target", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return !in_real_mode(pre) &&
               ((cs_reached(pre, stim) && null<D>(stim.gate_selector)) ||
                (new_ss_reached(pre, stim) && null<D>(stim.new_ss)) ||
                (ss_ok(pre, stim) && stim.sp_out_of_range && !(in_protected_mode(pre) && inward(pre, stim))) ||
                (stack_ok(pre, stim) && stim.target_out_of_range));
    }
    FAULTLINE_ALLOWS { return code_is<D>(r, typename D::Bits(0)); }
};

struct Xcp192 : RuleBase {
    static constexpr RuleInfo info = free(
        "XCP-192", "Outside Intel, a gate's offset that is not canonical may show only when the handler is fetched",
        APM2 "Exceptions and Interrupts (silent about when the offset is checked)", {}, RuleVendor::Amd);
    using excepts = Excepts<Xcp042, Xcp191, Xcp011, Xcp012, Xcp014, Xcp015, Xcp019, Xcp239, Xcp240>;
    FAULTLINE_APPLIES { return stack_ok(pre, stim) && in_long_mode(pre) && stim.target_out_of_range && !pre.intel; }
    FAULTLINE_ALLOWS {
        return (stim.push_page && ends_in_page_fault(stim, r)) || (!stim.push_page && is(r, result::delivered));
    }
};

inline constexpr auto gate_rules =
    boost::hana::tuple_t<Xcp030, Xcp087, Xcp031, Xcp032, Xcp034, Xcp035, Xcp036, Xcp026, Xcp037, Xcp038, Xcp188, Xcp189,
                         Xcp040, Xcp041, Xcp039, Xcp027, Xcp190, Xcp042, Xcp043, Xcp191, Xcp192>;

}  // namespace faultline::oracle::exceptions
