// The chapter as a formal object: what proof/prover.hpp asks of a chapter. See oracle/README.md, "Proving".
#pragma once

#include <span>

#include "oracle/chapters/svm/invariants.hpp"
#include "oracle/chapters/svm/operational.hpp"
#include "oracle/chapters/svm/rules.hpp"
#include "oracle/formal.hpp"

namespace faultline::oracle::svm {

struct Formal : FormalOf<Pre, Stimulus, Response, OutcomeIn, OutcomesIn> {
    static constexpr std::string_view name = "svm";

    static constexpr auto rules = svm::rules;
    static constexpr auto invariants = svm::invariants;
    /// Ids of the FREE rules, as the operational form numbers them.
    static constexpr std::span<const std::string_view> alternatives = alternative_ids;

    /// Stimulus::kind is at most this in a valid stimulus; the proof takes one kind at a time.
    static constexpr std::uint64_t last_kind = kind::last;

    /// The solver needs no help: nothing here is arithmetic but a few sums.
    template <class D, class F>
    static void lemmas(const Pre<D>&, const Stimulus<D>&, F&&) {}
};

}  // namespace faultline::oracle::svm
