#include "harness/store/store.hpp"

#include <fmt/format.h>

#include <charconv>

#include "harness/store/database.hpp"

namespace faultline::harness {
namespace {

#define FAULTLINE_NOW "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

/// Runs `body`, which may throw as SQLiteCpp does, and gives its result or one sentence.
template <class Body>
auto guarded(Store::Impl& impl, Body body) -> Result<decltype(body())> {
    try {
        if constexpr (std::is_void_v<decltype(body())>) {
            body();
            return {};
        } else {
            return body();
        }
    } catch (const SQLite::Exception& e) {
        return fail(Exit::Data, fmt::format("{}: {}", impl.path, e.what()));
    }
}

/// SQLite's integers are signed; counts and indices never reach the sign bit.
std::int64_t integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::uint64_t parse_seed(const std::string& text) {
    std::uint64_t seed = 0;
    std::from_chars(text.data(), text.data() + text.size(), seed);
    return seed;
}

constexpr const char* run_columns =
    "SELECT id, command, seed, weights_version, stage_version, shard_index, shard_count, programs, started, "
    "ifnull(finished, ''), status, profile, steering FROM runs";

RunRow read_run(SQLite::Statement& row) {
    return {.id = row.getColumn(0).getInt64(),
            .command = row.getColumn(1).getString(),
            .seed = parse_seed(row.getColumn(2).getString()),
            .weights_version = row.getColumn(3).getInt(),
            .stage_version = row.getColumn(4).getUInt(),
            .shard_index = static_cast<std::uint64_t>(row.getColumn(5).getInt64()),
            .shard_count = static_cast<std::uint64_t>(row.getColumn(6).getInt64()),
            .programs = static_cast<std::uint64_t>(row.getColumn(7).getInt64()),
            .profile = row.getColumn(11).getString(),
            .steering = row.getColumn(12).getString(),
            .started = row.getColumn(8).getString(),
            .finished = row.getColumn(9).getString(),
            .status = row.getColumn(10).getString()};
}

#define FAULTLINE_FINDING_COLUMNS                                                                                   \
    "SELECT d.id, d.run_id, d.case_id, d.minimal_case_id, d.subject_id, d.rule, d.other_rules, d.signature, "       \
    "d.title, d.expected, d.seen, d.minimal_tape, d.case_index, d.occurrences, ifnull(d.known, ''), d.first_seen, " \
    "d.last_seen, d.status, c.hash, c.world, c.mode, c.text, m.hash, m.world, m.mode, m.text, s.backend, "          \
    "s.version, s.module, s.module_parameters, s.cpu FROM divergences d JOIN cases c ON c.id = d.case_id "          \
    "JOIN cases m ON m.id = d.minimal_case_id JOIN subjects s ON s.id = d.subject_id"

FindingRow read_finding(SQLite::Statement& row) {
    const auto text = [&](int column) { return row.getColumn(column).getString(); };
    const auto number = [&](int column) { return row.getColumn(column).getInt64(); };
    return {.id = number(0),
            .run = number(1),
            .kase = number(2),
            .minimal_case = number(3),
            .subject = number(4),
            .rule = text(5),
            .other_rules = text(6),
            .signature = text(7),
            .title = text(8),
            .expected = text(9),
            .seen = text(10),
            .minimal_tape = text(11),
            .case_index = static_cast<std::uint64_t>(number(12)),
            .occurrences = static_cast<std::uint64_t>(number(13)),
            .known = text(14),
            .first_seen = text(15),
            .last_seen = text(16),
            .status = text(17),
            .original = {text(18), text(19), text(20), text(21)},
            .minimal = {text(22), text(23), text(24), text(25)},
            .identity = {text(26), text(27), text(28), text(29), text(30)},
            .of_run = {}};
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<RowId> Store::subject(const guest::Subject& s) {
    return guarded(*impl_, [&] {
        impl_->write(
            "INSERT OR IGNORE INTO subjects (backend, version, module, module_parameters, cpu) "
            "VALUES (?1, ?2, ?3, ?4, ?5)",
            s.backend, s.version, s.module, s.module_parameters, s.cpu);
        auto& row = impl_->query(
            "SELECT id FROM subjects WHERE backend = ?1 AND version = ?2 AND module = ?3 "
            "AND module_parameters = ?4 AND cpu = ?5",
            s.backend, s.version, s.module, s.module_parameters, s.cpu);
        row.executeStep();
        const RowId id = row.getColumn(0).getInt64();
        row.reset();
        return id;
    });
}

Result<RowId> Store::begin_run(const RunRow& run) {
    return guarded(*impl_, [&]() -> RowId {
        impl_->write(
            "INSERT INTO runs (command, seed, weights_version, stage_version, shard_index, shard_count, profile, "
            "steering, started, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, " FAULTLINE_NOW ", 'running')",
            run.command, std::to_string(run.seed), run.weights_version, run.stage_version, integer(run.shard_index),
            integer(run.shard_count), run.profile, run.steering);
        return impl_->database.getLastInsertRowid();
    });
}

Result<void> Store::update_run(RowId run, std::uint64_t programs, std::string_view status) {
    return guarded(*impl_, [&] {
        impl_->write(
            "UPDATE runs SET programs = ?2, status = ?3, "
            "finished = CASE WHEN ?3 = 'running' THEN NULL ELSE " FAULTLINE_NOW " END WHERE id = ?1",
            run, integer(programs), std::string(status));
    });
}

Result<RowId> Store::add_case(const CaseRow& row) {
    return guarded(*impl_, [&] {
        impl_->write("INSERT OR IGNORE INTO cases (hash, world, mode, text) VALUES (?1, ?2, ?3, ?4)", row.hash,
                     row.world, row.mode, row.text);
        auto& found = impl_->query("SELECT id FROM cases WHERE hash = ?1", row.hash);
        found.executeStep();
        const RowId id = found.getColumn(0).getInt64();
        found.reset();
        return id;
    });
}

Result<void> Store::add_result(const ResultRow& row) {
    return guarded(*impl_, [&] {
        impl_->write(
            "INSERT INTO results (run_id, case_id, subject_id, case_index, verdict, signature, reason, outcome, "
            "tape) VALUES (?1, ?2, ?3, ?4, ?5, nullif(?6, ''), nullif(?7, ''), ?8, ?9)",
            row.run, row.kase, row.subject, integer(row.case_index), row.verdict, row.signature, row.reason,
            row.outcome, row.tape);
    });
}

Result<RowId> Store::add_finding(const FindingRow& row) {
    return guarded(*impl_, [&]() -> RowId {
        impl_->write(
            "INSERT INTO divergences (run_id, case_id, subject_id, rule, other_rules, signature, title, expected, "
            "seen, minimal_case_id, minimal_tape, case_index, occurrences, first_seen, last_seen, status, known) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, " FAULTLINE_NOW ", " FAULTLINE_NOW
            ", CASE WHEN ?14 = '' THEN 'new' ELSE 'known' END, nullif(?14, ''))",
            row.run, row.kase, row.subject, row.rule, row.other_rules, row.signature, row.title, row.expected, row.seen,
            row.minimal_case, row.minimal_tape, integer(row.case_index), integer(row.occurrences), row.known);
        return impl_->database.getLastInsertRowid();
    });
}

Result<void> Store::set_occurrences(RowId finding, std::uint64_t occurrences) {
    return guarded(*impl_, [&] {
        impl_->write("UPDATE divergences SET occurrences = ?2, last_seen = " FAULTLINE_NOW " WHERE id = ?1", finding,
                     integer(occurrences));
    });
}

Result<void> Store::set_minimal(RowId finding, RowId minimal_case, std::string_view tape) {
    return guarded(*impl_, [&] {
        impl_->write("UPDATE divergences SET minimal_case_id = ?2, minimal_tape = ?3 WHERE id = ?1", finding,
                     minimal_case, std::string(tape));
    });
}

Result<void> Store::set_tally(RowId run, RowId subject, std::string_view verdict, std::uint64_t programs) {
    return guarded(*impl_, [&] {
        impl_->write("INSERT OR REPLACE INTO tallies VALUES (?1, ?2, ?3, ?4)", run, subject, std::string(verdict),
                     integer(programs));
    });
}

Result<void> Store::set_rule_use(RowId run, RowId subject, std::string_view rule, std::uint64_t applied,
                                 std::uint64_t decisive) {
    return guarded(*impl_, [&] {
        impl_->write("INSERT OR REPLACE INTO rule_use VALUES (?1, ?2, ?3, ?4, ?5)", run, subject, std::string(rule),
                     integer(applied), integer(decisive));
    });
}

Result<void> Store::set_rule_op(RowId run, std::string_view rule, std::string_view op, std::uint64_t programs) {
    return guarded(*impl_, [&] {
        impl_->write("INSERT OR REPLACE INTO rule_ops VALUES (?1, ?2, ?3, ?4)", run, std::string(rule), std::string(op),
                     integer(programs));
    });
}

Result<void> Store::commit() {
    return guarded(*impl_, [&] { impl_->commit(); });
}

Result<void> Store::merge(const std::string& other) {
    // Opening it first makes sure that it is one of ours, of this schema.
    if (auto opened = Store::open(other, Access::Existing); !opened) return tl::unexpected(opened.error());
    return guarded(*impl_, [&] {
        impl_->commit();
        SQLite::Statement attach(impl_->database, "ATTACH DATABASE ?1 AS other");
        attach.bind(1, other);
        attach.exec();
        impl_->begin();
        // Subjects and cases are values and meet their equals; runs keep their order behind the ones here.
        impl_->database.exec(R"sql(
CREATE TEMP TABLE shift AS SELECT ifnull((SELECT max(id) FROM main.runs), 0) AS runs;
INSERT OR IGNORE INTO subjects (backend, version, module, module_parameters, cpu)
    SELECT backend, version, module, module_parameters, cpu FROM other.subjects;
INSERT OR IGNORE INTO cases (hash, world, mode, text) SELECT hash, world, mode, text FROM other.cases;
CREATE TEMP TABLE subject_map AS SELECT o.id AS old, m.id AS new FROM other.subjects o JOIN main.subjects m
    USING (backend, version, module, module_parameters, cpu);
CREATE TEMP TABLE case_map AS SELECT o.id AS old, m.id AS new FROM other.cases o JOIN main.cases m USING (hash);
CREATE INDEX temp.case_map_old ON case_map (old);
INSERT INTO runs SELECT id + (SELECT runs FROM shift), command, seed, weights_version, stage_version, shard_index,
    shard_count, programs, started, finished, status, profile, steering FROM other.runs;
INSERT INTO results (run_id, case_id, subject_id, case_index, verdict, signature, reason, outcome, tape)
    SELECT run_id + (SELECT runs FROM shift), c.new, s.new, case_index, verdict, signature, reason, outcome, tape
    FROM other.results r JOIN case_map c ON c.old = r.case_id JOIN subject_map s ON s.old = r.subject_id;
INSERT INTO divergences (run_id, case_id, subject_id, rule, other_rules, signature, title, expected, seen,
                         minimal_case_id, minimal_tape, case_index, occurrences, first_seen, last_seen, status, known)
    SELECT run_id + (SELECT runs FROM shift), c.new, s.new, rule, other_rules, signature, title, expected, seen,
           m.new, minimal_tape, case_index, occurrences, first_seen, last_seen, status, known
    FROM other.divergences d JOIN case_map c ON c.old = d.case_id JOIN case_map m ON m.old = d.minimal_case_id
    JOIN subject_map s ON s.old = d.subject_id;
INSERT INTO tallies SELECT run_id + (SELECT runs FROM shift), s.new, verdict, programs
    FROM other.tallies t JOIN subject_map s ON s.old = t.subject_id;
INSERT INTO rule_use SELECT run_id + (SELECT runs FROM shift), s.new, rule, applied, decisive
    FROM other.rule_use u JOIN subject_map s ON s.old = u.subject_id;
INSERT INTO rule_ops SELECT run_id + (SELECT runs FROM shift), rule, op, programs FROM other.rule_ops;
DROP TABLE shift; DROP TABLE subject_map; DROP TABLE case_map;
)sql");
        impl_->commit();
        impl_->database.exec("DETACH DATABASE other");
    });
}

Result<FindingRow> Store::finding(RowId id) {
    auto row = guarded(*impl_, [&]() -> std::optional<FindingRow> {
        auto& statement = impl_->query(FAULTLINE_FINDING_COLUMNS " WHERE d.id = ?1", id);
        if (!statement.executeStep()) return std::nullopt;
        FindingRow found = read_finding(statement);
        statement.reset();
        return found;
    });
    if (!row) return tl::unexpected(row.error());
    if (!*row) return fail(Exit::Data, fmt::format("{} holds no finding {}", impl_->path, id));
    auto of_run = run((*row)->run);
    if (!of_run) return tl::unexpected(of_run.error());
    (*row)->of_run = *std::move(of_run);
    return **std::move(row);
}

Result<RunRow> Store::run(RowId id) {
    auto row = guarded(*impl_, [&]() -> std::optional<RunRow> {
        SQLite::Statement statement(impl_->database, fmt::format("{} WHERE id = ?1", run_columns));
        statement.bind(1, id);
        if (!statement.executeStep()) return std::nullopt;
        return read_run(statement);
    });
    if (!row) return tl::unexpected(row.error());
    if (!*row) return fail(Exit::Data, fmt::format("{} holds no run {}", impl_->path, id));
    return **std::move(row);
}

Result<std::vector<RunRow>> Store::runs() {
    return guarded(*impl_, [&] {
        std::vector<RunRow> rows;
        SQLite::Statement statement(impl_->database, fmt::format("{} ORDER BY id", run_columns));
        while (statement.executeStep()) rows.push_back(read_run(statement));
        return rows;
    });
}

Result<std::vector<Store::RuleUseRow>> Store::rule_use() {
    return guarded(*impl_, [&] {
        std::vector<RuleUseRow> rows;
        auto& row = impl_->query(
            "SELECT u.rule, s.backend, s.version, s.module, s.module_parameters, s.cpu, count(*), sum(u.applied), "
            "sum(u.decisive) FROM rule_use u JOIN subjects s ON s.id = u.subject_id GROUP BY u.rule, s.id "
            "ORDER BY u.rule, s.id");
        while (row.executeStep()) {
            const auto text = [&](int column) { return row.getColumn(column).getString(); };
            const auto number = [&](int column) {
                return static_cast<std::uint64_t>(row.getColumn(column).getInt64());
            };
            rows.push_back({text(0), {text(1), text(2), text(3), text(4), text(5)}, number(6), number(7), number(8)});
        }
        row.reset();
        return rows;
    });
}

Result<std::vector<Store::RuleOpRow>> Store::rule_ops(std::string_view profile) {
    return guarded(*impl_, [&] {
        std::vector<RuleOpRow> rows;
        auto& row = impl_->query(
            "SELECT o.rule, o.op, sum(o.programs) FROM rule_ops o JOIN runs r ON r.id = o.run_id "
            "WHERE r.command = 'explore' AND r.status = 'complete' AND r.profile = ?1 GROUP BY o.rule, o.op "
            "ORDER BY o.rule, o.op",
            std::string(profile));
        while (row.executeStep())
            rows.push_back({row.getColumn(0).getString(), row.getColumn(1).getString(),
                            static_cast<std::uint64_t>(row.getColumn(2).getInt64())});
        row.reset();
        return rows;
    });
}

Result<std::vector<FindingRow>> Store::findings(RowId run) {
    return guarded(*impl_, [&] {
        std::vector<FindingRow> rows;
        auto& statement = impl_->query(FAULTLINE_FINDING_COLUMNS " WHERE d.run_id = ?1 ORDER BY d.id", run);
        while (statement.executeStep()) rows.push_back(read_finding(statement));
        statement.reset();
        return rows;
    });
}

}  // namespace faultline::harness
