#include <fmt/format.h>

#include <algorithm>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/session.hpp"
#include "harness/cli/witness.hpp"
#include "oracle/proof/proof.hpp"

namespace faultline::harness::cli {
namespace {

using oracle::proof::Claim;

struct Options {
    std::vector<std::string> chapters;
    oracle::proof::Options proof;
    bool models = false, json = false, witness = false;
    std::string out = FAULTLINE_CORPORA_DIR "/conformance/witness";
};

Json to_json(const oracle::proof::Result& r, bool models) {
    Json failures = Json::array(), alive = Json::object();
    for (const auto& f : r.failures)
        failures.push_back({{"claim", oracle::proof::name(f.claim)}, {"what", f.what}, {"case", f.text}});
    for (const auto& m : r.models) alive[m.rule] = m.text;
    Json json = {{"name", r.name},
                 {"rules", r.rules},
                 {"free", r.free},
                 {"redundant", r.redundant},
                 {"invariants", r.invariants},
                 {"satisfiable", r.holds(Claim::Satisfiable)},
                 {"consistent", r.holds(Claim::Consistent)},
                 {"complete", r.holds(Claim::Complete)},
                 {"alive", r.holds(Claim::Alive)},
                 {"invariants_hold", r.holds(Claim::Invariant)},
                 {"holds", r.holds()},
                 {"seconds", r.seconds},
                 {"valid", r.valid},
                 {"failures", failures}};
    if (models) json["models"] = alive;
    return json;
}

void print_result(const oracle::proof::Result& r, bool models) {
    const auto said = [&](Claim claim) { return r.holds(claim) ? "yes" : "NO"; };
    fmt::print("chapter {}: {} rules, {} of them FREE, {} redundant; {} invariants; {:.1f} s\n", r.name, r.rules,
               r.free, r.redundant, r.invariants, r.seconds);
    fmt::print("  valid is satisfiable  {}\n  consistent            {}\n  complete              {}\n",
               said(Claim::Satisfiable), said(Claim::Consistent), said(Claim::Complete));
    fmt::print("  every rule alive      {}\n  invariants hold       {}\n", said(Claim::Alive), said(Claim::Invariant));
    if (models) {
        fmt::print("\nvalid states and stimuli are those where\n{}", r.valid);
        for (const auto& m : r.models) fmt::print("\n{} decides alone:\n{}", m.rule, m.text);
    }
    for (const auto& f : r.failures) fmt::print("\n{}: {}\n{}", oracle::proof::name(f.claim), f.what, f.text);
}

Result<Exit> prove(const Options& o) {
    const auto chapters = oracle::proof::chapters();
    for (const std::string& name : o.chapters)
        if (std::none_of(chapters.begin(), chapters.end(), [&](const auto& c) { return c.name == name; })) {
            std::string known;
            for (const auto& c : chapters) known += fmt::format("{}{}", known.empty() ? "" : ", ", c.name);
            return fail(Exit::Usage, fmt::format("there is no chapter '{}' to prove (there is: {})", name, known));
        }
    if (o.witness) return write_witnesses({o.chapters, o.out, o.proof.jobs > 1, o.json});
    Json results = Json::array();
    bool all = true;
    for (const auto& chapter : chapters) {
        if (!o.chapters.empty() && std::find(o.chapters.begin(), o.chapters.end(), chapter.name) == o.chapters.end())
            continue;
        const oracle::proof::Result result = chapter.prove(o.proof);
        clear_progress_line();
        all = all && result.holds();
        if (o.json)
            results.push_back(to_json(result, o.models));
        else
            print_result(result, o.models);
    }
    if (o.json) print({{"chapters", results}});
    return all ? Exit::Ok : Exit::Divergence;
}

}  // namespace

void add_prove(CLI::App& app, Chosen& chosen) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "prove", "Prove, over all values, that each chapter's rules and its list of right responses are the same");
    command->add_option("CHAPTER", o->chapters, "Chapters to prove (default: all)")->type_name("");
    command->add_flag("--models", o->models,
                      "Print what is proved about, and for each rule a case that it decides alone");
    CLI::Option* witness =
        command->add_flag("--witness", o->witness,
                          "Instead, write for each rule a small program that would fail if the rule were broken");
    command->add_option("--out", o->out, "Folder for the witnesses (default: corpora/conformance/witness)")
        ->needs(witness)
        ->type_name("DIR");
    command->add_option("--jobs", o->proof.jobs, "Solvers side by side (default: 2)")
        ->check(CLI::Range(1u, 64u))
        ->type_name("J");
    add_format(*command, o->json);
    o->proof.progress = status_line();
    command->callback([o, &chosen] { chosen.action = [o] { return prove(*o); }; });
}

}  // namespace faultline::harness::cli
