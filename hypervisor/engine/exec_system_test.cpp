// Strings, stack, ports, segments, control registers and MSRs: facts that the corpus of cases does not reach.
#include <gtest/gtest.h>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {
namespace {

struct Instructions : testing::Test {
    TestMachine t;
    Cpu& cpu = t.m.cpu;
};

// ---- Strings --------------------------------------------------------------------------------------------------

TEST_F(Instructions, RepMovsCopiesUpAndDown) {
    t.write(place::data, 0x0807'0605'0403'0201);
    cpu.r[rsi] = place::data;
    cpu.r[rdi] = place::data + 0x100;
    cpu.r[rcx] = 8;
    t.code({0xF3, 0xA4, 0xCC});
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.read(place::data + 0x100), 0x0807'0605'0403'0201u);
    EXPECT_EQ(cpu.r[rsi], place::data + 8);
    cpu.rip = place::code;
    cpu.r[rdi] = place::data + 0x207;
    cpu.r[rsi] = place::data + 7;
    cpu.r[rcx] = 3;
    t.set_rflags(rflags::df);
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.read(place::data + 0x200), 0x0807'0600'0000'0000u);
    EXPECT_EQ(cpu.r[rdi], place::data + 0x204);
}

TEST_F(Instructions, RepeWithEqualElementsRunsOutAndStopsAtADifference) {
    t.write(place::data, 0x1111'2211'1111'1111);
    cpu.r[rax] = 0x11;
    cpu.r[rdi] = place::data;
    cpu.r[rcx] = 8;
    t.code({0xF3, 0xAE, 0xCC});  // repe scasb
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(cpu.r[rdi], place::data + 6);
    EXPECT_EQ(cpu.r[rcx], 2u);
    EXPECT_EQ(cpu.rflags & rflags::zf, 0u);
    cpu.rip = place::code;
    t.code({0xF2});  // repne: stops at an equal one
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(cpu.r[rcx], 1u);
    EXPECT_NE(cpu.rflags & rflags::zf, 0u);
}

TEST_F(Instructions, RepWithACountOfZeroTouchesNothing) {
    cpu.r[rdi] = 0x20'0000;  // not mapped
    t.code({0xF3, 0xAA, 0xCC});
    EXPECT_EQ(t.run_to_handler(), vector::bp);
}

TEST_F(Instructions, AFaultInRepLeavesTheStateOfTheLastCompletedIteration) {
    t.write(place::pt + (place::data + 0x1000) / 0x1000 * 8, 0);
    cpu.r[rdi] = place::data + 0xFFE;
    cpu.r[rcx] = 5;
    t.code({0xF3, 0xAA});
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_EQ(cpu.r[rcx], 3u);
    EXPECT_EQ(cpu.r[rdi], place::data + 0x1000);
    EXPECT_EQ(t.frame(true).rip, place::code);
    EXPECT_NE(t.frame(true).rflags & rflags::rf, 0u);
}

TEST_F(Instructions, AnAddressSizePrefixMakesIndexRegistersThirtyTwoBits) {
    cpu.r[rdi] = 0xFFFF'0000'0000'0000 | place::data;
    cpu.r[rcx] = 0xFFFF'FFFF'0000'0002;
    t.code({0x67, 0xF3, 0xAA, 0xCC});
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(cpu.r[rcx], 0u);
    EXPECT_EQ(cpu.r[rdi], place::data + 2);
}

// ---- Stack ----------------------------------------------------------------------------------------------------

TEST_F(Instructions, PushRspPushesTheOldValueAndPopToRspBasedMemoryUsesTheNew) {
    t.code({0x54, 0x8F, 0x04, 0x24, 0xCC});  // push rsp; pop [rsp]
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.read(place::stack), place::stack);
}

TEST_F(Instructions, EnterBuildsNestedFramesThatLeaveTearsDown) {
    cpu.r[rbp] = place::stack + 0x100;
    t.write(place::stack + 0x100 - 8, 0xAAAA);
    t.code({0xC8, 0x10, 0x00, 0x02, 0xC9, 0xCC});  // enter 16, 2; leave
    t.step();
    EXPECT_EQ(cpu.r[rbp], place::stack - 8);
    EXPECT_EQ(cpu.r[rsp], place::stack - 24 - 16);
    EXPECT_EQ(t.read(place::stack - 16), 0xAAAAu);
    EXPECT_EQ(t.read(place::stack - 24), place::stack - 8);
    t.step();
    EXPECT_EQ(cpu.r[rsp], place::stack);
    EXPECT_EQ(cpu.r[rbp], place::stack + 0x100);
}

TEST_F(Instructions, PopfAtCpl3KeepsIfAndIoplSilently) {
    t.at_cpl3();
    t.set_rflags(rflags::if_);
    t.write(place::stack, rflags::iopl | rflags::cf | rflags::vm | rflags::rf);
    t.code({0x9D});
    t.step();
    EXPECT_EQ(cpu.rflags, rflags::fixed1 | rflags::if_ | rflags::cf);
}

TEST_F(Instructions, AnRspBasedNonCanonicalAddressIsAStackFaultUnlessFsOrGsOverridesIt) {
    cpu.r[rbp] = 0x0000'8000'0000'0000;
    t.code({0x48, 0x8B, 0x45, 0x00});  // mov rax, [rbp]
    EXPECT_EQ(t.run_to_handler(), vector::ss);
    cpu.rip = place::code;
    t.code({0x64, 0x48, 0x8B, 0x45, 0x00});
    EXPECT_EQ(t.run_to_handler(), vector::gp);
}

// ---- Ports ----------------------------------------------------------------------------------------------------

TEST_F(Instructions, PortsAtCpl3AreTheOnesTheBitmapAllows) {
    t.write(place::tss + 0x68 + 0x80 / 8, 0xFFFF'FFFF'FFFF'FF02);  // only port 81h denied in the first eight
    t.at_cpl3();
    t.code({0xE4, 0x80, 0xE5, 0x80});  // in al, 80h; in eax, 80h
    cpu.r[rax] = 0x1234'5678;
    t.step();
    EXPECT_EQ(cpu.r[rax], 0x1234'5600u);
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).rip, place::code + 2);
}

TEST_F(Instructions, IoplThreeOpensEveryPort) {
    t.write(place::tss + 0x68 + 0x80 / 8, ~0ull);
    t.at_cpl3();
    t.set_rflags(rflags::iopl);
    t.code({0xE4, 0x80, 0xCC});
    EXPECT_EQ(t.run_to_handler(), vector::gp);  // INT3 through a DPL 0 gate
    EXPECT_EQ(t.frame(true).rip, place::code + 2);
}

// ---- Segments -------------------------------------------------------------------------------------------------

TEST_F(Instructions, MovToCsIsUndefined) {
    t.code({0x8E, 0xC8});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

TEST_F(Instructions, LoadingSsChecksPrivilegeAndTypeAndNullOnlyAtCpl3) {
    const auto load_ss = [&](std::uint64_t selector) {
        cpu.rip = place::code;
        cpu.r[rax] = selector;
        t.code({0x8E, 0xD0, 0xCC});
        return t.run_to_handler();
    };
    EXPECT_EQ(load_ss(0), vector::bp);
    EXPECT_EQ(load_ss(place::kernel_cs), vector::gp);
    EXPECT_EQ(t.frame(true).error, place::kernel_cs);
    EXPECT_EQ(load_ss(place::user_ss), vector::gp);
    EXPECT_EQ(t.frame(true).error, place::user_ss & ~3u);
    EXPECT_EQ(load_ss(0x100), vector::gp);
    t.write(place::gdt + 0x10, 0x00CF'1300'0000'FFFF);  // not present
    EXPECT_EQ(load_ss(place::kernel_ss), vector::ss);
    EXPECT_EQ(t.frame(true).error, place::kernel_ss);
    t.at_cpl3();
    EXPECT_EQ(load_ss(3), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(Instructions, ASegmentLoadSetsTheAccessedBit) {
    t.write(place::gdt + 0x18, 0x00CF'F200'0000'FFFF);
    cpu.r[rax] = place::user_ss;
    t.code({0x8E, 0xD8});  // mov ds, eax
    t.step();
    EXPECT_EQ(t.read(place::gdt + 0x18), 0x00CF'F300'0000'FFFFu);
    EXPECT_EQ(cpu.segment[ds].selector, place::user_ss);
}

TEST_F(Instructions, FsAndGsBasesComeFromTheirMsrsAndSwapgsExchangesThem) {
    cpu.segment[gs].base = 0x1111;
    cpu.kernel_gs_base = place::data;
    t.write(place::data + 8, 0x4242);
    t.code({0x0F, 0x01, 0xF8, 0x65, 0x48, 0x8B, 0x04, 0x25, 0x08, 0, 0, 0});  // swapgs; mov rax, gs:[8]
    t.m.run(2);
    EXPECT_EQ(cpu.r[rax], 0x4242u);
    EXPECT_EQ(cpu.kernel_gs_base, 0x1111u);
}

TEST_F(Instructions, LtrLoadsSixteenBytesAndMarksTheTssBusy) {
    t.write(place::gdt + 0x28, 0x0000'8900'6000'2068);
    t.write(place::gdt + 0x30, 0);
    cpu.r[rax] = 0x28;
    t.code({0x0F, 0x00, 0xD8, 0x0F, 0x00, 0xD8});  // ltr ax, twice
    t.step();
    EXPECT_EQ(cpu.tr.base, 0x6000u);
    EXPECT_EQ(t.read(place::gdt + 0x28) >> 40 & 0xFF, 0x8Bu);
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0x28u);
}

TEST_F(Instructions, SysenterAndSysexitAreUndefinedInLongMode) {
    t.code({0x0F, 0x34});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
    cpu.rip = place::code;
    t.code({0x0F, 0x35});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

// ---- Control registers and MSRs -------------------------------------------------------------------------------

TEST_F(Instructions, ControlRegisterWritesRefuseWhatLongModeForbids) {
    const auto refuses = [&](int modrm, std::uint64_t value) {
        cpu.rip = place::code;
        cpu.r[rax] = value;
        t.code({0x0F, 0x22, modrm, 0xCC});
        return t.run_to_handler() == vector::gp;
    };
    EXPECT_FALSE(refuses(0xC0, cpu.cr0));
    EXPECT_TRUE(refuses(0xC0, cpu.cr0 & ~cr0::pg));
    EXPECT_TRUE(refuses(0xC0, cpu.cr0 | cr0::nw));
    EXPECT_TRUE(refuses(0xC0, cpu.cr0 | 1ull << 32));
    EXPECT_FALSE(refuses(0xE0, cpu.cr4 | cr4::de));
    EXPECT_TRUE(refuses(0xE0, cpu.cr4 & ~cr4::pae));
    EXPECT_TRUE(refuses(0xE0, cpu.cr4 | 1ull << 20));  // SMEP, which CPUID does not announce
    EXPECT_TRUE(refuses(0xD8, 1ull << 52));
}

TEST_F(Instructions, UnknownMsrsAndNonCanonicalAddressesAreGeneralProtection) {
    const auto wrmsr = [&](std::uint32_t index, std::uint64_t value) {
        cpu.rip = place::code;
        cpu.r[rcx] = index;
        cpu.r[rax] = value & 0xFFFF'FFFF;
        cpu.r[rdx] = value >> 32;
        t.code({0x0F, 0x30, 0xCC});
        return t.run_to_handler();
    };
    EXPECT_EQ(wrmsr(0x1234, 0), vector::gp);
    EXPECT_EQ(wrmsr(0xC000'0082, 0x0000'8000'0000'0000), vector::gp);
    EXPECT_EQ(wrmsr(0xC000'0082, 0xFFFF'8000'0000'0000), vector::bp);
    EXPECT_EQ(cpu.lstar, 0xFFFF'8000'0000'0000u);
    EXPECT_EQ(wrmsr(0xC000'0080, cpu.efer & ~efer::lme), vector::gp);
    EXPECT_EQ(wrmsr(0xC000'0080, cpu.efer & ~efer::sce), vector::bp);
    t.code({0x0F, 0x05});  // syscall, now switched off
    cpu.rip = place::code;
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

TEST_F(Instructions, CpuidSaysAuthenticAmdFamilyNineteen) {
    t.code({0x0F, 0xA2});
    cpu.r[rax] = 0;
    t.step();
    EXPECT_EQ(cpu.r[rbx], 0x6874'7541u);
    EXPECT_EQ(cpu.r[rdx], 0x6974'6E65u);
    EXPECT_EQ(cpu.r[rcx], 0x444D'4163u);
    cpu.rip = place::code;
    cpu.r[rax] = 1;
    t.step();
    EXPECT_EQ((cpu.r[rax] >> 8 & 0xF) + (cpu.r[rax] >> 20 & 0xFF), 0x19u);
}

TEST_F(Instructions, TheTimeStampCounterCountsStepsFromWhatWasWritten) {
    t.code({0x0F, 0x30, 0x90, 0x0F, 0x31, 0xCC});  // wrmsr; nop; rdtsc
    cpu.r[rcx] = 0x10;
    cpu.r[rax] = 1000;
    cpu.r[rdx] = 0;
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(cpu.r[rax], 1002u);
}

TEST_F(Instructions, PrivilegedInstructionsAtCpl3AreGeneralProtection) {
    for (const auto& bytes : {std::initializer_list<int>{0xF4},
                              {0x0F, 0x30},
                              {0x0F, 0x32},
                              {0x0F, 0x20, 0xC0},
                              {0x0F, 0x06},
                              {0x0F, 0x09},
                              {0x0F, 0x01, 0x38},
                              {0x0F, 0x01, 0xF8},
                              {0xFA}}) {
        cpu.rip = place::code;
        t.at_cpl3();
        t.set_rflags(0);
        t.code(bytes);
        EXPECT_EQ(t.run_to_handler(), vector::gp);
        EXPECT_EQ(t.frame(true).error, 0u);
    }
}

// ---- Far transfers --------------------------------------------------------------------------------------------

TEST_F(Instructions, FarCallAndReturnGoByTheSelector) {
    t.write(place::data, place::code + 0x100);
    t.write(place::data + 8, place::kernel_cs);
    cpu.r[rbx] = place::data;
    t.code({0x48, 0xFF, 0x1B, 0xCC});           // rex.w call far [rbx]
    t.code({0x48, 0xCB}, place::code + 0x100);  // rex.w retf
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.frame().rip, place::code + 4);
    EXPECT_EQ(t.frame().rsp, place::stack);
    t.write(place::data + 8, place::kernel_ss);
    cpu.rip = place::code;
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, place::kernel_ss);
}

}  // namespace
}  // namespace faultline::engine
