#include "harness/cli/output.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "oracle/catalogue.hpp"

namespace faultline::harness::cli {

void print(const Json& json) { fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace)); }

std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
            out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
        else if (c == '\x7F')
            out += "\\x7f";
        else
            out += c;
    return out;
}

std::string shell_word(const std::string& word) {
    const auto plain = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_-./+:=,@%", c);
    };
    if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string replay_command(const std::string& database, RowId id) {
    return fmt::format("faultline replay {} {}", shell_word(database), id);
}

std::string subject_text(const guest::Subject& subject) {
    std::string out;
    for (const std::string& part : {subject.backend, subject.module, subject.version, subject.cpu})
        if (!part.empty()) out += (out.empty() ? "" : ", ") + part;
    return printable(out);
}

Json to_json(const guest::Subject& s) {
    return {{"backend", s.backend},
            {"version", s.version},
            {"module", s.module},
            {"module_parameters", s.module_parameters},
            {"cpu", s.cpu}};
}

void print_finding(const FindingRow& f, const std::string& reproduce) {
    fmt::print("finding{}: {}\n", f.id ? fmt::format(" {}", f.id) : "", printable(f.title));
    fmt::print("  signature  {}\n  subject    {}\n", printable(f.signature), subject_text(f.identity));
    if (!f.known.empty()) fmt::print("  known      corpora/known/{}.toml\n", printable(f.known));
    fmt::print("  expected   {}\n  seen       {}\n  reproduce  {}\n", printable(f.expected), printable(f.seen),
               reproduce);
    std::fflush(stdout);
}

Json to_json(const FindingRow& f, const std::string& reproduce) {
    Json json{{"id", f.id},
              {"signature", f.signature},
              {"rule", f.rule},
              {"title", f.title},
              {"expected", f.expected},
              {"seen", f.seen},
              {"subject", to_json(f.identity)},
              {"case", f.original.hash},
              {"case_index", f.case_index},
              {"minimal_case", f.minimal.hash},
              {"occurrences", f.occurrences},
              {"status", f.status}};
    if (!f.known.empty()) json["known"] = f.known;
    json["reproduce"] = reproduce;
    return json;
}

Json to_json(const Summary& summary, const std::function<std::string(const FindingRow&)>& reproduce) {
    Json signatures = Json::array(), known_signatures = Json::array(), findings = Json::array();
    for (const FindingRow& f : summary.findings) {
        (f.known.empty() ? signatures : known_signatures).push_back(f.signature);
        findings.push_back(to_json(f, reproduce(f)));
    }
    Json subjects = Json::array(), rules = Json::object(), reasons = Json::object();
    const auto catalogue = oracle::catalogue();
    for (std::size_t r = 0; r < catalogue.size(); ++r) {
        std::uint64_t applied = 0, decisive = 0;
        for (const SubjectSummary& s : summary.subjects) applied += s.use.applied[r], decisive += s.use.decisive[r];
        rules[std::string(catalogue[r].id)] = {{"applied", applied}, {"decisive", decisive}};
    }
    for (const SubjectSummary& s : summary.subjects) {
        Json subject = to_json(s.identity);
        for (std::size_t v = 0; v < verdict_count; ++v)
            subject["verdicts"][std::string(name(static_cast<Verdict>(v)))] = s.tally.by_verdict[v];
        subjects.push_back(subject);
        for (const auto& [reason, programs] : s.reasons)
            reasons[reason] = reasons.value(reason, std::uint64_t{0}) + programs;
    }
    return {{"run", summary.run},
            {"programs", summary.programs},
            {"passes", summary.total(Verdict::Pass)},
            {"divergences", summary.total(Verdict::Divergence)},
            {"signatures", signatures},
            {"known", {{"divergences", summary.total(Verdict::Known)}, {"signatures", known_signatures}}},
            {"order_dependent", summary.total(Verdict::OrderDependent)},
            {"undefined", summary.total(Verdict::Undefined)},
            {"not_modelled", summary.total(Verdict::NotModelled)},
            {"skipped", summary.total(Verdict::Skip)},
            {"errors", summary.total(Verdict::Error)},
            {"reasons", reasons},
            {"seconds", summary.seconds},
            {"programs_per_second", summary.seconds > 0 ? static_cast<double>(summary.programs) / summary.seconds : 0},
            {"interrupted", summary.interrupted},
            {"findings", findings},
            {"subjects", subjects},
            {"rules", rules}};
}

namespace {

/// Root causes that people have explained, the most frequent first, each with the command for its first finding.
void print_known(const Summary& summary, const std::function<std::string(const FindingRow&)>& reproduce) {
    struct Cause {
        std::uint64_t programs = 0, signatures = 0;
        const FindingRow* first = nullptr;
    };
    std::map<std::string, Cause> causes;
    for (const FindingRow& f : summary.findings) {
        if (f.known.empty()) continue;
        Cause& cause = causes[f.known];
        cause.programs += f.occurrences;
        ++cause.signatures;
        if (!cause.first) cause.first = &f;
    }
    if (causes.empty()) return;
    std::vector<std::pair<std::string, Cause>> sorted(causes.begin(), causes.end());
    std::ranges::stable_sort(sorted, std::greater{}, [](const auto& entry) { return entry.second.programs; });
    fmt::print("known causes (corpora/known): programs, signatures, the first finding\n");
    for (const auto& [id, cause] : sorted)
        fmt::print("{:>8}{:>5}  {:42}  {}\n", cause.programs, cause.signatures, printable(id), reproduce(*cause.first));
}

}  // namespace

void print_summary(const Summary& summary, const std::function<std::string(const FindingRow&)>& reproduce) {
    print_known(summary, reproduce);
    const auto fresh = std::count_if(summary.findings.begin(), summary.findings.end(),
                                     [](const FindingRow& f) { return f.known.empty(); });
    for (const SubjectSummary& s : summary.subjects) {
        fmt::print("{}\n", subject_text(s.identity));
        for (std::size_t v = 0; v < verdict_count; ++v)
            if (s.tally.by_verdict[v] > 0)
                fmt::print("  {:16}{:>12}\n", name(static_cast<Verdict>(v)), s.tally.by_verdict[v]);
        std::size_t shown = 0;
        for (const auto& [reason, programs] : s.reasons)
            if (++shown <= 20) fmt::print("    {} ×{}\n", printable(reason), programs);
        if (shown > 20) fmt::print("    … and {} more reasons (--format json)\n", shown - 20);
    }
    fmt::print("{} programs in {:.1f} s ({:.0f}/s){}: {} finding{}, {} known\n", summary.programs, summary.seconds,
               static_cast<double>(summary.programs) / std::max(summary.seconds, 1e-9),
               summary.interrupted ? ", interrupted" : "", fresh, fresh == 1 ? "" : "s",
               static_cast<std::ptrdiff_t>(summary.findings.size()) - fresh);
}

Exit exit_of(const Summary& summary) {
    if (summary.total(Verdict::Divergence) > 0) return Exit::Divergence;
    if (summary.total(Verdict::Error) > 0) return Exit::Internal;
    const std::uint64_t skipped = summary.total(Verdict::Skip);
    if (skipped > 0 && skipped == summary.programs * summary.subjects.size()) return Exit::Skipped;
    return Exit::Ok;
}

}  // namespace faultline::harness::cli
