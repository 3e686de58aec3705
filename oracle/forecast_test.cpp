// The forecast: whether the oracle can follow a program, asked without a subject.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

const char* forecast(Program& program) {
    return program.judge.forecast(program.subject_case, program.image, program.tape.features);
}

TEST(Forecast, AProgramOfKnownEventsCanBeFollowedToItsEnd) {
    Program program({"int3", "store at=[0x40010] from=rax width=4", "icebp", "div reg=rcx width=8"},
                    [](Environment& e) {
                        e.dr[0] = {std::nullopt, 0x40010};
                        e.dr7 = {std::nullopt, 0xD0401};
                        e.rflags = base | tf;
                    });
    EXPECT_EQ(forecast(program), nullptr);
}

TEST(Forecast, SaysWhatTheOracleCannotSpeakAbout) {
    Program program({"rdtsc", "ret"}, [](Environment& e) { e.stack = {{std::nullopt, 0x8000'0000'0000'0000}}; });
    ASSERT_NE(forecast(program), nullptr);
    EXPECT_STREQ(forecast(program), "near branch to a non-canonical address");
}

TEST(Forecast, ASkippedPreparationCounts) {
    // The trap of op 0 is answered by skipping op 1, and op 2 goes by what R14 held before.
    Program program({"nop", "set-reg reg=r14 value=op3", "jmp-reg reg=r14"}, [](Environment& e) {
        e.gpr[14] = {std::nullopt, 0x8000'0000'0000'0000};
        e.policy.db = Policy::Db::Skip;
    });
    EXPECT_EQ(forecast(program), nullptr);
    program.subject_case.environment.rflags = base | tf;
    program.assemble();
    EXPECT_NE(forecast(program), nullptr);
}

TEST(Forecast, LeavesNothingBehindForTheNextJudgement) {
    Program program({"nop"}, [](Environment& e) { e.rflags = base | tf; });
    ASSERT_EQ(forecast(program), nullptr);
    EXPECT_EQ(program.judge.judge(program.subject_case, program.image, program.tape).kind, VerdictKind::Divergence)
        << "a tape without the step trap";
}

}  // namespace
}  // namespace faultline::oracle
