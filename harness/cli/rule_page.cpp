#include "harness/cli/rule_page.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "harness/cli/files.hpp"
#include "harness/store/store.hpp"

namespace faultline::harness::cli {
namespace {

constexpr std::string_view vendor_text(oracle::RuleVendor vendor) {
    switch (vendor) {
        case oracle::RuleVendor::Amd: return "AMD";
        case oracle::RuleVendor::Intel: return "Intel";
        case oracle::RuleVendor::Both: break;
    }
    return "AMD and Intel";
}

constexpr std::string_view kind_text(oracle::RuleKind kind) {
    switch (kind) {
        case oracle::RuleKind::Arch: return "ARCH: the architecture's must";
        case oracle::RuleKind::Spec: return "SPEC: a specification's must";
        case oracle::RuleKind::Free: return "FREE: an alternative that is allowed";
        case oracle::RuleKind::Policy: break;
    }
    return "POLICY of a named implementation";
}

/// What a rule was to one subject, over all runs of a database.
struct Use {
    guest::Subject subject;
    std::uint64_t runs = 0, applied = 0, decisive = 0;
    /// The engine is our own other reading: only others can witness.
    bool witness() const { return decisive > 0 && !subject.backend.starts_with("engine"); }
};

Result<std::map<std::string, std::vector<Use>>> uses(const std::string& database) {
    auto store = Store::open(database, Store::Access::Existing);
    if (!store) return tl::unexpected(store.error());
    auto rows = store->rule_use();
    if (!rows) return tl::unexpected(rows.error());
    std::map<std::string, std::vector<Use>> result;
    for (auto& row : *rows)
        if (row.applied > 0) result[row.rule].push_back({row.subject, row.runs, row.applied, row.decisive});
    return result;
}

Json use_json(const Use& use) {
    Json json = to_json(use.subject);
    json["runs"] = use.runs, json["applied"] = use.applied, json["decisive"] = use.decisive;
    return json;
}

Result<std::vector<std::string>> cases_about(std::string_view id) {
    auto paths = case_paths({FAULTLINE_CORPORA_DIR "/conformance", FAULTLINE_CORPORA_DIR "/history"});
    if (!paths) return tl::unexpected(paths.error());
    std::vector<std::string> about;
    for (const std::string& path : *paths) {
        auto file = load_case_file(path);
        if (!file) return tl::unexpected(file.error());
        if (std::ranges::find(file->about.rules, id) != file->about.rules.end()) about.push_back(path);
    }
    return about;
}

/// Why no run of the database has found the rule decisive.
std::string_view reason(const oracle::RuleInfo& rule, const std::vector<Use>& used) {
    const bool applied = std::ranges::any_of(used, [](const Use& use) { return use.applied > 0; });
    const bool engine_only =
        std::ranges::all_of(used, [](const Use& use) { return use.subject.backend.starts_with("engine"); });
    const auto machines = engine_only ? oracle::RuleVendor::Amd : oracle::RuleVendor::Both;
    if (const auto why = oracle::beyond_reach(rule, machines); !why.empty()) return why;
    if (applied && rule.kind == oracle::RuleKind::Free) return "the subject never took the alternative";
    return applied ? "applied, but other rules decided as well" : "no program met it";
}

}  // namespace

Json rule_json(const oracle::RuleInfo& rule) {
    return {{"id", rule.id},
            {"chapter", rule.chapter},
            {"statement", rule.statement},
            {"vendor", vendor_text(rule.vendor)},
            {"kind", kind_text(rule.kind)},
            {"citation", rule.citation},
            {"seed", rule.seed}};
}

void print_rule(const oracle::RuleInfo& rule) {
    fmt::print("{} ({})\n  {}\n  {}; {}\n  {}\n", rule.id, rule.chapter, rule.statement, kind_text(rule.kind),
               vendor_text(rule.vendor), rule.citation);
    if (!rule.seed.empty()) fmt::print("  seed {}\n", rule.seed);
}

Result<Exit> explain_rule(const std::string& id, const std::optional<std::string>& database, bool json) {
    const oracle::RuleInfo* rule = oracle::find_rule(id);
    if (!rule)
        return fail(Exit::Usage, fmt::format("there is no rule {} (`faultline list rules`); a finding is explained by "
                                             "`faultline explain DB ID`",
                                             printable(id)));
    const auto about = cases_about(rule->id);
    if (!about) return tl::unexpected(about.error());
    std::vector<Use> used;
    if (database) {
        auto all = uses(*database);
        if (!all) return tl::unexpected(all.error());
        used = (*all)[id];
    }
    const auto related = oracle::excepted_with(rule->id);
    if (json) {
        Json page = rule_json(*rule);
        page["alternatives"] = related;
        page["cases"] = *about;
        page["used"] = Json::array();
        for (const Use& use : used) page["used"].push_back(use_json(use));
        print(page);
        return Exit::Ok;
    }
    print_rule(*rule);
    const bool free = rule->kind == oracle::RuleKind::Free;
    if (!related.empty()) {
        fmt::print("  {}\n", free ? "allows what these reject:" : "allowed besides:");
        for (const std::string_view other : related)
            fmt::print("    {:<8} {}\n", other, oracle::find_rule(other)->statement);
    } else if (!free) {
        fmt::print("  no rule allows anything else\n");
    }
    if (about->empty()) fmt::print("  no corpus case names it\n");
    for (const std::string& path : *about) fmt::print("  case    {}\n", path);
    if (!database) {
        fmt::print("  `explain {} --db FILE` adds who applied it, and how often\n", rule->id);
        return Exit::Ok;
    }
    if (used.empty()) fmt::print("  no run of {} applied it\n", printable(*database));
    for (const Use& use : used)
        fmt::print("  {:<8}{}: applied {}, decisive {} (in the sampled programs of {} run{})\n",
                   use.witness() ? "witness" : "used", subject_text(use.subject), use.applied, use.decisive, use.runs,
                   use.runs == 1 ? "" : "s");
    return Exit::Ok;
}

Result<Exit> list_coverage(const std::string& database, bool json) {
    auto all = uses(database);
    if (!all) return tl::unexpected(all.error());
    Json rows = Json::array();
    std::size_t decided = 0, witnessed = 0;
    if (!json)
        fmt::print("{:<8} {:<5} {:>10} {:>10}  {}\n", "rule", "kind", "applied", "decisive",
                   "witnessed by, or why not decisive");
    for (const oracle::RuleInfo& rule : oracle::catalogue()) {
        const auto& used = (*all)[std::string(rule.id)];
        std::uint64_t applied = 0, decisive = 0;
        std::vector<std::string> witnesses;
        for (const Use& use : used) {
            applied += use.applied, decisive += use.decisive;
            if (use.witness()) witnesses.push_back(use.subject.backend);
        }
        decided += decisive > 0, witnessed += !witnesses.empty();
        const std::string_view why = decisive > 0 ? std::string_view{} : reason(rule, used);
        if (json) {
            rows.push_back({{"id", rule.id}, {"applied", applied}, {"decisive", decisive}, {"witnesses", witnesses}});
            if (!why.empty()) rows.back()["reason"] = why;
        } else {
            fmt::print("{:<8} {:<5} {:>10} {:>10}  {}{}\n", rule.id,
                       rule.kind == oracle::RuleKind::Free ? "FREE" : "must", applied, decisive,
                       fmt::join(witnesses, ", "), why);
        }
    }
    if (json)
        print({{"rules", rows}, {"decisive", decided}, {"witnessed", witnessed}});
    else
        fmt::print("{} rules: {} decisive at least once, {} of them witnessed by others than the engine\n",
                   oracle::catalogue().size(), decided, witnessed);
    return Exit::Ok;
}

}  // namespace faultline::harness::cli
