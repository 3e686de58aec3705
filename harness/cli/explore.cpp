#include "harness/explore/explore.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "harness/backends.hpp"
#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/session.hpp"
#include "harness/generate/generator.hpp"
#include "harness/generate/steering.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::vector<std::string> backends, worlds{"bare"};
    std::optional<std::uint64_t> programs;
    std::optional<double> seconds;
    std::uint64_t seed = 1, shard_index = 0, shard_count = 1;
    unsigned jobs = std::max(1u, std::thread::hardware_concurrency()), shrink_runs = 2000;
    std::string database;
    std::optional<std::string> known;
    std::uint64_t coverage_every = 32;
    std::vector<std::string> modes;
    std::optional<unsigned> cpl;
    bool unsteered = false;
    bool json = false;
};

/// The world of the run, which every backend has.
Result<guest::World> world_of(const Options& o) {
    if (o.worlds.size() != 1) return fail(Exit::Usage, "--world: one world at a time");
    const std::string& wanted = o.worlds.front();
    const auto found = std::ranges::find(guest::world_names, wanted);
    if (found == guest::world_names.end())
        return fail(Exit::Usage,
                    fmt::format("there is no world '{}': expected {}", wanted, fmt::join(guest::world_names, ", ")));
    const auto world = static_cast<guest::World>(found - guest::world_names.begin());
    if (world != guest::World::Bare && world != guest::World::Svm)
        return fail(Exit::Skipped, fmt::format("no programs are drawn for world {} yet", wanted));
    for (const std::string& name : o.backends)
        for (const BackendInfo& backend : backend_catalogue())
            if (name.substr(0, name.find('+')) == backend.name && std::ranges::count(backend.worlds, wanted) == 0)
                return fail(Exit::Skipped, fmt::format("{} runs programs of world {} only", backend.name,
                                                       fmt::join(backend.worlds, ", ")));
    return world;
}

/// What all subjects can run, and the command line asks for.
Result<Profile> profile_of(const Options& o, guest::World world) {
    Profile profile;
    if (!o.modes.empty()) {
        auto chosen = with_modes(profile, o.modes);
        if (!chosen) return chosen;
        profile = *chosen;
    }
    if (o.cpl) (*o.cpl == 0 ? profile.cpl3 : profile.cpl0) = false;
    for (const std::string& backend : o.backends) profile = profile & profile_of_backend(backend);
    profile = profile.in(world);
    if (profile.empty()) return fail(Exit::Skipped, "no subject can run programs of this mode and privilege");
    return profile;
}

/// A seed that the database has seen means the same programs again. Else the weights follow what the earlier runs left
/// uncovered.
Result<Weights> weights_of(const Options& o, Store& store, const Profile& profile) {
    const Weights base;
    if (o.unsteered) return base;
    const auto runs = store.runs();
    if (!runs) return tl::unexpected(runs.error());
    for (const RunRow& run : *runs)
        if (run.command == "explore" && run.seed == o.seed && run.profile == to_text(profile))
            return with_steering(base, run.steering);
    auto rows = store.rule_ops(to_text(profile));
    if (!rows) return tl::unexpected(rows.error());
    std::vector<Companion> seen;
    for (const auto& row : *rows) seen.push_back({row.rule, row.op, row.programs});
    return steered(base, seen);
}

Result<Exit> explore_command(const Options& o) {
    auto backends = factories(o.backends);
    if (!backends) return tl::unexpected(backends.error());
    const auto world = world_of(o);
    if (!world) return tl::unexpected(world.error());
    const auto profile = profile_of(o, *world);
    if (!profile) return tl::unexpected(profile.error());
    auto known = known_findings(o.known);
    if (!known) return tl::unexpected(known.error());
    // Before the database is made.
    if (auto available = check_available(*backends); !available) return tl::unexpected(available.error());
    auto store = Store::open(o.database, Store::Access::Create);
    if (!store) return tl::unexpected(store.error());

    auto weights = weights_of(o, *store, *profile);
    if (!weights) return tl::unexpected(weights.error());
    const Generator generator(*weights, *profile);
    const auto reproduce = [&](const FindingRow& f) { return replay_command(o.database, f.id); };
    Plan plan;
    plan.run = {.command = "explore",
                .seed = o.seed,
                .weights_version = generator.weights().version,
                .stage_version = guest::stage_of(*world, guest::Mode::Long64)->version,
                .shard_index = o.shard_index,
                .shard_count = o.shard_count,
                .profile = to_text(*profile),
                .steering = steering_text(*weights)};
    plan.subjects = *std::move(backends);
    plan.source = [&](std::uint64_t index, guest::Case& kase) { generator.draw(o.seed, plan.number(index), kase); };
    plan.programs = o.programs;
    if (o.seconds) plan.duration = std::chrono::duration<double>(*o.seconds);
    plan.jobs = o.jobs;
    plan.shrink_runs = o.shrink_runs;
    plan.coverage_every = o.coverage_every;
    plan.known = &*known;
    plan.store = &*store;
    plan.stop = &interruption();
    plan.on_progress = progress_line(o.programs, o.seconds);
    if (!o.json)
        plan.on_finding = [&](const FindingRow& f) {
            if (!f.known.empty()) return;  // those are summed up by cause at the end
            clear_progress_line();
            print_finding(f, reproduce(f));
        };
    return explore_and_report(plan, o.json, reproduce);
}

std::string parse_shard(const std::string& text, Options& o) {
    const char* end = text.data() + text.size();
    const auto index = std::from_chars(text.data(), end, o.shard_index);
    if (index.ec == std::errc{} && index.ptr != end && *index.ptr == '/') {
        const auto count = std::from_chars(index.ptr + 1, end, o.shard_count);
        if (count.ec == std::errc{} && count.ptr == end && o.shard_index < o.shard_count) return {};
    }
    return "expected i/n with i < n, such as 0/8";
}

}  // namespace

void add_explore(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "explore", "Generate programs, run them, judge every event; confirm, shrink and store what diverges");
    add_backends(*command, o->backends);
    command->add_option("--world", o->worlds, "Where programs live (default: bare)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::IsMember({"bare", "svm", "vmx", "sev-es", "snp"}))
        ->type_name("W[,W…]");
    command->add_option("--mode", o->modes, "Modes of programs (default: all that the backends run)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::IsMember({"long64", "compat32", "prot32", "real16"}))
        ->type_name("M[,M…]");
    command->add_option("--cpl", o->cpl, "Only programs that start at this privilege")
        ->check(CLI::IsMember({0u, 3u}))
        ->type_name("0|3");
    command->add_flag("--unsteered", o->unsteered, "Don't let the weights follow the coverage of earlier runs in FILE");
    auto* amount = command->add_option_group("amount", "How much");
    amount->add_option("--programs", o->programs, "How many programs")->check(CLI::PositiveNumber)->type_name("N");
    amount->add_option("--for", o->seconds, "How long, such as 90s, 10m, 2h")
        ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                          CLI::AsNumberWithUnit::CASE_SENSITIVE))
        ->check(CLI::PositiveNumber)
        ->type_name("T");
    amount->require_option(1);
    command->add_option("--seed", o->seed, "Program i is a function of seed and i (default: 1)")->type_name("S");
    command
        ->add_option("--jobs", o->jobs, "Threads; the result is the same for any number (default: one per processor)")
        ->check(CLI::Range(1u, 1024u))
        ->type_name("J");
    command->add_option("--db", o->database, "Database to store the run in; made when there is none")
        ->required()
        ->type_name("FILE");
    command->add_option("--shard", "Only every n-th program, from the i-th on")
        ->type_name("I/N")
        ->each([o](const std::string& text) {
            if (const std::string why = parse_shard(text, *o); !why.empty()) throw CLI::ValidationError("--shard", why);
        });
    command->add_option("--shrink", o->shrink_runs, "Runs spent on shrinking one finding at most (default: 2000)")
        ->type_name("N");
    command->add_option("--coverage", o->coverage_every, "Count the rules' use on every N-th program (default: 32)")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    add_known(*command, o->known);
    add_format(*command, o->json);
    command->callback([o, &chosen] { chosen.action = [o] { return explore_command(*o); }; });
}

}  // namespace faultline::harness::cli
