// The chapter's rules as the judge sees them.
#pragma once

#include <span>

#include "oracle/chapters/svm/records.hpp"
#include "oracle/rule_table.hpp"

namespace faultline::oracle::svm {

using RuleEntry = oracle::RuleEntry<Pre<Judging>, Stimulus<Judging>, Response<Judging>>;

/// In catalogue order.
std::span<const RuleEntry> rule_table();

/// Those by which VMRUN must refuse a VMCB, one for each of its checks.
std::span<const RuleInfo> refusals();

}  // namespace faultline::oracle::svm
