#include "oracle/judge.hpp"

#include <utility>

#include "oracle/explain.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {

struct Judge::Impl {
    Search search;
};

Judge::Judge() : impl_(new Impl) {}
Judge::~Judge() { delete impl_; }
Judge::Judge(Judge&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
Judge& Judge::operator=(Judge&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

Verdict Judge::judge(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                     RuleUse* use) {
    Search& search = impl_->search;
    Verdict verdict;
    auto result = search.run(subject_case, image, tape, use != nullptr);
    if (result == Search::Result::Misfits && !use) result = search.run(subject_case, image, tape, true);
    switch (result) {
        case Search::Result::Fits:
            if (use) count_use(subject_case, image, tape, search.trail(), *use);
            break;
        case Search::Result::NotModelled:
            verdict.kind = VerdictKind::NotModelled;
            verdict.reason = search.why_not();
            break;
        case Search::Result::Misfits:
            verdict.kind = VerdictKind::Divergence;
            verdict.divergences.push_back(explain(subject_case, image, tape, search.failures()));
            break;
    }
    return verdict;
}

const char* Judge::forecast(const guest::Case& subject_case, const guest::Image& image,
                            const guest::Features& features) {
    return impl_->search.forecast(subject_case, image, features);
}

}  // namespace faultline::oracle
