// What the `Formal` of every chapter says alike: which records it speaks about, and where its functions are. A chapter
// derives its own from it (chapters/debug/formal.hpp) and adds name, rules, invariants, alternatives, last_kind and
// lemmas. The functions are found by their arguments, in the chapter's namespace.
#pragma once

#include "oracle/domain.hpp"

namespace faultline::oracle {

/// By the chapter's own names, which the members of FormalOf would hide.
namespace chapter {
template <class D>
auto is_valid(const auto& pre, const auto& stim) {
    return valid<D>(pre, stim);
}
template <class D>
auto is_normalised(const auto& stim, const auto& r) {
    return normalised<D>(stim, r);
}
template <class D>
auto is_matched(const auto& outcome, const auto& r) {
    return matches<D>(outcome, r);
}
}  // namespace chapter

template <template <class> class PreIn, template <class> class StimulusIn, template <class> class ResponseIn,
          template <class> class OutcomeIn, template <class> class OutcomesIn>
struct FormalOf {
    template <class D>
    using Pre = PreIn<D>;
    template <class D>
    using Stimulus = StimulusIn<D>;
    template <class D>
    using Response = ResponseIn<D>;
    template <class D>
    using Outcomes = OutcomesIn<D>;

    template <class D>
    static typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>& stim) {
        return chapter::is_valid<D>(pre, stim);
    }
    template <class D>
    static typename D::Bool normalised(const Stimulus<D>& stim, const Response<D>& r) {
        return chapter::is_normalised<D>(stim, r);
    }
    /// The operational form; `without` is the number of an alternative to leave out, or how many there are.
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        find_outcomes<D>(pre, stim, out, without);
    }
    template <class D>
    static typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
        return chapter::is_matched<D>(outcome, r);
    }
};

}  // namespace faultline::oracle
