// The chapter's operational form: the finite list of responses that are right. An independent reading of the same
// manuals as the rules, and much faster: this is what judging runs on. The proof holds the two equal. The form itself
// stands in operational.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "oracle/chapters/debug/records.hpp"
#include "oracle/outcome_list.hpp"

namespace faultline::oracle::debug {

/// A right response; bits set in `dr6_any` and RF when `rf_any` may have either value.
template <class D>
struct OutcomeIn {
    Response<D> response;
    typename D::Bits dr6_any;
    typename D::Bool rf_any;
};
template <class D>
using OutcomesIn = OutcomeList<D, OutcomeIn<D>, 128>;
using Outcome = OutcomeIn<Judging>;
using Outcomes = OutcomesIn<Judging>;

/// The FREE rules' alternatives, by name, in the order of `alternative_ids`.
enum class Alternative : std::uint8_t {
    Dbg015,
    Dbg017,
    Xcp170,
    Dbg036,
    Exe010,
    Dbg032,
    Exe039,
    Exe040,
    Dbg087,
    Exe032,
    Exe033,
    Exe013,
    Exe014,
    Exe029,
    Exe030,
    Exe031,
    Dbg055,
    Dbg056,
    Dbg095,
    Dbg084,
    Exe038,
    Dbg026,
    Xcp006,
    Exe052,
    Exe054,
    Count
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Alternative::Count)> alternative_ids = {
    "DBG-015", "DBG-017", "XCP-170", "DBG-036", "EXE-010", "DBG-032", "EXE-039", "EXE-040", "DBG-087",
    "EXE-032", "EXE-033", "EXE-013", "EXE-014", "EXE-029", "EXE-030", "EXE-031", "DBG-055", "DBG-056",
    "DBG-095", "DBG-084", "EXE-038", "DBG-026", "XCP-006", "EXE-052", "EXE-054"};

/// Fills `out` with what is right; never empty for a valid stimulus. `without` leaves one alternative out (tests).
void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out,
              Alternative without = Alternative::Count);

/// Whether `r` is this one, don't-care bits aside.
template <class D>
typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
    const Response<D>& o = outcome.response;
    return o.event == r.event && o.vector == r.vector && o.error == r.error && o.rip == r.rip &&
           (outcome.rf_any || o.rf == r.rf) && o.tf == r.tf && ((o.dr6 ^ r.dr6) & ~outcome.dr6_any) == 0 &&
           o.dr7 == r.dr7 && o.debugctl == r.debugctl && o.dr_value == r.dr_value && o.held == r.held &&
           o.shadow == r.shadow;
}

}  // namespace faultline::oracle::debug
