#include <fmt/format.h>
#include <fmt/ranges.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/files.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/session.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::vector<std::string> names, backends;
    std::optional<std::string> database, known;
    bool json = false;
};

/// Holds a tape against the literal expectation of its file. Where the oracle saw a divergence its word stands;
/// where it saw none, a mismatch means that the file or the oracle is wrong: our error, not the subject's.
void hold_against(const std::string& path, const guest::CaseFile& file, const guest::Image& image,
                  const guest::Tape& tape, Look& look) {
    if (look.verdict == Verdict::Skip || look.verdict == Verdict::Divergence) return;
    if (!guest::applies(file.about, tape.features.vendor)) {
        look = {Verdict::Skip, fmt::format("{}: only for {} guests", path, guest::to_text(file.about.vendor)), {}};
        return;
    }
    if (!look.reason.empty()) look.reason = fmt::format("{}: {}", path, look.reason);
    if (!file.expectation) return;
    const auto wrong = guest::mismatches(*file.expectation, image, tape);
    if (wrong.empty()) return;
    look.verdict = Verdict::Error;
    look.reason = fmt::format("{}: the oracle allows what the file does not expect: {}", path, fmt::join(wrong, "; "));
}

Result<Exit> run_command(const Options& o) {
    auto backends = factories(o.backends);
    if (!backends) return tl::unexpected(backends.error());
    auto paths = case_paths(o.names);
    if (!paths) return tl::unexpected(paths.error());
    std::vector<guest::CaseFile> files;
    for (const std::string& path : *paths) {
        auto file = load_case_file(path);
        if (!file) return tl::unexpected(file.error());
        files.push_back(*std::move(file));
    }
    auto known = known_findings(o.known);
    if (!known) return tl::unexpected(known.error());
    // Before the database is made.
    if (auto available = check_available(*backends); !available) return tl::unexpected(available.error());
    std::optional<Store> store;
    if (o.database) {
        auto opened = Store::open(*o.database, Store::Access::Create);
        if (!opened) return tl::unexpected(opened.error());
        store.emplace(*std::move(opened));
    }

    const auto reproduce = [&](const FindingRow& f) {
        if (store) return replay_command(*o.database, f.id);
        return fmt::format("faultline run {} --backend {}", shell_word((*paths)[f.case_index]), f.identity.backend);
    };
    Plan plan;
    plan.run = {.command = "run", .stage_version = guest::stage_of(guest::World::Bare, guest::Mode::Long64)->version};
    plan.subjects = *std::move(backends);
    plan.source = [&](std::uint64_t index, guest::Case& kase) { kase = files[index].subject_case; };
    plan.review = [&](std::uint64_t index, const guest::Image& image, const guest::Tape& tape, Look& look) {
        hold_against((*paths)[index], files[index], image, tape, look);
    };
    plan.programs = files.size();
    plan.coverage_every = 1;
    plan.shrink_runs = 0;  // a corpus case is as small as its author wanted it
    plan.known = &*known;
    plan.store = store ? &*store : nullptr;
    plan.stop = &interruption();
    if (!o.json)
        plan.on_finding = [&](const FindingRow& f) {
            fmt::print("{}\n", printable((*paths)[f.case_index]));
            print_finding(f, reproduce(f));
        };
    return explore_and_report(plan, o.json, reproduce);
}

}  // namespace

void add_run(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "run", "Run case files, or every case file below a folder; judge them, and hold them against what they expect");
    command->add_option("PATH", o->names, "Case files and folders (corpora/README.md shows the form)")->required();
    add_backends(*command, o->backends);
    command->add_option("--db", o->database, "Database to store the run in; made when there is none")
        ->type_name("FILE");
    add_known(*command, o->known);
    add_format(*command, o->json);
    command->callback([o, &chosen] { chosen.action = [o] { return run_command(*o); }; });
}

}  // namespace faultline::harness::cli
