// What the files of rules share: how a rule's identity is written, and the sections they cite most.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/exceptions/situation.hpp"
#include "oracle/manuals.hpp"
#include "oracle/rule.hpp"

#define SDM3_INT SDM3 "Interrupt and Exception Handling, "
#define INTN SDM2_2024 "INT n/INTO/INT3/INT1—Call to Interrupt Procedure"

namespace faultline::oracle::exceptions {

inline constexpr RuleMaker arch{"exceptions", RuleKind::Arch}, free{"exceptions", RuleKind::Free};

}  // namespace faultline::oracle::exceptions
