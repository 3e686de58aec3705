#include "harness/metamorphic/realisation.hpp"

#include "harness/metamorphic/twins_test.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

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

/// The reference hypervisor against the monitor on a machine that is wrong.
class WrongMachine final : public Twins {
public:
    WrongMachine()
        : Twins(std::make_unique<Twin>(reference::make_reference_backend(), "under the reference hypervisor"),
                std::make_unique<Twin>(wrong(), "under the monitor")) {}

private:
    static std::unique_ptr<guest::Backend> wrong() {
        engine::Quirks quirks;
        quirks.add(*engine::quirk_named("db-pushes-error-code"));
        return engine::make_engine_backend(quirks);
    }
};

TEST(Realisation, WhatDiffersIsNamed) {
    WrongMachine twins;
    const auto kase = guest::parse_case("world = \"svm\"\nops = [\"icebp\"]", "test");
    ASSERT_TRUE(kase);
    EXPECT_EQ(twins.check(*kase), Twins::Answer::Differs);
    EXPECT_EQ(twins.why(), "record 0");
    const auto quiet = guest::parse_case("world = \"svm\"\nops = [\"nop\"]", "test");
    ASSERT_TRUE(quiet);
    EXPECT_EQ(twins.check(*quiet), Twins::Answer::Same);
}

}  // namespace
}  // namespace faultline::harness
