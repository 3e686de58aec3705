// Programs per second against floors and peers, all in one run: every figure is the median over rounds in
// which everything that is compared takes its turn, so that a machine that changes pace changes all alike.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "harness/result.hpp"

namespace faultline::harness {

struct BenchOptions {
    unsigned rounds = 5;
    std::uint64_t programs = 2000;  ///< generated ones, the same in every turn
    std::uint64_t seed = 1;
};

/// Rates are per second, MIPS are million guest instructions per second.
struct BenchFigures {
    // Ratios, the medians of the rounds' ratios. Absent where a side of it cannot run here.
    std::optional<double> kvm_over_floor;       ///< end to end (generate … judge) over the floor's rate
    std::optional<double> engine_over_unicorn;  ///< the same images, run only
    double engine_mips = 0;
    std::optional<double> unicorn_mips, bochs_mips;
    double jobs2_over_jobs1 = 0;  ///< `explore` on the engine
    struct {
        double generate, assemble, run, judge, store;  ///< µs per program; store: per result that is kept
    } stage_us{};
    // What stands behind the ratios.
    std::optional<double> kvm_programs_per_second, kvm_floor_programs_per_second;
    std::uint64_t kvm_programs = 0;  ///< those of the programs that run to their end on kvm
    std::string kvm_reason;          ///< why there is none
    // Native: end to end over the rate at which as many bare signal round trips as the programs had stops go by.
    std::optional<double> native_over_floor, native_programs_per_second, native_round_trip_us;
    std::uint64_t native_programs = 0;      ///< those of the programs that this host runs to their end
    std::string native_reason;              ///< why there is none
    double engine_programs_per_second = 0;  ///< end to end, one thread
    double engine_run_programs_per_second = 0;
    std::optional<double> unicorn_programs_per_second;
    std::uint64_t unicorn_programs = 0;  ///< those without MOV to DR (Unicorn dies of it) that it runs to their end
    double jobs1_programs_per_second = 0, jobs2_programs_per_second = 0;
    // World svm: the same programs as guests and bare, programs per second of one over the other's. From a case to its
    // verdict, and the run alone; under the reference hypervisor, and under the stage's monitor on the engine.
    double svm_over_bare_reference = 0, svm_over_bare_monitor = 0;
    double svm_run_over_bare_reference = 0, svm_run_over_bare_monitor = 0;
    std::uint64_t svm_programs = 0;           ///< those of the programs that can be guests
    double svm_programs_per_second = 0;       ///< under the reference hypervisor, to the verdict
    double vmrun_round_trips_per_second = 0;  ///< VMRUN to #VMEXIT and on to the next VMRUN, of code on the engine
};

Result<BenchFigures> bench(const BenchOptions& options);

}  // namespace faultline::harness
