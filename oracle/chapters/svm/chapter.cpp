#include "oracle/chapters/svm/chapter.hpp"

#include "oracle/chapters/svm/rules.hpp"

namespace faultline::oracle::svm {

std::span<const RuleEntry> rule_table() {
    static constexpr auto table = make_rule_table<RuleEntry>(rules);
    return table;
}

}  // namespace faultline::oracle::svm
