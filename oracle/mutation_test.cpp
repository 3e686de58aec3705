#include "oracle/mutation.hpp"

#include <gtest/gtest.h>

#include "hypervisor/guest/assemble.hpp"
#include "oracle/judge.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;

/// Steps over a store to a watched address, then a fault; its tape written by hand.
struct Passing {
    Case subject_case;
    Image image;
    Tape tape;

    Passing() {
        for (const char* op : {"store at=[0x40010] from=rax width=4", "nop", "ud2"})
            subject_case.ops.push_back(parse_op(op).value());
        auto& e = subject_case.environment;
        e.dr[0].literal = 0x40010;
        e.dr7.literal = 0xD0402;
        e.rflags |= rflags::tf;
        e.policy.db = Policy::Db::Resume;
        EXPECT_TRUE(assemble(subject_case, image));
        tape.outcome = Outcome::Completed;
        tape.count = 3;
        for (std::uint32_t i = 0; i < 3; ++i) {
            Record& r = tape.records[i] = {};
            r.vector = 1, r.error = 0, r.rip = image.op_address(i + 1), r.cs = 8, r.rflags = 0x102;
            r.rsp = layout::stack_top, r.ss = 0x10, r.rcx = 0, r.complete = 1;
            r.handler_flags = 0x2, r.handler_ss = 0x10, r.frame = layout::stack_top - 40;
            r.dr6 = i == 0 ? 0xFFFF4FF1 : 0xFFFF4FF0, r.dr7 = 0xD0402;
        }
        tape.records[2].vector = 6, tape.records[2].rip = image.op_address(2), tape.records[2].rflags = 0x10102;
        tape.records[2].dr6 = tape.records[2].dr7 = not_recorded;
        Final& f = tape.final;
        f.gpr[4] = layout::stack_top;
        f.rflags = 0x10102, f.cs = 8, f.ss = 0x10;
        f.dr6 = dr::dr6_reset, f.dr7 = 0xD0402, f.dr = {0x40010, 0, 0, 0}, f.cr4 = 0x20;
    }
};

TEST(Mutation, TheJudgePassesTheTapeAndRejectsWhatIsMadeOfIt) {
    const Passing p;
    Judge judge;
    ASSERT_EQ(judge.judge(p.subject_case, p.image, p.tape).kind, VerdictKind::Pass);
    int made = 0;
    for (std::uint64_t seed = 0; seed < 3000; ++seed) {
        std::string what;
        const auto wrong = mutate(p.subject_case, p.image, p.tape, seed, &what);
        if (!wrong) continue;
        ++made;
        EXPECT_EQ(judge.judge(p.subject_case, p.image, *wrong).kind, VerdictKind::Divergence) << what;
    }
    EXPECT_GT(made, 2000);
}

TEST(Mutation, IsAFunctionOfItsSeed) {
    const Passing p;
    std::string first, second;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        mutate(p.subject_case, p.image, p.tape, seed, &first);
        mutate(p.subject_case, p.image, p.tape, seed, &second);
        EXPECT_EQ(first, second);
    }
}

TEST(Mutation, NothingIsMadeOfATapeThatDoesNotPass) {
    Passing p;
    p.tape.count = 2;
    EXPECT_FALSE(mutate(p.subject_case, p.image, p.tape, 0));
}

}  // namespace
}  // namespace faultline::oracle
