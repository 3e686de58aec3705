// The Proposer's inside (propose.hpp), instantiated once for each chapter, in a file of its own: compilers are slow at
// it.
#pragma once

#include <vector>

#include "oracle/proof/forms.hpp"
#include "oracle/proof/propose.hpp"
#include "oracle/proof/solve.hpp"

namespace faultline::oracle::proof {

template <class Formal>
struct Proposer<Formal>::Impl {
    using F = Forms<Formal>;
    using Response = typename Formal::template Response<Proving>;

    Impl(const Moment<Formal>& m, const Release& release)
        : moment_(m), pre_(lifted<Pre>(m.pre)), stim_(lifted<Stimulus>(m.stim)), search_(context_) {
        const Bool possible = release(context_, pre_, stim_);
        r_ = symbolic<Response>(context_, "response");
        step_beside();
        search_.add(Formal::template valid<Proving>(pre_, stim_) && Formal::template normalised<Proving>(stim_, r_) &&
                    possible);
        F::each_constraint([&](auto type) {
            using Rule = typename decltype(type)::type;
            if constexpr (!Rule::redundant) {
                const Bool permits = F::template permits<Rule, Proving>(pre_, stim_, r_, none());
                if (!permits.is(true)) permits_.emplace_back(Rule::info.id, search_.name(Rule::info.id, permits));
            }
        });
    }

    std::optional<Moment<Formal>> propose(std::string_view rule) {
        z3::expr_vector assumed(context_);
        bool speaks = false;
        for (const auto& [id, permits] : permits_) {
            speaks = speaks || id == rule;
            assumed.push_back(id == rule ? !permits : permits);
        }
        Bool decides = true, silent = true;
        F::each_rule([&](auto type) {
            using Rule = typename decltype(type)::type;
            if (Rule::info.id != rule) return;
            if constexpr (Rule::info.kind == RuleKind::Free) {
                decides = !F::template permitted_without<Rule, Proving>(pre_, stim_, r_);
                speaks = !decides.is(false);
                for (unsigned n = 0; n < Rule::instances; ++n)
                    silent = silent && !(Rule::template applies<Proving>(beside_, stim_, n) &&
                                         Rule::template allows<Proving>(beside_, stim_, r_, n));
            } else if constexpr (!Rule::redundant) {
                silent = F::template permits<Rule, Proving>(beside_, stim_, r_, none());
            }
        });
        if (!speaks) return {};
        assumed.push_back(search_.name(fresh(), decides));
        auto model = search_.find(assumed);
        if (!model) return {};
        assumed.push_back(search_.name(fresh(), beside_valid_ && silent));
        if (auto nearer = search_.find(assumed)) model = std::move(nearer);
        Moment<Formal> m = moment_;
        m.pre = plain<decltype(m.pre)>(context_, *model, pre_);
        m.stim = plain<decltype(m.stim)>(context_, *model, stim_);
        m.seen = plain<decltype(m.seen)>(context_, *model, r_);
        block(m);
        return m;
    }

private:
    static std::uint64_t none() { return Formal::alternatives.size(); }

    /// The state with one bit of one field changed.
    void step_beside() {
        const Bits which(context_.bv_const("which", 64)), bit(context_.bv_const("bit", 64));
        beside_ = pre_;
        std::uint64_t number = 0;
        each_field<Pre>([&](const char*, auto index) {
            auto& value = field(beside_, index);
            const Bool here = which == number++;
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Bool>)
                value = value != here;
            else
                value = ite(here, value ^ bit, value);
        });
        beside_valid_ = (bit & (bit - 1)) == 0 && bit != 0 && Formal::template valid<Proving>(beside_, stim_);
    }
    /// The same values shall not be proposed again.
    void block(const Moment<Formal>& m) {
        Bool same = true;
        const auto compare = [&](const auto& terms, const auto& values) {
            each_field<std::decay_t<decltype(values)>>([&](const char*, auto index) {
                const auto& term = field(terms, index);
                if (!term.constant()) same = same && term == std::decay_t<decltype(term)>(field(values, index));
            });
        };
        compare(pre_, m.pre);
        compare(stim_, m.stim);
        if (!same.constant()) search_.add(!same);
    }
    /// Names must be new: what they stand for stays known to the solver.
    std::string fresh() { return "asked" + std::to_string(names_++); }

    z3::context context_;
    Moment<Formal> moment_;
    Pre pre_, beside_;
    Stimulus stim_;
    Bool beside_valid_;
    Response r_;
    Search search_;
    std::vector<std::pair<std::string_view, z3::expr>> permits_;
    unsigned names_ = 0;
};

template <class Formal>
Proposer<Formal>::Proposer(const Moment<Formal>& m, const Release& release)
    : impl_(std::make_unique<Impl>(m, release)) {}
template <class Formal>
Proposer<Formal>::~Proposer() = default;

template <class Formal>
std::optional<Moment<Formal>> Proposer<Formal>::propose(std::string_view rule) {
    return impl_->propose(rule);
}

}  // namespace faultline::oracle::proof
