// #DB on a running machine, fact by fact. AMD APM vol 2, "Software-Debug Resources".
#include <gtest/gtest.h>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {
namespace {

namespace dr = guest::dr;
constexpr std::uint64_t b0 = 1, b1 = 2, bd = dr::dr6_bd, bs = dr::dr6_bs, quiet = dr::dr6_reset;

// ---- Registers ------------------------------------------------------------------------------------------------

struct Debug : testing::Test {
    TestMachine t;

    std::uint64_t dr6() { return t.m.debug.dr6; }
    void data_breakpoint(Kind kind = ReadWrite) {
        t.m.debug.address[0] = place::data;
        t.arm(breakpoint(0, kind));
    }
    /// Goes back to where the handler was entered from, with these flags set in the image.
    void iret(std::uint64_t also = 0) {
        const auto f = t.frame();
        t.m.cpu.r[rsp] = f.rsp;
        t.m.cpu.rip = f.rip;
        t.m.set_rflags(f.rflags | also);
    }
};

TEST_F(Debug, RegistersCorrectTheirReservedBits) {
    t.code(
        {0x0F, 0x23, 0xF0, 0x0F, 0x21, 0xF1, 0x0F, 0x23, 0xFA, 0x0F, 0x21, 0xFB});  // dr6=rax rcx=dr6 dr7=rdx rbx=dr7
    t.m.cpu.r[rax] = 0x1000;
    t.m.cpu.r[rdx] = 0xD800;
    t.m.run(4);
    EXPECT_EQ(t.m.cpu.r[rcx], 0xFFFF'0FF0u);
    EXPECT_EQ(t.m.cpu.r[rbx], 0x400u);
    t.m.cpu.rip = place::code;
    t.m.cpu.r[rax] = t.m.cpu.r[rdx] = 0xFFFF'D7FF;  // all but GD (bit 13), so that it can be read back
    t.m.run(4);
    EXPECT_EQ(t.m.cpu.r[rcx], 0xFFFF'CFFFu);
    EXPECT_EQ(t.m.cpu.r[rbx], 0xFFFF'07FFu);
}

TEST_F(Debug, AOneInTheUpperHalfOfDr6OrDr7IsGeneralProtection) {
    for (int modrm : {0xF0, 0xF8, 0xE0, 0xE8}) {
        t.m.cpu.r[rax] = 1ull << 32;
        t.m.cpu.rip = place::code;
        t.code({0x0F, 0x23, modrm});
        EXPECT_EQ(t.run_to_handler(), vector::gp);
    }
    EXPECT_EQ(dr6(), quiet);
}

TEST_F(Debug, AddressRegistersTakeNonCanonicalValues) {
    t.code({0x0F, 0x23, 0xD8});  // mov dr3, rax
    t.m.cpu.r[rax] = 0x8000'0000'0000'0000;
    t.step();
    EXPECT_EQ(t.m.debug.address[3], 0x8000'0000'0000'0000u);
}

TEST_F(Debug, Dr4AndDr5AreAliasesUnlessDeMakesThemUndefined) {
    t.code({0x0F, 0x21, 0xE0, 0x0F, 0x21, 0xE9});  // mov rax, dr4; mov rcx, dr5
    t.m.run(2);
    EXPECT_EQ(t.m.cpu.r[rax], quiet);
    EXPECT_EQ(t.m.cpu.r[rcx], 0x400u);
    t.m.cpu.cr4 |= cr4::de;
    t.arm(dr::dr7_gd);
    t.m.cpu.rip = place::code;
    EXPECT_EQ(t.run_to_handler(), vector::ud);  // and not #DB: found in decoding
}

TEST_F(Debug, RegistersEightToFifteenDoNotExist) {
    t.arm(dr::dr7_gd);
    t.code({0x44, 0x0F, 0x23, 0xC0});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

TEST_F(Debug, AccessNeedsCpl0) {
    t.at_cpl3();
    t.code({0x0F, 0x21, 0xC0});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
}

// ---- General detect -------------------------------------------------------------------------------------------

TEST_F(Debug, GeneralDetectIsAFaultThatClearsGdAndStaleHits) {
    t.arm(dr::dr7_gd | breakpoint(1, ReadWrite));
    t.m.debug.dr6 = quiet | b1 | bs;
    t.m.cpu.r[rax] = 0x1234;
    t.code({0x0F, 0x21, 0xC0});  // mov rax, dr0
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet | bd | bs);
    EXPECT_EQ(t.m.debug.dr7(), 0x400 | breakpoint(1, ReadWrite));
    EXPECT_EQ(t.frame().rip, place::code);
    EXPECT_EQ(t.frame().rflags & rflags::rf, 0u);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1234u);
}

TEST_F(Debug, EveryDebugExceptionClearsGd) {
    t.arm(dr::dr7_gd);
    t.set_rflags(rflags::tf);
    t.code({0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.m.debug.dr7(), 0x400u);
}

TEST_F(Debug, IntOneIsNoDebugException) {
    t.arm(dr::dr7_gd);
    t.m.debug.debugctl = guest::debugctl::btf;
    t.code({0xCD, 0x01});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet);
    EXPECT_EQ(t.m.debug.dr7(), 0x400u | dr::dr7_gd);
    EXPECT_EQ(t.m.debug.debugctl, guest::debugctl::btf);
}

// ---- Instruction breakpoints ----------------------------------------------------------------------------------

TEST_F(Debug, AnInstructionBreakpointIsAFaultThatRfSuppressesForOneInstruction) {
    t.m.debug.address[0] = place::code + 1;
    t.arm(breakpoint(0, Execute));
    t.code({0x90, 0x40, 0xFF, 0xC0, 0xEB, 0xFB});  // nop; rex inc eax; jmp back to the inc
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 1);
    EXPECT_EQ(t.frame().rflags & rflags::rf, 0u);
    EXPECT_EQ(dr6(), quiet | b0);
    iret(rflags::rf);
    EXPECT_EQ(t.run_to_handler(), vector::db);  // the second time round
    EXPECT_EQ(t.m.cpu.r[rax], 1u);
}

TEST_F(Debug, AnInstructionBreakpointComesBeforeAFetchFault) {
    t.write(place::pt + (place::data) / 0x1000 * 8, 0);
    t.m.cpu.rip = place::data;
    t.m.debug.address[0] = place::data;
    t.arm(breakpoint(0, Execute));
    EXPECT_EQ(t.run_to_handler(), vector::db);
    iret(rflags::rf);
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_NE(t.frame(true).rflags & rflags::rf, 0u);
}

TEST_F(Debug, AMovSsDoesNotHideAnInstructionBreakpoint) {
    t.m.debug.address[0] = place::code + 2;
    t.arm(breakpoint(0, Execute));
    t.m.cpu.r[rax] = place::kernel_ss;
    t.code({0x8E, 0xD0, 0x90});  // mov ss, eax; nop
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 2);
}

TEST_F(Debug, ADataTrapComesBeforeTheNextInstructionsBreakpoint) {
    data_breakpoint();
    t.m.debug.address[1] = place::code + 2;
    t.arm(breakpoint(0, ReadWrite) | breakpoint(1, Execute));
    t.m.cpu.r[rdi] = place::data;
    t.code({0x88, 0x07, 0x90});  // mov [rdi], al
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet | b0);
    iret();
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet | b1);
    EXPECT_EQ(t.frame().rip, place::code + 2);
}

// ---- Data and I/O breakpoints ---------------------------------------------------------------------------------

TEST_F(Debug, ADataBreakpointIsATrapAfterTheAccess) {
    data_breakpoint(Write);
    t.m.cpu.r[rdi] = place::data;
    t.m.cpu.r[rax] = 0x55;
    t.code({0x8A, 0x0F, 0x88, 0x07, 0x90});  // mov cl, [rdi]; mov [rdi], al
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 4);
    EXPECT_EQ(t.read(place::data), 0x55u);
    EXPECT_EQ(dr6(), quiet | b0);
    EXPECT_EQ(t.frame().rflags & rflags::rf, 0u);
}

TEST_F(Debug, AnAccessOfAnInstructionThatFaultsIsForgotten) {
    data_breakpoint();
    t.m.cpu.r[rsi] = place::data;
    t.m.cpu.r[rdi] = 0x20'0000;  // not mapped
    t.code({0xA4});              // movsb
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_EQ(dr6(), quiet);
}

TEST_F(Debug, AnIoBreakpointIsATrap) {
    t.m.cpu.cr4 |= cr4::de;
    t.m.debug.set_de(true);
    t.m.debug.address[0] = 0x80;
    t.arm(breakpoint(0, Io));
    t.code({0xE6, 0x80, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 2);
}

TEST_F(Debug, RepStopsAfterTheIterationThatHitWithRfInTheImage) {
    t.m.debug.address[0] = place::data + 1;
    t.arm(breakpoint(0, Write));
    t.m.cpu.r[rdi] = place::data;
    t.m.cpu.r[rcx] = 4;
    t.code({0xF3, 0xAA, 0x90});  // rep stosb
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code);
    EXPECT_NE(t.frame().rflags & rflags::rf, 0u);
    EXPECT_EQ(t.m.cpu.r[rcx], 2u);
    EXPECT_EQ(t.m.cpu.r[rdi], place::data + 2);
}

TEST_F(Debug, TheFramesOfDeliveryHitNoBreakpoint) {
    t.m.debug.address[0] = place::stack - 8;
    t.arm(breakpoint(0, ReadWrite, Eight));
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.run_to_handler(), 0x20);
}

// ---- Single stepping ------------------------------------------------------------------------------------------

TEST_F(Debug, AStepTrapsAfterTheInstructionAndItsHandlerRunsWithoutTf) {
    t.set_rflags(rflags::tf);
    t.code({0x90, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet | bs);
    EXPECT_EQ(t.frame().rip, place::code + 1);
    EXPECT_NE(t.frame().rflags & rflags::tf, 0u);
    EXPECT_EQ(t.m.cpu.rflags & rflags::tf, 0u);
}

TEST_F(Debug, PopfSettingTfTrapsOneInstructionLaterAndClearingItTrapsOnceMore) {
    t.code({0x9D, 0x90, 0x90});
    t.write(place::stack, rflags::fixed1 | rflags::tf);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 2);
    iret();
    t.code({0x9D, 0x90});
    t.m.cpu.rip = place::code;
    t.m.cpu.r[rsp] = place::stack;
    t.write(place::stack, rflags::fixed1);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 1);
    EXPECT_EQ(t.frame().rflags & rflags::tf, 0u);
}

TEST_F(Debug, SysretSettingTfTrapsBeforeItsTarget) {
    t.m.cpu.star = 0x0013'0008'0000'0000;
    t.m.cpu.r[rcx] = place::code + 0x100;
    t.m.cpu.r[11] = rflags::tf;
    t.code({0x48, 0x0F, 0x07});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 0x100);
    EXPECT_EQ(t.frame().cs, 0x23u);
}

TEST_F(Debug, SyscallWhoseMaskClearsTfDoesNotTrap) {
    t.m.cpu.star = 0x0013'0008'0000'0000;
    t.m.cpu.lstar = place::code + 0x100;
    t.m.cpu.sfmask = rflags::tf;
    t.code({0x0F, 0x05});
    t.code({0xCC}, place::code + 0x100);
    t.at_cpl3();
    t.set_rflags(rflags::tf);
    EXPECT_EQ(t.run_to_handler(), vector::bp);
}

TEST_F(Debug, SoftwareInterruptsAndFaultsHaveNoStepTrap) {
    for (const auto& [code, handler] : {std::pair<int, int>{0xCC, vector::bp}, {0x06, vector::ud}}) {
        t.set_rflags(rflags::tf);
        t.m.cpu.rip = place::code;
        t.code({code});
        EXPECT_EQ(t.run_to_handler(), handler);
        EXPECT_NE(t.frame().rflags & rflags::tf, 0u);
        EXPECT_EQ(dr6(), quiet);
    }
}

TEST_F(Debug, RepStepsByIteration) {
    t.set_rflags(rflags::tf);
    t.m.cpu.r[rdi] = place::data;
    t.m.cpu.r[rcx] = 2;
    t.code({0xF3, 0xAA, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code);
    EXPECT_EQ(t.m.cpu.r[rcx], 1u);
    EXPECT_NE(t.frame().rflags & rflags::rf, 0u);
    iret();
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 2);
    EXPECT_EQ(t.frame().rflags & rflags::rf, 0u);
}

TEST_F(Debug, AStepAndADataHitAreOneException) {
    data_breakpoint();
    t.set_rflags(rflags::tf);
    t.m.cpu.r[rdi] = place::data;
    t.code({0x88, 0x07});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(dr6(), quiet | bs | b0);
}

TEST_F(Debug, ATrapComesBeforeAnInterruptWhichThenWaitsForTheHandler) {
    t.set_rflags(rflags::tf | rflags::if_);
    t.code({0x90});
    t.step();
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    iret();
    t.set_rflags(rflags::if_);
    EXPECT_EQ(t.run_to_handler(), 0x30);
    EXPECT_EQ(t.frame().rip, place::code + 1);
}

TEST_F(Debug, HltUnderTfTrapsBehindTheHlt) {
    t.set_rflags(rflags::tf);
    t.code({0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 1);
    EXPECT_EQ(dr6(), quiet | bs);
}

TEST_F(Debug, WithBtfOnlyTakenBranchesStepAndTheExceptionClearsBtfAndLbr) {
    t.set_rflags(rflags::tf);
    t.m.debug.debugctl = guest::debugctl::btf | guest::debugctl::lbr;
    t.code({0x90, 0x75, 0x00, 0x74, 0x02, 0x90, 0x90, 0x90});  // nop; jnz (ZF=1: not taken); jz +2
    t.m.set_rflags(t.m.cpu.rflags | rflags::zf);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 7);
    EXPECT_EQ(dr6(), quiet | bs);
    EXPECT_EQ(t.m.debug.debugctl, 0u);
    EXPECT_EQ(t.m.debug.last_branch_from, place::code + 3);
    EXPECT_EQ(t.m.debug.last_branch_to, place::code + 7);
}

// ---- Shadows --------------------------------------------------------------------------------------------------

struct MovSs : Debug {
    MovSs() {
        t.m.cpu.r[rsi] = place::data;
        t.write(place::data, place::kernel_ss);
    }
    // mov ss, [rsi] is 8E 16.
};

TEST_F(MovSs, LosesItsOwnStepTrap) {
    t.set_rflags(rflags::tf);
    t.code({0x8E, 0x16, 0x90, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 3);
}

TEST_F(MovSs, HoldsADataBreakpointAndMergesItWithTheNextInstructions) {
    data_breakpoint();
    t.set_rflags(rflags::tf);
    t.code({0x8E, 0x16, 0x90, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 3);
    EXPECT_EQ(dr6(), quiet | b0 | bs);
}

TEST_F(MovSs, ASecondOneDoesNotExtendTheShadow) {
    t.set_rflags(rflags::tf);
    t.code({0x8E, 0x16, 0x8E, 0x16, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 4);
}

TEST_F(MovSs, WithAHeldBreakpointAnIcebpIsOneException) {
    data_breakpoint();
    t.code({0x8E, 0x16, 0xF1, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 3);
    EXPECT_EQ(dr6(), quiet | b0);
    EXPECT_EQ(t.m.debug.pending, 0u);
}

TEST_F(MovSs, WithAHeldBreakpointInt3EntersBothHandlers) {
    data_breakpoint();
    t.code({0x8E, 0x16, 0xCC});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::handlers + 16 * 3);
    EXPECT_EQ(dr6(), quiet | b0);
}

TEST_F(MovSs, WithAHeldBreakpointSyscallTrapsAtTheKernelsEntry) {
    data_breakpoint();
    t.m.cpu.star = 0x0013'0008'0000'0000;
    t.m.cpu.lstar = place::code + 0x100;
    t.at_cpl3();
    t.write(place::data, place::user_ss);
    t.code({0x8E, 0x16, 0x0F, 0x05});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 0x100);
    EXPECT_EQ(t.frame().cs, place::kernel_cs);
    EXPECT_EQ(t.frame().rsp, place::stack);
}

TEST_F(MovSs, DoesNotHideGeneralDetect) {
    t.arm(dr::dr7_gd);
    t.code({0x8E, 0x16, 0x0F, 0x21, 0xC0});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 2);
    EXPECT_EQ(dr6(), quiet | bd);
}

TEST_F(MovSs, HoldsBackAnInterrupt) {
    t.set_rflags(rflags::if_);
    t.code({0x8E, 0x16, 0x90, 0x90});
    t.step();
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.run_to_handler(), 0x30);
    EXPECT_EQ(t.frame().rip, place::code + 3);
}

TEST_F(Debug, AnStiShadowDoesNotHoldTraps) {
    t.set_rflags(rflags::tf);
    t.code({0xFB, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 1);
}

// ---- ICEBP ----------------------------------------------------------------------------------------------------

TEST_F(Debug, IcebpHasNoCauseBitLeavesStaleHitsAndDoesNotStep) {
    t.m.debug.dr6 = quiet | b1;
    t.set_rflags(rflags::tf);
    t.code({0xF1, 0x90});
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.frame().rip, place::code + 1);
    EXPECT_EQ(dr6(), quiet | b1);
    EXPECT_NE(t.frame().rflags & rflags::tf, 0u);
}

// ---- DEBUGCTL -------------------------------------------------------------------------------------------------

TEST_F(Debug, DebugctlTakesLbrAndBtfIgnoresRazBitsAndRefusesTheOthers) {
    t.code({0x0F, 0x30, 0x0F, 0x32});  // wrmsr; rdmsr
    const auto write = [&](std::uint64_t value) {
        t.m.cpu.rip = place::code;
        t.m.cpu.r[rcx] = 0x1D9;
        t.m.cpu.r[rax] = value & 0xFFFF'FFFF;
        t.m.cpu.r[rdx] = value >> 32;
    };
    write(0x783);
    t.m.run(2);
    EXPECT_EQ(t.m.cpu.r[rax], 3u);
    for (std::uint64_t refused : {4ull, 8ull, 1ull << 11, 1ull << 32}) {
        write(refused);
        EXPECT_EQ(t.run_to_handler(), vector::gp);
    }
}

}  // namespace
}  // namespace faultline::engine
