#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "harness/backends.hpp"
#include "harness/cli/cli.hpp"
#include "harness/cli/exits.hpp"
#include "harness/cli/files.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/rule_page.hpp"
#include "hypervisor/engine/quirk.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::cli {
namespace {

/// Rows of two or three columns, printed either way.
struct Table {
    std::vector<Json> rows;
    std::vector<std::string> lines;
    void add(Json json, std::string line) {
        rows.push_back(std::move(json));
        lines.push_back(std::move(line));
    }
};

constexpr std::string_view kind_name(oracle::RuleKind kind) {
    switch (kind) {
        case oracle::RuleKind::Arch: return "ARCH";
        case oracle::RuleKind::Spec: return "SPEC";
        case oracle::RuleKind::Free: return "FREE";
        case oracle::RuleKind::Policy: break;
    }
    return "POLICY";
}

Result<Table> rules() {
    Table table;
    for (const oracle::RuleInfo& rule : oracle::catalogue())
        table.add(
            {{"id", rule.id}, {"chapter", rule.chapter}, {"kind", kind_name(rule.kind)}, {"statement", rule.statement}},
            fmt::format("{:<10} {:<6} {}", rule.id, kind_name(rule.kind), rule.statement));
    return table;
}

Result<Table> ops() {
    Table table;
    for (const guest::OpInfo& op : guest::op_catalogue()) {
        std::string form(op.mnemonic);
        for (const std::string_view field : op.fields) form += fmt::format(" {}=…", field);
        table.add({{"mnemonic", op.mnemonic}, {"fields", op.fields}, {"summary", op.summary}},
                  fmt::format("{:<34} {}", form, op.summary));
    }
    return table;
}

Result<Table> backends() {
    Table table;
    for (const BackendInfo& info : backend_catalogue())
        table.add({{"name", info.name}, {"worlds", info.worlds}, {"summary", info.summary}},
                  fmt::format("{:<14} {}; worlds {}", info.name, info.summary, fmt::join(info.worlds, ", ")));
    return table;
}

Result<Table> quirks() {
    Table table;
    for (const engine::QuirkInfo& q : engine::quirk_catalogue()) {
        Json json{{"name", q.name}, {"world", guest::to_text(q.world)}, {"wrong", q.wrong}, {"reference", q.reference}};
        if (!q.bug.empty()) json["bug"] = q.bug;
        if (!q.equivalent.empty()) json["equivalent"] = q.equivalent;
        table.add(json,
                  fmt::format("{:<42} {:<5} {} [{}{}{}]{}", q.name, guest::to_text(q.world), q.wrong, q.bug,
                              q.bug.empty() ? "" : ": ", q.reference, q.equivalent.empty() ? "" : " (equivalent)"));
    }
    return table;
}

Result<Table> corpora() {
    Table table;
    auto paths = case_paths({FAULTLINE_CORPORA_DIR "/conformance", FAULTLINE_CORPORA_DIR "/history"});
    if (!paths) return tl::unexpected(paths.error());
    for (const std::string& path : *paths) {
        auto file = load_case_file(path);
        if (!file) return tl::unexpected(file.error());
        table.add({{"path", path}, {"fact", file->about.fact}, {"rules", file->about.rules}},
                  fmt::format("{}: {} [{}]", path, file->about.fact, fmt::join(file->about.rules, " ")));
    }
    return table;
}

}  // namespace

void add_list(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string what;
        std::optional<std::string> database;
        std::string corpora = FAULTLINE_CORPORA_DIR "/conformance/svm";
        bool json = false;
    };
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("list", "What there is: rules, ops, backends, quirks, corpora, exits");
    const std::map<std::string, Result<Table> (*)()> lists{
        {"rules", rules}, {"ops", ops}, {"backends", backends}, {"quirks", quirks}, {"corpora", corpora}};
    command->add_option("WHAT", o->what, "rules, ops, backends, quirks, corpora, or exits: the cases of each #VMEXIT")
        ->required()
        ->check(CLI::IsMember({"rules", "ops", "backends", "quirks", "corpora", "exits"}));
    command->add_option("--db", o->database, "With rules: how often each applied and was decisive in this database")
        ->type_name("FILE");
    command->add_option("--corpora", o->corpora, "With exits: the folder of the cases")->type_name("DIR");
    add_format(*command, o->json);
    command->callback([o, lists, &chosen] {
        chosen.action = [o, lists]() -> Result<Exit> {
            if (o->database) {
                if (o->what == "rules") return list_coverage(*o->database, o->json);
                return fail(Exit::Usage, "--db goes with `list rules` only");
            }
            if (o->what == "exits") return list_exits(o->corpora, o->json);
            auto table = lists.at(o->what)();
            if (!table) return tl::unexpected(table.error());
            if (o->json)
                print(Json{{o->what, table->rows}});
            else
                for (const std::string& line : table->lines) fmt::print("{}\n", line);
            return Exit::Ok;
        };
    });
}

}  // namespace faultline::harness::cli
