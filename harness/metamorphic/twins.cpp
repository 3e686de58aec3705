#include "harness/metamorphic/twins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness {

using namespace guest;

/// How the engine begins to say what it does not have. Each hypervisor has its own instruction there.
constexpr std::string_view lacking = "the engine does not implement";

Twins::Answer Twins::no(Answer answer, std::string why) {
    why_ = std::move(why);
    return answer;
}

Twins::Answer Twins::check(const Case& kase) {
    if (kase.world != World::Svm) return no(Answer::NotComparable, "only world svm has a hypervisor");
    if (const char* why = no_twin(kase)) return no(Answer::NotComparable, why);
    if (auto done = assembler_.assemble(kase, *image_); !done)
        return no(Answer::NotComparable, std::move(done.error()));
    first_->backend->run(*image_, first_->tape);
    // Where it ends depends on the steps that its hypervisor takes.
    if (first_->tape.outcome == Outcome::Hang) return no(Answer::NotComparable, "the program runs for too long");
    if (first_->tape.detail.starts_with(lacking))
        return no(Answer::NotComparable, "the engine lacks an instruction of it");
    second_->backend->run(*image_, second_->tape);
    return compare();
}

Twins::Answer Twins::compare() {
    const Tape &a = first_->tape, &b = second_->tape;
    const auto differ = [&](std::string what) { return no(Answer::Differs, std::move(what)); };
    for (std::uint32_t i = 0; i < std::min(a.exit_count, b.exit_count); ++i)
        if (a.exits[i] != b.exits[i]) return differ(fmt::format("exit {}", i));
    for (std::uint32_t i = 0; i < std::min(a.count, b.count); ++i)
        if (a.records[i] != b.records[i]) return differ(fmt::format("record {}", i));
    const auto differs_in = [&](std::string_view unit, const auto& seen, const auto& expected) {
        return differ(fmt::format("{} {} {}, not {}", second_->where, unit, seen, expected));
    };
    if (a.outcome != b.outcome) return differs_in("the outcome is", to_text(b.outcome), to_text(a.outcome));
    if (a.exit_count != b.exit_count) return differs_in("the number of exits is", b.exit_count, a.exit_count);
    if (a.count != b.count) return differs_in("the number of records is", b.count, a.count);
    if (a.outcome == Outcome::Completed && a.final != b.final) return differ("the final state");
    if (a.outcome != Outcome::Completed && a.stop_rip != b.stop_rip)
        return differs_in("the guest stops at", b.stop_rip, a.stop_rip);
    if (a.detail != b.detail) return differs_in("it says", b.detail, a.detail);
    return Answer::Same;
}

std::string Twins::tapes() const {
    std::string text;
    for (const Twin* twin : {first_.get(), second_.get()})
        text += fmt::format("{}:\n{}", twin->where, to_text(twin->tape, *image_));
    return text;
}

}  // namespace faultline::harness
