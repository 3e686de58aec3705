// The command line: one file per command. Each adds its subcommand and, when chosen, leaves what is to be done.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/result.hpp"

namespace faultline::harness::cli {

struct Chosen {
    std::function<Result<Exit>()> action;
    /// Set by commands whose every failure has one exit status (`replay --exit bisect`).
    std::optional<Exit> exit_on_failure;
};

void add_doctor(CLI::App& app, Chosen& chosen);
void add_list(CLI::App& app, Chosen& chosen);
void add_explain(CLI::App& app, Chosen& chosen);
void add_explore(CLI::App& app, Chosen& chosen);
void add_run(CLI::App& app, Chosen& chosen);
void add_replay(CLI::App& app, Chosen& chosen);
void add_minimise(CLI::App& app, Chosen& chosen);
void add_diff(CLI::App& app, Chosen& chosen);
void add_mutate(CLI::App& app, Chosen& chosen);
void add_merge(CLI::App& app, Chosen& chosen);
void add_bench(CLI::App& app, Chosen& chosen);
void add_prove(CLI::App& app, Chosen& chosen);

/// Exit status of a whole run; prints at most one line to stderr when it fails.
int run(int argc, const char* const* argv);

// --- options that several commands have
void add_format(CLI::App& command, bool& json);
void add_backends(CLI::App& command, std::vector<std::string>& names);
void add_known(CLI::App& command, std::optional<std::string>& folder);

}  // namespace faultline::harness::cli
