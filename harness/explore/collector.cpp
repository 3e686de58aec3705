#include "harness/explore/collector.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "harness/shrink/shrink.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/guest/text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness {

Collector::Collector(const Plan& plan, Summary& summary)
    : plan_(plan), summary_(summary), machines_(plan.subjects.size()), signatures_(plan.subjects.size()) {}

Result<void> Collector::begin() {
    if (!plan_.store) return {};
    auto run = plan_.store->begin_run(plan_.run);
    if (!run) return tl::unexpected(run.error());
    summary_.run = *run;
    for (const SubjectSummary& subject : summary_.subjects) {
        auto row = plan_.store->subject(subject.identity);
        if (!row) return tl::unexpected(row.error());
        subject_rows_.push_back(*row);
    }
    return plan_.store->commit();
}

Result<void> Collector::take(const Block& block) {
    summary_.programs += block.programs;
    for (std::size_t s = 0; s < block.passes.size(); ++s)
        summary_.subjects[s].tally[Verdict::Pass] += block.passes[s][Verdict::Pass];
    for (const Sighting& sighting : block.sightings)
        if (auto taken = take(sighting); !taken) return taken;
    return flush(false, "running");
}

Result<void> Collector::take(const Sighting& sighting) {
    guest::Case kase;
    plan_.source(sighting.index, kase);
    Verdict verdict = sighting.verdict;
    if (verdict == Verdict::Divergence) {
        auto classified = classify(sighting, kase);
        if (!classified) return tl::unexpected(classified.error());
        verdict = *classified;
    }
    SubjectSummary& subject = summary_.subjects[sighting.subject];
    ++subject.tally[verdict];
    if (!sighting.reason.empty()) {
        // A subject's own words may differ every time.
        const std::string reason = fmt::format("{}: {}", name(verdict), sighting.reason);
        const bool room = subject.reasons.size() < plan_.most_reasons || subject.reasons.contains(reason);
        ++subject.reasons[room ? reason : fmt::format("{}: other reasons", name(verdict))];
    }
    return keep(sighting, verdict, kase);
}

Result<Verdict> Collector::classify(const Sighting& sighting, const guest::Case& kase) {
    Verdict verdict = Verdict::OrderDependent;
    for (const Appearance& look : sighting.looks) {
        Signature& signature = signatures_[sighting.subject][look.signature];
        auto finding = told(signature, look, kase);
        if (finding) {
            ++summary_.findings[*finding].occurrences;
        } else if (signature.attempts < plan_.keep) {
            ++signature.attempts;
            auto confirmed = confirm(sighting.subject, look, sighting.index, kase, signature);
            if (!confirmed) return tl::unexpected(confirmed.error());
            finding = *confirmed;
        }
        if (!finding) continue;
        if (summary_.findings[*finding].known.empty())
            verdict = Verdict::Divergence;
        else if (verdict == Verdict::OrderDependent)
            verdict = Verdict::Known;
    }
    return verdict;
}

std::optional<std::size_t> Collector::told(const Signature& signature, const Appearance& look,
                                           const guest::Case& kase) const {
    std::string text;
    for (const std::size_t index : signature.findings) {
        const FindingRow& finding = summary_.findings[index];
        if (finding.known.empty()) return index;
        const auto known = std::ranges::find(*plan_.known, finding.known, &Known::id);
        // The program is not the smallest; but what even it does not have, the smallest would not have either.
        if (text.empty()) text = guest::to_toml(kase);
        if (std::ranges::any_of(known->faces, [&](const Face& face) { return face.accepts(look, text); })) return index;
    }
    return {};
}

Result<Machine*> Collector::machine(std::size_t subject) {
    auto& machine = machines_[subject];
    if (!machine) {
        auto backend = plan_.subjects[subject]();
        if (!backend) return fail(Exit::Internal, backend.error().reason);
        machine = std::make_unique<Machine>(*std::move(backend));
    }
    return machine.get();
}

Result<std::optional<std::size_t>> Collector::confirm(std::size_t subject, const Appearance& seen, std::uint64_t index,
                                                      const guest::Case& kase, Signature& like) {
    const std::string& signature = seen.signature;
    auto made = machine(subject);
    if (!made) return tl::unexpected(made.error());
    Machine& machine = **made;
    Look look = machine.confirm(kase, signature);
    if (!look.find(signature)) return std::optional<std::size_t>{};

    FindingRow row;
    row.signature = signature;
    row.identity = summary_.subjects[subject].identity;
    const auto known_id = [&](const Appearance& found, const std::optional<std::string>& program = {}) {
        const Known* known = plan_.known ? find_known(*plan_.known, row.identity, found, program) : nullptr;
        return known ? known->id : std::string();
    };
    row.known = known_id(appearance(*look.find(signature), kase, machine));
    guest::Case minimal = kase;
    if (row.known.empty() && plan_.shrink_runs > 0) {  // a known finding's smallest program stands in its entry
        const auto keeps = [&](const guest::Case& candidate) {
            const Look found = machine.look(candidate);
            const oracle::Divergence* same = found.find(signature);
            // What nobody can explain must not shrink to something that is explained and has the same signature.
            return same && known_id(appearance(*same, candidate, machine)).empty();
        };
        minimal = shrink(kase, keeps, plan_.shrink_runs);
        look = machine.confirm(minimal, signature);
        if (!look.find(signature)) {  // it shrank to something only a used machine shows
            minimal = kase;
            look = machine.confirm(kase, signature);
            if (!look.find(signature)) return std::optional<std::size_t>{};
        }
    }
    row.original = case_row(kase);
    row.minimal = case_row(minimal);
    const oracle::Divergence& divergence = *look.find(signature);
    if (row.known.empty()) row.known = known_id(appearance(divergence, minimal, machine), row.minimal.text);
    for (const std::size_t earlier : like.findings)
        if (summary_.findings[earlier].known == row.known) {  // another face of the same cause
            ++summary_.findings[earlier].occurrences;
            return std::optional(earlier);
        }
    row.rule = divergence.rule;
    row.other_rules = fmt::format("{}", fmt::join(divergence.other_rules, " "));
    row.title = divergence.title;
    row.expected = divergence.expected;
    row.seen = divergence.seen;
    row.minimal_tape = guest::to_json(machine.tape());
    row.case_index = plan_.number(index);
    row.status = row.known.empty() ? "new" : "known";
    row.run = summary_.run;
    if (plan_.store) {
        row.subject = subject_rows_[subject];
        auto original_row = plan_.store->add_case(row.original);
        if (!original_row) return tl::unexpected(original_row.error());
        auto minimal_row = plan_.store->add_case(row.minimal);
        if (!minimal_row) return tl::unexpected(minimal_row.error());
        row.kase = *original_row;
        row.minimal_case = *minimal_row;
        auto id = plan_.store->add_finding(row);
        if (!id) return tl::unexpected(id.error());
        row.id = *id;
        if (auto committed = plan_.store->commit(); !committed) return tl::unexpected(committed.error());
    }
    like.findings.push_back(summary_.findings.size());
    summary_.findings.push_back(row);
    if (plan_.on_finding) plan_.on_finding(row);
    return std::optional(summary_.findings.size() - 1);
}

Result<void> Collector::keep(const Sighting& sighting, Verdict verdict, const guest::Case& kase) {
    if (!plan_.store || sighting.tape.empty()) return {};
    if (kept_[{sighting.subject, verdict, std::string(sighting.like())}]++ >= plan_.keep) return {};
    auto row = plan_.store->add_case(case_row(kase));
    if (!row) return tl::unexpected(row.error());
    return plan_.store->add_result({.run = summary_.run,
                                    .kase = *row,
                                    .subject = subject_rows_[sighting.subject],
                                    .case_index = plan_.number(sighting.index),
                                    .verdict = std::string(name(verdict)),
                                    .signature = sighting.looks.empty() ? "" : sighting.looks.front().signature,
                                    .reason = sighting.reason,
                                    .outcome = std::string(guest::to_text(sighting.outcome)),
                                    .tape = sighting.tape});
}

Result<void> Collector::flush(bool now, std::string_view status) {
    const auto time = std::chrono::steady_clock::now();
    if (!plan_.store || (!now && time - committed_ < std::chrono::seconds(1))) return {};
    committed_ = time;
    Store& store = *plan_.store;
    Result<void> result = store.update_run(summary_.run, summary_.programs, status);
    const auto also = [&](auto write) {
        if (result) result = write();
    };
    for (const FindingRow& finding : summary_.findings)
        also([&] { return store.set_occurrences(finding.id, finding.occurrences); });
    for (std::size_t s = 0; s < subject_rows_.size(); ++s) {
        const SubjectSummary& subject = summary_.subjects[s];
        for (std::size_t v = 0; v < verdict_count; ++v)
            also([&] {
                return store.set_tally(summary_.run, subject_rows_[s], name(static_cast<Verdict>(v)),
                                       subject.tally.by_verdict[v]);
            });
        if (!now) continue;
        const auto rules = oracle::catalogue();
        for (std::size_t r = 0; r < rules.size(); ++r)
            also([&] {
                return store.set_rule_use(summary_.run, subject_rows_[s], rules[r].id, subject.use.applied[r],
                                          subject.use.decisive[r]);
            });
    }
    if (now)
        summary_.company.each([&](std::size_t rule, const std::string& op, std::uint64_t programs) {
            const auto rules = oracle::catalogue();
            if (rule < rules.size())
                also([&] { return store.set_rule_op(summary_.run, rules[rule].id, op, programs); });
        });
    also([&] { return store.commit(); });
    return result;
}

Appearance appearance(const oracle::Divergence& divergence, const guest::Case& kase, const Machine& machine) {
    return {divergence.signature, divergence.seen,
            at_op(kase, machine.image(), machine.tape(), divergence.record_index)};
}

CaseRow case_row(const guest::Case& kase) {
    return {guest::hash_text(guest::hash(kase)), std::string(guest::to_text(kase.world)),
            std::string(guest::to_text(kase.mode)), guest::to_toml(kase)};
}

}  // namespace faultline::harness
