#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"
#include "hypervisor/reference/vm.hpp"

namespace faultline::reference {
namespace {

using namespace guest;

struct Ran {
    Image image;
    Tape tape;
    std::string text() const { return to_text(tape, image); }
};

Case parsed(const std::string& text) {
    auto result = parse_case(text, "test");
    EXPECT_TRUE(result) << result.error().text();
    return result ? *result : Case{};
}

Ran run(const Case& kase) {
    Ran ran;
    const auto done = assemble(kase, ran.image);
    EXPECT_TRUE(done) << done.error();
    const auto backend = kase.world == World::Svm ? make_reference_backend() : engine::make_engine_backend();
    backend->run(ran.image, ran.tape);
    EXPECT_TRUE(ran.tape.unsuitable.empty()) << ran.tape.unsuitable;
    return ran;
}
Ran run(const std::string& text) { return run(parsed(text)); }

/// What the guest itself has seen of a run.
void expect_same_to_the_guest(const Ran& a, const Ran& b) {
    EXPECT_EQ(a.tape.outcome, b.tape.outcome);
    ASSERT_EQ(a.tape.count, b.tape.count);
    for (std::uint32_t i = 0; i < a.tape.count; ++i) EXPECT_EQ(a.tape.records[i], b.tape.records[i]) << i;
    if (a.tape.outcome == Outcome::Completed) {
        EXPECT_EQ(a.tape.final, b.tape.final);
    }
    if (testing::Test::HasNonfatalFailure()) ADD_FAILURE() << a.text() << "\n" << b.text();
}

constexpr const char* raising[] = {
    R"(ops = ["nop", "set-reg reg=rbx value=0x1234", "lea to=rcx at=[rbx+0x10]"])",
    R"(ops = ["div reg=rcx width=4", "nop"])",
    R"(ops = ["int3", "ud2", "nop"])",
    R"(ops = ["load to=rax at=[0x42000] width=4", "store at=[0x44000] from=rax width=4"])",
    R"(ops = ["load to=rax at=[rbx] width=4", "int vector=0x21"]
[environment.gpr]
rbx = "0x8000000000000000")",
    R"(ops = ["nop", "nop", "icebp", "nop"]
[environment]
rflags = "0x102"
dr = ["op3", "0", "0", "0"]
dr7 = "0x401")",
    R"(cpl = 3
ops = ["mov-to-dr dr=7 from=rax", "int3", "int vector=0x21", "in port=0x88 width=1", "in port=0x80 width=1"])",
    R"(cpl = 3
ops = ["int3", "nop"]
[environment]
gates = "dpl0")",
    R"(ops = ["div reg=rcx width=4", "nop"]
[[environment.surroundings.gates]]
vector = "0"
present = false
selector = "0x8")",
    R"(ops = ["mov-to-dr dr=7 from=rax", "mov-from-dr dr=6 to=rbx", "nop"]
[environment]
dr7 = "0x2400")",
    R"(mode = "compat32"
cpl = 3
ops = ["into", "bound reg=rax at=[0x40000] width=4", "int3", "ud2"]
[environment]
rflags = "0x802")",
    R"(ops = ["mov-ss-mem at=[0x31ef8]", "nop", "mov-ss-mem at=[0x31ef8]", "int3"]
[environment]
rflags = "0x102"
stack = ["0x10"])",
};

TEST(Reference, AProgramWithoutInterceptsSeesWhatItSeesWithoutAHypervisor) {
    for (const char* text : raising) {
        SCOPED_TRACE(text);
        const Ran guest = run(std::string("world = \"svm\"\n") + text);
        EXPECT_EQ(guest.tape.exit_count, 0u) << guest.text();
        expect_same_to_the_guest(guest, run(text));
    }
}

TEST(Reference, ForcedInterceptsAreInvisibleToTheGuest) {
    for (const char* text : raising) {
        SCOPED_TRACE(text);
        Case kase = parsed(text);
        const Ran bare = run(kase);
        kase.world = World::Svm;
        kase.vmm.forced = ForcedExceptions(~0u).mask();
        const Ran guest = run(kase);
        expect_same_to_the_guest(guest, bare);
        EXPECT_GE(guest.tape.exit_count, 1u) << "the end's #UD, at least";
    }
}

TEST(Reference, AForcedExceptionIsRecordedAsTheVmcbShowsIt) {
    const Ran ran = run(R"(world = "svm"
ops = ["nop", "int3", "load to=rax at=[0x42004] width=4"]
[vmm]
forced = ["#BP", "#PF"])");
    ASSERT_EQ(ran.tape.exit_count, 2u) << ran.text();
    // AMD APM vol 2, "#BP—Breakpoint Exception" in "Exception Intercepts": RIP is that of INT3; nRIP behind it.
    const VmExit& bp = ran.tape.exits[0];
    EXPECT_EQ(bp.code, 0x43u);
    EXPECT_EQ(bp.rip, ran.image.op_address(1));
    EXPECT_EQ(bp.next_rip, ran.image.op_address(2));
    EXPECT_EQ(bp.records, 0u);
    // "#PF—Page-Fault Exception": EXITINFO1 the error code, EXITINFO2 the address; CR2 untouched.
    const VmExit& pf = ran.tape.exits[1];
    EXPECT_EQ(pf.code, 0x4Eu);
    EXPECT_EQ(pf.info_1, 0u);
    EXPECT_EQ(pf.info_2, 0x42004u);
    EXPECT_EQ(pf.cr2, 0u);
    EXPECT_EQ(pf.next_rip, 0u);
    EXPECT_EQ(pf.records, 1u);
    EXPECT_EQ(ran.tape.records[1].cr2, 0x42004u) << "reflected with its address";
}

TEST(Reference, AnInterceptedInstructionIsSkippedOrEndsTheRun) {
    const Ran skipped = run(R"(world = "svm"
ops = ["cpuid", "nop"]
[environment.gpr]
rax = "0x77"
[vmm]
intercepts = ["cpuid"])");
    ASSERT_EQ(skipped.tape.exit_count, 1u) << skipped.text();
    EXPECT_EQ(skipped.tape.exits[0].code, 0x72u);
    EXPECT_EQ(skipped.tape.exits[0].rip, skipped.image.op_address(0));
    EXPECT_EQ(skipped.tape.exits[0].next_rip, skipped.image.op_address(1));
    EXPECT_EQ(skipped.tape.outcome, Outcome::Completed);
    EXPECT_EQ(skipped.tape.final.gpr[0], 0x77u) << "CPUID did not happen";

    const Ran stopped = run(R"(world = "svm"
ops = ["nop", "cpuid", "nop"]
[vmm]
intercepts = ["cpuid"]
instructions = "stop")");
    EXPECT_EQ(stopped.tape.outcome, Outcome::Stopped);
    EXPECT_EQ(stopped.tape.stop_rip, stopped.image.op_address(1));
}

TEST(Reference, AnInterceptedInterruptIsTheHypervisorsAndTheGuestGoesOn) {
    const char* const waits = R"(world = "svm"
ops = ["sti", "hlt", "nop"]
[environment]
wake = "interrupt"
[vmm]
intercepts = ["intr"])";
    const char* const asks = R"(world = "svm"
ops = ["sti", "nop", "nop"]
[vmm]
intercepts = ["virtual-interrupt"]
[vmm.vmcb]
virtual-interrupts = "0x30000F0100")";
    for (const auto& [text, code] : {std::pair{waits, 0x60u}, {asks, 0x64u}}) {
        const Ran ran = run(text);
        ASSERT_EQ(ran.tape.exit_count, 1u) << ran.text();
        EXPECT_EQ(ran.tape.exits[0].code, code);
        EXPECT_EQ(ran.tape.exits[0].rip, ran.image.op_address(2));
        EXPECT_EQ(ran.tape.outcome, Outcome::Completed) << ran.text();
        EXPECT_EQ(ran.tape.count, 0u);
        EXPECT_EQ(ran.tape.final.rflags & rflags::if_, rflags::if_);
    }
}

TEST(Reference, StubsRunUnderNoInterceptOfTheCase) {
    const Ran ran = run(R"(world = "svm"
ops = ["icebp", "pushf", "iret"]
[environment]
stack = ["0", "0"]
[vmm]
intercepts = ["read-dr6", "read-dr7", "write-dr6", "pushf", "iret"])");
    ASSERT_EQ(ran.tape.exit_count, 2u) << ran.text() << "the program's own PUSHF and IRET, and nothing of the #DB stub";
    EXPECT_EQ(ran.tape.exits[0].code, 0x70u);
    EXPECT_EQ(ran.tape.exits[1].code, 0x74u);
    EXPECT_EQ(ran.tape.exits[1].records, 1u);
    EXPECT_EQ(ran.tape.outcome, Outcome::Completed);
}

TEST(Reference, AnInvalidVmcbEndsTheRunBeforeTheFirstInstruction) {
    for (const char* field : {"asid = \"0\"", "dr6 = \"0x100000000\"", "efer = \"0x501\"", "intercepts-4 = \"0\""}) {
        const Ran ran = run(std::string("world = \"svm\"\nops = [\"ud2\"]\n[vmm.vmcb]\n") + field);
        ASSERT_EQ(ran.tape.exit_count, 1u) << field << "\n" << ran.text();
        EXPECT_EQ(ran.tape.exits[0].code, ~0ull) << field;
        EXPECT_EQ(ran.tape.outcome, Outcome::Stopped) << field;
        EXPECT_EQ(ran.tape.count, 0u) << field;
    }
}

TEST(Reference, VectorsThatCannotBeAnsweredAreRefusedWithOneLine) {
    const ForcedExceptions asked(1u << 2 | 1u << 9 | 1u << 31 | 1u << 13);
    EXPECT_EQ(asked.mask(), 1u << 13);
    EXPECT_EQ(asked.warning(), "force_intercept_exceptions_mask: refused vectors 2, 9, 31");
    EXPECT_EQ(ForcedExceptions(1u << 13).warning(), "");
    const Ran ran = run("world = \"svm\"\nops = []\n[vmm]\nforced = [\"exception-9\"]");
    EXPECT_EQ(ran.tape.detail, "force_intercept_exceptions_mask: refused vector 9");
    EXPECT_EQ(ran.tape.outcome, Outcome::Completed);
}

TEST(Reference, TheEndIsReachedWhateverIsInterceptedThere) {
    const Ran ran = run("world = \"svm\"\nops = [\"nop\"]\n[vmm]\nintercepts = [\"#UD\"]\nexceptions = \"stop\"");
    EXPECT_EQ(ran.tape.outcome, Outcome::Completed) << ran.text();
    const Ran before = run("world = \"svm\"\nops = [\"ud2\"]\n[vmm]\nintercepts = [\"#UD\"]\nexceptions = \"stop\"");
    EXPECT_EQ(before.tape.outcome, Outcome::Stopped) << before.text();
}

}  // namespace
}  // namespace faultline::reference
