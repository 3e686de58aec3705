// Every way through an operational form. When proving, a form's list (outcome_list.hpp) answers `decide` from here: the
// form is run once for each combination of answers that `valid` admits, and what it then adds is right under the
// conjunction of those answers. What stands under `when` and `each_subset` is added in every run, with a guard.
#pragma once

#include <stdexcept>
#include <vector>

#include "oracle/outcome_list.hpp"
#include "oracle/proof/domain.hpp"

namespace faultline::oracle::proof {

class Paths {
public:
    /// `assumption`: what holds on every way.
    Paths(z3::context& context, const Bool& assumption);

    /// Calls `way()` once per way.
    template <class F>
    void each(F&& way) {
        do {
            next_ = 0;
            way();
        } while (turn());
    }
    /// The answer on this way. Asks the solver where there is a choice at all.
    bool decide(const Bool& condition);
    /// The conjunction of this way's answers.
    Bool condition() const;

private:
    struct Decision {
        Bool answered;  ///< as it was answered: the condition or its opposite
        bool answer;
        bool other;  ///< the opposite is possible and still to be tried
    };
    bool possible(const Bool& condition);
    void take(const Bool& answered);
    /// To the next way; false when there is none.
    bool turn();

    z3::context& context_;
    z3::solver solver_;
    std::vector<Decision> decisions_;
    std::size_t next_ = 0;
};

}  // namespace faultline::oracle::proof

namespace faultline::oracle {

/// The prover's: one list per way.
template <class Outcome, std::size_t most>
class OutcomeList<proof::Proving, Outcome, most> {
    using Bits = proof::Bits;
    using Bool = proof::Bool;

public:
    struct Guarded {
        Bool guard;
        Outcome outcome;
    };
    explicit OutcomeList(proof::Paths& paths) : paths_(paths) {}

    void clear() { items_.clear(); }
    void add(const Outcome& outcome) { items_.push_back({guard_, outcome}); }
    const std::vector<Guarded>& items() const { return items_; }

    bool decide(const Bool& condition) { return paths_.decide(condition); }
    std::uint64_t pick(const Bits& value, std::uint64_t last) {
        for (std::uint64_t v = 0; v <= last; ++v)
            if (decide(value == v)) return v;
        throw std::logic_error("pick: a value beyond its last one is valid");
    }
    template <class F>
    void when(const Bool& condition, F&& f) {
        const Bool outer = guard_;
        guard_ = outer && condition;
        if (!guard_.is(false)) f();
        guard_ = outer;
    }
    template <class F>
    void each_subset(const Bits& of, std::uint64_t in, F&& f) {
        OutcomeList<Judging, int, 1>::each_subset(
            in, in, [&](std::uint64_t subset) { when((~of & subset) == 0, [&] { f(Bits(subset)); }); });
    }

private:
    proof::Paths& paths_;
    Bool guard_ = true;
    std::vector<Guarded> items_;
};

}  // namespace faultline::oracle
