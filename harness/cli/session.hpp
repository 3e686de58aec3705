// What `explore` and `run` share: backends by name, known findings, interruption, the progress line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/explore/explore.hpp"
#include "harness/result.hpp"

namespace faultline::harness::cli {

Result<std::vector<BackendFactory>> factories(const std::vector<std::string>& names);

/// The folder asked for, or the source tree's own when it is there.
Result<std::vector<Known>> known_findings(const std::optional<std::string>& folder);

/// Whether every backend can be made here; the first that cannot says why.
Result<void> check_available(const std::vector<BackendFactory>& backends);

/// Carries the plan out and prints what came of it. `reproduce` gives the command for a finding.
Result<Exit> explore_and_report(const Plan& plan, bool json,
                                const std::function<std::string(const FindingRow&)>& reproduce);

/// True once SIGINT or SIGTERM came; a second one kills. The first call installs the handlers.
const std::atomic<bool>& interruption();

/// Shows progress on stderr if that is a terminal; otherwise an empty function. `programs`: how many there will be.
std::function<void(const Progress&)> progress_line(std::optional<std::uint64_t> programs,
                                                   std::optional<double> seconds);
/// The same for things that are done one by one: "3 of 20 quirks, 2 caught".
std::function<void(std::size_t, std::size_t)> count_line(std::string things, std::size_t total, std::string found);
/// The same for work that says itself where it stands.
std::function<void(const std::string&)> status_line();
/// Takes the progress line away, before anything else is printed.
void clear_progress_line();

}  // namespace faultline::harness::cli
