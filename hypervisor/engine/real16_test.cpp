// Instructions in real mode: segments, wrapping, what needs protection.
#include <gtest/gtest.h>

#include "hypervisor/engine/mode_machine.hpp"

namespace faultline::engine {
namespace {

using Code = std::vector<std::uint8_t>;

void lay(TestMachine& t, const Code& bytes) { t.m.write_physical(place::code, bytes.data(), bytes.size()); }

TEST(Real, SegmentsAreTheirSelectorsTimes16AndOffsetsHave16Bits) {
    RealMachine t;
    t.m.cpu.r[rbx] = 0xFFFF'FFF0, t.m.cpu.r[rsi] = 0x20, t.m.cpu.r[rbp] = 0x100;
    t.write(place::data + 0x15, 0xBEEF);
    t.write(place::stack + 0x102, 0xCAFE);
    t.code({0x8B, 0x40, 0x05, 0x8B, 0x4E, 0x02, 0xF4});  // mov ax, [bx+si+5]; mov cx, [bp+2]; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0xBEEFu);
    EXPECT_EQ(t.m.cpu.r[rcx], 0xCAFEu);
}

TEST(Real, AWordAcrossTheSegmentsEndFaults) {
    RealMachine t;
    t.code({0xA1, 0xFE, 0xFF, 0xA1, 0xFF, 0xFF});  // mov ax, [FFFEh]; mov ax, [FFFFh]
    EXPECT_EQ(t.run_to_handler(), vector::gp);
    EXPECT_EQ(t.slot16(0), 3u);
    RealMachine s;
    s.code({0x36, 0xA1, 0xFF, 0xFF});
    EXPECT_EQ(s.run_to_handler(), vector::ss);
}

TEST(Real, PushWrapsAtZeroAndShutsDownAtOne) {
    RealMachine t;
    t.m.cpu.r[rax] = 0x1234, t.m.cpu.r[rsp] = 0x7'0000;
    t.code({0x50, 0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rsp], 0x7'FFFEu);
    EXPECT_EQ(t.read16(place::stack + 0xFFFE), 0x1234u);
    RealMachine s;
    s.m.cpu.r[rsp] = 1;
    s.code({0x50});
    EXPECT_EQ(s.m.run(10), Exit::Shutdown);
}

TEST(Real, BranchesStayIn64KOrFault) {
    RealMachine t;
    t.code({0xE9, 0xFD, 0xEF});  // jmp F000h, backwards past zero
    t.code({0xF4}, place::code + 0xF000);
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, 0xF001u);
    RealMachine s;
    s.m.cpu.r[rbx] = 0x1'0000;
    s.code({0x90, 0x66, 0xFF, 0xE3});  // jmp ebx
    EXPECT_EQ(s.run_to_handler(), vector::gp);
    EXPECT_EQ(s.slot16(0), 1u);
}

TEST(Real, LoopsAndStringsCountInCxAndIndexInSiAndDi) {
    RealMachine t;
    t.m.cpu.r[rcx] = 0x5'0002, t.m.cpu.r[rsi] = 0x6'FFFF, t.m.cpu.r[rdi] = 0x7'0010;
    t.write(place::data + 0xFFF8, 0x5A00'0000'0000'0000);
    t.write(place::data, 0xA5);
    t.code({0xF3, 0xA4, 0xB9, 0x02, 0x00, 0x40, 0xE2, 0xFD, 0xF4});  // rep movsb; mov cx, 2; inc ax; loop; hlt
    EXPECT_EQ(t.m.run(20), Exit::Hlt);
    EXPECT_EQ(t.read16(place::data + 0x10), 0xA55Au);
    EXPECT_EQ(t.m.cpu.r[rsi], 0x6'0001u);
    EXPECT_EQ(t.m.cpu.r[rdi], 0x7'0012u);
    EXPECT_EQ(t.m.cpu.r[rcx], 0x5'0000u);
    EXPECT_EQ(t.m.cpu.r[rax], 2u);
}

TEST(Real, WhatNeedsProtectionIsUndefined) {
    for (const auto& bytes : {Code{0x0F, 0x02, 0xC0},
                              {0x0F, 0x03, 0xC0},
                              {0x0F, 0x00, 0xE0},
                              {0x0F, 0x00, 0xE8},
                              {0x0F, 0x00, 0xD0},
                              {0x0F, 0x00, 0xC0},
                              {0x0F, 0x00, 0xD8},
                              {0x0F, 0x00, 0xC8},
                              {0x63, 0xC0}}) {
        RealMachine t;
        lay(t, bytes);
        EXPECT_EQ(t.run_to_handler(), vector::ud);
    }
}

TEST(Real, InstructionBreakpointsAreLinear) {
    RealMachine t;
    t.code({0x90, 0x90, 0xF4});
    t.m.debug.address[1] = place::code + 1;
    t.arm(breakpoint(1, Execute));
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.slot16(0), 1u);
}

}  // namespace
}  // namespace faultline::engine
