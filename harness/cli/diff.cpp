#include <fmt/format.h>

#include <map>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::string database;
    RowId before = 0, after = 0;
    bool json = false;
};

using BySignature = std::map<std::string, FindingRow>;

Result<BySignature> findings(Store& store, RowId run) {
    if (auto exists = store.run(run); !exists) return tl::unexpected(exists.error());
    auto rows = store.findings(run);
    if (!rows) return tl::unexpected(rows.error());
    BySignature by_signature;
    for (FindingRow& row : *rows) {
        // The kernel of another version is another subject, and the comparison is across versions.
        const std::string key = row.identity.backend + ' ' + row.signature;
        // What nobody explains speaks for its signature, before known findings that look alike.
        const auto [at, fresh] = by_signature.try_emplace(key, row);
        if (!fresh && row.known.empty()) at->second = std::move(row);
    }
    return by_signature;
}

Result<Exit> diff(const Options& o) {
    auto store = Store::open(o.database, Store::Access::Existing);
    if (!store) return tl::unexpected(store.error());
    auto before = findings(*store, o.before), after = findings(*store, o.after);
    if (!before) return tl::unexpected(before.error());
    if (!after) return tl::unexpected(after.error());

    Json json{{"new", Json::array()}, {"fixed", Json::array()}, {"still", Json::array()}};
    bool fresh = false;
    const auto report = [&](const char* group, const FindingRow& row) {
        const std::string reproduce = replay_command(o.database, row.id);
        json[group].push_back(to_json(row, reproduce));
        if (!o.json)
            fmt::print("{:<6} {}: {}  ({})\n", group, printable(row.signature), printable(row.title), reproduce);
    };
    for (const auto& [key, row] : *after)
        if (!before->contains(key)) {
            report("new", row);
            fresh |= row.known.empty();
        }
    for (const auto& [key, row] : *before)
        if (!after->contains(key)) report("fixed", row);
    for (const auto& [key, row] : *after)
        if (before->contains(key)) report("still", row);
    if (o.json)
        print(json);
    else
        fmt::print("{} new, {} fixed, {} still there\n", json["new"].size(), json["fixed"].size(),
                   json["still"].size());
    return fresh ? Exit::Divergence : Exit::Ok;
}

}  // namespace

void add_diff(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("diff", "Two runs of a database: what is new, fixed, still there");
    command->add_option("DB", o->database, "Database")->required();
    command->add_option("RUN1", o->before, "Number of the earlier run")->required();
    command->add_option("RUN2", o->after, "Number of the later run")->required();
    add_format(*command, o->json);
    command->callback([o, &chosen] { chosen.action = [o] { return diff(*o); }; });
}

}  // namespace faultline::harness::cli
