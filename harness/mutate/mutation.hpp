// The mutation score of the oracle: how many of the quirks (hypervisor/engine/quirk_list.hpp) an exploration of their
// own world notices, and how soon. Those of world bare are the engine's; those of world svm the engine's below the
// reference hypervisor, or that one's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/engine/quirk.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

struct MutationPlan {
    std::vector<const engine::QuirkInfo*> quirks;
    std::uint64_t programs = 20'000;  ///< at most this many per quirk
    std::uint64_t seed = 1;           ///< common to all of them
    unsigned jobs = 1;                ///< threads; the result is the same for any number
    unsigned shrink_runs = 2000;
    std::function<void(std::size_t done, std::size_t caught)> on_progress;  ///< called under a lock
    const std::atomic<bool>* stop = nullptr;
};

/// What became of one quirk. Caught: a program on which the machine with it diverged, again on a fresh machine, while
/// the machine without it passed.
struct MutationResult {
    const engine::QuirkInfo* quirk = nullptr;
    bool caught = false;
    std::uint64_t programs = 0;  ///< run until then
    std::string rule, signature;
    guest::Case smallest;  ///< as shrunk; of the same signature
};

struct MutationScore {
    std::vector<MutationResult> results;  ///< in the plan's order
    bool interrupted = false;

    /// Of the quirks that are not equivalent to a right machine.
    std::size_t counted() const;
    std::size_t caught() const;
    double score() const;  ///< caught / counted; 1 when nothing counts
    /// Over the caught ones that count; 0 when there are none.
    double median_programs() const;
    double median_ops() const;
};

Result<MutationScore> run_mutation(const MutationPlan& plan);

}  // namespace faultline::harness
