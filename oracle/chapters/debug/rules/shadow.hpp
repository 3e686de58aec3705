// The shadow behind a load of SS: what it holds, and how what it held is reported. Intel SDM vol 3, "Masking
// Exceptions and Interrupts When Switching Stacks"; Xen advisory XSA-260 (CVE-2018-8897) and its test.
#pragma once

#include "oracle/chapters/debug/rules/rules.hpp"

namespace faultline::oracle::debug {

struct Dbg065 : RuleBase {
    static constexpr RuleInfo info =
        arch("DBG-065", "No debug trap is delivered right after MOV SS: its own step trap is dropped",
             SDM3 "Masking Exceptions and Interrupts When Switching Stacks; " KUT "singlestep_with_movss_blocking");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return shadows(pre, stim); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::none); }
};

struct Dbg066 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-066", "A data breakpoint met by MOV SS is held, and reported with the next instruction's #DB",
             SDM3 "Masking Exceptions and Interrupts When Switching Stacks; XTF xsa-260");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return (shadows(pre, stim) && hit(pre, stim, n)) ||
               (held(pre, n) && runs(pre, stim) && !is(stim, kind::syscall));
    }
    FAULTLINE_ALLOWS {
        return (shadows(pre, stim) && implies(r.event == event::none, has(r.held, 1ull << n))) ||
               (!shadows(pre, stim) && unless_code_db(r, r.event == event::trap && b(r, n)));
    }
};

struct Dbg067 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-067", "A breakpoint held by MOV SS and an ICEBP behind it give exactly one #DB",
             "kvm-unit-tests 1da1819e, x86/debug.c and vmx_db_test; XTF xsa-260");
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return is(stim, kind::icebp) && held(pre, n); }
    FAULTLINE_ALLOWS { return implies(r.event == event::icebp, b(r, n) && !has(r.held, 1ull << n)); }
};

struct Dbg068 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-068", "A breakpoint held by MOV SS and INT 1 behind it enter the handler twice", "XTF xsa-260");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return software(stim) && stim.vector == 1 && held(pre, n); }
    FAULTLINE_ALLOWS { return implies(r.event == event::delivered, has(r.held, 1ull << n)); }
};

struct Dbg069 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-069", "A breakpoint held by MOV SS over INT3 or INT n gives #DB at the handler's first instruction",
             "XTF xsa-260");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return (software(stim) && stim.vector != 1 && held(pre, n)) || is(stim, kind::boundary); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::delivered, has(r.held, 1ull << n)) &&
               implies(is(stim, kind::boundary), r.event == event::trap && implies(held(pre, n), b(r, n)) &&
                                                     implies(has(pre.held, dr::dr6_bs), has(r.dr6, dr::dr6_bs)));
    }
};

struct Dbg070 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("DBG-070", "A breakpoint held by MOV SS over SYSCALL gives #DB at CPL 0, at the kernel's entry point",
             "XTF xsa-260");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return is(stim, kind::syscall) && runs(pre, stim) && held(pre, n); }
    FAULTLINE_ALLOWS { return unless_code_db(r, r.event == event::trap && b(r, n)); }
};

struct Exe034 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-034", "A load of SS that completes opens a shadow of one instruction; nothing else does",
             SDM3 "Masking Exceptions and Interrupts When Switching Stacks");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return r.shadow == (r.event == event::none && shadows(pre, stim)); }
};

struct Exe035 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("EXE-035", "Breakpoints are reported with their own instruction: none but those met in a shadow are held",
             APM2 "Using Breakpoints");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return !(shadows(pre, stim) && hit(pre, stim, n)) && !(software(stim) && held(pre, n)) &&
               !(is(stim, kind::icebp) && held(pre, n));
    }
    FAULTLINE_ALLOWS { return !has(r.held, 1ull << n); }
};

struct Exe036 : RuleBase {
    static constexpr RuleInfo info =
        arch("EXE-036", "Nothing but breakpoints is held over an instruction boundary", APM2 "Single Stepping");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return pre.cpl == pre.cpl; }
    FAULTLINE_ALLOWS { return !has(r.held, ~dr::dr6_b); }
};

struct Exe047 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("EXE-047", "What an op that does not complete would have met is not held", APM2 "Data Breakpoints");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return shadows(pre, stim) && hit(pre, stim, n); }
    FAULTLINE_ALLOWS { return implies(r.event != event::none, !has(r.held, 1ull << n)); }
};

struct Exe049 : RulePerRegister {
    static constexpr RuleInfo info =
        arch("EXE-049", "An instruction breakpoint on an INT or ICEBP leaves nothing of what was held",
             SDM3 "Masking Exceptions and Interrupts When Switching Stacks");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return (software(stim) || is(stim, kind::icebp)) && held(pre, n); }
    FAULTLINE_ALLOWS { return implies(r.event == event::code_db, !has(r.held, 1ull << n)); }
};

struct Exe032 : RuleBase {
    static constexpr RuleInfo info =
        free("EXE-032", "Of loads of SS in a row, those behind the first may open a shadow of their own",
             SDM2 "MOV—Move (only the first is guaranteed to delay)");
    using excepts =
        Excepts<struct Dbg028, struct Dbg029, struct Dbg031, struct Dbg047, struct Dbg051, Dbg066, Exe034, Exe035>;
    FAULTLINE_APPLIES { return is(stim, kind::load_ss) && completes(pre, stim) && pre.shadow; }
    FAULTLINE_ALLOWS {
        const auto carried = [&](unsigned i) { return has(r.held, 1ull << i) == (held(pre, i) || hit(pre, stim, i)); };
        return r.event == event::none && r.shadow && carried(0) && carried(1) && carried(2) && carried(3);
    }
};

struct Exe033 : RulePerRegister {
    static constexpr RuleInfo info =
        free("EXE-033",
             "A held breakpoint whose next instruction faults may be lost, reported with a #DB fault, or "
             "reported at the handler's first instruction",
             SDM3 "Masking Exceptions and Interrupts When Switching Stacks (silent)");
    using excepts = Excepts<struct Dbg025, struct Dbg054, Exe035, Exe049>;
    FAULTLINE_APPLIES { return held(pre, n) && executes(stim); }
    FAULTLINE_ALLOWS {
        const auto fault = r.event == event::fault, db = r.event == event::code_db || r.event == event::gd_db;
        const auto left = r.held & dr::dr6_b;
        return (left == pre.held && (fault || (db && !b(r, n)))) || (left == 0 && db && b(r, n));
    }
};

inline constexpr auto shadow_rules = boost::hana::tuple_t<Dbg065, Dbg066, Dbg067, Dbg068, Dbg069, Dbg070, Exe034,
                                                          Exe035, Exe036, Exe047, Exe049, Exe032, Exe033>;

}  // namespace faultline::oracle::debug
