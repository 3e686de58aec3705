#include "harness/metamorphic/pairs.hpp"

#include <fmt/format.h>

#include "hypervisor/guest/text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness {

using namespace guest;

namespace {

oracle::Divergence divergence(std::string_view rule, std::string_view pair, const Case& kase, const std::string& what,
                              std::string tapes) {
    oracle::Divergence d;
    d.rule = rule;
    d.stimulus_class = pair;
    // "record 3", "exit 0", "the final state": the number is no part of the cause.
    d.shape = what.substr(0, what.find_first_of("0123456789"));
    while (d.shape.ends_with(' ')) d.shape.pop_back();
    for (char& c : d.shape)
        if (c == ' ') c = '-';
    d.signature = fmt::format("{}:{}/{}/svm-{}-cpl{}/{}", oracle::signature_version, rule, pair, to_text(kase.mode),
                              kase.cpl, d.shape);
    d.title = fmt::format("{} differs ({}: {})", what, rule, oracle::find_rule(rule)->statement);
    d.expected = "the same tape twice";
    d.seen = std::move(tapes);
    d.op_index = static_cast<std::uint16_t>(kase.ops.size());
    return d;
}

/// Any number for a program, but always the same.
std::uint32_t mask_of(const Case& kase) {
    std::uint64_t mix = kase.environment.dr7.literal ^ kase.environment.rflags << 32;
    for (const Value& value : kase.environment.gpr) mix = (mix ^ value.literal) * 0x9E37'79B9'7F4A'7C15ull;
    return static_cast<std::uint32_t>(mix >> 32);
}

}  // namespace

bool Pairs::concern(const Subject& subject) { return subject.backend == "engine" || subject.backend == "reference"; }

std::optional<oracle::Divergence> Pairs::check(const Case& kase) {
    const auto twins = [&](Twins& pair, std::string_view rule, std::string_view name) {
        std::optional<oracle::Divergence> found;
        if (pair.check(kase) == Twins::Answer::Differs) found = divergence(rule, name, kase, pair.why(), pair.tapes());
        return found;
    };
    if (auto found = twins(realisation_, "SVM-201", "realisation")) return found;
    // Moving a guest copies its whole memory: every sixteenth program, always the same.
    const std::uint32_t lot = mask_of(kase);
    if (lot % 16 == 0)
        if (auto found = twins(save_restore_, "SVM-202", "save-restore")) return found;
    Case bare = kase;
    bare.world = World::Bare;
    bare.vmm = {};
    if (transparency_.check(bare, kase.vmm.forced | lot) == Transparency::Answer::Differs)
        return divergence("EXC-019", "transparency", kase, transparency_.why(), transparency_.tapes());
    return std::nullopt;
}

}  // namespace faultline::harness
