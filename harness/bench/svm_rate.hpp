// World svm in `bench`: the same programs bare and as guests, of the reference hypervisor and of the stage's monitor.
#pragma once

#include <memory>
#include <vector>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/backend.hpp"
#include "oracle/judge.hpp"

namespace faultline::harness {

class SvmRate {
public:
    /// Keeps those of the cases that can be guests, each with #DB and #PF intercepted and reflected.
    explicit SvmRate(const std::vector<guest::Case>& cases);
    std::uint64_t programs() const { return ways_.front().images.size(); }

    /// Seconds of one turn over all of them: from a case to its verdict (the pairs that explore looks at besides are
    /// not among them), and of the run alone.
    struct Seconds {
        double whole = 0, run = 0;
    };
    struct Turn {
        Seconds bare, reference, monitor;
    };
    Turn turn();

private:
    /// One way of running a program.
    struct Way {
        std::unique_ptr<guest::Backend> backend;
        guest::World world;
        std::vector<guest::Case> cases;
        std::vector<guest::Image> images;
    };
    Seconds part_of_turn(Way& way, std::size_t from, std::size_t to);

    guest::Assembler assembler_;
    oracle::Judge judge_;
    std::unique_ptr<guest::Image> image_ = std::make_unique<guest::Image>();
    std::unique_ptr<guest::Tape> tape_ = std::make_unique<guest::Tape>();
    std::vector<Way> ways_;  ///< bare, reference, monitor
};

}  // namespace faultline::harness
