// The chapter as a formal object: what proof/prover.hpp asks of a chapter. See oracle/README.md, "Proving".
#pragma once

#include <span>

#include "oracle/chapters/exceptions/invariants.hpp"
#include "oracle/chapters/exceptions/operational.hpp"
#include "oracle/chapters/exceptions/rules.hpp"
#include "oracle/formal.hpp"

namespace faultline::oracle::exceptions {

struct Formal : FormalOf<Pre, Stimulus, Response, OutcomeIn, OutcomesIn> {
    static constexpr std::string_view name = "exceptions";

    static constexpr auto rules = exceptions::rules;
    static constexpr auto invariants = exceptions::invariants;
    /// Ids of the FREE rules, as the operational form numbers them.
    static constexpr std::span<const std::string_view> alternatives = alternative_ids;

    /// Stimulus::kind is at most this in a valid stimulus; the proof takes one kind at a time.
    static constexpr std::uint64_t last_kind = kind::last;

    /// The solver needs no help: nothing here is arithmetic but a few sums.
    template <class D, class F>
    static void lemmas(const Pre<D>&, const Stimulus<D>&, F&&) {}
};

}  // namespace faultline::oracle::exceptions
