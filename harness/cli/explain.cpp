#include <fmt/format.h>

#include <charconv>

#include "harness/cli/cli.hpp"
#include "harness/cli/finding.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/rule_page.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::string what;
    std::optional<RowId> id;
    std::optional<std::string> database;
    bool json = false;
};

Result<Exit> explain_finding(const Options& o) {
    auto store = Store::open(o.what, Store::Access::Existing);
    if (!store) return tl::unexpected(store.error());
    auto finding = load_finding(*store, *o.id);
    if (!finding) return tl::unexpected(finding.error());
    auto image = image_of(finding->minimal);
    if (!image) return tl::unexpected(image.error());
    const FindingRow& row = finding->row;
    const oracle::RuleInfo* rule = oracle::find_rule(row.rule);
    const std::string reproduce = replay_command(o.what, *o.id);
    const std::string tape = guest::to_text(finding->tape, *image);
    if (o.json) {
        Json json = to_json(row, reproduce);
        json["program"] = Json::parse(guest::to_json(finding->minimal).dump());
        json["program_toml"] = guest::to_toml(finding->minimal);
        json["tape"] = tape;
        if (rule) json["rule_text"] = rule_json(*rule);
        json["other_rules"] = row.other_rules;
        json["run"] = {{"id", row.run}, {"seed", row.of_run.seed}, {"weights_version", row.of_run.weights_version}};
        print(json);
        return Exit::Ok;
    }
    fmt::print("finding {}: {}\n", row.id, printable(row.title));
    fmt::print(
        "  signature  {}\n  subject    {}\n  seen       {} times in run {} (seed {}, first program {}), first {}\n",
        printable(row.signature), subject_text(row.identity), row.occurrences, row.run, row.of_run.seed, row.case_index,
        printable(row.first_seen));
    fmt::print("\nprogram ({} ops)\n{}", finding->minimal.ops.size(), listing(finding->minimal, *image));
    fmt::print("\nas a case (everything not named has its default)\n");
    const std::string toml = guest::to_toml(finding->minimal);
    for (std::size_t at = 0; at < toml.size();) {
        const std::size_t end = std::min(toml.find('\n', at), toml.size());
        fmt::print("  {}\n", toml.substr(at, end - at));
        at = end + 1;
    }
    fmt::print("\nexpected  {}\nseen      {}\n\ntape\n{}\n", printable(row.expected), printable(row.seen), tape);
    if (rule)
        print_rule(*rule);
    else
        fmt::print("rule {} is not in this build\n", printable(row.rule));
    if (!row.other_rules.empty()) fmt::print("also violated: {}\n", printable(row.other_rules));
    if (!row.known.empty()) fmt::print("known: corpora/known/{}.toml\n", printable(row.known));
    fmt::print("\nreproduce: {}\n", reproduce);
    return Exit::Ok;
}

}  // namespace

void add_explain(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "explain",
        "A rule with its citation (explain RULE), or a finding disassembled, expected beside seen (explain DB ID)");
    command->add_option("WHAT", o->what, "Rule, such as DBG-047, or a database")->required()->type_name("RULE|DB");
    command->add_option("ID", o->id, "Number of the finding in the database");
    command->add_option("--db", o->database, "With RULE: what the runs in this database saw of it")->type_name("FILE");
    add_format(*command, o->json);
    command->callback([o, &chosen] {
        chosen.action = [o] { return o->id ? explain_finding(*o) : explain_rule(o->what, o->database, o->json); };
    });
}

}  // namespace faultline::harness::cli
