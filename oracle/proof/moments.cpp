#include "oracle/proof/moments.hpp"

#include "oracle/search.hpp"

namespace faultline::oracle::proof {

Observer::Observer() : search_(std::make_unique<oracle::Search>()) {}
Observer::~Observer() = default;

const std::vector<Step>& Observer::trail() const { return search_->trail(); }

bool Observer::observe(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                       Moments& out) {
    out.debug.clear();
    out.exceptions.clear();
    if (search_->run(subject_case, image, tape, true) != oracle::Search::Result::Fits) return false;
    const Walk walk(subject_case, image, tape.features);
    Interrupted here;
    for (const Step& step : search_->trail())
        each_question(
            walk, step, tape, here,
            [&](const auto& pre, const auto& stim, const auto& r) {
                out.debug.push_back({pre, stim, r, step.op});
            },
            [&](const auto& pre, const auto& stim, const auto& r) {
                out.exceptions.push_back({pre, stim, r, step.op});
            });
    return true;
}

}  // namespace faultline::oracle::proof
