#include "harness/explore/machine.hpp"

#include <fmt/format.h>

#include <array>

namespace faultline::harness {
namespace {

Verdict verdict_of(oracle::VerdictKind kind) {
    switch (kind) {
        case oracle::VerdictKind::Pass: return Verdict::Pass;
        case oracle::VerdictKind::Divergence: return Verdict::Divergence;
        case oracle::VerdictKind::Undefined: return Verdict::Undefined;
        case oracle::VerdictKind::NotModelled: return Verdict::NotModelled;
    }
    return Verdict::Error;
}

}  // namespace

std::string_view name(Verdict verdict) {
    constexpr std::array<std::string_view, verdict_count> names{"pass",      "divergence",   "known", "order-dependent",
                                                                "undefined", "not-modelled", "skip",  "error"};
    return names[static_cast<std::size_t>(verdict)];
}

const oracle::Divergence* Look::find(std::string_view signature) const {
    for (const oracle::Divergence& divergence : oracle.divergences)
        if (divergence.signature == signature) return &divergence;
    return nullptr;
}

Look Machine::look(const guest::Case& kase, oracle::RuleUse* use) {
    if (auto assembled = assembler_.assemble(kase, *image_); !assembled) return {Verdict::Error, assembled.error(), {}};
    return look(kase, *image_, use);
}

Look Machine::look(const guest::Case& kase, const guest::Image& image, oracle::RuleUse* use) {
    if (image.params.use_debugctl && !backend_->features().btf)
        return {Verdict::Skip, "the subject has no DEBUGCTL.BTF", {}};
    backend_->run(image, *tape_);
    if (!tape_->unsuitable.empty()) return {Verdict::Skip, std::string(tape_->unsuitable), {}};
    Look look;
    look.oracle = judge_.judge(kase, image, *tape_, use);
    if (look.oracle.kind == oracle::VerdictKind::Divergence) backend_->reconsider(image, *tape_);
    if (!tape_->unsuitable.empty()) return {Verdict::Skip, std::string(tape_->unsuitable), {}};
    look.verdict = verdict_of(look.oracle.kind);
    look.reason = look.oracle.reason;
    if (look.verdict != Verdict::Divergence && kase.world == guest::World::Svm && Pairs::concern(backend_->subject())) {
        if (!pairs_) pairs_ = std::make_unique<Pairs>();
        if (auto found = pairs_->check(kase)) {
            look.verdict = Verdict::Divergence;
            look.oracle = {.kind = oracle::VerdictKind::Divergence, .reason = {}, .divergences = {*std::move(found)}};
            look.reason.clear();
        }
    }
    return look;
}

Look Machine::confirm(const guest::Case& kase, std::string_view signature) {
    Look look;
    int repeats = 1;
    for (int done = 0; done < repeats; ++done) {
        if (auto fresh = backend_->refresh(); !fresh)
            return {Verdict::Error, fmt::format("no fresh machine: {}", fresh.error().reason), {}};
        look = this->look(kase);
        if (!look.find(signature)) {
            if (look.verdict == Verdict::Divergence || look.verdict == Verdict::Pass)
                look.verdict = Verdict::OrderDependent;
            return look;
        }
        if (tape_->outcome == guest::Outcome::Hang) repeats = 3;
    }
    return look;
}

}  // namespace faultline::harness
