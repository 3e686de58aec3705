#include "harness/cli/session.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "harness/backends.hpp"
#include "harness/cli/output.hpp"

namespace faultline::harness::cli {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

bool on_terminal() {
    static const bool answer = isatty(STDERR_FILENO);
    return answer;
}

}  // namespace

Result<std::vector<BackendFactory>> factories(const std::vector<std::string>& names) {
    std::vector<BackendFactory> all;
    for (const std::string& name : names) {
        auto factory = backend_factory(name);
        if (!factory) return tl::unexpected(factory.error());
        all.push_back(*std::move(factory));
    }
    return all;
}

Result<std::vector<Known>> known_findings(const std::optional<std::string>& folder) {
    const std::string own = FAULTLINE_CORPORA_DIR "/known";
    std::error_code ignored;
    if (!folder && !std::filesystem::exists(own, ignored)) return std::vector<Known>{};
    return load_known(folder.value_or(own));
}

Result<void> check_available(const std::vector<BackendFactory>& backends) {
    for (const BackendFactory& factory : backends)
        if (auto backend = factory(); !backend) return fail(Exit::Skipped, backend.error().reason);
    return {};
}

Result<Exit> explore_and_report(const Plan& plan, bool json,
                                const std::function<std::string(const FindingRow&)>& reproduce) {
    auto summary = explore(plan);
    clear_progress_line();
    if (!summary) return tl::unexpected(summary.error());
    if (json)
        print(to_json(*summary, reproduce));
    else
        print_summary(*summary, reproduce);
    return exit_of(*summary);
}

const std::atomic<bool>& interruption() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted.store(true, std::memory_order_relaxed); };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    return interrupted;
}

std::function<void(const Progress&)> progress_line(std::optional<std::uint64_t> programs,
                                                   std::optional<double> seconds) {
    if (!on_terminal()) return {};
    return [=](const Progress& p) {
        const double rate = static_cast<double>(p.programs) / std::max(p.seconds, 1e-9);
        const double left = programs ? static_cast<double>(*programs - p.programs) / std::max(rate, 1e-9)
                                     : seconds.value_or(0) - p.seconds;
        fmt::print(stderr, "\r\x1b[K{} programs, {:.0f}/s, {:%T} left, {} finding{}", p.programs, rate,
                   std::chrono::seconds(static_cast<long>(std::clamp(left, 0.0, 1e8))), p.findings,
                   p.findings == 1 ? "" : "s");
        std::fflush(stderr);
    };
}

std::function<void(std::size_t, std::size_t)> count_line(std::string things, std::size_t total, std::string found) {
    if (!on_terminal()) return {};
    return [=](std::size_t done, std::size_t of_interest) {
        fmt::print(stderr, "\r\x1b[K{} of {} {}, {} {}", done, total, things, of_interest, found);
        std::fflush(stderr);
    };
}

std::function<void(const std::string&)> status_line() {
    if (!on_terminal()) return {};
    return [](const std::string& status) {
        fmt::print(stderr, "\r\x1b[K{}", status);
        std::fflush(stderr);
    };
}

void clear_progress_line() {
    if (on_terminal()) fmt::print(stderr, "\r\x1b[K");
}

}  // namespace faultline::harness::cli
