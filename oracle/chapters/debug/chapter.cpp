#include "oracle/chapters/debug/chapter.hpp"

#include "oracle/chapters/debug/rules.hpp"

namespace faultline::oracle::debug {

std::span<const RuleEntry> rule_table() {
    static constexpr auto table = make_rule_table<RuleEntry>(rules);
    return table;
}

}  // namespace faultline::oracle::debug
