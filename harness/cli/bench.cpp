#include "harness/bench/bench.hpp"

#include <fmt/format.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"

namespace faultline::harness::cli {
namespace {

Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

std::string text(const std::optional<double>& value) { return value ? fmt::format("{:.2f}", *value) : "not here"; }

void print_figures(const BenchFigures& f) {
    fmt::print("kvm over its floor          {:>10}   ({} against {} programs/s; {} of the programs run to their end)\n",
               text(f.kvm_over_floor), text(f.kvm_programs_per_second), text(f.kvm_floor_programs_per_second),
               f.kvm_programs);
    if (!f.kvm_reason.empty()) fmt::print("                            {}\n", f.kvm_reason);
    fmt::print(
        "native over its floor       {:>10}   ({} programs/s, a bare signal round trip {} us; {} of the programs)\n",
        text(f.native_over_floor), text(f.native_programs_per_second), text(f.native_round_trip_us), f.native_programs);
    if (!f.native_reason.empty()) fmt::print("                            {}\n", f.native_reason);
    fmt::print("engine over Unicorn         {:>10}   ({} programs/s of Unicorn, on {} programs)\n",
               text(f.engine_over_unicorn), text(f.unicorn_programs_per_second), f.unicorn_programs);
    fmt::print("engine, a long loop         {:>10.1f}   MIPS (Unicorn {}, Bochs {})\n", f.engine_mips,
               text(f.unicorn_mips), text(f.bochs_mips));
    fmt::print("two jobs over one           {:>10.2f}   ({:.0f} against {:.0f} programs/s)\n", f.jobs2_over_jobs1,
               f.jobs2_programs_per_second, f.jobs1_programs_per_second);
    fmt::print(
        "a guest over bare           {:>10.2f}   reference hypervisor; {:.2f} the run alone ({:.0f} programs/s)\n",
        f.svm_over_bare_reference, f.svm_run_over_bare_reference, f.svm_programs_per_second);
    fmt::print("                            {:>10.2f}   monitor on the engine; {:.2f} the run alone ({} programs)\n",
               f.svm_over_bare_monitor, f.svm_run_over_bare_monitor, f.svm_programs);
    fmt::print("VMRUN to VMRUN              {:>10.2f}   million/s\n", f.vmrun_round_trips_per_second / 1e6);
    fmt::print(
        "a program, in µs            generate {:.2f}, assemble {:.2f}, run {:.2f} (engine), judge {:.2f}; store {:.2f} "
        "per kept result\n",
        f.stage_us.generate, f.stage_us.assemble, f.stage_us.run, f.stage_us.judge, f.stage_us.store);
}

}  // namespace

void add_bench(CLI::App& app, Chosen& chosen) {
    struct Options {
        BenchOptions bench;
        bool json = false;
    };
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("bench", "Programs per second against the floors and the peers, in one run");
    command->add_option("--rounds", o->bench.rounds, "Rounds of which the median counts (default: 5)")
        ->check(CLI::Range(1u, 1000u))
        ->type_name("R");
    command->add_option("--programs", o->bench.programs, "Programs per turn (default: 2000)")
        ->check(CLI::Range(1u, 100'000u))
        ->type_name("N");
    command->add_option("--seed", o->bench.seed, "Seed of the programs (default: 1)")->type_name("S");
    add_format(*command, o->json);
    command->callback([o, &chosen] {
        chosen.action = [o]() -> Result<Exit> {
            auto figures = bench(o->bench);
            if (!figures) return tl::unexpected(figures.error());
            const BenchFigures& f = *figures;
            if (o->json)
                print({{"kvm_over_floor", number(f.kvm_over_floor)},
                       {"engine_over_unicorn", number(f.engine_over_unicorn)},
                       {"engine_mips", f.engine_mips},
                       {"unicorn_mips", number(f.unicorn_mips)},
                       {"bochs_mips", number(f.bochs_mips)},
                       {"jobs2_over_jobs1", f.jobs2_over_jobs1},
                       {"stage_us",
                        {{"generate", f.stage_us.generate},
                         {"assemble", f.stage_us.assemble},
                         {"run", f.stage_us.run},
                         {"judge", f.stage_us.judge},
                         {"store", f.stage_us.store}}},
                       {"kvm_programs_per_second", number(f.kvm_programs_per_second)},
                       {"kvm_floor_programs_per_second", number(f.kvm_floor_programs_per_second)},
                       {"kvm_programs", f.kvm_programs},
                       {"kvm_reason", f.kvm_reason},
                       {"native_over_floor", number(f.native_over_floor)},
                       {"native_programs_per_second", number(f.native_programs_per_second)},
                       {"native_round_trip_us", number(f.native_round_trip_us)},
                       {"native_programs", f.native_programs},
                       {"native_reason", f.native_reason},
                       {"engine_programs_per_second", f.engine_programs_per_second},
                       {"engine_run_programs_per_second", f.engine_run_programs_per_second},
                       {"unicorn_programs_per_second", number(f.unicorn_programs_per_second)},
                       {"unicorn_programs", f.unicorn_programs},
                       {"jobs1_programs_per_second", f.jobs1_programs_per_second},
                       {"jobs2_programs_per_second", f.jobs2_programs_per_second},
                       {"svm_over_bare_reference", f.svm_over_bare_reference},
                       {"svm_over_bare_monitor", f.svm_over_bare_monitor},
                       {"svm_run_over_bare_reference", f.svm_run_over_bare_reference},
                       {"svm_run_over_bare_monitor", f.svm_run_over_bare_monitor},
                       {"svm_programs_per_second", f.svm_programs_per_second},
                       {"svm_programs", f.svm_programs},
                       {"vmrun_round_trips_per_second", f.vmrun_round_trips_per_second},
                       {"rounds", o->bench.rounds},
                       {"programs", o->bench.programs}});
            else
                print_figures(f);
            return Exit::Ok;
        };
    });
}

}  // namespace faultline::harness::cli
