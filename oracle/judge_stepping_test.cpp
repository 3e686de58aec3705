// Single stepping, right and wrong.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

// --- Single step ----------------------------------------------------------------------------------------------

Program stepped() {
    Program p({"nop", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.db(p.at(1), base | tf, 0xFFFF4FF0);
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    return p;
}

TEST(Judge, EachStepTraps) {
    Program p = stepped();
    EXPECT_PASS(p);
}
TEST(Judge, AMissingStepTrapIsMissing) {
    Program p = stepped();
    p.tape.records[0] = p.tape.records[1];
    p.tape.count = 1;
    EXPECT_SIGNATURE(p, "DBG-051/step/bare-long64-cpl0/missing-db");
    p.tape.count = 0;
    EXPECT_SIGNATURE(p, "DBG-051/step/bare-long64-cpl0/missing-db");
}
TEST(Judge, AStepTrapWithoutBsIsWrongInDr6) {
    Program p = stepped();
    p.tape.records[1].dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-051/step/bare-long64-cpl0/dr6.bs=0");
}
TEST(Judge, AStepTrapWithTheOldRipIsWrongInRip) {
    Program p = stepped();
    p.tape.records[0].rip = p.at(0);
    EXPECT_SIGNATURE(p, "EXE-012/step/bare-long64-cpl0/rip");
}
TEST(Judge, AStepTrapPushesRfZero) {
    Program p = stepped();
    p.tape.records[0].rflags |= rf;
    EXPECT_SIGNATURE(p, "EXE-028/step/bare-long64-cpl0/rf=1");
}
TEST(Judge, TheStepTrapsImageKeepsTf) {
    Program p = stepped();
    p.tape.records[0].rflags &= ~tf;
    EXPECT_SIGNATURE(p, "DBG-062/step/bare-long64-cpl0/tf=0");
}

TEST(Judge, PopfThatSetsTfIsNotItselfStepped) {
    const auto program = [] {
        Program p({"popf", "nop", "nop"}, [](Environment& e) {
            e.stack = {{std::nullopt, base | tf}};
            e.policy.db = Policy::Db::Resume;
        });
        p.final_gpr(Gpr::Rsp) += 8;
        p.tape.final.rflags |= tf;
        return p;
    };
    Program p = program();
    popped(p.db(p.at(2), base | tf, 0xFFFF4FF0));
    popped(p.db(p.at(3), base | tf, 0xFFFF4FF0));
    EXPECT_PASS(p);

    Program early = program();
    popped(early.db(early.at(1), base | tf, 0xFFFF4FF0));
    popped(early.db(early.at(2), base | tf, 0xFFFF4FF0));
    popped(early.db(early.at(3), base | tf, 0xFFFF4FF0));
    EXPECT_SIGNATURE(early, "DBG-058/popf-sets-tf/bare-long64-cpl0/unexpected-db");
}

TEST(Judge, PopfThatClearsTfIsStillStepped) {
    Program p({"popf", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.stack = {{std::nullopt, base}};
        e.policy.db = Policy::Db::Resume;
    });
    p.final_gpr(Gpr::Rsp) += 8;
    p.tape.final.rflags = base | rf;
    popped(p.db(p.at(1), base, 0xFFFF4FF0));
    EXPECT_PASS(p);
    p.tape.count = 0;
    EXPECT_SIGNATURE(p, "DBG-061/step-popf-clears-tf/bare-long64-cpl0/missing-db");
}

TEST(Judge, StisShadowDoesNotHoldBackTheStep) {
    Program p({"sti", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.tape.final.rflags |= if_;
    p.db(p.at(2), base | tf | if_, 0xFFFF4FF0);
    EXPECT_SIGNATURE(p, "DBG-064/step-sti/bare-long64-cpl0/missing-db");
    p.tape.count = 0;
    p.db(p.at(1), base | tf | if_, 0xFFFF4FF0);
    p.db(p.at(2), base | tf | if_, 0xFFFF4FF0);
    EXPECT_PASS(p);
}

TEST(Judge, AFaultingInstructionIsNotStepped) {
    Program p({"ud2", "nop"}, [](Environment& e) { e.rflags |= tf; });
    p.record(6, p.at(0), base | tf | rf);
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(p);
    p.tape.records[0].rflags &= ~rf;
    EXPECT_SIGNATURE(p, "DBG-041/fault-ud/bare-long64-cpl0/rf=0");
}

TEST(Judge, SyscallThatMasksTfIsNotStepped) {
    // R11 keeps TF; SFMASK clears it. JMP RCX at the entry comes back to op 1 without any trap.
    Program p({"syscall", "nop"}, [](Environment& e) { e.rflags |= tf; });
    p.final_gpr(Gpr::Rcx) = p.at(1);
    p.final_gpr(Gpr::R11) = base | tf;
    p.tape.final.rflags = base | rf;
    EXPECT_PASS(p);
    Record& r = p.db(p.image.stage->symbols.syscall_entry, base, 0xFFFF4FF0);
    r.rcx = p.at(1);
    EXPECT_SIGNATURE(p, "XCP-102/step-syscall/bare-long64-cpl0/unexpected-db");
}

TEST(Judge, IretThatSetsTfStepsItsTarget) {
    const auto program = [] {
        Program p({"iret", "nop", "nop"}, [](Environment& e) {
            e.stack = {{OpRef{1}, 0},
                       {std::nullopt, 8},
                       {std::nullopt, base | tf},
                       {std::nullopt, 0x31F00},
                       {std::nullopt, 0x10}};
            e.policy.db = Policy::Db::Resume;
        });
        p.final_gpr(Gpr::Rsp) = 0x31F00;
        p.tape.final.rflags |= tf;
        return p;
    };
    Program p = program();
    at_rsp(p.db(p.at(2), base | tf, 0xFFFF4FF0), 0x31F00);
    at_rsp(p.db(p.at(3), base | tf, 0xFFFF4FF0), 0x31F00);
    EXPECT_PASS(p);
    Program early = program();
    at_rsp(early.db(early.at(1), base | tf, 0xFFFF4FF0), 0x31F00);
    at_rsp(early.db(early.at(2), base | tf, 0xFFFF4FF0), 0x31F00);
    at_rsp(early.db(early.at(3), base | tf, 0xFFFF4FF0), 0x31F00);
    EXPECT_SIGNATURE(early, "DBG-059/iret-sets-tf/bare-long64-cpl0/unexpected-db");
}
TEST(Judge, SysretThatSetsTfTrapsAtItsTargetOnAmd) {
    Program p({"sysret", "nop"}, [](Environment& e) {
        e.gpr[1].op = OpRef{1};
        e.gpr[11].literal = base | tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.tape.final.cs = 0x23, p.tape.final.ss = 0x1B;
    p.tape.final.rflags |= tf;
    const auto user = [&](std::uint64_t rip) { from_user(p.db(rip, base | tf, 0xFFFF4FF0)); };
    user(p.at(2));
    EXPECT_PASS(p) << "the SDM does not say when SYSRET's TF takes effect";
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_SIGNATURE(p, "DBG-060/step-sysret/bare-long64-cpl0/missing-db");
    p.tape.count = 0;
    user(p.at(1));
    user(p.at(2));
    EXPECT_PASS(p);
}
TEST(Judge, SysretUnderTfThatKeepsItIsSteppedLikeAnyInstructionElsewhereThanOnAmd) {
    Program p({"sysret", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.gpr[1].op = OpRef{1};
        e.gpr[11].literal = base | tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.tape.final.cs = 0x23, p.tape.final.ss = 0x1B;
    const auto user = [&](std::uint64_t rip) { from_user(p.db(rip, base | tf, 0xFFFF4FF0)); };
    user(p.at(2));
    EXPECT_SIGNATURE(p, "DBG-051/step-sysret/bare-long64-cpl0/missing-db");
    p.tape.features.vendor = Vendor::Amd;
    EXPECT_SIGNATURE(p, "DBG-060/step-sysret/bare-long64-cpl0/missing-db");
    p.tape.count = 0;
    user(p.at(1));
    user(p.at(2));
    EXPECT_PASS(p);
}
TEST(Judge, AStepTrapOfPortIoHasAClassOfItsOwn) {
    Program p({"out port=0x80 width=1"}, [](Environment& e) { e.rflags |= tf; });
    EXPECT_SIGNATURE(p, "DBG-051/step-io/bare-long64-cpl0/missing-db");
    p.db(p.at(1), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(p);
}
TEST(Judge, AnUnexpectedFaultIsSignedWithTheKindOfItsOp) {
    Program p({"rep-stos width=1"}, [](Environment& e) {
        e.gpr[1].literal = 0;
        e.gpr[7].literal = 0x40010;
    });
    EXPECT_PASS(p);
    p.record(6, p.at(0), base | rf);
    EXPECT_SIGNATURE(p, "EXE-004/rep/bare-long64-cpl0/unexpected-ud");
}
Program branch_stepped() {
    Program p({"nop", "jmp to=op2", "nop"}, [](Environment& e) {
        e.btf = true;
        e.rflags |= tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.tape.features.btf = true;
    p.tape.final.debugctl = 0;
    return p;
}
TEST(Judge, BtfStepsBranchesOnlyAndEndsWithTheTrap) {
    Program p = branch_stepped();
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    p.db(p.at(3), base | tf, 0xFFFF4FF0);  // BTF is clear: an ordinary step
    EXPECT_PASS(p);
    p.tape.final.debugctl = 2;
    EXPECT_SIGNATURE(p, "EXE-043/end/bare-long64-cpl0/final.debugctl");
    Program early = branch_stepped();
    early.db(early.at(1), base | tf, 0xFFFF4FF0);
    early.db(early.at(2), base | tf, 0xFFFF4FF0);
    early.db(early.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_SIGNATURE(early, "DBG-081/step-under-btf/bare-long64-cpl0/unexpected-db");
    Program none = branch_stepped();
    none.tape.final.debugctl = 2;
    EXPECT_SIGNATURE(none, "EXE-041/branch-step/bare-long64-cpl0/missing-db");
}
TEST(Judge, StepTrapsBetweenIterationsMayBeLeftOutAndPushRf) {
    const auto program = [] {
        Program p({"rep-stos width=1"}, [](Environment& e) {
            e.rflags |= tf;
            e.gpr[1].literal = 2;
            e.gpr[7].literal = 0x40010;
            e.policy.db = Policy::Db::Resume;
        });
        p.final_gpr(Gpr::Rcx) = 0;
        p.final_gpr(Gpr::Rdi) = 0x40012;
        return p;
    };
    Program all = program();
    all.db(all.at(0), base | tf | rf, 0xFFFF4FF0).rcx = 1;
    all.db(all.at(1), base | tf, 0xFFFF4FF0).rcx = 0;
    EXPECT_PASS(all);
    all.tape.records[0].rflags &= ~rf;
    EXPECT_SIGNATURE(all, "DBG-042/step-rep/bare-long64-cpl0/rf=0");
    Program last = program();
    last.db(last.at(1), base | tf, 0xFFFF4FF0).rcx = 0;
    EXPECT_PASS(last);
    last.tape.records[0].rip = last.at(0), last.tape.records[0].rflags |= rf;
    EXPECT_SIGNATURE(last, "EXE-012/step-rep/bare-long64-cpl0/rip");
}

}  // namespace
}  // namespace faultline::oracle
