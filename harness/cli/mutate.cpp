#include <fmt/format.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"
#include "harness/explore/machine.hpp"
#include "harness/generate/generator.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "oracle/mutation.hpp"

namespace faultline::harness::cli {
namespace {

struct Options {
    std::uint64_t tapes = 0, seed = 1, first = 0;
    bool json = false;
};

/// A wrong tape that the judge did not reject.
struct Survivor {
    std::uint64_t index;
    std::string what, verdict, program;
};

Result<Exit> mutate_tapes(const Options& o) {
    constexpr std::size_t most_shown = 50;
    const Generator generator;
    Machine machine(engine::make_engine_backend());
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

}  // namespace

void add_mutate(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "mutate", "Test the oracle: make wrong tapes out of passing ones, and count how many it rejects");
    command->add_option("--tapes", o->tapes, "How many wrong tapes")
        ->required()
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    command->add_option("--seed", o->seed, "Seed of programs and mutations (default: 1)")->type_name("S");
    command->add_option("--first", o->first, "Program to start with (default: 0)")->type_name("I");
    add_format(*command, o->json);
    command->callback([o, &chosen] { chosen.action = [o] { return mutate_tapes(*o); }; });
}

}  // namespace faultline::harness::cli
