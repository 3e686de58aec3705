// The chapter's rules as the judge sees them.
#pragma once

#include <span>

#include "oracle/chapters/svm/records.hpp"
#include "oracle/rule_table.hpp"

namespace faultline::oracle::svm {

using RuleEntry = oracle::RuleEntry<Pre<Judging>, Stimulus<Judging>, Response<Judging>>;

/// In catalogue order.
std::span<const RuleEntry> rule_table();

}  // namespace faultline::oracle::svm
