// What holds for every response that this chapter's rules permit, whichever alternatives are taken: consequences of
// many rules at once, worth stating because somebody's code or security rests on them. They are proved (`faultline
// prove`) and judge nothing.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/exceptions/situation.hpp"
#include "oracle/rule.hpp"

namespace faultline::oracle::exceptions {

struct XcpI01 {
    static constexpr InvariantInfo info = {"XCP-I01", "No handler runs with less privilege than what it interrupts"};
    FAULTLINE_HOLDS { return implies(is(r, result::delivered), ule(r.cpl, pre.cpl)); }
};

struct XcpI02 {
    static constexpr InvariantInfo info = {"XCP-I02", "EXT is never set for what a software interrupt meets"};
    FAULTLINE_HOLDS {
        return implies(delivering(stim) && from(stim, source::software) && is(r, result::serial) && r.vector != vec::pf,
                       !has(r.error, 1));
    }
};

struct XcpI03 {
    static constexpr InvariantInfo info = {"XCP-I03",
                                           "No #PF here reports reserved bits, protection keys or a reserved bit of "
                                           "its error code, nor I/D together with W"};
    FAULTLINE_HOLDS {
        return implies(page_fault(r), ule(r.error, typename D::Bits(0x1F)) && !has(r.error, 8) &&
                                          !(has(r.error, pf::w) && has(r.error, pf::id)));
    }
};

struct XcpI04 {
    static constexpr InvariantInfo info = {"XCP-I04", "Only a #DF that cannot be delivered shuts the processor down"};
    FAULTLINE_HOLDS { return implies(is(r, result::shutdown), exception(stim, vec::df)); }
};

struct XcpI05 {
    static constexpr InvariantInfo info = {
        "XCP-I05", "#DF takes the place of contributory exceptions and of #PF only, never of an interrupt"};
    FAULTLINE_HOLDS { return implies(is(r, result::double_fault), contributory(stim) || exception(stim, vec::pf)); }
};

struct XcpI06 {
    static constexpr InvariantInfo info = {
        "XCP-I06", "In real mode nothing carries an error code, writes CR2, switches tasks or leaves CPL 0"};
    FAULTLINE_HOLDS {
        return implies(in_real_mode(pre),
                       r.error == 0 && !r.pushes_error && !r.writes_cr2 && r.cpl == 0 && !is(r, result::task_switch));
    }
};

struct XcpI07 {
    static constexpr InvariantInfo info = {
        "XCP-I07", "A fault in place of a software interrupt or ICEBP points at the instruction, never behind it"};
    FAULTLINE_HOLDS { return implies(is(r, result::serial), r.rip == stim.origin); }
};

struct XcpI08 {
    static constexpr InvariantInfo info = {"XCP-I08", "No delivery sets IF, TF, NT, RF or AC"};
    FAULTLINE_HOLDS {
        return implies(is(r, result::delivered), implies(r.if_, pre.if_) && !r.tf && implies(r.nt, pre.nt) &&
                                                     !r.rf_after && implies(r.ac, pre.ac));
    }
};

struct XcpI09 {
    static constexpr InvariantInfo info = {
        "XCP-I09", "CR2 is written by a #PF and by nothing else, and then it names what paging refused"};
    FAULTLINE_HOLDS {
        return implies(r.writes_cr2, page_fault(r) || is(r, result::double_fault) || is(r, result::shutdown)) &&
               implies(page_fault(r), r.writes_cr2) &&
               implies(r.writes_cr2 && delivering(stim), ule(stim.push_low, r.cr2) && ule(r.cr2, stim.push_high)) &&
               implies(r.writes_cr2 && raising(stim), ule(stim.address, r.cr2) && ule(r.cr2, stim.address + stim.span));
    }
};

struct XcpI10 {
    static constexpr InvariantInfo info = {
        "XCP-I10", "In long mode a frame ends on a multiple of eight, and without an error code eight off sixteen"};
    FAULTLINE_HOLDS {
        return implies(is(r, result::delivered) && in_long_mode(pre),
                       (r.frame & 15) == ite(r.pushes_error, typename D::Bits(0), typename D::Bits(8)));
    }
};

struct XcpI11 {
    static constexpr InvariantInfo info = {"XCP-I11",
                                           "A handler that changes CPL never runs on the stack that it found"};
    FAULTLINE_HOLDS {
        return implies(is(r, result::delivered) && r.cpl != pre.cpl,
                       r.pushes_stack && (r.ss == stim.new_ss || r.ss == r.cpl));
    }
};

struct XcpI12 {
    static constexpr InvariantInfo info = {
        "XCP-I12", "INT n, INT3 and INTO never enter a handler through a gate whose DPL is below CPL"};
    FAULTLINE_HOLDS {
        return implies(delivering(stim) && from(stim, source::software) && gate_dpl_below(pre, stim),
                       !is(r, result::delivered) && !is(r, result::task_switch));
    }
};

inline constexpr auto invariants = boost::hana::tuple_t<XcpI01, XcpI02, XcpI03, XcpI04, XcpI05, XcpI06, XcpI07, XcpI08,
                                                        XcpI09, XcpI10, XcpI11, XcpI12>;

}  // namespace faultline::oracle::exceptions
