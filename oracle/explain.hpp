// Why a tape is wrong: from the ways that got furthest to one divergence with its primary rule and signature.
#pragma once

#include <optional>
#include <vector>

#include "oracle/search.hpp"
#include "oracle/verdict.hpp"

namespace faultline::oracle {

/// The one divergence that explains the failures of a search, which are not empty.
Divergence explain(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                   const std::vector<Failure>& failures);

/// World svm: the one that explains them where it is an exit that does not fit, or that is not there.
std::optional<Divergence> explain_exit(const guest::Case& subject_case, const guest::Tape& tape,
                                       const std::vector<Failure>& failures);

/// Adds a fitting way to the coverage of rules.
void count_use(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
               const std::vector<Step>& trail, const std::vector<Question>& questions, RuleUse& use);

}  // namespace faultline::oracle
