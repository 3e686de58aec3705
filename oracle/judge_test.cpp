// The judge as a whole: endings, faults, scope, coverage.
#include "oracle/judge_fixture.hpp"

#include <algorithm>

namespace faultline::oracle {
namespace {

// --- Nothing happens ------------------------------------------------------------------------------------------

TEST(Judge, AProgramWithoutEventsPasses) {
    Program p({"nop", "set-reg reg=rax value=0x5", "nop"});
    p.final_gpr(Gpr::Rax) = 5;
    EXPECT_PASS(p);
    p.final_gpr(Gpr::Rax) = 6;
    EXPECT_SIGNATURE(p, "EXE-002/plain/bare-long64-cpl0/register");
}

TEST(Judge, AnEventOutOfNothingIsUnexpected) {
    Program p({"nop", "nop", "nop"});
    p.db(p.at(2), base, 0xFFFF4FF0);
    p.tape.final.dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-052/plain/bare-long64-cpl0/unexpected-db");
    EXPECT_EQ(p.verdict().divergences.front().op_index, 1);
    p.tape.count = 0;
    p.record(13, p.at(1), base | rf);
    EXPECT_SIGNATURE(p, "EXE-004/plain/bare-long64-cpl0/unexpected-gp");
}

TEST(Judge, ARunThatTheSubjectGivesUpIsAnOutcomeDivergence) {
    Program p({"nop", "int3", "nop"});
    p.tape.outcome = Outcome::InternalError;
    p.tape.stop_rip = p.at(1);
    p.tape.detail = "suberror 1";
    EXPECT_SIGNATURE(p, "EXE-001/int3/bare-long64-cpl0/outcome=internal-error");
    EXPECT_EQ(p.verdict().divergences.front().op_index, 1);
}

// --- Tapes through another kernel ----------------------------------------------------------------------------------

struct StoppedOnce : Program {
    StoppedOnce()
        : Program({"nop", "nop", "nop"}, [](Environment& e) {
              e.dr[0].op = OpRef{1};
              e.dr7.literal = 0x402;
          }) {
        db(at(1), base, 0xFFFF0FF1, 0x402);
        tape.final.dr6 = 0xFFFF0FF0;
    }
};

TEST(Judge, WhatATapeDoesNotShowIsNotHeldAgainstIt) {
    StoppedOnce p;
    EXPECT_PASS(p);
    p.tape.records[0].rflags |= rf;
    p.tape.records[0].dr7 = 0x702;
    p.tape.final.dr6 = p.tape.final.dr7 = 0;
    p.tape.through_kernel = true;
    p.tape.unseen[0] = {.rflags = rf, .dr7 = ~0ull};
    EXPECT_PASS(p);
    p.tape.unseen[0] = {.dr7 = ~0ull};
    EXPECT_SIGNATURE(p, "DBG-040/code-hit/bare-long64-cpl0/rf=1");
    p.tape.unseen[0] = {.rflags = rf, .dr7 = ~0ull};
    p.tape.records[0].dr6 = 0xFFFF0FF0;
    EXPECT_NE(p.signature(), "pass");
}

TEST(Judge, WhatATapeDoesNotShowWitnessesNothing) {
    StoppedOnce p;
    EXPECT_EQ(p.use("DBG-040").decisive, 1u);
    p.tape.through_kernel = true;
    p.tape.unseen[0] = {.rflags = rf};
    EXPECT_EQ(p.use("DBG-040").decisive, 0u);
}

// --- Faults, HLT, endings -------------------------------------------------------------------------------------

TEST(Judge, APageFaultShowsItsAddressAndError) {
    Program p({"store at=[0x42008] from=rax width=4", "nop"});
    Record& r = p.record(14, p.at(0), base | rf);
    r.error = 2, r.cr2 = 0x42008;
    EXPECT_PASS(p);
    p.tape.records[0].cr2 = 0x4200B;  // another byte of the operand
    EXPECT_PASS(p);
    p.tape.records[0].cr2 = 0x4200C;
    EXPECT_SIGNATURE(p, "EXE-002/fault-pf/bare-long64-cpl0/frame.cr2");
    p.tape.records[0].cr2 = 0x42008;
    p.tape.records[0].error = 0;
    EXPECT_SIGNATURE(p, "XCP-174/fault-pf/bare-long64-cpl0/error");
    p.tape.count = 0;
    EXPECT_SIGNATURE(p, "EXE-005/fault-pf/bare-long64-cpl0/missing-pf");
}
TEST(Judge, AnExceptionOnAStackThatCannotTakeItIsADoubleFault) {
    Program p({"set-reg reg=rsp value=0x43000", "int3", "nop"});
    Record& r = p.record(8, 0x1234, base);
    r.rsp = 0, r.ss = 0;
    p.tape.outcome = Outcome::DoubleFault;
    EXPECT_PASS(p);
    p.tape.records[0].error = 1;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
}
TEST(Judge, HltWithoutAWakeUpHalts) {
    Program p({"hlt", "nop"});
    p.tape.outcome = Outcome::Halted;
    EXPECT_PASS(p);
    p.tape.outcome = Outcome::Completed;
    EXPECT_SIGNATURE(p, "EXE-001/hlt/bare-long64-cpl0/outcome=completed");
}
TEST(Judge, HltIsWokenByItsInterrupt) {
    Program p({"hlt", "nop"}, [](Environment& e) {
        e.rflags |= if_;
        e.wake = Wake::Interrupt;
    });
    p.record(0x30, p.at(1), base | if_);
    EXPECT_PASS(p);
    p.tape.records[0].rip = p.at(0);
    EXPECT_EQ(p.verdict().divergences.front().rule, "EXE-037");
}
TEST(Judge, UnderTfTheStepTrapOfHltComesBeforeTheInterrupt) {
    Program p({"sti", "hlt", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.wake = Wake::Interrupt;
        e.policy.db = Policy::Db::Resume;
    });
    p.tape.final.rflags |= if_;
    p.db(p.at(1), base | tf | if_, 0xFFFF4FF0);
    p.db(p.at(2), base | tf | if_, 0xFFFF4FF0);
    p.record(0x30, p.at(2), base | tf | if_);
    p.db(p.at(3), base | tf | if_, 0xFFFF4FF0);
    EXPECT_PASS(p);
    p.tape.records[1] = p.tape.records[2];
    p.tape.records[2] = p.tape.records[3];
    p.tape.count = 3;
    EXPECT_EQ(p.signature().substr(0, 9), "1:DBG-090");
}
TEST(Judge, AJumpIntoNothingFaultsThereAndEndsTheRun) {
    Program p({"set-reg reg=rax value=0x42000", "jmp-reg reg=rax", "nop"});
    Record& r = p.record(14, 0x42000, base | rf);
    r.cr2 = 0x42000;
    p.tape.outcome = Outcome::WildRip;
    EXPECT_PASS(p);
}

// --- Scope ----------------------------------------------------------------------------------------------------

TEST(Judge, ABreakpointOnTheStageIsNotModelled) {
    Program p({"nop"}, [](Environment& e) { watch(e, 0, layout::tape, access1); });
    EXPECT_EQ(p.verdict().kind, VerdictKind::NotModelled);
    EXPECT_FALSE(p.verdict().reason.empty());
}
TEST(Judge, AnUnknownValueThatDecidesIsNotModelled) {
    Program p({"rdtsc", "mov-to-dr dr=0 from=rax", "nop"});
    EXPECT_EQ(p.verdict().kind, VerdictKind::NotModelled);
}
TEST(Judge, UnknownRegistersAreNotCompared) {
    Program p({"cpuid", "nop"});
    p.final_gpr(Gpr::Rax) = 0xDEAD, p.final_gpr(Gpr::Rbx) = 0xBEEF;
    EXPECT_PASS(p);
}
TEST(Judge, ValuesBelowTheStackPointerAreLostToAnException) {
    Program p({"push reg=rax", "pop reg=rbx", "ud2", "load to=rcx at=[rsp-8] width=8", "nop"});
    p.record(6, p.at(2), base | rf);
    EXPECT_EQ(p.verdict().kind, VerdictKind::NotModelled);
    Program q({"push reg=rax", "ud2", "pop reg=rbx"}, [](Environment& e) { e.gpr[0].literal = 7; });
    q.final_gpr(Gpr::Rbx) = 7;
    Record& moved = q.record(6, q.at(1), base | rf);
    at_rsp(moved, moved.rsp - 8);
    EXPECT_PASS(q);
}

TEST(Judge, CoverageCountsWhatAppliedAndWhatDecided) {
    Program p({"store at=[0x40010] from=rax width=4", "nop"}, [](Environment& e) { watch(e, 0, 0x40010, write4); });
    p.db(p.at(1), base, 0xFFFF0FF1, 0xD0402);
    EXPECT_EQ(p.use("DBG-047").applied, 1u);
    EXPECT_EQ(p.use("DBG-047").decisive, 1u);
    EXPECT_EQ(p.use("DBG-031").applied, 0u);
}

TEST(Judge, WhatAnInstructionBreakpointLeavesOfTheHeldIsDecidedWhereASubjectLosesThem) {
    Program p({"mov-ss-mem at=[0x31ef8]", "icebp"}, [](Environment& e) {
        e.stack.emplace_back().literal = 0x10;
        watch(e, 0, 0x31ef8, access1);
        watch(e, 1, 0x31ef8, access1);
        e.dr[2].op = OpRef{1};
        e.dr7.literal |= 0x20;
    });
    p.tape.features.vendor = Vendor::Amd;  // Intel has no instruction breakpoint there (DBG-046)
    p.db(p.at(1), base, 0xFFFF0FF7, p.image.params.dr7);
    p.db(p.at(2), base, 0xFFFF0FF0, p.image.params.dr7);
    EXPECT_EQ(p.use("EXE-049").applied, 1u);
    EXPECT_EQ(p.use("EXE-049").decisive, 0u) << "reported with the #DB: no other register may then be left";
    p.tape.records[0].dr6 = 0xFFFF0FF4;
    EXPECT_EQ(p.use("EXE-049").decisive, 1u);
}

TEST(Judge, ATapeThatALaterFrameMayHaveOverwrittenIsNotJudged) {
    Program p({"ud2", "ud2", "nop"});
    p.record(6, p.at(0), base | rf);
    Record& second = p.record(6, p.at(1), base | rf);
    EXPECT_PASS(p);
    p.tape.records[0].complete = not_recorded;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
    second.frame = layout::tape + offsetof(RawTape, records);
    EXPECT_EQ(p.verdict().kind, VerdictKind::NotModelled);
    second.frame = layout::stack_top - 40;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
}

TEST(Catalogue, IdsAreUniqueAndRulesComplete) {
    std::vector<std::string_view> ids;
    for (const RuleInfo& rule : catalogue()) {
        ids.push_back(rule.id);
        EXPECT_FALSE(rule.statement.empty()) << rule.id;
        EXPECT_FALSE(rule.citation.empty()) << rule.id;
        EXPECT_EQ(find_rule(rule.id), &rule);
    }
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
    EXPECT_LE(ids.size(), max_rules);
    EXPECT_EQ(find_rule("DBG-999"), nullptr);
}

}  // namespace
}  // namespace faultline::oracle
