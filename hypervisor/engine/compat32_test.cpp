// Instructions in compatibility mode: address and operand sizes, SYSCALL, alignment.
#include <gtest/gtest.h>

#include "hypervisor/engine/mode_machine.hpp"

namespace faultline::engine {
namespace {

TEST(Compat32, OneByteIncIsNoPrefixAndAnswersIn32Bits) {
    CompatMachine t;
    t.m.cpu.r[rax] = 0xFFFF'FFFF'FFFF'FFFF;
    t.code({0x40, 0x4B, 0xF4});  // inc eax; dec ebx; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0u);
    EXPECT_EQ(t.m.cpu.r[rbx], 0xFFFF'FFFFu);
}

TEST(Compat32, AddressesWrapAt32Bits) {
    CompatMachine t;
    t.write(place::data, 0x1122'3344);
    t.m.cpu.r[rbx] = 0xFFFF'FFF0;
    t.code({0x8B, 0x83, 0x10, 0x00, 0x04, 0x00, 0xF4});  // mov eax, [ebx+40010h]
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1122'3344u);
}

TEST(Compat32, PushAndCallMoveFourBytes) {
    CompatMachine t;
    t.m.cpu.r[rax] = 0xAABB'CCDD;
    t.code({0x50, 0xE8, 1, 0, 0, 0, 0x90, 0xF4});  // push eax; call +1; nop; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 8);
    EXPECT_EQ(t.read(place::stack - 8), 0xAABB'CCDD'0000'0000 + place::code + 6);
}

TEST(Compat32, ViolatingALimitEntersThe64BitHandler) {
    CompatMachine t;
    t.code({0xA1, 0xFD, 0xFF, 0x07, 0x00});  // mov eax, [7FFFDh]: the last byte is one too far
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0u);
    EXPECT_EQ(t.frame(true).rip, place::code);
    EXPECT_TRUE(t.m.long64());
}

TEST(Compat32, OnePageHoldsCodeOfBothModes) {
    CompatMachine t;
    t.code({0x48, 0x01, 0xD8, 0xF4});  // compat: dec eax; add eax, ebx. 64-bit: add rax, rbx
    t.m.cpu.r[rax] = 0xFFFF'FFFF, t.m.cpu.r[rbx] = 2;
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0u);
    t.m.set_segment(cs, {place::kernel_cs, 0, 0xFFFF'FFFF, 0xA9B});
    t.m.cpu.rip = place::code, t.m.cpu.r[rax] = 0xFFFF'FFFF;
    t.m.drop(Machine::halted);
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1'0000'0001u);
}

TEST(Compat32, SyscallGoesToCstarIn64BitMode) {
    CompatMachine t;
    t.at_cpl3();
    t.m.cpu.star = std::uint64_t{place::kernel_cs} << 32;
    t.m.cpu.lstar = 0x21000, t.m.cpu.cstar = 0x22000, t.m.cpu.sfmask = rflags::cf;
    t.set_rflags(rflags::cf);
    t.code({0x0F, 0x05});
    t.code({0xF4}, 0x22000);
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, 0x22001u);
    EXPECT_EQ(t.m.cpu.r[rcx], place::code + 2);
    EXPECT_EQ(t.m.cpu.r[11], rflags::fixed1 | rflags::cf);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1);
    EXPECT_TRUE(t.m.long64());
    EXPECT_EQ(t.m.cpu.cpl, 0);
}

TEST(Compat32, SysretWithoutRexWComesBackTo32Bits) {
    TestMachine t;
    t.m.cpu.star = std::uint64_t{0x33} << 48;
    t.m.cpu.r[rcx] = 0xF'0000'0000 + place::data, t.m.cpu.r[11] = rflags::fixed1 | rflags::zf;
    t.code({0x0F, 0x07});
    t.step();
    EXPECT_EQ(t.m.cpu.rip, place::data);
    EXPECT_EQ(t.m.mode(), CodeMode::Compat32);
    EXPECT_EQ(t.m.cpu.cpl, 3);
    EXPECT_EQ(t.m.cpu.segment[cs].selector, 0x33);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1 | rflags::zf);
}

TEST(Compat32, MisalignedAccessIsAlignmentCheckAtCpl3) {
    CompatMachine t;
    t.at_cpl3();
    t.m.cpu.cr0 |= cr0::am;
    t.set_rflags(rflags::ac);
    t.code({0xA1, 0x01, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.run_to_handler(), vector::ac);
}

}  // namespace
}  // namespace faultline::engine
