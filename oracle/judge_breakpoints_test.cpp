// Instruction, data and I/O breakpoints, right and wrong.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

// --- Instruction breakpoints ----------------------------------------------------------------------------------

Program code_breakpoint() {
    Program p({"nop", "nop", "nop"}, [](Environment& e) {
        e.dr[1].op = OpRef{1};
        e.dr7.literal = 0x400 | 8;
    });
    p.db(p.at(1), base, 0xFFFF0FF2, 0x408);
    return p;
}
TEST(Judge, AnInstructionBreakpointFaultsBeforeTheInstruction) {
    Program p = code_breakpoint();
    EXPECT_PASS(p);
    p.tape.records[0].rip = p.at(2);
    EXPECT_SIGNATURE(p, "XCP-001/code-hit/bare-long64-cpl0/rip");
    p.tape.count = 0;
    EXPECT_SIGNATURE(p, "DBG-037/code-hit/bare-long64-cpl0/missing-db");
}
TEST(Judge, AnInstructionBreakpointPushesRfZero) {
    Program p = code_breakpoint();
    p.tape.records[0].rflags |= rf;
    EXPECT_SIGNATURE(p, "DBG-040/code-hit/bare-long64-cpl0/rf=1");
}
TEST(Judge, AnInstructionBreakpointShowsItsOwnBit) {
    Program p = code_breakpoint();
    p.tape.records[0].dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-054/code-hit/bare-long64-cpl0/dr6.b=missing");
    p.tape.records[0].dr6 = 0xFFFF0FF3;
    EXPECT_SIGNATURE(p, "DBG-054/code-hit/bare-long64-cpl0/dr6.b=extra");
}
TEST(Judge, RfInTheImageSuppressesTheBreakpointOnce) {
    Program p = code_breakpoint();  // the policy sets RF
    p.db(p.at(1), base | rf, 0xFFFF0FF2, 0x408);
    EXPECT_SIGNATURE(p, "DBG-038/code-hit-under-rf/bare-long64-cpl0/unexpected-db");
}
TEST(Judge, ResumingWithoutRfLoopsUntilTheTapeIsFull) {
    Program p({"nop"}, [](Environment& e) {
        e.dr[0].op = OpRef{0};
        e.dr7.literal = 0x402;
        e.policy.db = Policy::Db::Resume;
    });
    for (unsigned i = 0; i < tape_capacity; ++i) p.db(p.at(0), base, 0xFFFF0FF1, 0x402);
    p.tape.outcome = Outcome::TapeOverflow;
    EXPECT_PASS(p);
}
TEST(Judge, AnSsShadowSuppressesInstructionBreakpointsOnIntelOnly) {
    Program p({"set-reg reg=rax value=0x10", "mov-ss from=rax", "nop", "nop"}, [](Environment& e) {
        e.dr[0].op = OpRef{2};
        e.dr7.literal = 0x402;
    });
    p.final_gpr(Gpr::Rax) = 0x10;
    EXPECT_PASS(p);
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_SIGNATURE(p, "DBG-046/code-hit-in-shadow/bare-long64-cpl0/missing-db");
    p.tape.features.vendor = Vendor::Unknown;
    EXPECT_PASS(p);
    p.db(p.at(2), base, 0xFFFF0FF1, 0x402);
    EXPECT_PASS(p);
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_PASS(p);
    p.tape.features.vendor = Vendor::Intel;
    EXPECT_SIGNATURE(p, "DBG-046/code-hit-in-shadow/bare-long64-cpl0/unexpected-db");
}
TEST(Judge, AnInstructionBreakpointOnTheEndIsMet) {
    Program p({"nop"}, [](Environment& e) {
        e.dr[0].op = OpRef{1};
        e.dr7.literal = 0x402;
    });
    p.db(p.at(1), base, 0xFFFF0FF1, 0x402);
    EXPECT_PASS(p);
}

// --- Data and I/O breakpoints ---------------------------------------------------------------------------------

Program data_write() {
    Program p({"store at=[0x40010] from=rax width=4", "nop"}, [](Environment& e) { watch(e, 0, 0x40010, write4); });
    p.db(p.at(1), base, 0xFFFF0FF1, 0xD0402);
    return p;
}
TEST(Judge, ADataBreakpointTrapsBehindTheWrite) {
    Program p = data_write();
    EXPECT_PASS(p);
    p.tape.records[0].rip = p.at(0);
    EXPECT_SIGNATURE(p, "EXE-012/data-write-hit/bare-long64-cpl0/rip");
    p.tape.count = 0;
    EXPECT_SIGNATURE(p, "DBG-047/data-write-hit/bare-long64-cpl0/missing-db");
}
TEST(Judge, ADataBreakpointReportedAnInstructionLateIsLate) {
    Program p = data_write();
    p.tape.records[0].rip = p.at(2);
    EXPECT_SIGNATURE(p, "DBG-047/data-write-hit/bare-long64-cpl0/late-db");
}
TEST(Judge, StaleBitsOfDr6VanishWithTheNextBreakpoint) {
    Program p = data_write();
    p.subject_case.environment.dr6.literal = 0xFFFF0FF8;
    p.assemble();
    p.tape.final.dr6 = 0xFFFF0FF0;
    p.db(p.at(1), base, 0xFFFF0FF1, 0xD0402);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF0FF9;
    EXPECT_SIGNATURE(p, "EXE-015/data-write-hit/bare-long64-cpl0/dr6.b=stale");
}
TEST(Judge, BsIsNeitherSetNorClearedByABreakpoint) {
    Program p = data_write();
    p.tape.records[0].dr6 |= 0x4000;
    EXPECT_SIGNATURE(p, "DBG-052/data-write-hit/bare-long64-cpl0/dr6.bs=1");
    p.subject_case.environment.dr6.literal = 0xFFFF4FF0;
    p.assemble();
    p.tape.final.dr6 = 0xFFFF0FF0;
    p.db(p.at(1), base, 0xFFFF4FF1, 0xD0402);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF0FF1;
    EXPECT_SIGNATURE(p, "DBG-053/data-write-hit/bare-long64-cpl0/dr6.bs=0");
}
TEST(Judge, AWriteBreakpointIgnoresReads) {
    Program p({"load to=rax at=[0x40010] width=4", "nop"}, [](Environment& e) { watch(e, 0, 0x40010, write4); });
    p.final_gpr(Gpr::Rax) = 0x32231001;  // initial_data(0x40010…0x40013)
    EXPECT_PASS(p);
}
TEST(Judge, AnAccessBreakpointIsMetByReads) {
    Program p({"load to=rax at=[0x40010] width=1", "nop"}, [](Environment& e) { watch(e, 2, 0x40010, access1); });
    p.final_gpr(Gpr::Rax) = 0x01;
    EXPECT_SIGNATURE(p, "DBG-031/data-access-hit/bare-long64-cpl0/missing-db");
    p.db(p.at(1), base, 0xFFFF0FF4, 0x3000420);
    EXPECT_PASS(p);
}
TEST(Judge, LenMasksTheAddress) {
    Program p({"load to=rax at=[0x40010] width=1", "nop"}, [](Environment& e) { watch(e, 0, 0x40015, access8); });
    p.final_gpr(Gpr::Rax) = 0x01;
    EXPECT_SIGNATURE(p, "DBG-031/data-access-hit/bare-long64-cpl0/missing-db");
    p.db(p.at(1), base, 0xFFFF0FF1, 0xB0402);
    EXPECT_PASS(p);
}
TEST(Judge, AnyAccessedByteMeetsABreakpoint) {
    Program p({"store at=[0x40010] from=rax width=8", "nop"}, [](Environment& e) { watch(e, 0, 0x40015, write1); });
    EXPECT_SIGNATURE(p, "DBG-047/data-write-hit/bare-long64-cpl0/missing-db");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x10402);
    EXPECT_PASS(p);
}
TEST(Judge, AStepAndABreakpointGiveOneDbWithBothBits) {
    Program p({"store at=[0x40010] from=rax width=4"}, [](Environment& e) {
        watch(e, 0, 0x40010, write4);
        e.rflags |= tf;
    });
    p.db(p.at(1), base | tf, 0xFFFF4FF1, 0xD0402);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF0;
    EXPECT_SIGNATURE(p, "DBG-047/data-write-hit/bare-long64-cpl0/missing-db");
    p.tape.records[0].dr6 = 0xFFFF0FF1;
    EXPECT_SIGNATURE(p, "DBG-051/step/bare-long64-cpl0/dr6.bs=0");
}
TEST(Judge, ADisabledBreakpointIsNotReportedAloneButItsBitIsOpen) {
    Program p({"store at=[0x40010] from=rax width=4"}, [](Environment& e) {
        e.dr[3].literal = 0x40010;
        e.dr7.literal = 0xD0000400;
        e.rflags |= tf;
    });
    p.db(p.at(1), base | tf, 0xFFFF4FF0, 0xD0000400);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF8;
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF4;
    EXPECT_SIGNATURE(p, "EXE-015/step/bare-long64-cpl0/dr6.b=extra");
}
TEST(Judge, AnIoBreakpointTrapsBehindTheAccess) {
    Program p({"out port=0x80 width=1", "nop"}, [](Environment& e) {
        e.de = true;
        watch(e, 0, 0x80, port1);
    });
    EXPECT_SIGNATURE(p, "DBG-048/io-hit/bare-long64-cpl0/missing-db");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x20402);
    EXPECT_PASS(p);
}
TEST(Judge, WithoutDeAnIoBreakpointIsUndefined) {
    Program p({"out port=0x80 width=1", "nop"}, [](Environment& e) { watch(e, 0, 0x80, port1); });
    EXPECT_PASS(p);
    p.db(p.at(1), base, 0xFFFF0FF1, 0x20402);
    EXPECT_PASS(p);
}
TEST(Judge, ARepBreakpointMayBeReportedLaterButNotLost) {
    const auto program = [] {
        Program p({"rep-stos width=1", "nop"}, [](Environment& e) {
            e.gpr[1].literal = 3;
            e.gpr[7].literal = 0x40010;
            watch(e, 0, 0x40010, write1);
        });
        p.final_gpr(Gpr::Rcx) = 0;
        p.final_gpr(Gpr::Rdi) = 0x40013;
        return p;
    };
    for (const std::uint64_t left : {2, 1}) {
        Program p = program();
        p.db(p.at(0), base | rf, 0xFFFF0FF1, 0x10402).rcx = left;
        EXPECT_PASS(p);
        p.tape.records[0].rflags &= ~rf;
        EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
    }
    Program end = program();
    end.db(end.at(1), base, 0xFFFF0FF1, 0x10402).rcx = 0;
    EXPECT_PASS(end);
    Program lost = program();
    EXPECT_EQ(lost.signature().substr(0, 9), "1:DBG-066");
}
TEST(Judge, ARepIoBreakpointIsExact) {
    Program p({"rep-outs width=1", "nop"}, [](Environment& e) {
        e.de = true;
        e.gpr[1].literal = 2;
        e.gpr[2].literal = 0x80;
        e.gpr[6].literal = 0x40000;
        watch(e, 0, 0x80, port1);
    });
    p.final_gpr(Gpr::Rcx) = 0;
    p.final_gpr(Gpr::Rsi) = 0x40002;
    p.db(p.at(0), base | rf, 0xFFFF0FF1, 0x20402).rcx = 1;
    p.db(p.at(1), base, 0xFFFF0FF1, 0x20402).rcx = 0;
    EXPECT_PASS(p);
    p.tape.records[0] = p.tape.records[1];
    p.tape.count = 1;
    EXPECT_SIGNATURE(p, "DBG-088/rep-io-hit/bare-long64-cpl0/late-db");
}

TEST(Judge, AnIoBreakpointIsNotMetByMemory) {
    Program p({"store at=[0x40080] from=rax width=1"}, [](Environment& e) {
        e.de = true;
        e.rflags |= tf;
        watch(e, 0, 0x40080, port1);
    });
    p.db(p.at(1), base | tf, 0xFFFF4FF0, 0x20402);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF1;
    EXPECT_SIGNATURE(p, "DBG-033/step/bare-long64-cpl0/dr6.b=extra");
}
TEST(Judge, ThePortIsComparedWithAllOfTheRegisterOnAmd) {
    Program p({"out port=0x80 width=1"}, [](Environment& e) {
        e.de = true;
        watch(e, 0, 0x10080, port1);
    });
    p.db(p.at(1), base, 0xFFFF0FF1, 0x20402);
    EXPECT_PASS(p) << "the SDM is silent";
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
    p.tape.count = 0;
    EXPECT_PASS(p);
}
TEST(Judge, AnInstructionBreakpointLongerThanAByteIsUndefined) {
    Program p({"nop", "nop"}, [](Environment& e) {
        e.dr[0].op = OpRef{1};
        e.dr7.literal = 0x402 | 0x4 << 16;
    });
    EXPECT_PASS(p);
    p.db(p.at(1), base, 0xFFFF0FF1, 0x40402);
    EXPECT_PASS(p);
}
TEST(Judge, WhereOneOpMeetsBothTheInstructionBreakpointComesFirst) {
    Program p({"store at=[0x40010] from=rax width=4"}, [](Environment& e) {
        watch(e, 0, 0x40010, write4);
        e.dr[1].op = OpRef{0};
        e.dr7.literal |= 8;
    });
    p.db(p.at(0), base, 0xFFFF0FF2, 0xD040A);
    p.db(p.at(1), base, 0xFFFF0FF1, 0xD040A);
    EXPECT_PASS(p);
    std::swap(p.tape.records[0], p.tape.records[1]);
    EXPECT_EQ(p.verdict().divergences.front().rule, "DBG-037");
}
TEST(Judge, AWriteBreakpointDoesNotShowAReadBesideAStep) {
    Program p({"load to=rax at=[0x40010] width=1"}, [](Environment& e) {
        watch(e, 0, 0x40010, write1);
        e.rflags |= tf;
    });
    p.final_gpr(Gpr::Rax) = 1;
    p.db(p.at(1), base | tf, 0xFFFF4FF1, 0x10402);
    EXPECT_SIGNATURE(p, "DBG-030/step/bare-long64-cpl0/dr6.b=extra");
}
TEST(Judge, ATrapMayAlsoReportTheNextInstructionsBreakpoint) {
    Program p({"nop", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.dr[1].op = OpRef{1};
        e.dr7.literal = 0x408;
    });
    for (const Vendor vendor : {Vendor::Amd, Vendor::Intel}) {
        for (const std::uint64_t b1 : {0, 2}) {
            p.assemble();
            p.tape.features.vendor = vendor;
            p.db(p.at(1), base | tf, 0xFFFF4FF0 | b1, 0x408);
            p.db(p.at(2), base | tf, 0xFFFF4FF0, 0x408);
            EXPECT_PASS(p);
        }
        p.tape.records[0].dr6 = 0xFFFF4FF1;
        EXPECT_SIGNATURE(p, "EXE-015/step/bare-long64-cpl0/dr6.b=extra");
        p.tape.records[0].dr6 = 0xFFFF4FF0, p.tape.records[1].dr6 = 0xFFFF4FF2;
        EXPECT_EQ(p.verdict().kind, VerdictKind::Pass) << "its own breakpoint, passed over by RF";
    }
}
TEST(Judge, ABreakpointReportedWithTheTrapBeforeItStillFaultsOnResume) {
    Program p({"store at=[0x40010] from=rax width=4", "nop", "nop"}, [](Environment& e) {
        watch(e, 0, 0x40010, write4);
        e.dr[1].op = OpRef{1};
        e.dr7.literal |= 8;
        e.policy.db = Policy::Db::Resume;
    });
    p.db(p.at(1), base, 0xFFFF0FF3, 0xD040A);
    EXPECT_SIGNATURE(p, "DBG-037/code-hit/bare-long64-cpl0/missing-db");
    for (unsigned i = 1; i < tape_capacity; ++i) p.db(p.at(1), base, 0xFFFF0FF2, 0xD040A);
    p.tape.outcome = Outcome::TapeOverflow;
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF0FF2;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence) << "the data breakpoint is lost";
}
TEST(Judge, IretLoadsRf) {
    Program p({"iret", "nop"}, [](Environment& e) {
        e.stack = {
            {OpRef{1}, 0}, {std::nullopt, 8}, {std::nullopt, base | rf}, {std::nullopt, 0x31F00}, {std::nullopt, 0x10}};
        e.dr[0].op = OpRef{1};
        e.dr7.literal = 0x402;
    });
    p.final_gpr(Gpr::Rsp) = 0x31F00;
    EXPECT_PASS(p);
    at_rsp(p.db(p.at(1), base, 0xFFFF0FF1, 0x402), 0x31F00);
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
}
TEST(Judge, OnlyElsewhereThanOnAmdMayAnotherDbResetBld) {
    Program p({"nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.dr6.literal = 0xFFFF07F0;
    });
    p.tape.features.bus_lock_detect = true;
    p.tape.final.dr6 = 0xFFFF0FF0;
    p.db(p.at(1), base | tf, 0xFFFF47F0);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF0;
    EXPECT_PASS(p);
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_SIGNATURE(p, "EXE-018/step/bare-long64-cpl0/dr6.bld=1");
}
TEST(Judge, ADbOutsideRtmShowsRtmSet) {
    Program p({"nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.dr6.literal = 0xFFFE0FF0;
    });
    p.tape.features.rtm = true;
    p.tape.final.dr6 = 0xFFFF0FF0;
    p.db(p.at(1), base | tf, 0xFFFE4FF0);
    EXPECT_SIGNATURE(p, "EXE-019/step/bare-long64-cpl0/dr6.rtm=0");
    p.tape.records[0].dr6 = 0xFFFF4FF0;
    EXPECT_PASS(p);
}

}  // namespace
}  // namespace faultline::oracle
