#include "harness/mutate/mutation.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "harness/explore/machine.hpp"
#include "harness/generate/generator.hpp"
#include "harness/shrink/shrink.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {
namespace {

template <class Value>
double median(const std::vector<MutationResult>& results, Value value) {
    std::vector<double> values;
    for (const MutationResult& r : results)
        if (r.caught && r.quirk->equivalent.empty()) values.push_back(static_cast<double>(value(r)));
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const std::size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Who runs the programs of a world: the engine, or the reference hypervisor above it.
std::unique_ptr<guest::Backend> subject(guest::World world, const engine::Quirks& quirks) {
    return world == guest::World::Svm ? reference::make_reference_backend(quirks) : engine::make_engine_backend(quirks);
}

/// One thread's tools for the quirks of one world: the machine without quirks, and the generator.
class Hunter {
public:
    Hunter(const MutationPlan& plan, guest::World world)
        : plan_(plan), world_(world), generator_({}, Profile{}.in(world)), right_(subject(world, {})) {}

    void hunt(const engine::QuirkInfo& quirk, MutationResult& result) {
        Machine wrong(subject(world_, {quirk.quirk}));
        guest::Case kase;
        for (std::uint64_t index = 0; index < plan_.programs && !stopped(); ++index) {
            generator_.draw(plan_.seed, index, kase);
            ++result.programs;
            const Look look = wrong.look(kase);
            for (const oracle::Divergence& divergence : look.oracle.divergences) {
                if (!caught(wrong, kase, divergence.signature)) continue;
                result.caught = true;
                result.rule = divergence.rule;
                result.signature = divergence.signature;
                result.smallest = shrink(
                    kase, [&](const guest::Case& c) { return caught_once(wrong, c, divergence.signature); },
                    plan_.shrink_runs);
                return;
            }
        }
    }

private:
    bool stopped() const { return plan_.stop && plan_.stop->load(std::memory_order_relaxed); }
    bool caught_once(Machine& wrong, const guest::Case& kase, const std::string& signature) {
        return wrong.look(kase).find(signature) && !right_.look(kase).find(signature);
    }
    bool caught(Machine& wrong, const guest::Case& kase, const std::string& signature) {
        return wrong.confirm(kase, signature).find(signature) && !right_.look(kase).find(signature);
    }

    const MutationPlan& plan_;
    const guest::World world_;
    const Generator generator_;
    Machine right_;
};

}  // namespace

std::size_t MutationScore::counted() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(results, [](const MutationResult& r) { return r.quirk->equivalent.empty(); }));
}

std::size_t MutationScore::caught() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        results, [](const MutationResult& r) { return r.caught && r.quirk->equivalent.empty(); }));
}

double MutationScore::score() const {
    return counted() ? static_cast<double>(caught()) / static_cast<double>(counted()) : 1;
}

double MutationScore::median_programs() const {
    return median(results, [](const MutationResult& r) { return r.programs; });
}

double MutationScore::median_ops() const {
    return median(results, [](const MutationResult& r) { return r.smallest.ops.size(); });
}

Result<MutationScore> run_mutation(const MutationPlan& plan) {
    MutationScore score;
    score.results.resize(plan.quirks.size());
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::size_t done = 0, caught = 0;
    std::string error;
    const auto work = [&] {
        try {
            std::map<guest::World, Hunter> hunters;
            for (std::size_t i; (i = next++) < plan.quirks.size();) {
                const engine::QuirkInfo& quirk = *plan.quirks[i];
                score.results[i].quirk = &quirk;
                Hunter& hunter = hunters.try_emplace(quirk.world, plan, quirk.world).first->second;
                hunter.hunt(quirk, score.results[i]);
                const std::lock_guard lock(mutex);
                caught += score.results[i].caught;
                if (plan.on_progress) plan.on_progress(++done, caught);
            }
        } catch (const std::exception& e) {
            const std::lock_guard lock(mutex);
            error = e.what();
            next = plan.quirks.size();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned job = 0; job < std::max(1u, plan.jobs); ++job) threads.emplace_back(work);
    }
    if (!error.empty()) return fail(Exit::Internal, error);
    score.interrupted = plan.stop && plan.stop->load(std::memory_order_relaxed);
    return score;
}

}  // namespace faultline::harness
