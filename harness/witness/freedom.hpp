// What of a moment a program's environment may set: as the solver sees it (`release`), and as a case (`realise`).
// Whether the case then comes to that moment is for a run to show.
#pragma once

#include <z3++.h>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "oracle/proof/domain.hpp"
#include "oracle/proof/moments.hpp"

namespace faultline::harness::witness {

template <class Formal>
struct Freedom;

template <>
struct Freedom<oracle::debug::Formal> {
    using Formal = oracle::debug::Formal;
    using Moment = oracle::proof::Moment<Formal>;
    using Proving = oracle::proof::Proving;
    /// DR0–DR3, DR6, DR7, TF, RF, BTF, CR4.DE, and what MOV to DR writes. The breakpoints look near what the op does.
    static oracle::proof::Bool release(const guest::Case& kase, const Moment& m, z3::context& context,
                                       Formal::Pre<Proving>& pre, Formal::Stimulus<Proving>& stim);
    static guest::Case realise(guest::Case kase, const guest::Image& image, const Moment& from, const Moment& to);
};

template <>
struct Freedom<oracle::exceptions::Formal> {
    using Formal = oracle::exceptions::Formal;
    using Moment = oracle::proof::Moment<Formal>;
    using Proving = oracle::proof::Proving;
    /// TF, IF, NT, AC, and the gate: inside the IDT, type (no task gates), DPL, present, where it leads.
    static oracle::proof::Bool release(const guest::Case& kase, const Moment& m, z3::context& context,
                                       Formal::Pre<Proving>& pre, Formal::Stimulus<Proving>& stim);
    static guest::Case realise(guest::Case kase, const guest::Image& image, const Moment& from, const Moment& to);
};

}  // namespace faultline::harness::witness
