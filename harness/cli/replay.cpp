#include <fmt/format.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/finding.hpp"
#include "harness/cli/output.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::string database;
    RowId id = 0;
    std::optional<std::string> backend;
    unsigned repeat = 1;
    bool original = false, bisect = false, json = false;
};

Result<Exit> replay(const Options& o) {
    auto store = Store::open(o.database, Store::Access::Existing);
    if (!store) return tl::unexpected(store.error());
    auto finding = load_finding(*store, o.id);
    if (!finding) return tl::unexpected(finding.error());
    auto machine = machine_for(*finding, o.backend);
    if (!machine) return tl::unexpected(machine.error());

    const guest::Case& kase = o.original ? finding->original : finding->minimal;
    const std::string& signature = finding->row.signature;
    unsigned there = 0, gone = 0;
    std::map<std::string, unsigned> other;  // what else was seen
    Look look;
    for (unsigned i = 0; i < o.repeat; ++i) {
        look = machine->confirm(kase, signature);
        if (look.find(signature))
            ++there;
        else if (look.verdict == Verdict::Pass)
            ++gone;
        else if (!look.oracle.divergences.empty())
            ++other[look.oracle.divergences.front().signature];
        else
            ++other[fmt::format("{}: {}", name(look.verdict), look.reason)];
    }
    const guest::Subject& subject = machine->backend().subject();
    const std::string verdict = there > 0 ? "divergence" : gone == o.repeat ? "gone" : "unclear";
    if (o.json) {
        Json json{{"id", o.id},         {"verdict", verdict}, {"signature", signature}, {"subject", to_json(subject)},
                  {"repeat", o.repeat}, {"there", there},     {"gone", gone},           {"other", other}};
        if (const auto* divergence = look.find(signature)) {
            json["expected"] = divergence->expected;
            json["seen"] = divergence->seen;
        }
        print(json);
    } else {
        fmt::print("finding {}: {}\n  signature  {}\n  subject    {}\n", o.id, printable(finding->row.title),
                   printable(signature), subject_text(subject));
        if (const auto* divergence = look.find(signature))
            fmt::print("  expected   {}\n  seen       {}\n", divergence->expected, divergence->seen);
        fmt::print("  still there {} of {} times, gone {}\n", there, o.repeat, gone);
        for (const auto& [what, times] : other) fmt::print("  instead {} ×{}\n", printable(what), times);
    }
    if (there > 0) return Exit::Divergence;
    if (gone == o.repeat) return Exit::Ok;
    if (o.bisect) return Exit::CannotTell;
    if (look.verdict == Verdict::Skip) return Exit::Skipped;
    if (look.verdict == Verdict::Error) return fail(Exit::Internal, look.reason);
    // Another divergence is one, and whatever the oracle cannot tell is none.
    return look.oracle.divergences.empty() ? Exit::Ok : Exit::Divergence;
}

}  // namespace

void add_replay(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("replay", "Run a finding's smallest program again, from its record alone");
    command->add_option("DB", o->database, "Database")->required();
    command->add_option("ID", o->id, "Number of the finding")->required();
    command->add_option("--backend", o->backend, "Another backend than the one it was found on")->type_name("B");
    command->add_option("--repeat", o->repeat, "How often, each time on a new machine (default: 1)")
        ->check(CLI::Range(1u, 1'000'000u))
        ->type_name("N");
    command->add_flag("--original", o->original, "The program as generated instead of the shrunk one");
    command
        ->add_option_function<std::string>(
            "--exit", [o](const std::string&) { o->bisect = true; },
            "bisect: exit 0 gone, 1 this finding still there, 125 cannot tell; for `git "
            "bisect run`")
        ->check(CLI::IsMember({"bisect"}))
        ->type_name("bisect");
    add_format(*command, o->json);
    command->callback([o, &chosen] {
        if (o->bisect) chosen.exit_on_failure = Exit::CannotTell;
        chosen.action = [o] { return replay(*o); };
    });
}

}  // namespace faultline::harness::cli
