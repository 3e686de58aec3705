// How results look: JSON with stable keys, and text for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/explore/explore.hpp"
#include "harness/store/store.hpp"

namespace faultline::harness::cli {

using Json = nlohmann::ordered_json;

/// One object, one line, on stdout. Bytes that are not UTF-8 (a database may hold anything) are replaced.
void print(const Json& json);

/// Text that came from outside, with control characters made visible.
std::string printable(std::string_view text);
/// A word as a shell reads it back.
std::string shell_word(const std::string& word);

/// The one command that reproduces a finding.
std::string replay_command(const std::string& database, RowId id);

/// "engine 1", "kvm 6.1.0 kvm_amd": a subject in a line.
std::string subject_text(const guest::Subject& subject);
Json to_json(const guest::Subject& subject);

/// A finding as it is announced: title, signature, subject, smallest program, and `reproduce`.
void print_finding(const FindingRow& finding, const std::string& reproduce);
Json to_json(const FindingRow& finding, const std::string& reproduce);

/// The result of `explore` and `run`. `reproduce` gives the command for a finding.
Json to_json(const Summary& summary, const std::function<std::string(const FindingRow&)>& reproduce);
void print_summary(const Summary& summary, const std::function<std::string(const FindingRow&)>& reproduce);

/// 1 with a finding that is not known, 70 with errors, 4 when nothing could run, else 0.
Exit exit_of(const Summary& summary);

}  // namespace faultline::harness::cli
