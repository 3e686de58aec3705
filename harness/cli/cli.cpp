#include "harness/cli/cli.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace faultline::harness::cli {

void add_format(CLI::App& command, bool& json) {
    command
        .add_option_function<std::string>(
            "--format", [&json](const std::string& f) { json = f == "json"; },
            "How the result is printed: human or json")
        ->check(CLI::IsMember({"human", "json"}))
        ->type_name("human|json");
}

void add_backends(CLI::App& command, std::vector<std::string>& names) {
    command
        .add_option("--backend", names,
                    "What runs the programs; several separated by commas (`faultline list backends`)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->required()
        ->type_name("B[,B…]");
}

void add_known(CLI::App& command, std::optional<std::string>& folder) {
    command.add_option("--known", folder, "Folder of known findings (default: corpora/known of the source tree)")
        ->type_name("DIR");
}

namespace {

/// One line: CLI11 explains some errors on several.
std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

int run(int argc, const char* const* argv) {
    spdlog::set_default_logger(spdlog::stderr_color_mt("faultline"));
    spdlog::set_pattern("%^%l%$: %v");

    CLI::App app{
        "Does a hypervisor, an emulator or a kernel do what the architecture says at the line between fault and trap?\n"
        "Faultline generates small guest programs, runs them, and judges every recorded event by rules that cite the\n"
        "manuals. Start with `faultline doctor`, then `faultline explore --backend engine --programs 10000 --db "
        "try.db`."};
    app.name("faultline");
    app.set_version_flag("--version", "faultline " FAULTLINE_VERSION);
    app.require_subcommand(1);
    app.footer(
        "Exit status: 0 no divergence (known ones aside), 1 divergence, 4 skipped, 64 usage, 65 bad input data,\n"
        "70 an error of faultline's own.");

    Chosen chosen;
    for (const auto add : {add_doctor, add_list, add_explain, add_explore, add_run, add_replay, add_minimise, add_diff,
                           add_mutate, add_merge, add_bench, add_prove})
        add(app, chosen);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
        if (app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-') {
            fmt::print(stderr, "faultline: there is no command '{}' (see `faultline --help`)\n", one_line(argv[1]));
            return static_cast<int>(Exit::Usage);
        }
        std::string command = "faultline";
        for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
        fmt::print(stderr, "faultline: {} (see `{} --help`)\n", one_line(e.what()), command);
        return static_cast<int>(Exit::Usage);
    }
    Result<Exit> exit = fail(Exit::Internal, "nothing was done");
    try {
        exit = chosen.action();
    } catch (const std::exception& e) {
        exit = fail(Exit::Internal, fmt::format("internal error: {}", e.what()));
    }
    if (exit) return static_cast<int>(*exit);
    fmt::print(stderr, "faultline: {}\n", one_line(exit.error().message));
    return static_cast<int>(chosen.exit_on_failure.value_or(exit.error().exit));
}

}  // namespace faultline::harness::cli
