// MOV DR: what it reads and writes, what stops it.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

// --- MOV DR ---------------------------------------------------------------------------------------------------

Program general_detect(const char* op = "mov-from-dr dr=0 to=rbx") {
    Program p({op, "nop"}, [](Environment& e) { e.dr7.literal = 0x2400; });
    p.db(p.at(0), base, 0xFFFF2FF0, 0x400);
    p.tape.final.dr7 = 0x400;
    return p;
}
TEST(Judge, GeneralDetectFaultsBeforeTheAccess) {
    Program p = general_detect();
    EXPECT_PASS(p);
    p.tape.records[0].rflags |= rf;  // both readings of RF stand
    EXPECT_PASS(p);
    p.tape.records[0].rip = p.at(1);
    EXPECT_SIGNATURE(p, "DBG-022/gd-read/bare-long64-cpl0/rip");
}
TEST(Judge, GeneralDetectSetsBdAndClearsGd) {
    Program p = general_detect();
    p.tape.records[0].dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-023/gd-read/bare-long64-cpl0/dr6.bd=0");
    p = general_detect();
    p.tape.records[0].dr7 = 0x2400;
    EXPECT_SIGNATURE(p, "DBG-024/gd-read/bare-long64-cpl0/dr7.gd=1");
    p = general_detect();
    p.tape.count = 0;
    p.tape.final.dr7 = 0x2400;
    EXPECT_SIGNATURE(p, "DBG-021/gd-read/bare-long64-cpl0/missing-db");
}
TEST(Judge, GeneralDetectClearsStaleBreakpointBits) {
    Program p = general_detect();
    p.subject_case.environment.dr6.literal = 0xFFFF0FF1;
    p.assemble();
    p.tape.final.dr7 = 0x400, p.tape.final.dr6 = 0xFFFF0FF0;
    p.db(p.at(0), base, 0xFFFF2FF0, 0x400);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF2FF1;
    EXPECT_SIGNATURE(p, "DBG-025/gd-read/bare-long64-cpl0/dr6.b=stale");
}
TEST(Judge, GeneralDetectAlsoStopsTheEpilogue) {
    Program p({"nop"}, [](Environment& e) { e.dr7.literal = 0x2400; });
    p.tape.final.dr7 = 0x400;
    Record& r = p.db(p.image.stage->symbols.epilogue_read_dr7, base | zf | pf, 0xFFFF2FF0, 0x400);
    at_rsp(r, (p.image.params.entry_frame.rsp & ~15ull) - 40);
    EXPECT_PASS(p);
    p.tape.records[0].dr6 = 0xFFFF0FF0;
    EXPECT_SIGNATURE(p, "DBG-023/gd-read/bare-long64-cpl0/dr6.bd=0");
}
TEST(Judge, HighBitsOfDr7Fault) {
    Program p({"set-reg reg=rax value=0x100000000", "mov-to-dr dr=7 from=rax", "nop"});
    p.final_gpr(Gpr::Rax) = 0x100000000;
    EXPECT_SIGNATURE(p, "DBG-004/dr7-high-bits/bare-long64-cpl0/missing-gp");
    p.record(13, p.at(1), base | rf);
    EXPECT_PASS(p);
    p.tape.records[0].error = 8;
    EXPECT_SIGNATURE(p, "XCP-025/dr7-high-bits/bare-long64-cpl0/error");
}
TEST(Judge, HighBitsAndGeneralDetectHaveNoOrder) {
    Program p({"set-reg reg=rax value=0x100000000", "mov-to-dr dr=6 from=rax", "nop"},
              [](Environment& e) { e.dr7.literal = 0x2400; });
    p.final_gpr(Gpr::Rax) = 0x100000000;
    p.record(13, p.at(1), base | rf);
    Record& end = p.db(p.image.stage->symbols.epilogue_read_dr7, base | zf | pf, 0xFFFF2FF0, 0x400);
    at_rsp(end, (p.image.params.entry_frame.rsp & ~15ull) - 40);
    p.tape.final.dr7 = 0x400;
    EXPECT_PASS(p);
}
TEST(Judge, Dr4IsUdUnderDe) {
    Program p({"mov-from-dr dr=4 to=rbx", "nop"}, [](Environment& e) { e.de = true; });
    p.record(6, p.at(0), base | rf);
    EXPECT_PASS(p);
    p.tape.records[0].vector = 13;
    EXPECT_SIGNATURE(p, "DBG-012/dr4-5-under-de/bare-long64-cpl0/gp-instead-of-ud");
}
TEST(Judge, Dr4IsDr6WithoutDe) {
    Program p({"mov-from-dr dr=4 to=rbx", "nop"});
    p.final_gpr(Gpr::Rbx) = 0xFFFF0FF0;
    EXPECT_PASS(p);
    p.final_gpr(Gpr::Rbx) = 0;
    EXPECT_SIGNATURE(p, "DBG-011/dr4-read/bare-long64-cpl0/value");
}
TEST(Judge, DebugRegistersNeedPrivilege) {
    Program p({"mov-from-dr dr=0 to=rbx", "nop"});
    p.subject_case.cpl = 3;
    p.assemble();
    p.record(13, p.at(0), base | rf);
    EXPECT_PASS(p);
    p.tape.records[0].vector = 6;
    EXPECT_SIGNATURE(p, "DBG-014/dr-at-cpl3/bare-long64-cpl3/ud-instead-of-gp");
}
TEST(Judge, ReservedBitsOfDr6AreCorrected) {
    Program p({"set-reg reg=rax value=0x1000", "mov-to-dr dr=6 from=rax", "nop"});
    p.final_gpr(Gpr::Rax) = 0x1000;
    EXPECT_PASS(p);
    p.tape.final.dr6 = 0xFFFF1FF0;
    EXPECT_SIGNATURE(p, "DBG-006/dr6-write/bare-long64-cpl0/dr6.reserved");
    p.tape.final.dr6 = 0;
    EXPECT_SIGNATURE(p, "DBG-005/dr6-write/bare-long64-cpl0/dr6.bld=0");
}
TEST(Judge, AWrongDr6WriteHasOneSignatureWhereverItShows) {
    // Bit 12 sticks: seen by a later #DB, and by a later read.
    Program trap({"set-reg reg=rax value=0x1000", "mov-to-dr dr=6 from=rax", "store at=[0x40010] from=rax width=4"},
                 [](Environment& e) { watch(e, 0, 0x40010, write4); });
    trap.final_gpr(Gpr::Rax) = 0x1000;
    trap.db(trap.at(3), base, 0xFFFF1FF1, 0xD0402);
    EXPECT_SIGNATURE(trap, "DBG-006/dr6-write/bare-long64-cpl0/dr6.reserved");
    Program read({"set-reg reg=rax value=0x1000", "mov-to-dr dr=6 from=rax", "mov-from-dr dr=6 to=rbx"});
    read.final_gpr(Gpr::Rax) = 0x1000;
    read.final_gpr(Gpr::Rbx) = 0xFFFF1FF0;
    EXPECT_SIGNATURE(read, "DBG-006/dr6-write/bare-long64-cpl0/dr6.reserved");
}
TEST(Judge, ReservedBitsOfDr7AreCorrected) {
    Program p({"set-reg reg=rax value=0xd800", "mov-to-dr dr=7 from=rax", "nop"});
    p.final_gpr(Gpr::Rax) = 0xD800;
    EXPECT_PASS(p);
    p.tape.final.dr7 = 0xD400;
    EXPECT_SIGNATURE(p, "DBG-007/dr7-write/bare-long64-cpl0/dr7.reserved");
    p.tape.final.dr7 = 0xC00;
    EXPECT_SIGNATURE(p, "DBG-008/dr7-write/bare-long64-cpl0/dr7.reserved");
}
TEST(Judge, AnyDbClearsGd) {
    Program p({"set-reg reg=rax value=0x2400", "mov-to-dr dr=7 from=rax", "nop"}, [](Environment& e) {
        e.rflags |= tf;
        e.policy.db = Policy::Db::Resume;
    });
    p.final_gpr(Gpr::Rax) = 0x2400;
    p.db(p.at(1), base | tf, 0xFFFF4FF0);
    p.db(p.at(2), base | tf, 0xFFFF4FF0);
    p.db(p.at(3), base | tf, 0xFFFF4FF0);
    EXPECT_PASS(p);
    p.tape.records[1].dr7 = 0x2400;
    EXPECT_SIGNATURE(p, "DBG-027/dr7-write/bare-long64-cpl0/dr7.gd=1");
}

TEST(Judge, Dr8To15DoNotExist) {
    Program p({"mov-from-dr dr=9 to=rbx", "nop"});
    p.record(6, p.at(0), base | rf);
    EXPECT_PASS(p);
    p.tape.records[0].vector = 13;
    EXPECT_SIGNATURE(p, "DBG-013/dr8-15/bare-long64-cpl0/gp-instead-of-ud");
}
TEST(Judge, AtCpl3PrivilegeAndTheOtherReasonsHaveNoOrder) {
    Program missing({"mov-from-dr dr=9 to=rbx", "nop"});
    missing.subject_case.cpl = 3;
    missing.assemble();
    missing.record(6, missing.at(0), base | rf);
    EXPECT_PASS(missing);
    missing.tape.records[0].vector = 13;
    from_user(missing.tape.records[0]);
    EXPECT_PASS(missing);

    Program detect({"mov-from-dr dr=0 to=rbx", "nop"}, [](Environment& e) { e.dr7.literal = 0x2400; });
    detect.subject_case.cpl = 3;
    detect.assemble();
    detect.tape.final.dr7 = 0x400;
    detect.db(detect.at(0), base, 0xFFFF2FF0, 0x400);
    detect.record(13, detect.at(0), base | rf);  // GD is clear now, the privilege is what it was
    EXPECT_PASS(detect);
    detect.tape.count = 0;
    detect.record(13, detect.at(0), base | rf);
    Record& end = detect.db(detect.image.stage->symbols.epilogue_read_dr7, base | zf | pf, 0xFFFF2FF0, 0x400);
    end.cs = 8, end.ss = 0, end.handler_ss = 0, at_rsp(end, 0x16000 - 40);  // on the stack of the TSS
    EXPECT_PASS(detect);
}
TEST(Judge, UdOfDr4ComesBeforeGeneralDetect) {
    Program p({"mov-from-dr dr=4 to=rbx", "nop"}, [](Environment& e) {
        e.de = true;
        e.dr7.literal = 0x2400;
    });
    p.db(p.at(0), base, 0xFFFF2FF0, 0x400);
    EXPECT_SIGNATURE(p, "DBG-016/dr4-5-under-de/bare-long64-cpl0/db-instead-of-ud");
}
TEST(Judge, Dr0AcceptsNonCanonicalAddresses) {
    Program p({"set-reg reg=rax value=0x800000000000", "mov-to-dr dr=0 from=rax", "nop"});
    p.final_gpr(Gpr::Rax) = p.tape.final.dr[0] = 0x800000000000;
    EXPECT_PASS(p);
    p.record(13, p.at(1), base | rf);
    EXPECT_SIGNATURE(p, "DBG-020/dr0-3-write/bare-long64-cpl0/unexpected-gp");
}
TEST(Judge, AddressRegistersTakeAllBits) {
    Program p({"set-reg reg=rax value=0x123456789a", "mov-to-dr dr=1 from=rax", "mov-from-dr dr=1 to=rbx"});
    p.final_gpr(Gpr::Rax) = p.final_gpr(Gpr::Rbx) = p.tape.final.dr[1] = 0x123456789A;
    EXPECT_PASS(p);
    p.final_gpr(Gpr::Rbx) = 0x3456789A;
    EXPECT_SIGNATURE(p, "EXE-026/dr0-3-read/bare-long64-cpl0/value");
    p.final_gpr(Gpr::Rbx) = 0x123456789A;
    p.tape.final.dr[1] = 0x3456789A;
    EXPECT_SIGNATURE(p, "EXE-027/dr0-3-write/bare-long64-cpl0/value");
}
TEST(Judge, ActiveLowBitsOfDr6AreWritableOnlyWithTheirFeature) {
    Program p({"set-reg reg=rax value=0", "mov-to-dr dr=6 from=rax", "nop"});
    p.tape.final.dr6 = 0xFFFE0FF0;
    EXPECT_SIGNATURE(p, "DBG-009/dr6-write/bare-long64-cpl0/dr6.rtm=0");
    p.tape.features.rtm = true;
    EXPECT_PASS(p);
    p.tape.final.dr6 = 0xFFFE07F0;
    EXPECT_SIGNATURE(p, "DBG-010/dr6-write/bare-long64-cpl0/dr6.bld=0");
    p.tape.features.bus_lock_detect = true;
    EXPECT_PASS(p);
}
TEST(Judge, StatusBitsOfDr6AreWrittenAsGiven) {
    Program p({"set-reg reg=rax value=0xe00f", "mov-to-dr dr=6 from=rax", "nop"});
    p.final_gpr(Gpr::Rax) = 0xE00F;
    p.tape.final.dr6 = 0xFFFFEFFF;
    EXPECT_PASS(p);
    p.tape.final.dr6 = 0xFFFF6FFF;
    EXPECT_SIGNATURE(p, "EXE-024/dr6-write/bare-long64-cpl0/dr6.bt=0");
}
TEST(Judge, EnableBitsOfDr7AreWrittenAsGiven) {
    Program p({"set-reg reg=rax value=0x333003ff", "mov-to-dr dr=7 from=rax", "nop"}, [](Environment& e) {
        for (auto& address : e.dr) address.literal = 0x40200;
    });
    p.final_gpr(Gpr::Rax) = 0x333003FF;
    p.tape.final.dr7 = 0x333007FF;
    EXPECT_PASS(p);
    p.tape.final.dr7 = 0x333005FF;  // GE is writable, though without effect
    EXPECT_SIGNATURE(p, "EXE-025/dr7-write/bare-long64-cpl0/dr7");
}

}  // namespace
}  // namespace faultline::oracle
