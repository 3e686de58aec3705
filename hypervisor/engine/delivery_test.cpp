// Events through the IDT. AMD APM vol 2, "Exceptions and Interrupts"; offsets and values as literals.
#include <gtest/gtest.h>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {
namespace {

struct Delivered : testing::Test {
    TestMachine t;

    void gate(int vector, std::uint64_t low) { t.write(place::idt + 16u * static_cast<unsigned>(vector), low); }
    std::uint64_t gate(int vector) { return t.read(place::idt + 16u * static_cast<unsigned>(vector)); }
};

TEST_F(Delivered, AFaultPushesItsOwnRipAndSetsRfInTheImage) {
    t.code({0x90, 0x0F, 0x0B});  // nop; ud2
    t.set_rflags(rflags::if_ | rflags::cf);
    EXPECT_EQ(t.run_to_handler(), vector::ud);
    const auto f = t.frame();
    EXPECT_EQ(f.rip, place::code + 1);
    EXPECT_EQ(f.cs, place::kernel_cs);
    EXPECT_EQ(f.rflags, rflags::fixed1 | rflags::if_ | rflags::cf | rflags::rf);
    EXPECT_EQ(f.rsp, place::stack);
    EXPECT_EQ(f.ss, place::kernel_ss);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1 | rflags::cf);
}

TEST_F(Delivered, RspIsAlignedTo16BeforeTheFrameAndPushedAsItWas) {
    t.code({0x0F, 0x0B});
    t.m.cpu.r[rsp] = place::stack - 3;
    EXPECT_EQ(t.run_to_handler(), vector::ud);
    EXPECT_EQ(t.frame().rsp, place::stack - 3);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 16 - 40);
}

TEST_F(Delivered, FromCpl3TheStackIsRsp0AndSsIsNull) {
    t.at_cpl3();
    t.code({0xF4});  // hlt
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.m.cpu.r[rsp], place::rsp0 - 48);
    EXPECT_EQ(t.frame(true).error, 0u);
    EXPECT_EQ(t.frame(true).ss, place::user_ss);
    EXPECT_EQ(t.m.cpu.segment[ss].selector, 0);
    EXPECT_EQ(t.m.cpu.cpl, 0);
}

TEST_F(Delivered, AnIstGateSwitchesStacksWithoutAChangeOfPrivilege) {
    gate(6, gate(6) | 1ull << 32);
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
    EXPECT_EQ(t.m.cpu.r[rsp], place::ist1 - 40);
    EXPECT_EQ(t.frame().rsp, place::stack);
}

TEST_F(Delivered, ATrapGateKeepsIfAndBothGatesClearTfNtRf) {
    gate(0x20, gate(0x20) | 1ull << 40);  // type 15
    t.code({0xCD, 0x20});
    t.set_rflags(rflags::if_ | rflags::nt | rflags::ac | rflags::df);
    EXPECT_EQ(t.run_to_handler(), 0x20);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1 | rflags::if_ | rflags::ac | rflags::df);
    EXPECT_EQ(t.frame().rflags, rflags::fixed1 | rflags::if_ | rflags::nt | rflags::ac | rflags::df);
    EXPECT_EQ(t.frame().rip, place::code + 2);
}

TEST_F(Delivered, OnlySoftwareInterruptsCheckTheGatesDpl) {
    t.at_cpl3();
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0x20u * 8 + 2);
    EXPECT_EQ(t.frame(true).rip, place::code);
    t.at_cpl3();
    t.m.cpu.rip = place::code + 0x10;
    t.code({0xF1}, place::code + 0x10);  // icebp
    EXPECT_EQ(t.run_to_handler(), vector::db);
}

TEST_F(Delivered, AnAbsentGateIsNotPresentWithExtUnlessSoftwareCameToIt) {
    gate(0x20, gate(0x20) & ~(1ull << 47));
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.run_to_handler(), vector::np);
    EXPECT_EQ(t.frame(true).error, 0x20u * 8 + 2);
    gate(1, gate(1) & ~(1ull << 47));
    t.code({0xF1}, place::code);
    t.m.cpu.rip = place::code;
    EXPECT_EQ(t.run_to_handler(), vector::np);
    EXPECT_EQ(t.frame(true).error, 0x0Bu);
    EXPECT_EQ(t.frame(true).rip, place::code);
}

TEST_F(Delivered, AVectorBeyondTheIdtLimitIsGeneralProtection) {
    t.m.cpu.idt_limit = 0x20 * 16 + 14;  // one byte short of vector 20h
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0x20u * 8 + 2);
}

TEST_F(Delivered, ATaskGateIsGeneralProtectionInLongMode) {
    gate(6, (gate(6) & ~(0x1Full << 40)) | 5ull << 40);
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 6u * 8 + 3);
}

TEST_F(Delivered, AGateToADataSegmentIsGeneralProtectionWithTheSelector) {
    gate(6, (gate(6) & ~0xFFFF'0000ull) | std::uint64_t{place::kernel_ss} << 16);
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, place::kernel_ss | 1u);
}

TEST_F(Delivered, AFaultWhileDeliveringAContributoryOneIsADoubleFaultWithErrorZero) {
    gate(13, 0);
    t.at_cpl3();
    t.code({0xF4});
    EXPECT_EQ(t.run_to_handler(), vector::df);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(Delivered, ABenignEventThenAFaultIsTheFaultAlone) {
    gate(6, 0);
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 6u * 8 + 3);
    EXPECT_EQ(t.frame(true).rip, place::code);
}

TEST_F(Delivered, APageFaultOnTheWayToADivideErrorIsAPageFault) {
    t.at_cpl3();
    t.write(place::pt + (place::rsp0 - 0x1000) / 0x1000 * 8, 0);
    t.write(place::tss + 4, place::rsp0);
    gate(14, gate(14) | 1ull << 32);   // its own stack
    t.code({0x31, 0xC9, 0xF7, 0xF1});  // xor ecx, ecx; div ecx
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_EQ(t.frame(true).error, pf::write);  // implicit: not a user access
    EXPECT_EQ(t.frame(true).rip, place::code + 2);
    EXPECT_EQ(t.m.cpu.cr2, place::rsp0 - 40);
}

TEST_F(Delivered, APageFaultThenAPageFaultIsADoubleFault) {
    t.at_cpl3();
    t.write(place::pt + (place::rsp0 - 0x1000) / 0x1000 * 8, 0);
    gate(8, gate(8) | 1ull << 32);
    t.code({0xA0, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00});  // mov al, [0x100000]: absent
    t.write(place::pd, place::pt | 7);
    t.write(place::pd + 8, 0);
    t.code({0xA0, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00});  // mov al, [0x200000]
    EXPECT_EQ(t.run_to_handler(), vector::df);
    EXPECT_EQ(t.m.cpu.cr2, place::rsp0 - 48);  // of the second one
}

TEST_F(Delivered, AFaultOnTheWayToADoubleFaultIsAShutdown) {
    t.m.cpu.idt_limit = 0;
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.run_to_handler(), -1);
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
}

TEST_F(Delivered, NonCanonicalRspIsAStackFaultOfTheDelivery) {
    gate(12, gate(12) | 1ull << 32);
    t.m.cpu.r[rsp] = 0x0000'8000'0000'0100;
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.run_to_handler(), vector::ss);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(Delivered, ATssTooShortForItsStacksEndsInAShutdown) {
    t.at_cpl3();
    t.m.cpu.tr.limit = 10;
    t.code({0x0F, 0x0B});
    t.m.run(50);
    // #TS cannot be delivered either, nor #DF: they want the same slot.
    EXPECT_EQ(t.m.exit, Exit::Shutdown);
}

TEST_F(Delivered, IntThirteenPushesNoErrorCode) {
    t.code({0xCD, 0x0D});
    EXPECT_EQ(t.run_to_handler(), 13);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 40);
}

TEST_F(Delivered, IretReturnsWhatWasPushed) {
    t.code({0xCD, 0x20, 0xCC});
    t.code({0x48, 0xCF}, place::handlers + 16 * 0x20);
    t.at_cpl3();
    t.m.cpu.r[rsp] = place::stack - 5;
    gate(0x20, gate(0x20) | 3ull << 45);
    gate(3, gate(3) | 3ull << 45);
    t.set_rflags(rflags::if_ | rflags::zf | rflags::ac);
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    const auto f = t.frame();
    EXPECT_EQ(f.rip, place::code + 3);
    EXPECT_EQ(f.cs, place::user_cs);
    EXPECT_EQ(f.ss, place::user_ss);
    EXPECT_EQ(f.rsp, place::stack - 5);
    EXPECT_EQ(f.rflags, rflags::fixed1 | rflags::if_ | rflags::zf | rflags::ac);
}

struct Iret : Delivered {
    /// IRETQ with this frame on the stack.
    int iret(std::uint64_t rip, std::uint64_t new_cs, std::uint64_t flags, std::uint64_t new_rsp,
             std::uint64_t new_ss) {
        const std::uint64_t frame[] = {rip, new_cs, flags, new_rsp, new_ss};
        for (std::size_t n = 0; n < 5; ++n) t.write(place::stack + 8 * n, frame[n]);
        t.code({0x48, 0xCF});
        t.m.cpu.rip = place::code;
        t.m.cpu.r[rsp] = place::stack;
        return t.run_to_handler();
    }
};

TEST_F(Iret, WithNtSetIsGeneralProtection) {
    t.set_rflags(rflags::nt);
    EXPECT_EQ(iret(place::code + 0x100, place::kernel_cs, 2, place::stack, place::kernel_ss), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(Iret, ToANonCanonicalRipFaultsOnTheIretAndChangesNothing) {
    EXPECT_EQ(iret(0x0000'8000'0000'0000, place::kernel_cs, 2, place::data, place::kernel_ss), vector::gp);
    EXPECT_EQ(t.frame(true).rip, place::code);
    EXPECT_EQ(t.frame(true).rsp, place::stack);
}

TEST_F(Iret, NullSsIsAllowedAtCpl0ButNotAtCpl3) {
    t.code({0x0F, 0x0B}, place::code + 0x100);
    EXPECT_EQ(iret(place::code + 0x100, place::kernel_cs, 2, place::stack, 0), vector::ud);
    EXPECT_EQ(iret(place::code + 0x100, place::user_cs, 2, place::stack, 3), vector::gp);
}

TEST_F(Iret, SsOfAnotherPrivilegeIsGeneralProtectionWithItsSelector) {
    EXPECT_EQ(iret(place::code + 0x100, place::user_cs, 2, place::stack, place::kernel_ss), vector::gp);
    EXPECT_EQ(t.frame(true).error, place::kernel_ss);
}

TEST_F(Iret, AtCpl3KeepsIfAndIopl) {
    t.at_cpl3();
    t.set_rflags(rflags::if_);
    t.code({0x0F, 0x0B}, place::code + 0x100);
    EXPECT_EQ(iret(place::code + 0x100, place::user_cs, rflags::fixed1 | rflags::iopl | rflags::cf, place::stack,
                   place::user_ss),
              vector::ud);
    EXPECT_EQ(t.frame().rflags & ~rflags::rf, rflags::fixed1 | rflags::if_ | rflags::cf);
}

TEST_F(Delivered, SyscallAndSysretMoveRipAndFlagsThroughRcxAndR11) {
    t.m.cpu.star = 0x0013'0008'0000'0000;
    t.m.cpu.lstar = place::code + 0x100;
    t.m.cpu.sfmask = rflags::if_;
    t.code({0x0F, 0x05, 0xF4});                       // syscall; hlt
    t.code({0x48, 0x0F, 0x07}, place::code + 0x100);  // sysret
    t.at_cpl3();
    t.set_rflags(rflags::if_ | rflags::cf);
    EXPECT_EQ(t.step(), Exit::StepLimit);
    EXPECT_EQ(t.m.cpu.rip, place::code + 0x100);
    EXPECT_EQ(t.m.cpu.cpl, 0);
    EXPECT_EQ(t.m.cpu.r[rcx], place::code + 2);
    EXPECT_EQ(t.m.cpu.r[11], rflags::fixed1 | rflags::if_ | rflags::cf);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1 | rflags::cf);
    EXPECT_EQ(t.m.cpu.segment[cs].selector, 8);
    EXPECT_EQ(t.m.cpu.segment[ss].selector, 0x10);
    EXPECT_EQ(t.run_to_handler(), vector::gp);  // HLT at CPL3
    EXPECT_EQ(t.frame(true).rip, place::code + 2);
    EXPECT_EQ(t.frame(true).cs, 0x23u);
    EXPECT_EQ(t.frame(true).ss, 0x1Bu);
    EXPECT_EQ(t.frame(true).rflags, rflags::fixed1 | rflags::if_ | rflags::cf | rflags::rf);
}

TEST_F(Delivered, SysretDoesNotCheckItsTargetTheFetchDoes) {
    t.m.cpu.star = 0x0013'0008'0000'0000;
    t.m.cpu.r[rcx] = 0x0000'8000'0000'0000;
    t.m.cpu.r[11] = 2;
    t.code({0x48, 0x0F, 0x07});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).rip, 0x0000'8000'0000'0000u);
    EXPECT_EQ(t.frame(true).cs, 0x23u);
}

TEST_F(Delivered, ABranchToANonCanonicalAddressFaultsOnTheBranch) {
    t.m.cpu.r[rax] = 0x0000'8000'0000'0000;
    t.code({0xFF, 0xD0});  // call rax
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).rip, place::code);
    EXPECT_EQ(t.frame(true).rsp, place::stack);
}

struct Interrupts : Delivered {};

TEST_F(Interrupts, AnInterruptWaitsForIfAndForTheInstructionAfterSti) {
    t.code({0x90, 0xFB, 0x90, 0x90});  // nop; sti; nop; nop
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.run_to_handler(), 0x30);
    EXPECT_EQ(t.frame().rip, place::code + 3);
}

TEST_F(Interrupts, AnNmiIsBlockedUntilIret) {
    t.code({0x90, 0x90, 0x90});
    t.m.inject_nmi();
    EXPECT_EQ(t.run_to_handler(), vector::nmi);
    t.m.inject_nmi();
    t.code({0x90, 0x48, 0xCF}, place::handlers + 2 * 16 + 1);
    t.m.run(2);  // nop; iretq
    EXPECT_EQ(t.m.cpu.rip, place::code);
    EXPECT_EQ(t.run_to_handler(), vector::nmi);
}

TEST_F(Interrupts, HltEndsTheRunAndAnInterruptWakesIt) {
    t.code({0xFB, 0xF4, 0x90});  // sti; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.run(10), Exit::Halted);
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.run_to_handler(), 0x30);
    EXPECT_EQ(t.frame().rip, place::code + 2);
}

TEST_F(Interrupts, WithIfClearAnInterruptDoesNotWakeAHltButAnNmiDoes) {
    t.code({0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.m.run(10), Exit::Halted);
    t.m.inject_nmi();
    EXPECT_EQ(t.run_to_handler(), vector::nmi);
}

TEST_F(Interrupts, AFaultWhileDeliveringAnInterruptHasExt) {
    gate(0x30, 0);
    t.code({0x90});
    t.set_rflags(rflags::if_);
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0x30u * 8 + 3);
}

}  // namespace
}  // namespace faultline::engine
