// Shrinking: from a case to simpler ones. The one definition of "simpler" serves RapidCheck's laws
// (generate/gen.hpp) and the greedy search for a finding's smallest program.
#pragma once

#include <functional>
#include <vector>

#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

/// Cases one step simpler than this one, boldest step first: ops removed in runs and singly, the
/// environment taken to its defaults, fields taken toward zero, rax and the full width. No chain of steps
/// returns to where it was, so every one ends.
std::vector<guest::Case> simpler(const guest::Case& kase);

/// Takes the first simpler case for which `keeps` holds, again and again, until none does or `budget`
/// cases were tried. Deterministic as far as `keeps` is.
guest::Case shrink(guest::Case kase, const std::function<bool(const guest::Case&)>& keeps, unsigned budget);

}  // namespace faultline::harness
