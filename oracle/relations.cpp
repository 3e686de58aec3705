// What only the rules' types know of one another: which FREE rule excepts which, and which rule is a corollary.
#include <boost/hana/for_each.hpp>

#include "oracle/catalogue.hpp"
#include "oracle/chapters/debug/rules.hpp"
#include "oracle/chapters/exceptions/rules.hpp"
#include "oracle/chapters/svm/rules.hpp"

namespace faultline::oracle {
namespace {

template <class Rules, class F>
void each_exception(const Rules& rules, F f) {
    boost::hana::for_each(rules, [&](auto free_type) {
        using Free = typename decltype(free_type)::type;
        // The others except nothing, and looking at every pair of rules is what makes compilers slow.
        if constexpr (Free::info.kind == RuleKind::Free)
            boost::hana::for_each(rules, [&](auto type) {
                using Rule = typename decltype(type)::type;
                if constexpr (Free::excepts::template contains<Rule>) f(Free::info.id, Rule::info.id);
            });
    });
}

}  // namespace

std::vector<std::string_view> excepted_with(std::string_view id) {
    std::vector<std::string_view> others;
    const auto relate = [&](std::string_view free, std::string_view rule) {
        if (rule == id) others.push_back(free);
        if (free == id) others.push_back(rule);
    };
    each_exception(debug::rules, relate);
    each_exception(exceptions::rules, relate);
    each_exception(svm::rules, relate);
    return others;
}

bool is_corollary(std::string_view id) {
    bool corollary = false;
    const auto look = [&](auto type) {
        using Rule = typename decltype(type)::type;
        if (Rule::info.id == id) corollary = Rule::redundant;
    };
    boost::hana::for_each(debug::rules, look);
    boost::hana::for_each(exceptions::rules, look);
    boost::hana::for_each(svm::rules, look);
    return corollary;
}

}  // namespace faultline::oracle
