#include "harness/cli/exits.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>
#include <vector>

#include "harness/cli/files.hpp"
#include "harness/cli/output.hpp"
#include "hypervisor/engine/svm/exits.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/vmm.hpp"
#include "oracle/chapters/svm/chapter.hpp"

namespace faultline::harness::cli {
namespace {

namespace exit_code = guest::svm::exit_code;

using Cases = std::vector<std::string>;  ///< names of the files

/// Every code that has a name.
std::vector<std::uint64_t> known_codes() {
    std::vector<std::uint64_t> codes;
    const auto named = [](std::uint64_t code) {
        std::uint64_t again;
        return guest::parse_exit(guest::exit_text(code), again);
    };
    for (std::uint64_t code = 0; code < 32 * guest::svm::intercept_words; ++code)
        if (named(code)) codes.push_back(code);
    for (const std::uint64_t code : {exit_code::nested_page_fault, exit_code::vmgexit, exit_code::invalid})
        codes.push_back(code);
    return codes;
}

/// Rules by which VMRUN refuses what the built-in machine has no way to be.
std::string_view why_never_refused(std::string_view rule) {
    if (rule == "VMR-102") return "the machine has long mode";
    if (rule == "VMR-106") return "without shadow stacks no bit of S_CET is looked at";
    if (rule == "VMR-120") return "every hypervisor of a case pages";
    return {};
}

struct Row {
    std::string name, what;  ///< `what` is a number or a statement
    std::string_view never;  ///< why the built-in machine cannot; empty: it can
    const Cases* cases;
    bool missing() const { return cases->empty() && never.empty(); }
    /// A case produces what cannot be: one of the two is wrong.
    bool impossible() const { return !cases->empty() && !never.empty(); }
};

Json to_json(const Row& row) {
    Json json{{"name", row.name}, {"what", row.what}, {"cases", *row.cases}};
    if (!row.never.empty()) json["never"] = row.never;
    return json;
}

void print(std::string_view title, const std::vector<Row>& rows) {
    fmt::print("{}\n", title);
    for (const Row& row : rows)
        fmt::print("{:<20} {:<12} {}\n", row.name, row.what,
                   row.missing()       ? "NO CASE"
                   : row.impossible()  ? fmt::format("CASES, BUT {}: {}", row.never, fmt::join(*row.cases, ", "))
                   : row.never.empty() ? fmt::format("{}", fmt::join(*row.cases, ", "))
                                       : fmt::format("- {}", row.never));
}

}  // namespace

Result<Exit> list_exits(const std::string& corpora, bool as_json) {
    auto paths = case_paths({corpora});
    if (!paths) return tl::unexpected(paths.error());
    std::map<std::uint64_t, Cases> by_code;
    std::map<std::string_view, Cases> by_rule;
    const auto refusals = oracle::svm::refusals();
    for (const std::string& path : *paths) {
        auto file = load_case_file(path);
        if (!file) return tl::unexpected(file.error());
        if (!file->expectation) continue;
        const std::string name = std::filesystem::path(path).stem().string();
        bool refused = false;
        for (const guest::ExpectedExit& exit : file->expectation->exits) {
            Cases& cases = by_code[exit.code];
            if (cases.empty() || cases.back() != name) cases.push_back(name);
            refused = refused || exit.code == exit_code::invalid;
        }
        if (!refused) continue;
        for (const oracle::RuleInfo& rule : refusals)
            if (std::ranges::find(file->about.rules, rule.id) != file->about.rules.end())
                by_rule[rule.id].push_back(name);
    }
    std::vector<Row> exits, checks;
    for (const std::uint64_t code : known_codes())
        exits.push_back({guest::exit_text(code), fmt::format("{:#x}", code), engine::why_never(code), &by_code[code]});
    for (const oracle::RuleInfo& rule : refusals)
        checks.push_back(
            {std::string(rule.id), std::string(rule.statement), why_never_refused(rule.id), &by_rule[rule.id]});
    if (as_json) {
        Json json{{"exits", Json::array()}, {"checks", Json::array()}};
        for (const Row& row : exits) json["exits"].push_back(to_json(row));
        for (const Row& row : checks) json["checks"].push_back(to_json(row));
        cli::print(json);
    } else {
        print("Exit codes", exits);
        print("\nWhat VMRUN refuses", checks);
    }
    const auto wrong = [](const Row& row) { return row.missing() || row.impossible(); };
    const bool all = std::ranges::none_of(exits, wrong) && std::ranges::none_of(checks, wrong);
    return all ? Exit::Ok : Exit::Divergence;
}

}  // namespace faultline::harness::cli
