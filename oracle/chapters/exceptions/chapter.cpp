#include "oracle/chapters/exceptions/chapter.hpp"

#include "oracle/chapters/exceptions/rules.hpp"

namespace faultline::oracle::exceptions {

std::span<const RuleEntry> rule_table() {
    static constexpr auto table = make_rule_table<RuleEntry>(rules);
    return table;
}

}  // namespace faultline::oracle::exceptions
