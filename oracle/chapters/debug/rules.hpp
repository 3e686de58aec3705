// The chapter's rules in catalogue order: of two violated rules about the same aspect, the earlier one is primary.
// Each file lists its own.
#pragma once

#include <boost/hana/flatten.hpp>

#include "oracle/chapters/debug/rules/access.hpp"
#include "oracle/chapters/debug/rules/access_breakpoints.hpp"
#include "oracle/chapters/debug/rules/code_breakpoints.hpp"
#include "oracle/chapters/debug/rules/db_delivery.hpp"
#include "oracle/chapters/debug/rules/events.hpp"
#include "oracle/chapters/debug/rules/registers.hpp"
#include "oracle/chapters/debug/rules/shadow.hpp"
#include "oracle/chapters/debug/rules/single_step.hpp"
#include "oracle/chapters/debug/rules/task_switch.hpp"

namespace faultline::oracle::debug {

inline constexpr auto rules = boost::hana::flatten(
    boost::hana::make_tuple(registers_rules, access_rules, code_breakpoints_rules, access_breakpoints_rules,
                            shadow_rules, single_step_rules, task_switch_rules, db_delivery_rules, events_rules));

}  // namespace faultline::oracle::debug
