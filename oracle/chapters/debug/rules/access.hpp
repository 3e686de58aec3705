// What stops a MOV DR: registers that do not exist, privilege, general detect, bits that must be zero.
// AMD APM vol 2, "Debug Registers" and "General-Detect Condition". The manuals rank these causes only in part;
// where implementations differ and no text decides, a FREE rule stands beside.
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

inline constexpr std::uint64_t vector_ud = 6, vector_gp = 13;

/// MOV DR that names a register, at CPL 0.
template <class D>
typename D::Bool reaches_dr(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::mov_dr) && !dr_missing(pre, stim) && pre.cpl == 0;
}

struct Dbg012 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-012", "With CR4.DE = 1, DR4 and DR5 raise #UD", APM2 "Reserved Debug Registers (DR4, DR5)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && dr_alias(stim) && pre.de && !general_detect(pre); }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_ud)); }
};

struct Dbg013 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-013", "DR8–DR15 do not exist: #UD", APM2 "64-Bit-Mode Extended Debug Registers");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && !ule(stim.dr_number, typename D::Bits(7)); }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_ud)); }
};

struct Dbg014 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-014", "MOV DR at CPL > 0 raises #GP(0)", APM2 "Debug Registers");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && !dr_missing(pre, stim) && pre.cpl != 0; }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_gp)); }
};

struct Dbg016 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-016", "#UD of DR4 and DR5 under CR4.DE comes before general detect",
             SDM3
             "Priority Among Simultaneous Exceptions and Interrupts (decoding before execution); KVM, QEMU and "
             "Bochs agree",
             "S5");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && dr_alias(stim) && pre.de && general_detect(pre); }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_ud)); }
};

struct Dbg021 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-021", "With DR7.GD = 1, a read or write of any debug register raises #DB before it executes",
             APM2 "Debug-Control Register (DR7)", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return reaches_dr(pre, stim) && general_detect(pre); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::gd_db); }
};

struct Dbg003 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-003", "A write that sets any of DR6 bits 63:32 raises #GP(0)", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return reaches_dr(pre, stim) && !general_detect(pre) && dr_high(stim) && names_dr6(stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_gp)); }
};

struct Dbg004 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-004", "A write that sets any of DR7 bits 63:32 raises #GP(0)",
                                          APM2 "Debug-Control Register (DR7)", "S1");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return reaches_dr(pre, stim) && !general_detect(pre) && dr_high(stim) && names_dr7(stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, raises(r, vector_gp)); }
};

struct Dbg022 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-022", "The general-detect #DB is a fault: the pushed RIP is the MOV DR",
                                          APM2 "General-Detect Condition", "S5");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && general_detect(pre); }
    FAULTLINE_ALLOWS { return implies(r.event == event::gd_db, r.rip == stim.rip); }
};

struct Dbg023 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-023", "General detect sets DR6.BD", APM2 "Debug-Status Register (DR6)", "S5");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && general_detect(pre); }
    FAULTLINE_ALLOWS { return implies(r.event == event::gd_db, has(r.dr6, dr::dr6_bd)); }
};

struct Dbg024 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-024", "Delivery of the general-detect #DB clears DR7.GD", APM2 "General-Detect Condition", "S5");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && general_detect(pre); }
    FAULTLINE_ALLOWS { return implies(r.event == event::gd_db, !has(r.dr7, dr::dr7_gd)); }
};

struct Dbg025 : RulePerRegister {
    static constexpr RuleInfo info = arch("DBG-025", "General detect clears B0–B3, for no breakpoint was met",
                                          APM2 "Debug-Status Register (DR6)", "S5");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && general_detect(pre); }
    FAULTLINE_ALLOWS { return implies(r.event == event::gd_db, !b(r, n)); }
};

struct Dbg071 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-071", "An SS shadow does not hold back general detect",
                                          KUT "singlestep_with_movss_blocking_and_dr7_gd", "S5");
    static constexpr Aspect aspect = Aspect::Presence;
    static constexpr bool redundant = true;
    FAULTLINE_APPLIES { return reaches_dr(pre, stim) && general_detect(pre) && pre.shadow && !dr_high(stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::gd_db); }
};

struct Dbg015 : RuleBase {
    static constexpr RuleInfo info =
        free("DBG-015", "General detect may come before the privilege check of MOV DR",
             APM2 "General-Detect Condition (\"at any privilege level\"); KVM and Bochs differ", "S5");
    using excepts = Excepts<Dbg014>;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && pre.cpl != 0 && general_detect(pre); }
    FAULTLINE_ALLOWS { return r.event == event::gd_db; }
};

struct Dbg017 : RuleBase {
    static constexpr RuleInfo info =
        free("DBG-017", "#GP for bits 63:32 of DR6 and DR7 may come before general detect",
             APM2 "Debug-Control Register (DR7) and General-Detect Condition give no order; KVM and QEMU differ", "S5");
    using excepts = Excepts<Dbg021>;
    FAULTLINE_APPLIES { return general_detect(pre) && dr_high(stim); }
    FAULTLINE_ALLOWS { return raises(r, vector_gp); }
};

struct Xcp170 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-170", "#GP of privilege may come before #UD of a debug register that does not exist",
             SDM2 "MOV—Move to/from Debug Registers (both listed, no order); KVM and Bochs differ");
    using excepts = Excepts<Dbg012, Dbg013, Dbg016>;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && pre.cpl != 0; }
    FAULTLINE_ALLOWS { return raises(r, vector_gp); }
};

inline constexpr auto access_rules =
    boost::hana::tuple_t<Dbg012, Dbg013, Dbg014, Dbg016, Dbg021, Dbg003, Dbg004, Dbg022, Dbg023, Dbg024, Dbg025, Dbg071,
                         Dbg015, Dbg017, Xcp170>;

}  // namespace faultline::oracle::debug
