#include "oracle/judge.hpp"

#include <cstddef>
#include <utility>

#include "hypervisor/guest/layout.hpp"
#include "oracle/explain.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {

namespace {

/// A program that moves the stack may bring a later event's frame, or its stub's pushes, over records that the tape
/// already held. Nothing on such a tape says what it said when it was written.
bool overwritten(const guest::Image& image, const guest::Tape& tape) {
    constexpr std::uint64_t reach = 64;
    const std::uint64_t used = offsetof(guest::RawTape, records) + tape.count * sizeof(guest::Record);
    for (std::uint32_t i = 0; i < tape.count && i < guest::tape_capacity; ++i) {
        const guest::Record& record = tape.records[i];
        if (record.frame == guest::not_recorded) continue;
        const std::uint64_t base = image.mode == guest::Mode::Real16 ? (record.handler_ss & 0xFFFF) << 4 : 0;
        if (base + record.frame + reach - guest::layout::tape < used + 2 * reach) return true;
    }
    return false;
}

}  // namespace

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
    if (result == Search::Result::Misfits && overwritten(image, tape)) {
        verdict.kind = VerdictKind::NotModelled;
        verdict.reason = "an event was delivered on the memory that holds the tape";
        return verdict;
    }
    switch (result) {
        case Search::Result::Fits:
            if (use) count_use(subject_case, image, tape, search.trail(), search.questions(), *use);
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
