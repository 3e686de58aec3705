// What of a moment a program's environment may set: as the solver sees it (`release`), and as a case (`realise`).
// Whether the case then comes to that moment is for a run to show.
#pragma once

#include <z3++.h>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "oracle/proof/domain.hpp"
#include "oracle/proof/moments.hpp"

namespace faultline::harness::witness {

/// For each chapter in freedom.cpp. debug: DR0–DR3, DR6, DR7, TF, RF, BTF, CR4.DE, and what MOV to DR writes; the
/// breakpoints look near what the op does. exceptions: TF, IF, NT, AC, and the gate: type (no task gates), DPL,
/// present, where it leads.
template <class Formal>
struct Freedom {
    using Moment = oracle::proof::Moment<Formal>;
    using Pre = typename Formal::template Pre<oracle::proof::Proving>;
    using Stimulus = typename Formal::template Stimulus<oracle::proof::Proving>;
    static oracle::proof::Bool release(const guest::Case& kase, const Moment& m, z3::context& context, Pre& pre,
                                       Stimulus& stim);
    static guest::Case realise(guest::Case kase, const guest::Image& image, const Moment& from, const Moment& to);
};

}  // namespace faultline::harness::witness
