#include "harness/explore/explore.hpp"

#include <fmt/format.h>

#include <thread>

#include "harness/explore/collector.hpp"
#include "harness/explore/ordered_queue.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness {
namespace {

using Clock = std::chrono::steady_clock;

/// Small enough that a block of slow cases doesn't hold the collector up, large enough to cost nothing.
constexpr std::uint64_t block_size = 64;

class Worker {
public:
    Worker(const Plan& plan, OrderedQueue<Block>& queue, std::vector<std::unique_ptr<Machine>> machines)
        : plan_(plan), queue_(queue), machines_(std::move(machines)), use_(machines_.size()) {}

    void run() {
        while (auto number = queue_.claim()) {
            Block block;
            try {
                block = make(*number * block_size);
            } catch (const std::exception& e) {
                error_ = e.what();
                queue_.close();
            }
            queue_.deliver(*number, std::move(block));
        }
    }
    const std::vector<oracle::RuleUse>& use() const { return use_; }
    const Company& company() const { return company_; }
    const std::string& error() const { return error_; }

private:
    Block make(std::uint64_t first) {
        Block block;
        block.passes.resize(machines_.size());
        std::uint64_t end = first + block_size;
        if (plan_.programs) end = std::min(end, *plan_.programs);
        for (std::uint64_t index = first; index < end; ++index) {
            if (plan_.stop && plan_.stop->load(std::memory_order_relaxed)) break;
            plan_.source(index, kase_);
            ++block.programs;
            for (std::size_t s = 0; s < machines_.size(); ++s) {
                const bool sampled = index % plan_.coverage_every == 0;
                if (sampled) one_ = {};
                Look look = machines_[s]->look(kase_, sampled ? &one_ : nullptr);
                if (sampled) count(s);
                if (plan_.review) plan_.review(index, machines_[s]->image(), machines_[s]->tape(), look);
                if (look.verdict == Verdict::Pass)
                    ++block.passes[s][Verdict::Pass];
                else
                    block.sightings.push_back(sighting(index, s, look));
            }
        }
        return block;
    }
    void count(std::size_t subject) {
        for (std::size_t r = 0; r < oracle::max_rules; ++r) {
            use_[subject].applied[r] += one_.applied[r];
            use_[subject].decisive[r] += one_.decisive[r];
        }
        company_.add(kase_, one_);
    }
    Sighting sighting(std::uint64_t index, std::size_t subject, const Look& look) {
        Sighting seen{.index = index, .subject = subject, .verdict = look.verdict, .reason = look.reason};
        for (const oracle::Divergence& divergence : look.oracle.divergences)
            seen.looks.push_back(appearance(divergence, kase_, *machines_[subject]));
        const guest::Tape& tape = machines_[subject]->tape();
        seen.outcome = tape.outcome;
        // The collector keeps the first few of a kind; those are among the first few of every thread.
        if (kept_[{subject, look.verdict, std::string(seen.like())}]++ < plan_.keep) seen.tape = guest::to_json(tape);
        return seen;
    }

    const Plan& plan_;
    OrderedQueue<Block>& queue_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::vector<oracle::RuleUse> use_;
    oracle::RuleUse one_;  ///< of the program at hand
    Company company_;
    std::map<std::tuple<std::size_t, Verdict, std::string>, std::size_t> kept_;
    guest::Case kase_;
    std::string error_;
};

Result<std::vector<std::unique_ptr<Machine>>> make_machines(const Plan& plan) {
    std::vector<std::unique_ptr<Machine>> machines;
    for (const BackendFactory& factory : plan.subjects) {
        auto backend = factory();
        if (!backend) return fail(Exit::Skipped, backend.error().reason);
        machines.push_back(std::make_unique<Machine>(*std::move(backend)));
    }
    return machines;
}

}  // namespace

std::uint64_t Summary::total(Verdict v) const {
    std::uint64_t sum = 0;
    for (const SubjectSummary& subject : subjects) sum += subject.tally[v];
    return sum;
}

Result<Summary> explore(const Plan& plan) {
    Summary summary;
    const std::uint64_t blocks =
        plan.programs ? (*plan.programs + block_size - 1) / block_size : OrderedQueue<Block>::endless;
    OrderedQueue<Block> queue(blocks, 8ull * plan.jobs);
    std::vector<Worker> workers;
    for (unsigned job = 0; job < plan.jobs; ++job) {
        auto machines = make_machines(plan);
        if (!machines) return tl::unexpected(machines.error());
        if (job == 0)
            for (const auto& machine : *machines)
                summary.subjects.push_back(
                    {.identity = machine->backend().subject(), .features = machine->backend().features()});
        workers.emplace_back(plan, queue, *std::move(machines));
    }
    Collector collector(plan, summary);
    if (auto begun = collector.begin(); !begun) return tl::unexpected(begun.error());

    const auto start = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    std::vector<std::jthread> threads;
    for (Worker& worker : workers) threads.emplace_back([&worker] { worker.run(); });

    Result<void> result;
    double reported = 0;
    for (Block block;;) {
        const auto taken = queue.take(block, std::chrono::milliseconds(100));
        if (taken == OrderedQueue<Block>::Take::Finished) break;
        if (taken == OrderedQueue<Block>::Take::Taken && result) {
            result = collector.take(block);
            if (!result) queue.close();
        }
        const bool stopped = plan.stop && plan.stop->load(std::memory_order_relaxed);
        if (stopped || (plan.duration && seconds() >= plan.duration->count())) {
            summary.interrupted |= stopped;
            queue.close();
        }
        if (plan.on_progress && seconds() - reported > 0.25) {
            reported = seconds();
            plan.on_progress({summary.programs, summary.findings.size(), reported});
        }
    }
    threads.clear();
    for (const Worker& worker : workers) {
        if (result && !worker.error().empty()) result = fail(Exit::Internal, worker.error());
        summary.company += worker.company();
        for (std::size_t s = 0; s < summary.subjects.size(); ++s)
            for (std::size_t r = 0; r < oracle::max_rules; ++r) {
                summary.subjects[s].use.applied[r] += worker.use()[s].applied[r];
                summary.subjects[s].use.decisive[r] += worker.use()[s].decisive[r];
            }
    }
    summary.seconds = seconds();
    if (result) result = collector.flush(true, summary.interrupted ? "interrupted" : "complete");
    if (!result) return tl::unexpected(result.error());
    return summary;
}

}  // namespace faultline::harness
