#include "oracle/chapters/svm/chapter.hpp"

#include <boost/hana/concat.hpp>
#include <boost/hana/for_each.hpp>
#include <vector>

#include "oracle/chapters/svm/rules.hpp"

namespace faultline::oracle::svm {

std::span<const RuleEntry> rule_table() {
    static constexpr auto table = make_rule_table<RuleEntry>(rules);
    return table;
}

std::span<const RuleInfo> refusals() {
    static const auto found = [] {
        std::vector<RuleInfo> list;
        boost::hana::for_each(boost::hana::concat(state_rules, injection_rules), [&]<class Type>(Type) {
            using Rule = typename Type::type;
            if constexpr (Rule::info.kind == RuleKind::Arch)
                if (Rule::aspect == Aspect::Presence) list.push_back(Rule::info);
        });
        return list;
    }();
    return found;
}

}  // namespace faultline::oracle::svm
