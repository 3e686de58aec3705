// The chapter's operational form: the finite list of responses that are right. An independent reading of the same
// manual as the rules; this is what judging runs on. The proof holds the two equal. The form itself stands in
// operational.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "oracle/chapters/svm/records.hpp"
#include "oracle/outcome_list.hpp"

namespace faultline::oracle::svm {

/// A right response, with what it leaves open.
template <class D>
struct OutcomeIn {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    Response<D> response;
    /// What is defined of these fields: the other bits may be anything.
    Bits info1_known = ~0ull, info2_known = ~0ull, int_info_known = ~0ull;
    Bool next_rip_any = false, rip_any = false, rf_any = false, shadow_any = false;
    Bool registers_any = false;  ///< CR2, DR6, DR7
    /// Another RIP and another nRIP that may stand there.
    Bits other_rip = 0, other_next_rip = 0;
};
template <class D>
using OutcomesIn = OutcomeList<D, OutcomeIn<D>, 4>;
using Outcome = OutcomeIn<Judging>;
using Outcomes = OutcomesIn<Judging>;

/// The FREE rules' alternatives, by name, in the order of `alternative_ids`.
enum class Alternative : std::uint8_t {
    Exc035,
    Vmr112,
    Vmr113,
    Vmr114,
    Vmr115,
    Vmr116,
    Vmr117,
    Vmr118,
    Vmr119,
    Exc106,
    Exc107,
    Exc108,
    Exc109,
    Exc110,
    Svm006,
    Svm110,
    Svm123,
    Svm127,
    Exc001,
    Exc121,
    Exc123,
    Exc125,
    Exc127,
    Svm162,
    Svm165,
    Vmr123,
    Vmr124,
    Npf103,
    Npf104,
    Npf105,
    Count
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Alternative::Count)> alternative_ids = {
    "EXC-035", "VMR-112", "VMR-113", "VMR-114", "VMR-115", "VMR-116", "VMR-117", "VMR-118", "VMR-119", "EXC-106",
    "EXC-107", "EXC-108", "EXC-109", "EXC-110", "SVM-006", "SVM-110", "SVM-123", "SVM-127", "EXC-001", "EXC-121",
    "EXC-123", "EXC-125", "EXC-127", "SVM-162", "SVM-165", "VMR-123", "VMR-124", "NPF-103", "NPF-104", "NPF-105"};

/// Fills `out` with what is right; never empty for a valid stimulus. `without` leaves one alternative out (tests).
void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out,
              Alternative without = Alternative::Count);

/// Whether `r` is this one, what it leaves open aside.
template <class D>
typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
    const Response<D>& o = outcome.response;
    return o.exits == r.exits && o.code == r.code && ((o.info1 ^ r.info1) & outcome.info1_known) == 0 &&
           ((o.info2 ^ r.info2) & outcome.info2_known) == 0 &&
           ((o.int_info ^ r.int_info) & outcome.int_info_known) == 0 &&
           (outcome.next_rip_any || o.next_rip == r.next_rip || outcome.other_next_rip == r.next_rip) &&
           (outcome.rip_any || o.rip == r.rip || outcome.other_rip == r.rip) && (outcome.rf_any || o.rf == r.rf) &&
           (outcome.shadow_any || o.shadow == r.shadow) &&
           (outcome.registers_any || (o.cr2 == r.cr2 && o.dr6 == r.dr6 && o.dr7 == r.dr7)) && o.event == r.event &&
           o.vector == r.vector && o.pending == r.pending;
}

}  // namespace faultline::oracle::svm
