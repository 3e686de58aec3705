// How one run's coverage steers the next run's weights: ops and modes that go with seldom decisive rules become more
// frequent. Inside a run nothing changes, so a case stays a function of seed, index and the weights its run began with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/generate/weights.hpp"
#include "harness/result.hpp"
#include "hypervisor/guest/case.hpp"
#include "oracle/verdict.hpp"

namespace faultline::harness {

/// Which ops and modes the programs had in which a rule was decisive.
class Company {
public:
    Company() : counts_(oracle::max_rules * columns) {}
    /// Adds one program; `use` holds that program's counts alone.
    void add(const guest::Case& program, const oracle::RuleUse& use);
    Company& operator+=(const Company& other);
    /// `f(rule index, op, programs)` for everything counted; `op` is a mnemonic, or "mode:prot32".
    template <class F>
    void each(F f) const {
        for (std::size_t rule = 0; rule < oracle::max_rules; ++rule)
            for (std::size_t column = 0; column < columns; ++column)
                if (const auto programs = counts_[rule * columns + column]) f(rule, name(column), programs);
    }

private:
    static constexpr std::size_t modes = 4, columns = 128;  ///< the last four columns are the modes
    static std::string name(std::size_t column);
    std::vector<std::uint32_t> counts_;
};

/// One line of what earlier runs counted.
struct Companion {
    std::string rule, op;
    std::uint64_t programs = 0;
};

/// Weights for the next run; `base` when there is nothing to follow.
Weights steered(const Weights& base, const std::vector<Companion>& seen);

/// What differs from the weights of that version, as JSON: stored with a run, so that its programs can be made again.
std::string steering_text(const Weights& weights);
Result<Weights> with_steering(Weights base, std::string_view text);

}  // namespace faultline::harness
