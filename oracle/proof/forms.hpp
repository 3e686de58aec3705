// What the prover and the proposer make of a chapter's rules.
#pragma once

#include <algorithm>
#include <boost/hana/bool.hpp>
#include <boost/hana/filter.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <string_view>

#include "oracle/permits.hpp"

namespace faultline::oracle::proof {

/// The forms of a chapter, over either domain.
template <class Formal>
struct Forms {
    /// Only these except others: looking through all rules for them is what makes compilers slow.
    static constexpr auto frees = boost::hana::filter(Formal::rules, [](auto type) {
        return boost::hana::bool_c<decltype(type)::type::info.kind == RuleKind::Free>;
    });
    template <class F>
    static void each_rule(F&& f) {
        boost::hana::for_each(Formal::rules, [&](auto type) { f(type); });
    }
    /// Rules that constrain.
    template <class F>
    static void each_constraint(F&& f) {
        each_rule([&](auto type) {
            if constexpr (decltype(type)::type::info.kind != RuleKind::Free) f(type);
        });
    }
    template <class F>
    static void each_invariant(F&& f) {
        boost::hana::for_each(Formal::invariants, [&](auto type) { f(type); });
    }
    static std::size_t alternative(std::string_view id) {
        return std::find(Formal::alternatives.begin(), Formal::alternatives.end(), id) - Formal::alternatives.begin();
    }
    template <class Rule, class D>
    static typename D::Bool permits(const auto& pre, const auto& stim, const auto& r, const typename D::Bits& without) {
        return oracle::permits<Rule, D>(frees, pre, stim, r, [&](auto free) {
            return without != static_cast<std::uint64_t>(alternative(decltype(free)::type::info.id));
        });
    }
    /// What is left of that without a FREE rule: only the rules that it excepts can reject more.
    template <class Free, class D>
    static typename D::Bool permitted_without(const auto& pre, const auto& stim, const auto& r) {
        const typename D::Bits without = static_cast<std::uint64_t>(alternative(Free::info.id));
        typename D::Bool all = true;
        each_constraint([&](auto type) {
            using Rule = typename decltype(type)::type;
            if constexpr (Free::excepts::template contains<Rule>) all = all && permits<Rule, D>(pre, stim, r, without);
        });
        return all;
    }
    /// Normalised, and every rule permits it.
    template <class D>
    static typename D::Bool permitted(const auto& pre, const auto& stim, const auto& r,
                                      const typename D::Bits& without) {
        typename D::Bool all = Formal::template normalised<D>(stim, r);
        each_constraint(
            [&](auto type) { all = all && permits<typename decltype(type)::type, D>(pre, stim, r, without); });
        return all;
    }
};

}  // namespace faultline::oracle::proof
