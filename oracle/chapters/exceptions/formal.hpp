// The chapter as a formal object: what proof/prover.hpp asks of a chapter. See oracle/README.md, "Proving".
#pragma once

#include <span>

#include "oracle/chapters/exceptions/invariants.hpp"
#include "oracle/chapters/exceptions/operational.hpp"
#include "oracle/chapters/exceptions/rules.hpp"

namespace faultline::oracle::exceptions {

struct Formal {
    static constexpr std::string_view name = "exceptions";

    template <class D>
    using Pre = exceptions::Pre<D>;
    template <class D>
    using Stimulus = exceptions::Stimulus<D>;
    template <class D>
    using Response = exceptions::Response<D>;
    template <class D>
    using Outcomes = exceptions::OutcomesIn<D>;

    static constexpr auto rules = exceptions::rules;
    static constexpr auto invariants = exceptions::invariants;
    /// Ids of the FREE rules, as the operational form numbers them.
    static constexpr std::span<const std::string_view> alternatives = alternative_ids;

    /// Stimulus::kind is at most this in a valid stimulus; the proof takes one kind at a time.
    static constexpr std::uint64_t last_kind = kind::last;

    template <class D>
    static typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>& stim) {
        return exceptions::valid<D>(pre, stim);
    }
    template <class D>
    static typename D::Bool normalised(const Stimulus<D>& stim, const Response<D>& r) {
        return exceptions::normalised<D>(stim, r);
    }
    /// The operational form; `without` is the number of an alternative to leave out, or alternatives.size().
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        find_outcomes<D>(pre, stim, out, without);
    }
    template <class D>
    static typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
        return exceptions::matches<D>(outcome, r);
    }

    /// The solver needs no help: nothing here is arithmetic but a few sums.
    template <class D, class F>
    static void lemmas(const Pre<D>&, const Stimulus<D>&, F&&) {}
};

}  // namespace faultline::oracle::exceptions
