// The stack that a delivery pushes onto: Intel SDM vol 2, INT n/INTO/INT3/INT1, INTER- and INTRA-PRIVILEGE-LEVEL-
// INTERRUPT; SDM vol 3, Interrupt and Exception Handling in 64-bit Mode.
#pragma once

#include "oracle/chapters/exceptions/rules/gate.hpp"

namespace faultline::oracle::exceptions {

/// Bytes of the frame that the response describes, with slots of `slot` bytes: it does not depend on what else is
/// wrong.
template <class D>
typename D::Bits frame_bytes(const Response<D>& r, unsigned slot) {
    using Bits = typename D::Bits;
    return Bits(3 * slot) + ite(r.pushes_stack, Bits(2 * slot), Bits(0)) + ite(r.pushes_error, Bits(slot), Bits(0));
}

struct Xcp049 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-049", "A TSS too short for the stack pointer that a delivery needs meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return cs_ok(pre, stim) && !slot_ok(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp193 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-193", "That #TS carries the selector of the current TSS", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return cs_ok(pre, stim) && !slot_ok(pre, stim); }
    FAULTLINE_ALLOWS { return code_is<D>(r, pre.tr & 0xFFFC); }
};

struct Xcp050 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-050", "A null SSn in the TSS meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_reached(pre, stim) && null<D>(stim.new_ss); }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp051 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-051", "SSn beyond its descriptor table meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_reached(pre, stim) && !null<D>(stim.new_ss) && stim.ss_outside; }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp194 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-194", "SSn whose RPL is not the handler's CPL meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_found(pre, stim) && !new_ss_rpl_ok(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp195 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-195", "SSn whose DPL is not the handler's CPL meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_rpl_ok(pre, stim) && !new_ss_dpl_ok(pre, stim); }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp196 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-196", "SSn that names no writable data segment meets #TS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_dpl_ok(pre, stim) && !stim.ss_writable; }
    FAULTLINE_ALLOWS { return meets(r, vec::ts); }
};

struct Xcp052 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-052", "SSn whose segment is not present meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return new_ss_type_ok(pre, stim) && !stim.ss_present; }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp197 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-197", "A fault about SSn carries its selector without RPL", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return new_ss_reached(pre, stim) && !null<D>(stim.new_ss) && !ss_ok(pre, stim); }
    FAULTLINE_ALLOWS { return code_is<D>(r, stim.new_ss & 0xFFFC); }
};

struct Xcp053 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-053", "An inner stack without room for the frame meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_protected_mode(pre) && inward(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp198 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-198", "That #SS names the inner stack's segment", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_protected_mode(pre) && inward(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return code_is<D>(r, stim.new_ss & 0xFFFC); }
};

struct Xcp054 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-054", "The current stack without room for the frame meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_protected_mode(pre) && !inward(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp061 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-061", "In long mode an RSPn or ISTn that is not canonical meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_long_mode(pre) && stack_from_tss(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp062 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-062", "In long mode a current RSP that is not canonical meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_long_mode(pre) && !stack_from_tss(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp200 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-200", "In real mode a stack without room for six bytes meets #SS", INTN);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return ss_ok(pre, stim) && in_real_mode(pre) && stim.sp_out_of_range; }
    FAULTLINE_ALLOWS { return meets(r, vec::ss); }
};

struct Xcp199 : RuleBase {
    static constexpr RuleInfo info = free(
        "XCP-199", "A stack pointer out of the TSS that is not canonical may also meet #TS with the TSS's selector",
        SDM3_INT
        "Invalid TSS Exception (#TS), Invalid TSS Conditions (\"canonical fault in attempting to load RSP or IST from "
        "a TSS\")");
    using excepts = Excepts<Xcp061, Xcp191>;
    FAULTLINE_APPLIES {
        return ss_ok(pre, stim) && in_long_mode(pre) && stack_from_tss(pre, stim) && stim.sp_out_of_range;
    }
    FAULTLINE_ALLOWS { return serial(r, vec::ts) && code_is<D>(r, pre.tr & 0xFFFC); }
};

struct Xcp241 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-241", "In long mode the #SS of a stack pointer that is not canonical may name the interrupted SS",
             "AMD APM vol 3 (24594), CALL (Far) (\"#SS on this or next pushes use SS.sel as error code\"); Bochs "
             "reports the old SS");
    using excepts = Excepts<Xcp191>;
    FAULTLINE_APPLIES { return ss_ok(pre, stim) && in_long_mode(pre) && stim.sp_out_of_range; }
    FAULTLINE_ALLOWS { return serial(r, vec::ss) && code_is<D>(r, pre.ss & 0xFFFC); }
};

struct Xcp242 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-242", "SSn may count as outside a TSS that ends in the padding behind it",
             INTN " (tests five bytes behind ESPn; editions before 2006 test seven)");
    using excepts =
        Excepts<Xcp050, Xcp051, Xcp194, Xcp195, Xcp196, Xcp052, Xcp197, Xcp053, Xcp198, Xcp043, Xcp191, Xcp011, Xcp012,
                Xcp013, Xcp014, Xcp015, Xcp019, Xcp020, Xcp186, Xcp187, Xcp223, Xcp229, Xcp230, Xcp231, Xcp239, Xcp240>;
    FAULTLINE_APPLIES { return cs_ok(pre, stim) && in_protected_mode(pre) && inward(pre, stim) && stim.slot_edge; }
    FAULTLINE_ALLOWS { return ends_in_contributory(stim, r, vec::ts) && code_is<D>(r, pre.tr & 0xFFFC); }
};

struct Xcp251 : RuleBase {
    static constexpr RuleInfo info = free(
        "XCP-251", "In real mode a frame may count as too large for a stack pointer that would wrap between its pushes",
        INTN " (tests room for all six bytes at once, PUSH for each word)");
    using excepts = Excepts<Xcp011, Xcp012, Xcp015, Xcp019, Xcp186, Xcp187>;
    FAULTLINE_APPLIES { return ss_ok(pre, stim) && in_real_mode(pre) && stim.sp_edge; }
    FAULTLINE_ALLOWS { return ends_in_contributory(stim, r, vec::ss); }
};

struct Xcp044 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-044", "A conforming handler, one of the same privilege, and any in real mode, keeps CPL", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !inward(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.cpl == pre.cpl); }
};

struct Xcp202 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-202", "A non-conforming handler of more privilege runs at its segment's DPL", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && inward(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.cpl == stim.cs_dpl); }
};

struct Xcp058 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-058", "In long mode a change of CPL loads SS with a null selector whose RPL is the new CPL",
             SDM3_INT "Stack Switching in IA-32e Mode");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_long_mode(pre) && inward(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.ss == stim.cs_dpl); }
};

struct Xcp201 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-201", "In protected mode a change of CPL loads SS from the TSS", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_protected_mode(pre) && inward(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.ss == stim.new_ss); }
};

struct Xcp203 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-203", "Without a change of CPL SS stays", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && !inward(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.ss == pre.ss); }
};

struct Xcp059 : RuleBase {
    static constexpr RuleInfo info = free("XCP-059", "A switch through the IST may null SS at the same CPL, too",
                                          SDM3_INT "Interrupt Stack Table (\"the new SS selector is forced to NULL\")");
    using excepts = Excepts<Xcp203>;
    FAULTLINE_APPLIES { return delivering(stim) && by_ist(pre, stim) && !inward(pre, stim); }
    FAULTLINE_ALLOWS { return is(r, result::delivered) && r.ss == pre.cpl; }
};

struct Xcp057 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-057", "In long mode a delivery to the same stack pushes from RSP rounded down to 16",
             SDM3_INT "64-Bit Mode Stack Frame");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_long_mode(pre) && !stack_from_tss(pre, stim); }
    FAULTLINE_ALLOWS { return implies(is(r, result::delivered), r.frame == (pre.sp & ~15ull) - frame_bytes<D>(r, 8)); }
};

struct Xcp060 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-060", "A gate with an IST index pushes from that ISTn, rounded down to 16, whatever the CPL",
             SDM3_INT "Interrupt Stack Table (\"unconditionally switches stacks\")");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && by_ist(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(is(r, result::delivered), r.frame == (stim.new_sp & ~15ull) - frame_bytes<D>(r, 8));
    }
};

struct Xcp204 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-204", "In long mode a change of CPL without IST pushes from RSPn, rounded down to 16",
             SDM3_INT "Stack Switching in IA-32e Mode");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_long_mode(pre) && inward(pre, stim) && !by_ist(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(is(r, result::delivered), r.frame == (stim.new_sp & ~15ull) - frame_bytes<D>(r, 8));
    }
};

struct Xcp205 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-205", "In protected mode a change of CPL pushes from ESPn", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_protected_mode(pre) && inward(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(is(r, result::delivered), r.frame == ((stim.new_sp - frame_bytes<D>(r, 4)) & 0xFFFFFFFF));
    }
};

struct Xcp206 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-206", "In protected mode a delivery to the same stack pushes from ESP as it is", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_protected_mode(pre) && !inward(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(is(r, result::delivered), r.frame == ((pre.sp - frame_bytes<D>(r, 4)) & 0xFFFFFFFF));
    }
};

struct Xcp210 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-210", "In real mode a delivery pushes from SP, modulo 64 KiB", INTN);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return delivering(stim) && in_real_mode(pre); }
    FAULTLINE_ALLOWS {
        return implies(is(r, result::delivered), r.frame == ((pre.sp - frame_bytes<D>(r, 2)) & 0xFFFF));
    }
};

inline constexpr auto stack_rules =
    boost::hana::tuple_t<Xcp049, Xcp193, Xcp050, Xcp051, Xcp194, Xcp195, Xcp196, Xcp052, Xcp197, Xcp053, Xcp198, Xcp054,
                         Xcp061, Xcp062, Xcp200, Xcp199, Xcp241, Xcp242, Xcp251, Xcp044, Xcp202, Xcp058, Xcp201, Xcp203,
                         Xcp059, Xcp057, Xcp060, Xcp204, Xcp205, Xcp206, Xcp210>;

}  // namespace faultline::oracle::exceptions
