// The chapter's rules in catalogue order: of two violated rules about the same aspect, the earlier one is primary.
// Each file lists its own.
#pragma once

#include <boost/hana/flatten.hpp>

#include "oracle/chapters/exceptions/rules/combine.hpp"
#include "oracle/chapters/exceptions/rules/flags.hpp"
#include "oracle/chapters/exceptions/rules/frame.hpp"
#include "oracle/chapters/exceptions/rules/gate.hpp"
#include "oracle/chapters/exceptions/rules/raise.hpp"
#include "oracle/chapters/exceptions/rules/stack.hpp"
#include "oracle/chapters/exceptions/rules/task.hpp"
#include "oracle/chapters/exceptions/rules/watch.hpp"

namespace faultline::oracle::exceptions {

inline constexpr auto rules = boost::hana::flatten(boost::hana::make_tuple(
    raise_rules, gate_rules, task_rules, stack_rules, frame_rules, flags_rules, combine_rules, watch_rules));

}  // namespace faultline::oracle::exceptions
