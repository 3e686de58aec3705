// The collector of an exploration: takes what the threads saw, in case order, and gives it a memory.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/explore/explore.hpp"

namespace faultline::harness {

/// A case that did not pass on a subject, as a thread saw it.
struct Sighting {
    std::uint64_t index = 0;
    std::size_t subject = 0;
    Verdict verdict = Verdict::Error;
    std::string reason;
    std::vector<Appearance> looks;  ///< of the divergences
    guest::Outcome outcome = guest::Outcome::Hang;
    std::string tape;  ///< text form; empty when the thread had kept enough of its like
    std::string_view like() const { return looks.empty() ? std::string_view(reason) : looks.front().signature; }
};

/// What one block of consecutive cases came to.
struct Block {
    std::uint64_t programs = 0;
    std::vector<Tally> passes;        ///< per subject; passes only
    std::vector<Sighting> sightings;  ///< in case order
};

class Collector {
public:
    Collector(const Plan& plan, Summary& summary);
    /// Registers run and subjects.
    Result<void> begin();
    Result<void> take(const Block& block);
    /// Commits, at most once a second unless `now`.
    Result<void> flush(bool now, std::string_view status);

private:
    struct Signature {
        std::uint64_t attempts = 0;         ///< confirmations tried
        std::vector<std::size_t> findings;  ///< indices in Summary::findings: explained ones, then one that is not
    };
    Result<void> take(const Sighting& sighting);
    /// What a divergence comes to: Divergence, Known or OrderDependent.
    Result<Verdict> classify(const Sighting& sighting, const guest::Case& kase);
    /// The finding that tells of this divergence already, if one does.
    std::optional<std::size_t> told(const Signature& signature, const Appearance& look, const guest::Case& kase) const;
    Result<std::optional<std::size_t>> confirm(std::size_t subject, const Appearance& seen, std::uint64_t index,
                                               const guest::Case& kase, Signature& like);
    Result<void> keep(const Sighting& sighting, Verdict verdict, const guest::Case& kase);
    Result<Machine*> machine(std::size_t subject);

    const Plan& plan_;
    Summary& summary_;
    std::vector<std::unique_ptr<Machine>> machines_;  ///< made on first need
    std::vector<RowId> subject_rows_;
    std::vector<std::map<std::string, Signature>> signatures_;  ///< per subject
    std::map<std::tuple<std::size_t, Verdict, std::string>, std::size_t> kept_;
    std::chrono::steady_clock::time_point committed_ = std::chrono::steady_clock::now();
};

/// How a divergence looks to those who explain it.
Appearance appearance(const oracle::Divergence& divergence, const guest::Case& kase, const Machine& machine);
/// The row of a case, for the store.
CaseRow case_row(const guest::Case& kase);

}  // namespace faultline::harness
