// A chapter's rules as the judge sees them: a table over plain integers, without the templates behind it. A chapter
// declares its own `rule_table()` in chapter.hpp and fills it in chapter.cpp with `make_rule_table`.
#pragma once

#include <array>
#include <boost/hana/unpack.hpp>

#include "oracle/permits.hpp"

namespace faultline::oracle {

template <class Pre, class Stimulus, class Response>
struct RuleEntry {
    RuleInfo info;
    Aspect aspect;  ///< constraining rules only
    bool redundant;
    bool constrains;  ///< false: FREE
    /// Whether it speaks about some register.
    bool (*applies)(const Pre&, const Stimulus&);
    /// Constraining: whether the rule, FREE rules considered, permits the response. `without` names a FREE rule
    /// to leave out. FREE: whether the response takes the alternative.
    bool (*permits)(const Pre&, const Stimulus&, const Response&, std::string_view without);
};

/// One entry of a chapter whose rules are the tuple type `Rules`.
template <class Rules, class Rule, class Pre, class Stimulus, class Response>
constexpr void describe_rule(RuleEntry<Pre, Stimulus, Response>& entry) {
    constexpr bool constrains = Rule::info.kind != RuleKind::Free;
    entry.info = Rule::info;
    entry.redundant = Rule::redundant;
    entry.constrains = constrains;
    entry.applies = [](const Pre& pre, const Stimulus& stim) {
        for (unsigned n = 0; n < Rule::instances; ++n)
            if (Rule::template applies<Judging>(pre, stim, n)) return true;
        return false;
    };
    if constexpr (constrains) {
        entry.aspect = Rule::aspect;
        entry.permits = [](const Pre& pre, const Stimulus& stim, const Response& r, std::string_view without) {
            return oracle::permits<Rule, Judging>(Rules{}, pre, stim, r,
                                                  [&](auto type) { return decltype(type)::type::info.id != without; });
        };
    } else {
        entry.aspect = Aspect::Rest;
        entry.permits = [](const Pre& pre, const Stimulus& stim, const Response& r, std::string_view) {
            for (unsigned n = 0; n < Rule::instances; ++n)
                if (Rule::template applies<Judging>(pre, stim, n) && Rule::template allows<Judging>(pre, stim, r, n))
                    return true;
            return false;
        };
    }
}

/// The rules of the tuple of types `rules`, in its order.
template <class Entry, class Rules>
constexpr auto make_rule_table(const Rules& rules) {
    return boost::hana::unpack(rules, [](auto... type) {
        std::array<Entry, sizeof...(type)> table{};
        std::size_t i = 0;
        (describe_rule<Rules, typename decltype(type)::type>(table[i++]), ...);
        return table;
    });
}

}  // namespace faultline::oracle
