// The same for strings and I/O, segments, interrupts and changes of privilege.
#include "hypervisor/guest/effect_fixture.hpp"

namespace faultline::guest {
namespace {

struct SystemEffectTest : EffectFixture {};

// --- strings and I/O

TEST_F(SystemEffectTest, MovsReadsThenWritesAndStepsByDf) {
    reg(Gpr::Rsi) = data;
    reg(Gpr::Rdi) = data + 0x100;
    auto e = effect(ops::Movs{{4}});
    expect_accesses(e, {{data, 4, false}, {data + 0x100, 4, true}});
    EXPECT_EQ(written(e, Gpr::Rsi), data + 4);
    state.rflags |= rflags::df;
    e = effect(ops::Movs{{4}});
    EXPECT_EQ(written(e, Gpr::Rdi), data + 0xFC);
}

TEST_F(SystemEffectTest, RepStaysOnTheInstructionUntilItsLastIteration) {
    reg(Gpr::Rdi) = data;
    reg(Gpr::Rcx) = 2;
    auto e = effect(ops::RepStos{{8}});
    EXPECT_EQ(e.kind, Kind::Rep);
    EXPECT_FALSE(e.last_iteration);
    EXPECT_EQ(e.next, here);
    EXPECT_EQ(written(e, Gpr::Rcx), 1u);
    reg(Gpr::Rcx) = 1;
    e = effect(ops::RepStos{{8}});
    EXPECT_TRUE(e.last_iteration);
    EXPECT_EQ(e.next, here + 1);
}

TEST_F(SystemEffectTest, RepWithNothingToDoTouchesNothing) {
    reg(Gpr::Rdi) = noncanonical;
    for (const Op& op : {Op(ops::RepStos{{8}}), Op(ops::RepMovs{{1}}), Op(ops::RepIns{{1}})}) {
        const auto e = effect(op);
        expect_completes(e);
        expect_accesses(e, {});
        EXPECT_FALSE(e.io);
        EXPECT_EQ(e.register_count, 0);
        EXPECT_EQ(e.next, here + 1);
    }
}

TEST_F(SystemEffectTest, AStringOperandIsNeverAStackReference) {
    reg(Gpr::Rdi) = noncanonical;
    expect_fault(effect(ops::Stos{{8}}), 13);
}

TEST_F(SystemEffectTest, AFaultingDestinationOfMovsComesAfterTheRead) {
    reg(Gpr::Rsi) = data;
    reg(Gpr::Rdi) = layout::hole;
    const auto e = effect(ops::Movs{{8}});
    expect_fault(e, 14, 2, layout::hole);
    expect_accesses(e, {{data, 8, false}});
    reg(Gpr::Rsi) = layout::readonly - 8;
    expect_fault(effect(ops::Movs{{8}}), 14, 0, layout::readonly - 8);
}

TEST_F(SystemEffectTest, IoAtCpl3NeedsTheBitmapOrIopl) {
    user();
    expect_completes(effect(ops::In{{0x80}, {4}}));
    expect_fault(effect(ops::In{{0x86}, {4}}), 13);
    expect_fault(effect(ops::Out{{0x88}, {1}}), 13);
    state.rflags |= rflags::iopl;
    expect_completes(effect(ops::Out{{0x88}, {1}}));
}

TEST_F(SystemEffectTest, InLeavesAnUnknownValueAndNamesThePort) {
    reg(Gpr::Rdx) = 0xFFFF'0081;
    const auto e = effect(ops::InDx{{2}});
    EXPECT_TRUE(e.io);
    EXPECT_EQ(e.io_port, 0x81);
    EXPECT_EQ(e.io_width, 2);
    EXPECT_FALSE(e.registers[0].known);
}

TEST_F(SystemEffectTest, InsChecksPermissionBeforeItsDestination) {
    user();
    reg(Gpr::Rdx) = 0x88;
    reg(Gpr::Rdi) = layout::hole;
    expect_fault(effect(ops::Ins{{1}}), 13);
    reg(Gpr::Rdx) = 0x80;
    const auto e = effect(ops::Ins{{1}});
    expect_fault(e, 14, 6, layout::hole);
    EXPECT_FALSE(e.io);
}

TEST_F(SystemEffectTest, ThePortThatEndsTheRunIsNotModelled) {
    reg(Gpr::Rdx) = layout::exit_port - 1;
    EXPECT_TRUE(effect(ops::OutDx{{2}}).unmodelled);
    expect_completes(effect(ops::OutDx{{1}}));
}

// --- segments

TEST_F(SystemEffectTest, MovSsTakesTheStacksOwnSelectors) {
    reg(Gpr::Rax) = layout::kernel_ss;
    EXPECT_EQ(effect(ops::MovSs{Gpr::Rax}).kind, Kind::LoadSs);
    expect_completes(effect(ops::MovSs{Gpr::Rax}));
    reg(Gpr::Rax) = layout::kernel_ss | 3;
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13, layout::kernel_ss);
    reg(Gpr::Rax) = layout::user_ss;
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13, 0x18);
    reg(Gpr::Rax) = layout::kernel_cs;
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13, 8);
    reg(Gpr::Rax) = 0x104;
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13, 0x104);
}

TEST_F(SystemEffectTest, MovSsTakesNullBelowCpl3WithEqualRpl) {
    reg(Gpr::Rax) = 0;
    const auto e = effect(ops::MovSs{Gpr::Rax});
    expect_completes(e);
    EXPECT_EQ(e.ss, 0);
    reg(Gpr::Rax) = 3;
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13);
    user();
    expect_fault(effect(ops::MovSs{Gpr::Rax}), 13);
    reg(Gpr::Rax) = layout::user_ss;
    expect_completes(effect(ops::MovSs{Gpr::Rax}));
}

TEST_F(SystemEffectTest, MovSsFromMemoryReadsTwoBytes) {
    state.memory.write(data, layout::kernel_ss, 2, true);
    const auto e = effect(ops::MovSsMem{{std::nullopt, 0x40000}});
    expect_completes(e);
    expect_accesses(e, {{data, 2, false}});
    EXPECT_EQ(e.ss, layout::kernel_ss);
}

TEST_F(SystemEffectTest, PopFsChecksPrivilege) {
    user();
    lay(0, 0);
    expect_completes(effect(ops::PopFs{}));
    lay(0, layout::user_ss);
    expect_completes(effect(ops::PopFs{}));
    lay(0, layout::kernel_ss);
    expect_fault(effect(ops::PopFs{}), 13, layout::kernel_ss);
    lay(0, layout::tr);
    expect_fault(effect(ops::PopFs{}), 13, layout::tr);
}

// --- interrupts

TEST_F(SystemEffectTest, IntAtCpl3NeedsAGateOfDpl3) {
    user();
    expect_completes(effect(ops::Int{{0x20}}));
    expect_fault(effect(ops::Int{{0x30}}), 13, 0x30 * 8 + 2);
    expect_fault(effect(ops::Int{{0x20}}, Gates::Dpl0), 13, 0x20 * 8 + 2);
    expect_fault(effect(ops::Int3{}, Gates::Dpl0), 13, 3 * 8 + 2);
    expect_completes(effect(ops::Icebp{}, Gates::Dpl0));
    state.cpl = 0;
    expect_completes(effect(ops::Int{{0x20}}, Gates::Dpl0));
    EXPECT_EQ(effect(ops::Int{{0x20}}).vector, 0x20);
    EXPECT_TRUE(effect(ops::Int{{13}}).unmodelled) << "the stub expects an error code";
}

TEST_F(SystemEffectTest, PrivilegedInstructionsFaultAtCpl3) {
    user();
    for (const Op& op : {Op(ops::Hlt{}), Op(ops::Clts{}), Op(ops::Wbinvd{}), Op(ops::Rdmsr{}), Op(ops::Wrmsr{}),
                         Op(ops::MovToCr4{Gpr::Rax}), Op(ops::MovFromCr4{Gpr::Rax}), Op(ops::Sysret{})})
        expect_fault(effect(op), 13);
}

TEST_F(SystemEffectTest, Ud2IsInvalidOpcode) { expect_fault(effect(ops::Ud2{}), 6); }

// --- system

TEST_F(SystemEffectTest, WrmsrSetsDebugctl) {
    reg(Gpr::Rcx) = debugctl::msr;
    reg(Gpr::Rax) = debugctl::btf | debugctl::lbr;
    EXPECT_EQ(effect(ops::Wrmsr{}).debugctl, 3u);
    reg(Gpr::Rax) = 1 << 16;
    expect_fault(effect(ops::Wrmsr{}), 13);
    reg(Gpr::Rax) = 0;
    reg(Gpr::Rdx) = 1;
    expect_fault(effect(ops::Wrmsr{}), 13);
    reg(Gpr::Rdx) = 0;
    reg(Gpr::Rax) = 4;
    EXPECT_TRUE(effect(ops::Wrmsr{}).unmodelled);
    reg(Gpr::Rcx) = 0x10;
    EXPECT_TRUE(effect(ops::Wrmsr{}).unmodelled);
}

TEST_F(SystemEffectTest, RdmsrReadsDebugctlIntoBothHalves) {
    reg(Gpr::Rcx) = 0xFFFF'FFFF'0000'01D9;
    state.debugctl = 2;
    const auto e = effect(ops::Rdmsr{});
    EXPECT_EQ(written(e, Gpr::Rax), 2u);
    EXPECT_EQ(written(e, Gpr::Rdx), 0u);
}

TEST_F(SystemEffectTest, Cr4MayChangeInDeOnly) {
    reg(Gpr::Rax) = state.cr4 | cr4_de;
    EXPECT_EQ(effect(ops::MovToCr4{Gpr::Rax}).cr4, 0x28u);
    reg(Gpr::Rax) = 0;
    EXPECT_TRUE(effect(ops::MovToCr4{Gpr::Rax}).unmodelled);
    EXPECT_EQ(written(effect(ops::MovFromCr4{Gpr::R9}), Gpr::R9), 0x20u);
}

TEST_F(SystemEffectTest, MovDrLeavesItsChecksToTheChapter) {
    user();
    reg(Gpr::R9) = 0x402;
    auto e = effect(ops::MovToDr{{15}, Gpr::R9});
    expect_completes(e);
    EXPECT_EQ(e.kind, Kind::MovDr);
    EXPECT_TRUE(e.dr_write);
    EXPECT_EQ(e.dr_number, 15);
    EXPECT_EQ(e.dr_value, 0x402u);
    e = effect(ops::MovFromDr{{6}, Gpr::R9});
    EXPECT_FALSE(e.dr_write);
    EXPECT_EQ(e.dr_gpr, Gpr::R9);
    unknown(Gpr::R9);
    EXPECT_TRUE(effect(ops::MovToDr{{7}, Gpr::R9}).unmodelled);
}

TEST_F(SystemEffectTest, SyscallSavesRipAndFlagsAndMasksThem) {
    user();
    state.rflags |= rflags::tf | rflags::rf | rflags::cf;
    const auto e = effect(ops::Syscall{});
    EXPECT_EQ(written(e, Gpr::Rcx), here + 1);
    EXPECT_EQ(written(e, Gpr::R11), rflags::tf | rflags::cf | rflags::fixed1);
    EXPECT_EQ(e.rflags, rflags::cf | rflags::fixed1);
    EXPECT_EQ(e.next, image.stage->lstar);
    EXPECT_EQ(e.cpl, 0);
    EXPECT_EQ(e.cs, layout::kernel_cs);
    EXPECT_EQ(e.ss, layout::kernel_ss);
}

TEST_F(SystemEffectTest, SysretLoadsFlagsFromR11WithoutRf) {
    reg(Gpr::Rcx) = here;
    reg(Gpr::R11) = ~0ull;
    const auto e = effect(ops::Sysret{});
    EXPECT_EQ(e.rflags, 0x3C7FD7u);
    EXPECT_EQ(e.cpl, 3);
    EXPECT_EQ(e.cs, layout::user_cs);
    EXPECT_EQ(e.ss, layout::user_ss);
    EXPECT_EQ(e.next, here);
    reg(Gpr::Rcx) = noncanonical;
    EXPECT_TRUE(effect(ops::Sysret{}).unmodelled);
}

TEST_F(SystemEffectTest, IretLoadsTheWholeFrame) {
    lay_frame(here + 1, layout::user_cs, rflags::tf | rflags::rf | rflags::if_ | rflags::iopl, 0x31000,
              layout::user_ss);
    const auto e = effect(ops::Iret{});
    expect_completes(e);
    expect_accesses(e, {{stack, 8, false},
                        {stack + 8, 8, false},
                        {stack + 16, 8, false},
                        {stack + 24, 8, false},
                        {stack + 32, 8, false}});
    EXPECT_EQ(e.next, here + 1);
    EXPECT_EQ(e.cpl, 3);
    EXPECT_EQ(e.rflags, rflags::tf | rflags::rf | rflags::if_ | rflags::iopl | rflags::fixed1);
    EXPECT_EQ(written(e, Gpr::Rsp), 0x31000u);
    EXPECT_EQ(e.ss, layout::user_ss);
}

TEST_F(SystemEffectTest, IretAtCpl3KeepsIfAndIopl) {
    user();
    lay_frame(here, layout::user_cs, rflags::if_ | rflags::iopl | rflags::rf, stack, layout::user_ss);
    EXPECT_EQ(effect(ops::Iret{}).rflags, rflags::rf | rflags::fixed1);
}

TEST_F(SystemEffectTest, IretChecksSelectors) {
    lay_frame(here, 0, 2, stack, layout::kernel_ss);
    expect_fault(effect(ops::Iret{}), 13);
    lay_frame(here, layout::kernel_cs | 3, 2, stack, layout::kernel_ss);
    expect_fault(effect(ops::Iret{}), 13, layout::kernel_cs);
    lay_frame(here, layout::user_ss, 2, stack, layout::user_ss);
    expect_fault(effect(ops::Iret{}), 13, 0x18);
    lay_frame(here, layout::user_cs, 2, stack, 0);
    expect_fault(effect(ops::Iret{}), 13);
    lay_frame(here, layout::kernel_cs, 2, stack, 0);
    expect_completes(effect(ops::Iret{}));
    lay_frame(here, layout::user_cs, 2, stack, layout::kernel_ss);
    expect_fault(effect(ops::Iret{}), 13, layout::kernel_ss);
    lay_frame(noncanonical, layout::kernel_cs, 2, stack, layout::kernel_ss);
    expect_fault(effect(ops::Iret{}), 13);
    user();
    lay_frame(here, layout::kernel_cs, 2, stack, layout::kernel_ss);
    expect_fault(effect(ops::Iret{}), 13, layout::kernel_cs);
}

TEST_F(SystemEffectTest, IretWithNestedTaskFaults) {
    state.rflags |= rflags::nt;
    expect_fault(effect(ops::Iret{}), 13);
}

}  // namespace
}  // namespace faultline::guest
