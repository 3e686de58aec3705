#include "harness/witness/witness.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "hypervisor/guest/case_text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::witness {

std::string file_text(std::string_view rule, const Witness& witness) {
    const oracle::RuleInfo& info = *oracle::find_rule(rule);
    // TOML's basic strings are JSON's.
    const auto quoted = [](const std::string& text) {
        return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    };
    const std::string_view origin =
        witness.origin == Witness::Origin::Solver ? "By the solver" : "By search among generated programs";
    return fmt::format(
        "# Witness of {}, written by `faultline prove --witness`. It states no tape: that the rule decides here, and "
        "that\n"
        "# the program fails with the rule inverted, is tested.\n"
        "{}\n[about]\nfact = {}\nrules = [\"{}\"]\ncitation = {}\nargument = {}\n",
        rule, guest::to_toml(witness.kase), quoted(std::string(info.statement)), rule,
        quoted(std::string(info.citation)), quoted(fmt::format("{}. {}", origin, witness.decision.text)));
}

}  // namespace faultline::harness::witness
