#include "harness/generate/steering.hpp"

#include <gtest/gtest.h>

#include "harness/generate/generator.hpp"
#include "hypervisor/guest/case_text.hpp"

namespace faultline::harness {
namespace {

unsigned weight_of(const Weights& weights, std::string_view op) {
    for (const OpWeight& named : weights.ops)
        if (named.mnemonic == op) return named.weight;
    return 0;
}

/// XCP-900 was decided in ten programs, all in real mode and all with HLT; DBG-900 in thousands, with NOP.
const std::vector<Companion> seen{
    {"DBG-900", "mode:long64", 5000}, {"DBG-900", "nop", 5000}, {"XCP-900", "mode:real16", 10}, {"XCP-900", "hlt", 10}};

TEST(Steering, WhatGoesWithASeldomDecidedRuleBecomesMoreFrequent) {
    const Weights base, next = steered(base, seen);
    EXPECT_EQ(weight_of(next, "hlt"), 3 * weight_of(base, "hlt"));
    EXPECT_LE(weight_of(next, "nop"), weight_of(base, "nop") + 1);
    EXPECT_EQ(next.modes[3], 3 * base.modes[3]);
    EXPECT_NE(next.version, base.version) << "other weights are another stream";
}

TEST(Steering, NothingSeenChangesNothing) {
    const Weights base, next = steered(base, {});
    EXPECT_EQ(next.version, base.version);
    EXPECT_EQ(steering_text(next), "");
}

TEST(Steering, TheTextStoredWithARunMakesItsProgramsAgain) {
    const Weights next = steered({}, seen);
    const auto again = with_steering({}, steering_text(next));
    ASSERT_TRUE(again.has_value());
    guest::Case one, other;
    for (std::uint64_t i = 0; i < 200; ++i) {
        Generator(next).draw(1, i, one);
        Generator(*again).draw(1, i, other);
        EXPECT_EQ(one, other) << i;
    }
    EXPECT_FALSE(with_steering({}, "[1]").has_value());
}

TEST(Profile, ConfinesWhatIsDrawn) {
    Profile profile = *with_modes({}, {"compat32"});
    profile.cpl0 = profile.machine = false;
    const Generator generator({}, profile);
    guest::Case kase;
    for (std::uint64_t i = 0; i < 500; ++i) {
        generator.draw(1, i, kase);
        EXPECT_EQ(kase.mode, guest::Mode::Compat32);
        EXPECT_EQ(kase.cpl, 3);
        EXPECT_EQ(kase.environment.surroundings, guest::Surroundings{});
    }
    EXPECT_EQ(to_text(profile), "compat32 cpl3");
    EXPECT_TRUE((*with_modes({}, {"real16"}) & Profile{.cpl0 = false}).empty()) << "real mode has no CPL 3";
    EXPECT_FALSE(with_modes({}, {"virtual-8086"}).has_value());
}

}  // namespace
}  // namespace faultline::harness
