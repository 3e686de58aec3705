#include "harness/metamorphic/transparency.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

using namespace guest;

namespace {

template <class... Kinds>
bool has(const Case& kase) {
    return std::ranges::any_of(kase.ops, [](const Op& op) { return (std::holds_alternative<Kinds>(op) || ...); });
}

/// Why a bare program has no twin under the reference hypervisor that could be held against it, or null.
const char* no_twin(const Case& bare) {
    if (!long_mode(bare.mode)) return "world svm has no stage for this mode yet";
    if (bare.environment.btf) return "BTF is the hypervisor's own";
    if (bare.environment.wake != Wake::None) return "nothing wakes a guest's HLT yet";
    if (has<ops::Rdtsc>(bare)) return "the time that a hypervisor takes is no secret";
    if (has<ops::Rdmsr, ops::Wrmsr>(bare)) return "DEBUGCTL is the hypervisor's own";
    // The VMCB's interrupt shadow does not say what is held, and when the next instruction faults it may be lost
    // without a hypervisor, too (EXE-033).
    const bool may_arm = bare.environment.dr7.literal & dr::dr7_enables || has<ops::MovToDr>(bare);
    if (may_arm && has<ops::MovSs, ops::MovSsMem, ops::PopSs>(bare))
        return "what a load of SS holds need not survive an exit";
    return nullptr;
}

/// The stages differ in their text: inside it, all places are one.
std::uint64_t place(std::uint64_t rip, const Image& image) {
    const StageSymbols& stage = image.stage->symbols;
    return rip >= stage.text_begin && rip < stage.text_end ? stage.text_begin : rip;
}

}  // namespace

Transparency::Transparency()
    : engine_(engine::make_engine_backend()), reference_(reference::make_reference_backend()) {}

Transparency::Answer Transparency::no(Answer answer, std::string why) {
    why_ = std::move(why);
    return answer;
}

Transparency::Answer Transparency::check(const Case& bare, std::uint32_t forced) {
    if (const char* why = no_twin(bare)) return no(Answer::NotComparable, why);
    twin_ = bare;
    twin_.world = World::Svm;
    twin_.vmm.forced = forced;
    for (const auto& [kase, run] : {std::pair{&bare, bare_.get()}, {&std::as_const(twin_), guest_.get()}})
        if (auto done = assembler_.assemble(*kase, run->image); !done)
            return no(Answer::NotComparable, std::move(done.error()));
    engine_->run(bare_->image, bare_->tape);
    const auto judged = judge_.judge(bare, bare_->image, bare_->tape);
    if (judged.kind == oracle::VerdictKind::NotModelled) return no(Answer::NotComparable, judged.reason);
    reference_->run(guest_->image, guest_->tape);
    for (const Run* run : {bare_.get(), guest_.get()})
        if (run->tape.outcome == Outcome::TapeOverflow || run->tape.outcome == Outcome::Hang)
            return no(Answer::NotComparable, "the program runs for too long");
    return compare();
}

Transparency::Answer Transparency::compare() {
    const Tape &a = bare_->tape, &b = guest_->tape;
    for (std::uint32_t i = 0; i < std::min(a.count, b.count); ++i) {
        Record x = a.records[i], y = b.records[i];
        constexpr std::uint64_t df = 8;
        if (x.vector == df && y.vector == df) continue;  // what it pushes is undefined
        if (x.vector == 1 && x.dr6 & y.dr6 & dr::dr6_bd && (x.rflags ^ y.rflags) & rflags::rf)
            return no(Answer::NotComparable, "RF that general detect pushes is either (DBG-026)");
        x.rip = place(x.rip, bare_->image), y.rip = place(y.rip, guest_->image);
        if (x != y) return no(Answer::Differs, fmt::format("record {}", i));
    }
    if (a.count != b.count) return no(Answer::Differs, fmt::format("{} records, not {}", b.count, a.count));
    if (a.outcome != b.outcome)
        return no(Answer::Differs, fmt::format("{}, not {}", to_text(b.outcome), to_text(a.outcome)));
    if (a.outcome == Outcome::Completed && a.final != b.final) return no(Answer::Differs, "the final state");
    return Answer::Same;
}

std::string Transparency::tapes() const {
    return fmt::format("bare:\n{}under the hypervisor:\n{}", to_text(bare_->tape, bare_->image),
                       to_text(guest_->tape, guest_->image));
}

}  // namespace faultline::harness
