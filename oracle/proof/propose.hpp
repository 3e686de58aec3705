// The solver chooses the values of a moment: some are given by a program, and those that its environment may set are
// free. For a rule it looks for values and an answer with which the rule decides alone, on the rule's boundary where it
// can: so that with one field changed the rule would have nothing against the answer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "oracle/proof/moments.hpp"

namespace faultline::oracle::proof {

template <class Formal>
class Proposer {
public:
    using Pre = typename Formal::template Pre<Proving>;
    using Stimulus = typename Formal::template Stimulus<Proving>;
    using Response = typename Formal::template Response<Proving>;

    /// `release(context, pre, stim)` makes fields of a moment free and returns what must be true of them.
    using Release = std::function<Bool(z3::context&, Pre&, Stimulus&)>;
    Proposer(const Moment<Formal>& m, const Release& release);
    ~Proposer();

    /// Values with which the rule decides, and that answer; each call gives others. None: there are none.
    std::optional<Moment<Formal>> propose(std::string_view rule);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

extern template class Proposer<debug::Formal>;
extern template class Proposer<exceptions::Formal>;

}  // namespace faultline::oracle::proof
