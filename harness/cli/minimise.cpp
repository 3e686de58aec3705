#include <fmt/format.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/finding.hpp"
#include "harness/cli/output.hpp"
#include "harness/explore/collector.hpp"
#include "harness/shrink/shrink.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::string database;
    RowId id = 0;
    unsigned runs = 20'000;
    bool json = false;
};

Result<Exit> minimise(const Options& o) {
    auto store = Store::open(o.database, Store::Access::Existing);
    if (!store) return tl::unexpected(store.error());
    auto finding = load_finding(*store, o.id);
    if (!finding) return tl::unexpected(finding.error());
    auto machine = machine_for(*finding, std::nullopt);
    if (!machine) return tl::unexpected(machine.error());

    const std::string& signature = finding->row.signature;
    if (!machine->confirm(finding->minimal, signature).find(signature))
        return fail(Exit::Skipped,
                    fmt::format("finding {} does not show on this machine, so it cannot be shrunk here", o.id));
    const auto keeps = [&](const guest::Case& kase) { return machine->look(kase).find(signature) != nullptr; };
    const guest::Case smaller = shrink(finding->minimal, keeps, o.runs);
    const bool holds = machine->confirm(smaller, signature).find(signature) != nullptr;
    if (holds) {
        auto row = store->add_case(case_row(smaller));
        if (!row) return tl::unexpected(row.error());
        Result<void> stored = store->set_minimal(o.id, *row, guest::to_json(machine->tape()));
        if (stored) stored = store->commit();
        if (!stored) return tl::unexpected(stored.error());
    }
    const guest::Case& best = holds ? smaller : finding->minimal;
    const std::string reproduce = replay_command(o.database, o.id);
    if (o.json) {
        print(Json{{"id", o.id},
                   {"ops_before", finding->minimal.ops.size()},
                   {"ops", best.ops.size()},
                   {"changed", !(best == finding->minimal)},
                   {"program_toml", guest::to_toml(best)},
                   {"reproduce", reproduce}});
    } else {
        fmt::print("finding {}: {} ops, {} before\n{}\nreproduce: {}\n", o.id, best.ops.size(),
                   finding->minimal.ops.size(), guest::to_toml(best), reproduce);
    }
    return Exit::Ok;
}

}  // namespace

void add_minimise(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("minimise", "Shrink a finding's smallest program further");
    command->add_option("DB", o->database, "Database")->required();
    command->add_option("ID", o->id, "Number of the finding")->required();
    command->add_option("--shrink", o->runs, "Runs spent at most (default: 20000)")->type_name("N");
    add_format(*command, o->json);
    command->callback([o, &chosen] { chosen.action = [o] { return minimise(*o); }; });
}

}  // namespace faultline::harness::cli
