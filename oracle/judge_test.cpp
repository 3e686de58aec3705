// Tapes written by hand, from the manuals, for what one short program must do; and the same tapes with one thing
// wrong, which the judge must lay at the right rule's door.
#include "oracle/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "hypervisor/guest/assemble.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;

constexpr std::uint64_t tf = 0x100, if_ = 0x200, rf = 0x10000, pf = 4, zf = 0x40, base = 2;

/// A program, its image, and a tape that starts as one without events.
struct Program {
    Case subject_case;
    Image image;
    Tape tape;
    Judge judge;

    explicit Program(std::vector<std::string> ops, const std::function<void(Environment&)>& set = {}) {
        for (const auto& text : ops) subject_case.ops.push_back(parse_op(text).value());
        if (set) set(subject_case.environment);
        assemble();
    }
    void assemble() {
        if (const auto done = guest::assemble(subject_case, image); !done) throw std::logic_error(done.error());
        tape.features.vendor = Vendor::Intel;
        tape.outcome = Outcome::Completed;
        tape.count = 0;
        const bool user = subject_case.cpl == 3;
        auto& f = tape.final;
        f = {};
        f.gpr = image.params.gpr;
        f.gpr[4] = image.params.entry_frame.rsp;
        f.rflags = (image.params.entry_frame.rflags & ~rf) | rf;
        f.cs = user ? 0x23 : 0x08, f.ss = user ? 0x1B : 0x10;
        f.dr6 = image.params.dr6, f.dr7 = image.params.dr7, f.dr = image.params.dr;
        f.cr4 = image.params.cr4;
    }
    std::uint64_t at(std::size_t op) const { return image.op_address(op); }
    std::uint64_t& final_gpr(Gpr r) { return tape.final.gpr[static_cast<std::size_t>(r)]; }

    Record& record(std::uint64_t vector, std::uint64_t rip, std::uint64_t rflags) {
        Record& r = tape.records[tape.count++];
        r = {};
        const bool user = subject_case.cpl == 3;
        r.vector = vector, r.error = 0, r.rip = rip, r.rflags = rflags;
        r.cs = user ? 0x23 : 0x08, r.ss = user ? 0x1B : 0x10;
        r.rsp = image.params.entry_frame.rsp, r.rcx = image.params.gpr[1], r.complete = 1;
        return r;
    }
    Record& db(std::uint64_t rip, std::uint64_t rflags, std::uint64_t dr6, std::uint64_t dr7 = 0x400) {
        Record& r = record(1, rip, rflags);
        r.dr6 = dr6, r.dr7 = dr7;
        return r;
    }

    Verdict verdict(RuleUse* use = nullptr) { return judge.judge(subject_case, image, tape, use); }
    std::string signature() {
        const Verdict v = verdict();
        if (v.kind == VerdictKind::Pass) return "pass";
        if (v.kind == VerdictKind::NotModelled) return "not modelled: " + v.reason;
        return v.divergences.empty() ? "?" : v.divergences.front().signature;
    }
};

#define EXPECT_PASS(program) EXPECT_EQ((program).signature(), "pass")
#define EXPECT_SIGNATURE(program, text) EXPECT_EQ((program).signature(), "1:" text)

void watch(Environment& e, unsigned n, std::uint64_t address, std::uint64_t control) {
    e.dr[n].literal = address;
    e.dr7.literal |= 2ull << 2 * n | control << (16 + 4 * n);  // Gn
}
constexpr std::uint64_t code = 0, write1 = 1, write4 = 0xD, port1 = 2, access1 = 3, access8 = 0xB;

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
    p.db(p.at(2), base | tf, 0xFFFF4FF0).rsp += 8;
    p.db(p.at(3), base | tf, 0xFFFF4FF0).rsp += 8;
    EXPECT_PASS(p);

    Program early = program();
    early.db(early.at(1), base | tf, 0xFFFF4FF0).rsp += 8;
    early.db(early.at(2), base | tf, 0xFFFF4FF0).rsp += 8;
    early.db(early.at(3), base | tf, 0xFFFF4FF0).rsp += 8;
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
    p.db(p.at(1), base, 0xFFFF4FF0).rsp += 8;
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
    r.rsp = (p.image.params.entry_frame.rsp & ~15ull) - 40;
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
    end.rsp = (p.image.params.entry_frame.rsp & ~15ull) - 40;
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
    EXPECT_EQ(p.verdict().divergences.front().rule, "EXE-005");
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
    nested.rsp = frame(p);
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
    nested.rsp = (p.image.params.entry_frame.rsp & ~15ull) - 40;
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

// --- Faults, HLT, endings -------------------------------------------------------------------------------------

TEST(Judge, APageFaultShowsItsAddressAndError) {
    Program p({"store at=[0x42008] from=rax width=4", "nop"});
    Record& r = p.record(14, p.at(0), base | rf);
    r.error = 2, r.cr2 = 0x42008;
    EXPECT_PASS(p);
    p.tape.records[0].cr2 = 0x42009;
    EXPECT_SIGNATURE(p, "EXE-002/fault-pf/bare-long64-cpl0/frame.cr2");
    p.tape.records[0].cr2 = 0x42008;
    p.tape.records[0].error = 0;
    EXPECT_SIGNATURE(p, "XCP-025/fault-pf/bare-long64-cpl0/error");
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
    q.record(6, q.at(1), base | rf).rsp -= 8;
    EXPECT_PASS(q);
}

TEST(Judge, CoverageCountsWhatAppliedAndWhatDecided) {
    Program p = data_write();
    RuleUse use;
    EXPECT_EQ(p.verdict(&use).kind, VerdictKind::Pass);
    const auto index = [](std::string_view id) {
        const auto rules = catalogue();
        return static_cast<std::size_t>(std::find_if(rules.begin(), rules.end(), [&](auto& r) { return r.id == id; }) -
                                        rules.begin());
    };
    EXPECT_EQ(use.applied[index("DBG-047")], 1u);
    EXPECT_EQ(use.decisive[index("DBG-047")], 1u);
    EXPECT_EQ(use.applied[index("DBG-031")], 0u);
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
