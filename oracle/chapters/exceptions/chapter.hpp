// The chapter's rules as the judge sees them: a table over plain integers, without the templates behind it.
#pragma once

#include <span>

#include "oracle/chapters/exceptions/records.hpp"
#include "oracle/rule.hpp"

namespace faultline::oracle::exceptions {

struct RuleEntry {
    RuleInfo info;
    Aspect aspect;  ///< constraining rules only
    bool redundant;
    bool constrains;  ///< false: FREE
    /// Whether it speaks about some register.
    bool (*applies)(const Pre<Judging>&, const Stimulus<Judging>&);
    /// Constraining: whether the rule, FREE rules considered, permits the response. `without` names a FREE rule
    /// to leave out. FREE: whether the response takes the alternative.
    bool (*permits)(const Pre<Judging>&, const Stimulus<Judging>&, const Response<Judging>&, std::string_view without);
};

/// In catalogue order.
std::span<const RuleEntry> rule_table();

/// Whether every rule permits `r`, and it is normalised.
bool permitted(const Pre<Judging>& pre, const Stimulus<Judging>& stim, const Response<Judging>& r,
               std::string_view without = {});
/// situation.hpp's `valid`.
bool is_valid(const Pre<Judging>& pre, const Stimulus<Judging>& stim);

}  // namespace faultline::oracle::exceptions
