#include "oracle/chapters/exceptions/outcomes.hpp"

#include "oracle/chapters/exceptions/operational.hpp"

namespace faultline::oracle::exceptions {

void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out, Alternative without) {
    out.clear();
    find_outcomes<Judging>(pre, stim, out, static_cast<std::uint64_t>(without));
}

}  // namespace faultline::oracle::exceptions
