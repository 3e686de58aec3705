// A rule as people read it: its text, what else is right where it speaks, who has confirmed it.
#pragma once

#include <optional>
#include <string>

#include "harness/cli/output.hpp"
#include "harness/result.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::cli {

Json rule_json(const oracle::RuleInfo& rule);
void print_rule(const oracle::RuleInfo& rule);

/// `explain RULE`: the rule's text, its alternatives, corpus cases about it, and, with a database, what its runs saw.
Result<Exit> explain_rule(const std::string& id, const std::optional<std::string>& database, bool json);

/// `list rules --db FILE`: for each rule how often it applied and was decisive, on whom, and why it was not where it
/// was not.
Result<Exit> list_coverage(const std::string& database, bool json);

}  // namespace faultline::harness::cli
