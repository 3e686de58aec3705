// Events, IRET and far transfers in real mode. AMD APM vol 2, "Real-Mode Interrupt Control Transfers", "Real Mode";
// SDM vol 3, "Interrupt and Exception Handling" of real-address mode, where AMD says nothing.
#include <gtest/gtest.h>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

struct RealMode : testing::Test {
    LegacyMachine t;
    Cpu& cpu = t.m.cpu;
    RealMode() { t.real_mode(); }
    /// From offset 0 of CS, at `place::code`.
    int step() {
        cpu.segment[cs] = {place::code >> 4, place::code, 0xFFFF, 0x9B};
        t.m.segments_changed();
        return t.step_from(0);
    }
};

TEST_F(RealMode, AFrameIsFlagsCsIpInWordsAndHasNoErrorCode) {
    t.code({0xCD, 0x0D});
    t.set_rflags(rflags::if_ | rflags::tf | rflags::nt | rflags::ac | rflags::cf | rflags::iopl);
    t.m.drop(Machine::trap_flag);
    EXPECT_EQ(step(), 13);
    EXPECT_EQ(cpu.r[rsp], 0x100u - 6);
    EXPECT_EQ(t.slot16(0), 2u);
    EXPECT_EQ(t.slot16(1), 0x2000u);
    EXPECT_EQ(t.slot16(2), 0x7303u);
    EXPECT_EQ(cpu.segment[cs].selector, 0x0B00);
    EXPECT_EQ(cpu.segment[cs].base, 0xB000u);
    EXPECT_EQ(cpu.rflags, 0x7003u);  // IF, TF and AC are cleared, NT and IOPL are not
}

TEST_F(RealMode, AFaultPushesItsOwnIpAndNoErrorCode) {
    t.code({0x67, 0x66, 0x8B, 0x05, 0xFE, 0xFF, 0x00, 0x00});  // mov eax, [0FFFEh]: beyond the limit
    EXPECT_EQ(step(), vector::gp);
    EXPECT_EQ(cpu.r[rsp], 0x100u - 6);
    EXPECT_EQ(t.slot16(0), 0u);
}

TEST_F(RealMode, AWordAtFfffIsGeneralProtectionOrAStackFaultBySegment) {
    t.code({0xA1, 0xFF, 0xFF});  // mov ax, [0FFFFh]
    EXPECT_EQ(step(), vector::gp);
    t.code({0x36, 0xA1, 0xFF, 0xFF});  // ss:
    EXPECT_EQ(step(), vector::ss);
}

TEST_F(RealMode, PushWithSpZeroWrapsToFffe) {
    cpu.r[rsp] = 0;
    t.code({0x50});
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.r[rsp], 0xFFFEu);
}

TEST_F(RealMode, PushWithSpOneIsAShutdown) {
    cpu.r[rsp] = 1;
    t.code({0x50});
    step();
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
}

TEST_F(RealMode, AFrameWrapsWithSp) {
    cpu.r[rsp] = 4;
    t.code({0xCC});
    EXPECT_EQ(step(), vector::bp);
    EXPECT_EQ(cpu.r[rsp], 0xFFFEu);
    EXPECT_EQ(t.read16(place::stack + 0xFFFE), 1u);
    EXPECT_EQ(t.read16(place::stack), 0x2000u);
}

TEST_F(RealMode, OnlySpOfTheStackPointerMoves) {
    cpu.r[rsp] = 0xABCD'0100;
    t.code({0xCC});
    EXPECT_EQ(step(), vector::bp);
    EXPECT_EQ(cpu.r[rsp], 0xABCD'00FAu);
}

TEST_F(RealMode, AVectorBeyondTheLimitIsGeneralProtectionThenDoubleFaultThenShutdown) {
    cpu.idt_limit = 0x20 * 4 + 2;
    t.code({0xCD, 0x20});
    EXPECT_EQ(step(), vector::gp);
    EXPECT_EQ(t.slot16(0), 0u);
    cpu.idt_limit = 13 * 4 + 2;  // #GP has no entry either, #DF has
    EXPECT_EQ(step(), vector::df);
    EXPECT_EQ(t.slot16(0), 0u);
    EXPECT_EQ(t.slot16(1), 0x2000u);
    cpu.idt_limit = 8 * 4 + 2;
    step();
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
}

TEST_F(RealMode, TheTableMovesWithIdtr) {
    cpu.idt_base = place::data;
    t.write32(place::data + 4 * 3, 0x0B00'0010);
    t.code({0xCC});
    EXPECT_EQ(step(), 1);
}

TEST_F(RealMode, IntoBoundAndIcebpGoThroughTheTable) {
    t.set_rflags(rflags::of);
    t.code({0xCE});
    EXPECT_EQ(step(), vector::of);
    EXPECT_EQ(t.slot16(0), 1u);
    t.code({0xF1});
    EXPECT_EQ(step(), vector::db);
    EXPECT_EQ(t.slot16(0), 1u);
    t.code({0x62, 0x06, 0x00, 0x00});  // bound ax, [0]
    t.write32(place::data, 0x0005'0001);
    cpu.r[rax] = 0;
    EXPECT_EQ(step(), vector::br);
    EXPECT_EQ(t.slot16(0), 0u);
    cpu.r[rax] = 5;
    EXPECT_EQ(step(), -1);
}

// ---- IRET -----------------------------------------------------------------------------------------------------

TEST_F(RealMode, IretLoadsSixteenFlagsAndIgnoresNt) {
    t.set_rflags(rflags::nt | rflags::ac | rflags::id);
    t.write16(place::stack + 0x100, 0x1234);
    t.write16(place::stack + 0x102, 0x2100);
    t.write16(place::stack + 0x104, 0x3203);
    t.code({0xCF});
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.rip, 0x1234u);
    EXPECT_EQ(cpu.segment[cs].selector, 0x2100);
    EXPECT_EQ(cpu.segment[cs].base, 0x21000u);
    EXPECT_EQ(cpu.r[rsp], 0x106u);
    EXPECT_EQ(cpu.rflags, 0x24'3203u);
}

TEST_F(RealMode, IretdLoadsRfAcAndIdAndKeepsVmVifVip) {
    t.write32(place::stack + 0x100, 0x10);
    t.write32(place::stack + 0x104, 0xFFFF'2000);
    t.write32(place::stack + 0x108, 0xFFFF'FFFF);
    t.code({0x66, 0xCF});
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.rip, 0x10u);
    EXPECT_EQ(cpu.r[rsp], 0x10Cu);
    EXPECT_EQ(cpu.rflags, 0x25'7FD7u);
}

TEST_F(RealMode, IretdToAnIpBeyondTheLimitFaultsOnTheIret) {
    t.write32(place::stack + 0x100, 0x1'0000);
    t.code({0x66, 0xCF});
    EXPECT_EQ(step(), vector::gp);
    EXPECT_EQ(t.slot16(0), 0u);
    EXPECT_EQ(cpu.r[rsp], 0x100u - 6);
}

TEST_F(RealMode, IretUnblocksNmi) {
    t.m.inject_nmi();
    t.code({0x90});
    EXPECT_EQ(step(), vector::nmi);
    EXPECT_TRUE(t.m.nmi_blocked);
    t.code({0xCF}, place::handlers + 2 * 16);
    t.m.run(1);
    EXPECT_FALSE(t.m.nmi_blocked);
    EXPECT_EQ(cpu.rip, 0u);
    EXPECT_EQ(cpu.segment[cs].selector, 0x2000);
}

// ---- Far transfers and segment loads ----------------------------------------------------------------------------

TEST_F(RealMode, FarJumpsMakeTheBaseFromTheSelector) {
    t.code({0xEA, 0x34, 0x12, 0x56, 0x30});  // jmp 3056h:1234h
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.rip, 0x1234u);
    EXPECT_EQ(cpu.segment[cs].selector, 0x3056);
    EXPECT_EQ(cpu.segment[cs].base, 0x30560u);
    EXPECT_EQ(cpu.segment[cs].limit, 0xFFFFu);
    t.code({0x66, 0xEA, 0x00, 0x00, 0x01, 0x00, 0x00, 0x30});  // jmp 3000h:10000h
    EXPECT_EQ(step(), vector::gp);
    EXPECT_EQ(t.slot16(0), 0u);
}

TEST_F(RealMode, FarCallAndReturn) {
    t.code({0x9A, 0x10, 0x00, 0x00, 0x21});  // call 2100h:10h
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.rip, 0x10u);
    EXPECT_EQ(t.slot16(0), 5u);
    EXPECT_EQ(t.slot16(1), 0x2000u);
    t.code({0xCA, 0x04, 0x00}, 0x21010);  // retf 4
    t.m.run(1);
    EXPECT_EQ(cpu.rip, 5u);
    EXPECT_EQ(cpu.segment[cs].selector, 0x2000);
    EXPECT_EQ(cpu.r[rsp], 0x104u);
}

TEST_F(RealMode, SegmentLoadsKeepLimitAndAttributes) {
    cpu.segment[es].limit = 0xFFFF'FFFF;  // as protected mode may have left it
    cpu.r[rax] = 0x1234;
    t.code({0x8E, 0xC0});  // mov es, ax
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.segment[es].base, 0x12340u);
    EXPECT_EQ(cpu.segment[es].limit, 0xFFFF'FFFFu);
    cpu.r[rax] = 0;
    t.code({0x8E, 0xD0});  // mov ss, ax: null is nothing special
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.segment[ss].base, 0u);
    EXPECT_EQ(t.m.shadow, Shadow::MovSs);
}

TEST_F(RealMode, LdsLoadsBothHalves) {
    t.write32(place::data + 8, 0x5000'0042);
    t.code({0xC5, 0x1E, 0x08, 0x00});  // lds bx, [8]
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.r[rbx], 0x42u);
    EXPECT_EQ(cpu.segment[ds].base, 0x50000u);
}

TEST_F(RealMode, LidtTakesTwentyFourBitsOfBaseWithASixteenBitOperand) {
    t.write16(place::data, 0x3FF);
    t.write32(place::data + 2, 0xAA01'2345);
    t.code({0x0F, 0x01, 0x1E, 0x00, 0x00});
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.idt_base, 0x01'2345u);
    t.code({0x66, 0x0F, 0x01, 0x1E, 0x00, 0x00});
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(cpu.idt_base, 0xAA01'2345u);
}

TEST_F(RealMode, SettingPeEntersProtectedModeAndItsDelivery) {
    t.code({0x0F, 0x22, 0xC0, 0x0F, 0x0B});  // mov cr0, eax; ud2
    cpu.r[rax] = cr0::pe | cr0::et;
    cpu.idt_limit = 0x7FF;
    for (unsigned vector = 0; vector < 32; ++vector) t.gate(vector, selector::kernel_code, 0x8E);
    EXPECT_EQ(step(), -1);
    EXPECT_EQ(t.m.mode(), CodeMode::Protected16);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::ud);
    EXPECT_EQ(t.m.mode(), CodeMode::Protected32);
    EXPECT_EQ(t.slot(0), 3u);
    EXPECT_EQ(t.slot(1), 0x2000u);
}

}  // namespace
}  // namespace faultline::engine
