#include "oracle/chapters/svm/outcomes.hpp"

#include "oracle/chapters/svm/operational.hpp"

namespace faultline::oracle::svm {

void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out, Alternative without) {
    out.clear();
    find_outcomes<Judging>(pre, stim, out, static_cast<std::uint64_t>(without));
}

}  // namespace faultline::oracle::svm
