#include "harness/metamorphic/realisation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

using namespace guest;

namespace {

/// The engine's time stamp counter counts instructions, and the monitor's are among them.
bool reads_the_time(const Case& kase) {
    const auto reads = [&](const Op& op) {
        return (std::holds_alternative<ops::Rdtsc>(op) && !kase.vmm.intercepts.has(svm::Intercept::Rdtsc)) ||
               (std::holds_alternative<ops::Rdtscp>(op) && !kase.vmm.intercepts.has(svm::Intercept::Rdtscp));
    };
    return std::ranges::any_of(kase.ops, reads);
}

}  // namespace

Realisation::Realisation() : reference_(reference::make_reference_backend()), monitor_(engine::make_engine_backend()) {}

Realisation::Answer Realisation::no(Answer answer, std::string why) {
    why_ = std::move(why);
    return answer;
}

Realisation::Answer Realisation::check(const Case& kase) {
    if (kase.world != World::Svm) return no(Answer::NotComparable, "only world svm has a hypervisor");
    if (reads_the_time(kase)) return no(Answer::NotComparable, "the time that a hypervisor takes is no secret");
    if (auto done = assembler_.assemble(kase, *image_); !done)
        return no(Answer::NotComparable, std::move(done.error()));
    reference_->run(*image_, *reference_tape_);
    monitor_->run(*image_, *monitor_tape_);
    // The monitor's own instructions come out of a larger limit, so that a loop may get farther there.
    if (reference_tape_->outcome == Outcome::Hang) return no(Answer::NotComparable, "the program runs for too long");
    return compare();
}

Realisation::Answer Realisation::compare() {
    const Tape &a = *reference_tape_, &b = *monitor_tape_;
    const auto differ = [&](std::string what) { return no(Answer::Differs, std::move(what)); };
    for (std::uint32_t i = 0; i < std::min(a.exit_count, b.exit_count); ++i)
        if (a.exits[i] != b.exits[i]) return differ(fmt::format("exit {}", i));
    for (std::uint32_t i = 0; i < std::min(a.count, b.count); ++i)
        if (a.records[i] != b.records[i]) return differ(fmt::format("record {}", i));
    if (a.outcome != b.outcome)
        return differ(fmt::format("{} under the monitor, not {}", to_text(b.outcome), to_text(a.outcome)));
    if (a.exit_count != b.exit_count)
        return differ(fmt::format("{} exits under the monitor, not {}", b.exit_count, a.exit_count));
    if (a.count != b.count) return differ(fmt::format("{} records under the monitor, not {}", b.count, a.count));
    if (a.outcome == Outcome::Completed && a.final != b.final) return differ("the final state");
    if (a.outcome != Outcome::Completed && a.stop_rip != b.stop_rip)
        return differ(fmt::format("stopped at {:#x} under the monitor, not {:#x}", b.stop_rip, a.stop_rip));
    if (a.detail != b.detail) return differ(fmt::format("\"{}\" under the monitor, not \"{}\"", b.detail, a.detail));
    return Answer::Same;
}

std::string Realisation::tapes() const {
    return fmt::format("under the reference hypervisor:\n{}under the monitor:\n{}", to_text(*reference_tape_, *image_),
                       to_text(*monitor_tape_, *image_));
}

}  // namespace faultline::harness
