// Exploring: many cases on one or more subjects, every one judged, findings confirmed, shrunk and stored.
//
// Threads make verdicts in blocks of case indices; one collector takes the blocks in order and does all
// that has a memory (confirming, shrinking, counting, storing, printing). So the result is the same for
// any number of threads.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/explore/machine.hpp"
#include "harness/generate/steering.hpp"
#include "harness/known/known.hpp"
#include "harness/result.hpp"
#include "harness/store/store.hpp"

namespace faultline::harness {

using BackendFactory = std::function<tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable>()>;
/// Fills in case number `index`. A pure function of it, called from many threads.
using CaseSource = std::function<void(std::uint64_t index, guest::Case& kase)>;

struct Tally {
    std::array<std::uint64_t, verdict_count> by_verdict{};
    std::uint64_t& operator[](Verdict v) { return by_verdict[static_cast<std::size_t>(v)]; }
    std::uint64_t operator[](Verdict v) const { return by_verdict[static_cast<std::size_t>(v)]; }
};

struct SubjectSummary {
    guest::Subject identity;
    guest::Features features;
    Tally tally;
    std::map<std::string, std::uint64_t> reasons;  ///< "verdict: reason" → programs, for what could not be judged
    oracle::RuleUse use;
};

struct Summary {
    RowId run = 0;
    std::uint64_t programs = 0;  ///< cases; each ran on every subject
    double seconds = 0;
    bool interrupted = false;
    std::vector<SubjectSummary> subjects;
    Company company;                   ///< over all subjects
    std::vector<FindingRow> findings;  ///< known ones included, in the order they were found
    std::uint64_t total(Verdict v) const;
};

struct Progress {
    std::uint64_t programs = 0, findings = 0;
    double seconds = 0;
};

struct Plan {
    RunRow run;  ///< what the store says about this run
    std::vector<BackendFactory> subjects;
    CaseSource source;
    /// A second opinion on every run, which may change the verdict; called from many threads.
    std::function<void(std::uint64_t index, const guest::Image&, const guest::Tape&, Look&)> review;
    std::optional<std::uint64_t> programs;  ///< how many; else until `duration` is over
    std::optional<std::chrono::duration<double>> duration;
    unsigned jobs = 1;
    unsigned shrink_runs = 2000;  ///< at most this many per finding; 0: not at all
    /// Results kept per subject, verdict and signature (or reason); beyond it they are counted only.
    std::size_t keep = 64;
    /// The rules' use is counted on every n-th program: finding what was decisive costs more than judging.
    std::uint64_t coverage_every = 32;
    std::size_t most_reasons = 100;  ///< distinct ones told apart per subject
    const std::vector<Known>* known = nullptr;
    Store* store = nullptr;                             ///< may be absent
    std::function<void(const FindingRow&)> on_finding;  ///< called after the finding is committed
    std::function<void(const Progress&)> on_progress;   ///< a few times per second
    const std::atomic<bool>* stop = nullptr;            ///< set by a signal handler: end with what there is

    /// What people call case `index` of this plan: its number in the run that the shard is part of.
    std::uint64_t number(std::uint64_t index) const { return run.shard_index + index * run.shard_count; }
};

Result<Summary> explore(const Plan& plan);

}  // namespace faultline::harness
