#include "harness/metamorphic/save_restore.hpp"

#include "harness/metamorphic/twins_test.hpp"

namespace faultline::harness {
namespace {

TEST(SaveRestore, ProgramsDoNotNoticeThatTheyMoveToAnotherMachineAfterEveryExit) {
    SaveRestore check;
    expect_same_tapes_of_drawn_programs(check, 1000);
}

TEST(SaveRestore, TheCorpusDoesNotNoticeThatItMovesToAnotherMachineAfterEveryExit) {
    SaveRestore check;
    expect_same_tapes_of_the_corpus(check);
}

/// Runs the case twice, which must not differ; for what seldom decides anything in drawn programs.
void expect_unnoticed(SaveRestore& check, const std::string& text) {
    const auto kase = guest::parse_case("world = \"svm\"\n" + text, "test");
    ASSERT_TRUE(kase) << kase.error().text();
    EXPECT_EQ(check.check(*kase), Twins::Answer::Same) << check.why() << "\n" << check.tapes();
}

TEST(SaveRestore, TheTimeStampCounterMovesToo) {
    SaveRestore check;
    expect_unnoticed(check, "ops = [\"cpuid\", \"rdtsc\"]\n[vmm]\nintercepts = [\"cpuid\"]");
    EXPECT_EQ(check.first().exit_count, 1u);
    EXPECT_NE(check.first().final.gpr[0], 0u);
}

TEST(SaveRestore, DebugctlAndTheLastBranchMoveToo) {
    SaveRestore check;
    expect_unnoticed(check, R"(ops = ["wrmsr", "jmp to=op2", "cpuid", "set-reg reg=rcx value=0x1db", "rdmsr"]
[environment.gpr]
rax = "1"
rcx = "0x1d9"
[vmm]
intercepts = ["cpuid"])");
    EXPECT_EQ(check.first().exit_count, 1u);
    EXPECT_EQ(check.first().final.debugctl, 1u);
    EXPECT_NE(check.first().final.gpr[0], 1u) << "the last branch's source";
}

TEST(SaveRestore, WhatWaitsOutsideMovesToo) {
    SaveRestore check;
    // The hypervisor returns from the NMI's stub in the guest's stead, and so NMIs stay blocked.
    expect_unnoticed(check, "ops = [\"hlt\", \"nop\", \"hlt\"]\n[environment]\nwake = \"nmi\"");
    EXPECT_EQ(check.first().outcome, guest::Outcome::Halted);
    EXPECT_EQ(check.first().count, 1u) << check.tapes();
}

}  // namespace
}  // namespace faultline::harness
