// Form and contents of the debug registers: what MOV DR reads and writes once nothing stops it.
// AMD APM vol 2, "Debug Registers" and its subsections.
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

struct Dbg005 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-005", "Reserved bits of DR6 that read as 1 are corrected silently on a write",
             APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return writes_dr6(pre, stim); }
    FAULTLINE_ALLOWS {
        constexpr std::uint64_t ones = dr::dr6_reset & ~(dr::dr6_bld | dr::dr6_rtm);
        return implies(executed(r), (r.dr6 & ones) == ones && !has(r.dr6, 0xFFFFFFFF'00000000));
    }
};

struct Dbg006 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-006", "DR6 bit 12 always reads 0", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return writes_dr6(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), !has(r.dr6, 0x1000)); }
};

struct Dbg007 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-007", "DR7 bit 10 reads 1; bits 12, 14, 15 read 0", APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return writes_dr7(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), has(r.dr7, 0x400) && !has(r.dr7, 0xFFFFFFFF'0000D000)); }
};

struct Dbg008 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-008", "DR7 bit 11 is writable only with RTM, else reads 0",
                                          APM2
                                          "Debug-Control Register (DR7)"
                                          "; " SDM3 "Debug Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return writes_dr7(pre, stim); }
    FAULTLINE_ALLOWS { return implies(executed(r), has(r.dr7, 0x800) == (pre.rtm && has(stim.dr_value, 0x800))); }
};

struct Dbg009 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-009", "DR6 bit 16 is writable only with RTM, else reads 1", SDM3 "Debug Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return writes_dr6(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::none,
                       has(r.dr6, dr::dr6_rtm) == (!pre.rtm || has(stim.dr_value, dr::dr6_rtm)));
    }
};

struct Dbg010 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-010", "DR6 bit 11 is writable only with bus-lock detect, else reads 1",
                                          APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return writes_dr6(pre, stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::none,
                       has(r.dr6, dr::dr6_bld) == (!pre.bus_lock || has(stim.dr_value, dr::dr6_bld)));
    }
};

struct Dbg011 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-011", "With CR4.DE = 0, DR4 and DR5 are DR6 and DR7", APM2 "Reserved Debug Registers (DR4, DR5)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && dr_alias(stim); }
    FAULTLINE_ALLOWS {
        const typename D::Bits aliased = ite(names_dr6(stim), pre.dr6, pre.dr7);
        return unless_code_db(r, executed(r) && r.dr_value == ite(stim.dr_write, typename D::Bits(0), aliased));
    }
};

struct Dbg020 : RuleBase {
    static constexpr RuleInfo info = arch("DBG-020", "DR0–DR3 accept addresses that are not canonical",
                                          APM2 "Address-Breakpoint Registers (DR0-DR3)");
    static constexpr Aspect aspect = Aspect::Presence;
    template <class D>
    static typename D::Bool canonical(const typename D::Bits& a) {
        constexpr std::uint64_t high = 0xFFFF8000'00000000;
        return (a & high) == 0 || (a & high) == high;
    }
    FAULTLINE_APPLIES {
        return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && stim.dr_write &&
               ule(stim.dr_number, typename D::Bits(3)) && !canonical<D>(stim.dr_value);
    }
    FAULTLINE_ALLOWS { return unless_code_db(r, executed(r)); }
};

struct Exe024 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-024", "MOV to DR6 writes B0–B3, BD, BS and BT as given", APM2 "Debug-Status Register (DR6)");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return writes_dr6(pre, stim); }
    FAULTLINE_ALLOWS {
        constexpr std::uint64_t writable = dr::dr6_b | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt;
        return implies(r.event == event::none, !has(r.dr6 ^ stim.dr_value, writable));
    }
};

struct Exe025 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-025", "MOV to DR7 writes every bit that is not reserved as given",
                                          APM2 "Debug-Control Register (DR7)");
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return writes_dr7(pre, stim); }
    FAULTLINE_ALLOWS {
        constexpr std::uint64_t writable = 0xFFFF03FF;
        return implies(executed(r), !has(r.dr7 ^ stim.dr_value, writable)) &&
               implies(r.event == event::none, !has(r.dr7 ^ stim.dr_value, dr::dr7_gd));
    }
};

struct Exe026 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-026", "MOV from DR0–DR3, DR6, DR7 reads all 64 bits of the register", APM2 "Debug Registers");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && !stim.dr_write && !dr_alias(stim); }
    FAULTLINE_ALLOWS {
        const typename D::Bits value =
            ite(stim.dr_number == 0, pre.dr0,
                ite(stim.dr_number == 1, pre.dr1,
                    ite(stim.dr_number == 2, pre.dr2,
                        ite(stim.dr_number == 3, pre.dr3, ite(names_dr6(stim), pre.dr6, pre.dr7)))));
        return implies(executed(r), r.dr_value == value);
    }
};

struct Exe027 : RuleBase {
    static constexpr RuleInfo info = arch("EXE-027", "MOV to DR0–DR3 writes all 64 bits of the register and no other",
                                          APM2
                                          "Debug Registers"
                                          " and Address-Breakpoint Registers (DR0-DR3)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && stim.dr_write && !dr_alias(stim); }
    FAULTLINE_ALLOWS {
        return implies(executed(r),
                       r.dr_value == ite(ule(stim.dr_number, typename D::Bits(3)), stim.dr_value, typename D::Bits(0)));
    }
};

inline constexpr auto registers_rules = boost::hana::tuple_t<Dbg005, Dbg006, Dbg007, Dbg008, Dbg009, Dbg010, Dbg011,
                                                             Dbg020, Exe024, Exe025, Exe026, Exe027>;

}  // namespace faultline::oracle::debug
