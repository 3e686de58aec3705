// Why a tape is wrong: from the ways that got furthest to one divergence with its primary rule and signature.
#pragma once

#include <vector>

#include "oracle/search.hpp"
#include "oracle/verdict.hpp"

namespace faultline::oracle {

/// The one divergence that explains the failures of a search, which are not empty.
Divergence explain(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                   const std::vector<Failure>& failures);

/// Adds a fitting way to the coverage of rules.
void count_use(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
               const std::vector<Step>& trail, RuleUse& use);

}  // namespace faultline::oracle
