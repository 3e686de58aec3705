// The chapter's operational form: the finite list of responses that are right. An independent reading of the same
// manuals as the rules; this is what judging runs on. The proof holds the two equal. The form itself stands in
// operational.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "oracle/chapters/exceptions/records.hpp"
#include "oracle/outcome_list.hpp"

namespace faultline::oracle::exceptions {

/// A right response, with what it leaves open.
template <class D>
struct OutcomeIn {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    Response<D> response;
    Bool rip_any = false, rf_any = false;  ///< either may be anything
    Bits cr2_low = 0, cr2_high = 0;      ///< response.writes_cr2: CR2 is in [cr2_low, cr2_high]; response.cr2: usually
    Bits held_any = 0;                   ///< each of these bits of `held` may be set
    Bits met_vector = 0, met_error = 0;  ///< double_fault, shutdown: what the delivery met
};
template <class D>
using OutcomesIn = OutcomeList<D, OutcomeIn<D>, 8>;
using Outcome = OutcomeIn<Judging>;
using Outcomes = OutcomesIn<Judging>;

/// The FREE rules' alternatives, by name, in the order of `alternative_ids`.
enum class Alternative : std::uint8_t {
    Xcp147,
    Xcp117,
    Xcp158,
    Xcp041,
    Xcp190,
    Xcp192,
    Xcp199,
    Xcp241,
    Xcp242,
    Xcp059,
    Xcp244,
    Xcp222,
    Xcp008,
    Xcp010,
    Xcp245,
    Xcp228,
    Xcp251,
    Count
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Alternative::Count)> alternative_ids = {
    "XCP-147", "XCP-117", "XCP-158", "XCP-041", "XCP-190", "XCP-192", "XCP-199", "XCP-241", "XCP-242",
    "XCP-059", "XCP-244", "XCP-222", "XCP-008", "XCP-010", "XCP-245", "XCP-228", "XCP-251"};

/// Fills `out` with what is right; never empty for a valid stimulus. `without` leaves one alternative out (tests).
void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out,
              Alternative without = Alternative::Count);

/// Whether `r` is this one, what it leaves open aside.
template <class D>
typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
    const Response<D>& o = outcome.response;
    return o.result == r.result && o.vector == r.vector && o.error == r.error && o.writes_cr2 == r.writes_cr2 &&
           ule(outcome.cr2_low, r.cr2) && ule(r.cr2, outcome.cr2_high) && (outcome.rip_any || o.rip == r.rip) &&
           (outcome.rf_any || o.rf == r.rf) && o.pushes_error == r.pushes_error && o.pushes_stack == r.pushes_stack &&
           o.slot == r.slot && o.frame == r.frame && o.cpl == r.cpl && o.ss == r.ss && o.if_ == r.if_ && o.tf == r.tf &&
           o.nt == r.nt && o.rf_after == r.rf_after && o.ac == r.ac && o.selector == r.selector &&
           ((o.held ^ r.held) & ~outcome.held_any) == 0;
}

}  // namespace faultline::oracle::exceptions
