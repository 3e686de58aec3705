// Two tests of the oracle: `--programs` mutates the engine (quirks), `--tapes` the tapes it is given.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/session.hpp"
#include "harness/explore/machine.hpp"
#include "harness/generate/generator.hpp"
#include "harness/mutate/mutation.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/text.hpp"
#include "hypervisor/reference/reference_backend.hpp"
#include "oracle/mutation.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::uint64_t tapes = 0, programs = 0, seed = 1, first = 0;
    unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::string> quirks;
    std::string world;
    bool json = false;
};

/// A wrong tape that the judge did not reject.
struct Survivor {
    std::uint64_t index;
    std::string what, verdict, program;
};

Result<Exit> mutate_tapes(const Options& o) {
    constexpr std::size_t most_shown = 50;
    const bool svm = o.world == "svm";
    const Generator generator({}, Profile{}.in(svm ? guest::World::Svm : guest::World::Bare));
    Machine machine(svm ? reference::make_reference_backend() : engine::make_engine_backend());
    oracle::Judge judge;
    guest::Case kase;
    std::uint64_t made = 0, rejected = 0, not_passing = 0, unchanged = 0;
    std::vector<Survivor> survivors;
    for (std::uint64_t index = o.first; made < o.tapes; ++index) {
        generator.draw(o.seed, index, kase);
        if (machine.look(kase).verdict != Verdict::Pass) {
            ++not_passing;
            continue;
        }
        std::string what;
        const auto wrong = oracle::mutate(kase, machine.image(), machine.tape(), o.seed + index, &what);
        if (!wrong) {
            ++unchanged;
            continue;
        }
        ++made;
        const oracle::Verdict verdict = judge.judge(kase, machine.image(), *wrong);
        if (verdict.kind == oracle::VerdictKind::Divergence) {
            ++rejected;
        } else if (survivors.size() < most_shown) {
            const bool passes = verdict.kind == oracle::VerdictKind::Pass;
            survivors.push_back({index, what, passes ? "pass" : verdict.reason, guest::to_toml(kase)});
        }
    }
    const double score = static_cast<double>(rejected) / static_cast<double>(made);
    if (o.json) {
        Json list = Json::array();
        for (const Survivor& s : survivors)
            list.push_back({{"index", s.index}, {"what", s.what}, {"verdict", s.verdict}, {"program_toml", s.program}});
        print({{"tapes", made},
               {"rejected", rejected},
               {"score", score},
               {"not_passing", not_passing},
               {"unchanged", unchanged},
               {"survivors", list}});
    } else {
        fmt::print(
            "{} wrong tapes, {} rejected ({:.3f} %); {} programs did not pass unmutated, {} had nothing to change\n",
            made, rejected, 100 * score, not_passing, unchanged);
        for (const Survivor& s : survivors)
            fmt::print("not rejected: {} ({}): faultline mutate --tapes 1 --seed {} --first {} --format json\n", s.what,
                       s.verdict, o.seed, s.index);
        if (made - rejected > survivors.size()) fmt::print("… and {} more\n", made - rejected - survivors.size());
    }
    return Exit::Ok;
}

Json to_json(const MutationResult& r) {
    Json json{{"name", r.quirk->name},
              {"world", guest::to_text(r.quirk->world)},
              {"caught", r.caught},
              {"programs", r.programs}};
    if (r.caught) {
        json["rule"] = r.rule;
        json["ops"] = r.smallest.ops.size();
        json["signature"] = r.signature;
        json["smallest_toml"] = guest::to_toml(r.smallest);
    } else {
        json["rule"] = json["ops"] = nullptr;
    }
    if (!r.quirk->equivalent.empty()) json["equivalent"] = r.quirk->equivalent;
    return json;
}

void print_results(const MutationScore& score) {
    fmt::print("{:<42} {:<10} {:>9} {:>4}\n", "quirk", "rule", "programs", "ops");
    for (const MutationResult& r : score.results)
        if (r.caught)
            fmt::print("{:<42} {:<10} {:>9} {:>4}\n", r.quirk->name, r.rule, r.programs, r.smallest.ops.size());
    for (const MutationResult& r : score.results)
        if (!r.caught && r.quirk->equivalent.empty())
            fmt::print("{:<42} {:<10} {:>9}    -  {}\n", r.quirk->name, "NOT CAUGHT", r.programs, r.quirk->wrong);
    for (const MutationResult& r : score.results)
        if (!r.quirk->equivalent.empty())
            fmt::print("{:<42} {}: {}\n", r.quirk->name,
                       r.caught ? "equivalent, yet caught: the oracle is too strict" : "equivalent",
                       r.quirk->equivalent);
    fmt::print("score {:.4f}: {} of {} caught; median {:.0f} programs to detection, smallest case {:.1f} ops{}\n",
               score.score(), score.caught(), score.counted(), score.median_programs(), score.median_ops(),
               score.interrupted ? " (interrupted)" : "");
}

Result<Exit> mutate_engine(const Options& o) {
    MutationPlan plan;
    for (const engine::QuirkInfo& info : engine::quirk_catalogue()) {
        const bool named = o.quirks.empty() || std::ranges::find(o.quirks, info.name) != o.quirks.end();
        if (named && (o.world.empty() || guest::to_text(info.world) == o.world)) plan.quirks.push_back(&info);
    }
    for (const std::string& name : o.quirks)
        if (!engine::quirk_named(name))
            return fail(Exit::Usage, fmt::format("there is no quirk '{}' (`faultline list quirks`)", name));
    if (plan.quirks.empty()) return fail(Exit::Usage, fmt::format("none of these quirks is of world {}", o.world));
    plan.programs = o.programs;
    plan.seed = o.seed;
    plan.jobs = o.jobs;
    plan.stop = &interruption();
    plan.on_progress = count_line("quirks", plan.quirks.size(), "caught");
    auto score = run_mutation(plan);
    clear_progress_line();
    if (!score) return tl::unexpected(score.error());
    if (!o.json) {
        print_results(*score);
        return Exit::Ok;
    }
    Json quirks = Json::array();
    for (const MutationResult& r : score->results) quirks.push_back(to_json(r));
    print({{"score", score->score()},
           {"counted", score->counted()},
           {"caught", score->caught()},
           {"median_programs", score->median_programs()},
           {"median_ops", score->median_ops()},
           {"programs", o.programs},
           {"seed", o.seed},
           {"interrupted", score->interrupted},
           {"quirks", quirks}});
    return Exit::Ok;
}

}  // namespace

void add_mutate(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "mutate", "Test the oracle: explore a wrong engine, or show it wrong tapes, and count what it notices");
    auto* what = command->add_option_group("what", "What is mutated");
    what->add_option("--programs", o->programs,
                     "Machines: each quirk is explored in its world with at most N programs, until one diverges")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    what->add_option("--tapes", o->tapes, "Tapes: N wrong ones are made out of passing ones")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    what->require_option(1);
    command->add_option("--quirk", o->quirks, "Only these quirks (with --programs; `faultline list quirks`)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("NAME[,NAME…]");
    command
        ->add_option("--world", o->world,
                     "Programs: only the quirks of this world (default: all); tapes: of its programs (default: bare)")
        ->check(CLI::IsMember({"bare", "svm"}))
        ->type_name("W");
    command->add_option("--jobs", o->jobs, "Threads, each with one quirk at a time (with --programs)")
        ->check(CLI::Range(1u, 1024u))
        ->type_name("J");
    command->add_option("--seed", o->seed, "Seed of programs, the same for every quirk, and of mutations (default: 1)")
        ->type_name("S");
    command->add_option("--first", o->first, "Program to start with (with --tapes; default: 0)")->type_name("I");
    add_format(*command, o->json);
    command->callback(
        [o, &chosen] { chosen.action = [o] { return o->tapes ? mutate_tapes(*o) : mutate_engine(*o); }; });
}

}  // namespace faultline::harness::cli
