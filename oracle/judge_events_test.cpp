// Software interrupts, ICEBP and SS shadows, right and wrong.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

// --- Software interrupts, ICEBP, shadows ----------------------------------------------------------------------

TEST(Judge, Int3PushesTheNextRip) {
    Program p({"int3", "nop"}, [](Environment& e) { e.rflags |= tf; });
    p.record(3, p.at(1), base | tf);
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(p);
    p.tape.records[0].rip = p.at(0);
    EXPECT_SIGNATURE(p, "XCP-002/int3/bare-long64-cpl0/rip");
}
TEST(Judge, IcebpRaisesDbWithoutACauseBit) {
    Program p({"icebp", "nop"}, [](Environment& e) { e.policy.db = Policy::Db::Resume; });
    p.db(p.at(1), base, 0xFFFF0FF0);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF4FF0;
    EXPECT_SIGNATURE(p, "DBG-074/icebp/bare-long64-cpl0/dr6.bs=1");
    p.tape.records[0].dr6 = 0xFFFF0FF0;
    p.tape.records[0].rip = p.at(0);
    EXPECT_SIGNATURE(p, "DBG-072/icebp/bare-long64-cpl0/rip");
    p.tape.count = 0;
    p.record(6, p.at(0), base | rf);
    EXPECT_SIGNATURE(p, "EXE-008/icebp/bare-long64-cpl0/ud-instead-of-db");
}
TEST(Judge, IcebpLeavesStaleBreakpointBitsOnAmd) {
    Program p({"icebp", "nop"}, [](Environment& e) {
        e.dr6.literal = 0xFFFF0FF3;
        e.policy.dr6 = Policy::Dr6::Keep;
    });
    p.db(p.at(1), base, 0xFFFF0FF3);
    EXPECT_PASS(p);
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = p.tape.final.dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-073/icebp/bare-long64-cpl0/dr6.b=missing");
    p.tape.features.vendor = Vendor::Intel;
    EXPECT_PASS(p);
}
TEST(Judge, Int1LeavesDr6) {
    Program p({"int vector=1", "nop"}, [](Environment& e) { e.policy.dr6 = Policy::Dr6::Keep; });
    p.db(p.at(1), base, 0xFFFF0FF0);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = p.tape.final.dr6 = 0xFFFF4FF0;
    EXPECT_SIGNATURE(p, "DBG-077/int-1/bare-long64-cpl0/dr6.bs=1");
}
TEST(Judge, IntNAtCpl3ChecksTheGatesDpl) {
    Program p({"int vector=0x20", "nop"}, [](Environment& e) { e.gates = Gates::Dpl0; });
    p.subject_case.cpl = 3;
    p.assemble();
    p.record(13, p.at(0), base | rf).error = 0x102;
    EXPECT_PASS(p);
    p.tape.records[0].vector = 0x20, p.tape.records[0].error = 0;
    p.tape.records[0].rip = p.at(1), p.tape.records[0].rflags = base;
    EXPECT_EQ(p.verdict().divergences.front().rule, "XCP-182");
}

/// MOV SS from a watched operand, then `op`.
Program shadowed(const char* op, const std::function<void(Environment&)>& set = {}) {
    return Program({"store at=[0x40010] from=rax width=2", "mov-ss-mem at=[0x40010]", op, "nop"}, [&](Environment& e) {
        e.gpr[0].literal = 0x10;
        e.dr[0].literal = 0x40010;
        e.dr7.literal = 0x30402;  // R/W, one byte: the store meets it too
        e.policy.db = Policy::Db::Resume;
        if (set) set(e);
    });
}
TEST(Judge, ABreakpointMetByMovSsIsHeldForOneInstruction) {
    Program p = shadowed("nop");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x30402);
    p.db(p.at(3), base, 0xFFFF0FF1, 0x30402);
    EXPECT_PASS(p);
    p.tape.records[1].rip = p.at(2);
    EXPECT_SIGNATURE(p, "DBG-065/data-access-hit-by-mov-ss/bare-long64-cpl0/unexpected-db");
}
TEST(Judge, MovSsDropsItsOwnStepTrap) {
    Program p({"set-reg reg=rax value=0x10", "mov-ss from=rax", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.final_gpr(Gpr::Rax) = 0x10;
    p.db(p.at(1), base | tf, 0xFFFF4FF0);
    p.db(p.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(p);
    p.tape.count = 1;
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    p.db(p.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_SIGNATURE(p, "DBG-065/step-mov-ss/bare-long64-cpl0/unexpected-db");
}
TEST(Judge, AHeldBreakpointAndIcebpGiveOneDb) {
    Program p = shadowed("icebp");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x30402);
    p.db(p.at(3), base, 0xFFFF0FF1, 0x30402);
    EXPECT_PASS(p);
    p.tape.records[1].dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-067/held-icebp/bare-long64-cpl0/dr6.b=missing");
    p.tape.records[1].dr6 = 0xFFFF0FF1;
    p.db(p.at(3), base, 0xFFFF0FF1, 0x30402);
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
}
TEST(Judge, AHeldBreakpointOverInt3InterruptsTheHandlersFirstInstruction) {
    const auto frame = [](Program& p) { return (p.image.params.entry_frame.rsp & ~15ull) - 40; };
    Program p = shadowed("int3");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x30402);
    Record& nested = p.db(p.image.stage->symbols.stubs + 3 * stub_stride, base, 0xFFFF0FF1, 0x30402);
    at_rsp(nested, frame(p));
    p.record(3, p.at(3), base);
    EXPECT_PASS(p);
    p.tape.records[1].dr6 = 0xFFFF0FF0;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
    p.tape.records[1] = p.tape.records[2];
    p.tape.count = 2;
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence) << "the held breakpoint was lost";
}
TEST(Judge, AHeldBreakpointAndInt1EnterTheHandlerTwice) {
    Program p = shadowed("int vector=1");
    p.db(p.at(1), base, 0xFFFF0FF1, 0x30402);
    Record& nested = p.db(p.image.stage->symbols.stubs + stub_stride, base, 0xFFFF0FF1, 0x30402);
    at_rsp(nested, (p.image.params.entry_frame.rsp & ~15ull) - 40);
    p.db(p.at(3), base, 0xFFFF0FF0, 0x30402);  // the nested handler has cleared DR6
    EXPECT_PASS(p);
}
TEST(Judge, AHeldBreakpointOverSyscallTrapsAtTheKernelsEntry) {
    Program p = shadowed("syscall");
    p.final_gpr(Gpr::Rcx) = p.at(3);
    p.final_gpr(Gpr::R11) = base;
    p.db(p.at(1), base, 0xFFFF0FF1, 0x30402);
    Record& entry = p.db(p.image.stage->symbols.syscall_entry, base, 0xFFFF0FF1, 0x30402);
    entry.rcx = p.at(3);
    EXPECT_PASS(p);
    p.tape.count = 1;
    EXPECT_SIGNATURE(p, "DBG-070/held-hit/bare-long64-cpl0/missing-db");
}

TEST(Judge, ASoftwareInterruptUnderRfPushesRfZeroOnIntel) {
    Program p({"int vector=0x20", "nop"}, [](Environment& e) { e.rflags |= rf; });
    p.record(0x20, p.at(1), base);
    EXPECT_PASS(p);
    p.tape.records[0].rflags |= rf;
    EXPECT_SIGNATURE(p, "DBG-043/int-n/bare-long64-cpl0/rf=1");
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_PASS(p);
}
TEST(Judge, IcebpIgnoresTheGatesDpl) {
    Program p({"icebp", "nop"}, [](Environment& e) { e.gates = Gates::Dpl0; });
    p.subject_case.cpl = 3;
    p.assemble();
    p.db(p.at(1), base, 0xFFFF0FF0);
    EXPECT_PASS(p);
    p.tape.count = 0;
    p.record(13, p.at(0), base | rf).error = 0xA;
    EXPECT_SIGNATURE(p, "DBG-075/icebp-cpl3/bare-long64-cpl3/gp-instead-of-db");
}
TEST(Judge, ASecondMovSsMayOrMayNotShadow) {
    const auto program = [] {
        return Program({"mov-ss from=rax", "mov-ss from=rax", "nop"}, [](Environment& e) {
            e.gpr[0].literal = 0x10;
            e.rflags |= tf;
            e.policy.db = Policy::Db::Resume;
        });
    };
    Program one = program();
    one.db(one.at(2), base | tf, 0xFFFF4FF0);
    one.db(one.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(one);
    Program two = program();
    two.db(two.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(two);
}
TEST(Judge, AHeldBreakpointMayBeLostToAFaultOrInterruptItsHandler) {
    Program lost = shadowed("ud2");
    lost.db(lost.at(1), base, 0xFFFF0FF1, 0x30402);
    lost.record(6, lost.at(2), base | rf);
    EXPECT_PASS(lost);
    Program kept = shadowed("ud2");
    kept.db(kept.at(1), base, 0xFFFF0FF1, 0x30402);
    Record& nested = kept.db(kept.image.stage->symbols.stubs + 6 * stub_stride, base, 0xFFFF0FF1, 0x30402);
    at_rsp(nested, (kept.image.params.entry_frame.rsp & ~15ull) - 40);
    kept.record(6, kept.at(2), base | rf);
    EXPECT_PASS(kept);
}

}  // namespace
}  // namespace faultline::oracle
