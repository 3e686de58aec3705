// What holds for every response that this chapter's rules permit, whichever alternatives are taken: consequences of
// many rules at once, worth stating because a hypervisor rests on them. They are proved (`faultline prove`) and judge
// nothing.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/svm/situation.hpp"
#include "oracle/rule.hpp"

namespace faultline::oracle::svm {

struct SvmI01 {
    static constexpr InvariantInfo info = {
        "SVM-I01", "A guest that runs exits for nothing that the VMCB does not ask for, nested paging aside"};
    FAULTLINE_HOLDS {
        return implies(r.exits && !entering(stim), stim.intercepted || stim.selective || translating(stim) ||
                                                       (between_instructions(stim) && has(stim.intercepts_3, 0x13)));
    }
};

struct SvmI02 {
    static constexpr InvariantInfo info = {"SVM-I02",
                                           "VMEXIT_INVALID tells of a guest that has not run, and of nothing else"};
    FAULTLINE_HOLDS { return implies(r.exits, (r.code == guest::svm::exit_code::invalid) == entering(stim)); }
};

struct SvmI03 {
    static constexpr InvariantInfo info = {"SVM-I03", "No exit that is defined has written CR2"};
    FAULTLINE_HOLDS { return implies(r.exits && (executing(stim) || exceptional(stim)), r.cr2 == stim.cr2); }
};

struct SvmI04 {
    static constexpr InvariantInfo info = {"SVM-I04",
                                           "EXITINTINFO is valid exactly where an exception was met in a delivery"};
    FAULTLINE_HOLDS {
        return implies(r.exits && (executing(stim) || exceptional(stim)),
                       has(r.int_info, guest::svm::event_info::valid) == (excepting(stim) && delivering(stim)));
    }
};

struct SvmI05 {
    static constexpr InvariantInfo info = {"SVM-I05", "An nRIP that is not zero is the next instruction's"};
    FAULTLINE_HOLDS {
        return implies(r.exits && pre.nrips && (executing(stim) || exceptional(stim)),
                       r.next_rip == 0 || r.next_rip == stim.next_rip);
    }
};

struct SvmI06 {
    static constexpr InvariantInfo info = {
        "SVM-I06", "No PUSHF, POPF, IRET, RSM, INT n or VMMCALL gets past its intercept, but for a #DB before it"};
    FAULTLINE_HOLDS {
        return implies((intercept_first(stim) || checks(stim, Intercept::SoftwareInterrupt, Intercept::Vmmcall)) &&
                           stim.intercepted && !has(stim.raises, raises::code_breakpoint | raises::pending_trap),
                       r.exits);
    }
};

struct SvmI07 {
    static constexpr InvariantInfo info = {"SVM-I07",
                                           "No code that is not at CPL 0 makes MOV DR or an MSR access exit"};
    FAULTLINE_HOLDS {
        return implies((accesses_dr(stim) || checks(stim, Intercept::Msr)) && has(stim.raises, raises::privilege),
                       !r.exits);
    }
};

struct SvmI08 {
    static constexpr InvariantInfo info = {"SVM-I08", "An injected event exits in no way but as VMEXIT_INVALID"};
    FAULTLINE_HOLDS { return implies(from(stim, source::injected), !r.exits); }
};

struct SvmI09 {
    static constexpr InvariantInfo info = {"SVM-I09",
                                           "EXITINTINFO never claims an error code for an interrupt that has none"};
    FAULTLINE_HOLDS {
        return implies(r.exits && exceptional(stim) && delivering(stim) && !stim.prior_has_error,
                       !has(r.int_info, guest::svm::event_info::has_error));
    }
};

struct SvmI10 {
    static constexpr InvariantInfo info = {"SVM-I10",
                                           "A virtual interrupt that V_IRQ tells of is taken once or not yet"};
    FAULTLINE_HOLDS {
        return implies(between_instructions(stim) && controls(stim, guest::svm::vintr::irq),
                       has(r.pending, guest::svm::vintr::irq) != takes(r, event::virtual_intr));
    }
};

struct SvmI12 {
    static constexpr InvariantInfo info = {"SVM-I12",
                                           "No guest gets at a page that is not a user's in the nested tables"};
    FAULTLINE_HOLDS { return implies(translating(stim) && !stands(stim, standing::user), r.exits); }
};

struct SvmI11 {
    static constexpr InvariantInfo info = {"SVM-I11", "A guest cannot mask physical interrupts under V_INTR_MASKING"};
    FAULTLINE_HOLDS {
        return implies(window_open(stim) && controls(stim, guest::svm::vintr::masking) &&
                           has(stim.standing, standing::host_if) && has(stim.standing, standing::intr),
                       r.event != event::none && r.event != event::virtual_intr);
    }
};

inline constexpr auto invariants = boost::hana::tuple_t<SvmI01, SvmI02, SvmI03, SvmI04, SvmI05, SvmI06, SvmI07, SvmI08,
                                                        SvmI09, SvmI10, SvmI11, SvmI12>;

}  // namespace faultline::oracle::svm
