#include "harness/metamorphic/transparency.hpp"

#include <gtest/gtest.h>

#include "harness/generate/generator.hpp"
#include "hypervisor/guest/case_text.hpp"

namespace faultline::harness {
namespace {

TEST(Transparency, GeneratedProgramsDoNotNoticeForcedIntercepts) {
    Transparency transparency;
    Profile profile;
    profile.modes = {true, true, false, false};
    const Generator generator({}, profile);
    guest::Case kase;
    unsigned compared = 0;
    for (std::uint64_t i = 0; i < 4000; ++i) {
        generator.draw(1, i, kase);
        Stream random(i);
        const auto answer = transparency.check(kase, static_cast<std::uint32_t>(random.next()));
        compared += answer == Transparency::Answer::Same;
        ASSERT_NE(answer, Transparency::Answer::Differs) << transparency.why() << " in program " << i << "\n"
                                                         << to_toml(kase) << transparency.tapes();
    }
    EXPECT_GT(compared, 2000u);
}

TEST(Transparency, WhatDiffersIsNamed) {
    Transparency transparency;
    const auto kase = guest::parse_case("ops = [\"rdtsc\"]", "test");
    ASSERT_TRUE(kase);
    EXPECT_EQ(transparency.check(*kase, 0), Transparency::Answer::NotComparable);
    EXPECT_EQ(transparency.why(), "the time that a hypervisor takes is no secret");
}

}  // namespace
}  // namespace faultline::harness
