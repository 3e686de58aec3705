// The chapter's rules in catalogue order: of two violated rules about the same aspect, the earlier one is primary.
// Each file lists its own.
//
// Facts of the manual that have no rule yet, and why:
//   SVM-013, EXC-026       EXITINFO where no use is indicated, the error code without EV: no rule compares them
//   SVM-015                NMI still blocked at an IRET intercept: the VMCB does not show it
//   SVM-019                VMMCALL that nobody intercepts is undefined: what an op raises is the exceptions chapter's
//   SVM-028, in part       task switches by an event; bit 48 of their EXITINFO2
//   SVM-029 to SVM-038     what #VMEXIT and VMRUN do to the host: GIF, breakpoints, TF, RF, DEBUGCTL
//   SVM-039                clean bits
//   SVM-046 to SVM-048     SEV-ES, bus locks
//   SVM-049                instruction bytes: tapes do not show them
//   VMR-017, VMR-018       SEV; VMRUN's own exceptions in the host
//   EXC-006, EXC-007       what is undefined of #DF and #TS: no rule compares it
//   EXC-013, EXC-014       status words of #MF, #XF, #MC
//   EXC-017 to EXC-022     what a hypervisor makes of an exit
//   EXC-028, EXC-029       #VC, #HV
//   EXC-031, EXC-033       error code of #AC, class of exceptions: the exceptions chapter's
//   EXC-032                a shutdown that exits: all but the code is undefined
//   EXC-038 to EXC-041     the delivery of an injected event, and EVENTINJ after it
#pragma once

#include <boost/hana/flatten.hpp>

#include "oracle/chapters/svm/rules/boundary.hpp"
#include "oracle/chapters/svm/rules/entry.hpp"
#include "oracle/chapters/svm/rules/exceptions.hpp"
#include "oracle/chapters/svm/rules/injection.hpp"
#include "oracle/chapters/svm/rules/maps.hpp"
#include "oracle/chapters/svm/rules/nested.hpp"
#include "oracle/chapters/svm/rules/order.hpp"
#include "oracle/chapters/svm/rules/reflection.hpp"
#include "oracle/chapters/svm/rules/report.hpp"
#include "oracle/chapters/svm/rules/state.hpp"

namespace faultline::oracle::svm {

inline constexpr auto rules = boost::hana::flatten(
    boost::hana::make_tuple(state_rules, injection_rules, entry_rules, order_rules, maps_rules, report_rules,
                            exception_rules, reflection_rules, boundary_rules, nested_rules));

}  // namespace faultline::oracle::svm
