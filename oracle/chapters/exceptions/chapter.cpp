#include "oracle/chapters/exceptions/chapter.hpp"

#include <array>
#include <boost/hana/unpack.hpp>

#include "oracle/chapters/exceptions/rules.hpp"
#include "oracle/permits.hpp"

namespace faultline::oracle::exceptions {
namespace {

using P = Pre<Judging>;
using S = Stimulus<Judging>;
using R = Response<Judging>;

template <class Rule>
bool applies(const P& pre, const S& stim) {
    for (unsigned n = 0; n < Rule::instances; ++n)
        if (Rule::template applies<Judging>(pre, stim, n)) return true;
    return false;
}

template <class Rule>
bool takes(const P& pre, const S& stim, const R& r, std::string_view) {
    for (unsigned n = 0; n < Rule::instances; ++n)
        if (Rule::template applies<Judging>(pre, stim, n) && Rule::template allows<Judging>(pre, stim, r, n))
            return true;
    return false;
}

template <class Rule>
bool rule_permits(const P& pre, const S& stim, const R& r, std::string_view without) {
    return permits<Rule, Judging>(rules, pre, stim, r,
                                  [&](auto type) { return decltype(type)::type::info.id != without; });
}

template <class Rule>
constexpr RuleEntry entry() {
    if constexpr (Rule::info.kind == RuleKind::Free)
        return {Rule::info, Aspect::Rest, Rule::redundant, false, applies<Rule>, takes<Rule>};
    else
        return {Rule::info, Rule::aspect, Rule::redundant, true, applies<Rule>, rule_permits<Rule>};
}

constexpr auto table =
    boost::hana::unpack(rules, [](auto... type) { return std::array{entry<typename decltype(type)::type>()...}; });

}  // namespace

std::span<const RuleEntry> rule_table() { return table; }

bool permitted(const P& pre, const S& stim, const R& r, std::string_view without) {
    if (!normalised<Judging>(stim, r)) return false;
    for (const RuleEntry& rule : table)
        if (rule.constrains && !rule.permits(pre, stim, r, without)) return false;
    return true;
}

bool is_valid(const P& pre, const S& stim) { return valid<Judging>(pre, stim); }

}  // namespace faultline::oracle::exceptions
