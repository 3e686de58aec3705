// What holds for every response that this chapter's rules permit, whichever alternatives are taken: consequences of
// many rules at once, worth stating because somebody's code or security rests on them. They are proved
// (`faultline prove`) and judge nothing.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/debug/situation.hpp"
#include "oracle/rule.hpp"

namespace faultline::oracle::debug {

struct DbgI01 {
    static constexpr InvariantInfo info = {
        "DBG-I01", "A general-detect fault changes nothing but DR6, DR7.GD and the DEBUGCTL bits that delivery clears"};
    FAULTLINE_HOLDS {
        constexpr std::uint64_t may_change = dr::dr6_bd | dr::dr6_b | dr::dr6_rtm;
        const auto bld = ite(pre.bus_lock && !pre.amd, typename D::Bits(dr::dr6_bld), typename D::Bits(0));
        return implies(r.event == event::gd_db,
                       ((r.dr6 ^ pre.dr6) & ~(bld | may_change)) == 0 && r.dr7 == (pre.dr7 & ~dr::dr7_gd) &&
                           r.debugctl == 0 && r.tf == pre.tf && r.rip == stim.rip && r.dr_value == 0 && !r.shadow);
    }
};

struct DbgI02 {
    static constexpr InvariantInfo info = {
        "DBG-I02", "No debug trap without a cause in DR6: a breakpoint, a task switch, or BS under TF or held before"};
    FAULTLINE_HOLDS {
        return implies(r.event == event::trap,
                       has(r.dr6, dr::dr6_b) ||
                           (has(r.dr6, dr::dr6_bs) && (pre.tf || stim.tf_after || has(pre.held, dr::dr6_bs))) ||
                           (has(r.dr6, dr::dr6_bt) && is(stim, kind::task_switch)));
    }
};

struct DbgI03 {
    static constexpr InvariantInfo info = {
        "DBG-I03", "An instruction breakpoint is reported only while DR7 enables one, and shows its Bn"};
    FAULTLINE_HOLDS {
        return implies(r.event == event::code_db,
                       any_register([&](unsigned n) { return enabled(pre, n) && rw_is(pre, n, 0) && b(r, n); }));
    }
};

struct DbgI04 {
    static constexpr InvariantInfo info = {
        "DBG-I04", "A fault, #DB or not, pushes the RIP of the op that it stopped, and the op did nothing"};
    FAULTLINE_HOLDS {
        return implies(r.event == event::code_db || r.event == event::gd_db || r.event == event::fault,
                       r.rip == stim.rip && r.tf == pre.tf && r.dr_value == 0 && !r.shadow);
    }
};

struct DbgI05 {
    static constexpr InvariantInfo info = {
        "DBG-I05", "An op that took effect, and an event that it delivers on purpose, leave RIP behind the op"};
    FAULTLINE_HOLDS {
        return implies(executed(r) || r.event == event::delivered || r.event == event::icebp, r.rip == stim.next);
    }
};

struct DbgI06 {
    static constexpr InvariantInfo info = {"DBG-I06", "DR6 and DR7 keep their reserved bits, whatever happens"};
    FAULTLINE_HOLDS { return dr6_well_formed(pre, r.dr6) && dr7_well_formed(pre, r.dr7); }
};

struct DbgI07 {
    static constexpr InvariantInfo info = {"DBG-I07", "A shadow outlasts its op only through another load of SS"};
    FAULTLINE_HOLDS { return implies(r.shadow, is(stim, kind::load_ss) && r.event == event::none && !stim.faults); }
};

struct DbgI08 {
    static constexpr InvariantInfo info = {
        "DBG-I08",
        "An op under TF is not silent: but for a load of SS, HLT, SYSCALL, SYSRET, a task switch, an "
        "iteration of REP with more to come, and DEBUGCTL.BTF before or after, an event follows"};
    FAULTLINE_HOLDS {
        const auto excused = is(stim, kind::load_ss) || is(stim, kind::hlt) || stepped_by_tf_after(stim) ||
                             is(stim, kind::task_switch) || (is(stim, kind::rep) && !stim.last) ||
                             has(pre.debugctl | stim.debugctl_after, guest::debugctl::btf);
        return implies(pre.tf && !excused, r.event != event::none);
    }
};

struct DbgI09 {
    static constexpr InvariantInfo info = {
        "DBG-I09", "No #DB handler starts with DR7.GD set, or with branches traced or stepped unless by ICEBP"};
    FAULTLINE_HOLDS {
        return implies(is_db(r), !has(r.dr7, dr::dr7_gd) && (r.debugctl == 0 || r.event == event::icebp));
    }
};

struct DbgI10 {
    static constexpr InvariantInfo info = {"DBG-I10", "An event that is no #DB leaves DR6, DR7 and DEBUGCTL alone"};
    FAULTLINE_HOLDS {
        return implies(r.event == event::fault || r.event == event::delivered,
                       r.dr6 == pre.dr6 && r.dr7 == pre.dr7 && r.debugctl == pre.debugctl);
    }
};

struct DbgI11 {
    static constexpr InvariantInfo info = {
        "DBG-I11", "No breakpoint held in a shadow is lost by an op that takes effect: it is reported or still held"};
    FAULTLINE_HOLDS {
        const auto kept = [&](unsigned n) {
            return !held(pre, n) || has(r.held, 1ull << n) || (r.event == event::trap && b(r, n));
        };
        return implies(executed(r), kept(0) && kept(1) && kept(2) && kept(3));
    }
};

struct DbgI12 {
    static constexpr InvariantInfo info = {"DBG-I12", "No fault-class #DB changes DR6.BS or DR6.BT"};
    FAULTLINE_HOLDS {
        return implies(r.event == event::code_db || r.event == event::gd_db,
                       !has(r.dr6 ^ pre.dr6, dr::dr6_bs | dr::dr6_bt));
    }
};

struct DbgI13 {
    static constexpr InvariantInfo info = {"DBG-I13",
                                           "At CPL > 0, MOV DR reads nothing, writes nothing, and never ends"};
    FAULTLINE_HOLDS {
        return implies(is(stim, kind::mov_dr) && pre.cpl != 0,
                       !executed(r) && r.dr_value == 0 && !has(r.dr7 ^ pre.dr7, ~dr::dr7_gd));
    }
};

struct DbgI14 {
    static constexpr InvariantInfo info = {
        "DBG-I14", "What a response leaves held is a breakpoint that DR7 still arms, or the step of a delivery"};
    FAULTLINE_HOLDS {
        const auto armed = [&](unsigned n) {
            return !has(r.held, 1ull << n) || (has(r.dr7, 3ull << 2 * n) && has(r.dr7, 3ull << (16 + 4 * n)));
        };
        const auto step_of_delivery = (r.event == event::fault || r.event == event::delivered) && pre.tf && btf(pre);
        return armed(0) && armed(1) && armed(2) && armed(3) && !has(r.held, ~(dr::dr6_b | dr::dr6_bs)) &&
               implies(has(r.held, dr::dr6_bs), step_of_delivery);
    }
};

struct DbgI15 {
    static constexpr InvariantInfo info = {
        "DBG-I15", "Causes stay unreported only behind a load of SS, between iterations of REP, or over an event"};
    FAULTLINE_HOLDS {
        return implies(r.held != 0, r.shadow || (executed(r) && is(stim, kind::rep) && !stim.last) ||
                                        r.event == event::delivered || r.event == event::fault ||
                                        r.event == event::code_db || r.event == event::gd_db);
    }
};

inline constexpr auto invariants = boost::hana::tuple_t<DbgI01, DbgI02, DbgI03, DbgI04, DbgI05, DbgI06, DbgI07, DbgI08,
                                                        DbgI09, DbgI10, DbgI11, DbgI12, DbgI13, DbgI14, DbgI15>;

}  // namespace faultline::oracle::debug
