// The store: one SQLite database (WAL) that holds runs, the cases behind everything that did not pass,
// and the findings. What is committed survives a kill; what is read back is treated as hostile.
//
// Every function answers with an Error instead of throwing. Writes gather in a transaction until commit().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/guest/backend.hpp"

namespace faultline::harness {

using RowId = std::int64_t;

struct RunRow {
    RowId id = 0;
    std::string command;  ///< "explore" or "run"
    std::uint64_t seed = 0;
    int weights_version = 0;
    std::uint32_t stage_version = 0;
    std::uint64_t shard_index = 0, shard_count = 1;
    std::uint64_t programs = 0;
    std::string profile;            ///< harness::Profile as text; empty: a run over given cases
    std::string steering;           ///< weights other than the version's own; empty: none
    std::string started, finished;  ///< UTC, ISO 8601; `finished` empty when it never did
    std::string status;             ///< "running", "complete", "interrupted"
};

struct CaseRow {
    std::string hash, world, mode, text;
};

/// A program that did not pass on a subject.
struct ResultRow {
    RowId run = 0, kase = 0, subject = 0;
    std::uint64_t case_index = 0;
    std::string verdict, signature, reason, outcome, tape;
};

/// A finding as the store knows it: all that a replay needs, joined.
struct FindingRow {
    RowId id = 0, run = 0, kase = 0, minimal_case = 0, subject = 0;
    std::string rule, other_rules, signature, title, expected, seen;
    std::string minimal_tape;
    std::uint64_t case_index = 0, occurrences = 1;
    std::string known;  ///< entry of corpora/known that accepts it; empty for a new finding
    // Filled when read back.
    std::string first_seen, last_seen, status;
    CaseRow original, minimal;
    guest::Subject identity;
    RunRow of_run;
};

class Store {
public:
    enum class Access {
        Existing,  ///< the file must exist; read-only files can be read
        Create,    ///< made when the path is free; an existing file must already be a Faultline database
    };
    /// Migrates an older schema. Never touches a file that is not a Faultline database of a schema it knows.
    static Result<Store> open(const std::string& path, Access access);
    struct Impl;

    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;
    ~Store();

    // Writing.
    Result<RowId> subject(const guest::Subject& identity);
    Result<RowId> begin_run(const RunRow& run);
    Result<void> update_run(RowId run, std::uint64_t programs, std::string_view status);
    Result<RowId> add_case(const CaseRow& row);
    Result<void> add_result(const ResultRow& row);
    Result<RowId> add_finding(const FindingRow& row);
    Result<void> set_occurrences(RowId finding, std::uint64_t occurrences);
    Result<void> set_minimal(RowId finding, RowId minimal_case, std::string_view tape);
    Result<void> set_tally(RowId run, RowId subject, std::string_view verdict, std::uint64_t programs);
    Result<void> set_rule_use(RowId run, RowId subject, std::string_view rule, std::uint64_t applied,
                              std::uint64_t decisive);
    /// How many sampled programs of the run had `op` in them and `rule` decisive.
    Result<void> set_rule_op(RowId run, std::string_view rule, std::string_view op, std::uint64_t programs);
    Result<void> commit();

    /// Adds everything `other` holds, with new ids.
    Result<void> merge(const std::string& other);

    // Reading.
    Result<FindingRow> finding(RowId id);
    Result<RunRow> run(RowId id);
    Result<std::vector<RunRow>> runs();
    Result<std::vector<FindingRow>> findings(RowId run);
    /// Over all runs: how often a rule applied and was decisive, by subject.
    struct RuleUseRow {
        std::string rule;
        guest::Subject subject;
        std::uint64_t runs = 0, applied = 0, decisive = 0;
    };
    Result<std::vector<RuleUseRow>> rule_use();
    /// Over all complete exploring runs of the profile: programs by rule and op.
    struct RuleOpRow {
        std::string rule, op;
        std::uint64_t programs = 0;
    };
    Result<std::vector<RuleOpRow>> rule_ops(std::string_view profile);

private:
    explicit Store(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace faultline::harness
