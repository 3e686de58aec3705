#include "harness/metamorphic/realisation.hpp"

#include "harness/metamorphic/twins_test.hpp"

namespace faultline::harness {
namespace {

TEST(Realisation, MonitorAndReferenceHypervisorGiveDrawnProgramsTheSameTape) {
    Realisation realisation;
    expect_same_tapes_of_drawn_programs(realisation, 4000);
}

TEST(Realisation, MonitorAndReferenceHypervisorGiveTheCorpusTheSameTape) {
    Realisation realisation;
    expect_same_tapes_of_the_corpus(realisation);
}

TEST(Realisation, WhatCannotBeComparedIsNamed) {
    Realisation realisation;
    const auto rdtsc = guest::parse_case("world = \"svm\"\nops = [\"rdtsc\"]", "test");
    ASSERT_TRUE(rdtsc);
    EXPECT_EQ(realisation.check(*rdtsc), Twins::Answer::NotComparable);
    EXPECT_EQ(realisation.why(), "the time that a hypervisor takes is no secret");
    const auto intercepted =
        guest::parse_case("world = \"svm\"\nops = [\"rdtsc\"]\n[vmm]\nintercepts = [\"rdtsc\"]", "test");
    ASSERT_TRUE(intercepted);
    EXPECT_EQ(realisation.check(*intercepted), Twins::Answer::Same);
}

}  // namespace
}  // namespace faultline::harness
