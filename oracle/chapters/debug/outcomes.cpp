#include "oracle/chapters/debug/outcomes.hpp"

#include "oracle/chapters/debug/operational.hpp"

namespace faultline::oracle::debug {

void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out, Alternative without) {
    out.clear();
    find_outcomes<Judging>(pre, stim, out, static_cast<std::uint64_t>(without));
}

}  // namespace faultline::oracle::debug
