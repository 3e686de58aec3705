// What the manuals say an instruction does, fact by fact; each test's arithmetic is done by hand.
#include "hypervisor/guest/effect.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/op.hpp"

namespace faultline::guest {
namespace {

constexpr std::uint64_t here = layout::code, data = layout::data, stack = layout::stack_top;
constexpr std::uint64_t noncanonical = 0x8000'0000'0000;

/// A state at op 0 in which an op's effect is asked for.
struct EffectTest : testing::Test {
    EffectTest() {
        state.rip = here;
        state.cs = layout::kernel_cs;
        state.ss = layout::kernel_ss;
        state.gpr[4] = stack;
        state.cr4 = 0x20;
        EXPECT_TRUE(assemble({.ops = {ops::Nop{}, ops::Nop{}}}, image));
    }
    void user() {
        state.cpl = 3;
        state.cs = layout::user_cs;
        state.ss = layout::user_ss;
    }
    std::uint64_t& reg(Gpr r) { return state.gpr[static_cast<std::size_t>(r)]; }
    void unknown(Gpr r) { state.gpr_known &= static_cast<std::uint16_t>(~(1u << static_cast<unsigned>(r))); }
    Effect effect(const Op& op, Gates gates = Gates::Dpl3) {
        return effect_of(op, {.state = state, .image = image, .fallthrough = here + 1, .gates = gates});
    }
    /// A quadword on the stack at RSP + offset.
    void lay(std::uint64_t offset, std::uint64_t value) { state.memory.write(reg(Gpr::Rsp) + offset, value, 8, true); }
    void lay_frame(std::uint64_t rip, std::uint64_t cs, std::uint64_t flags, std::uint64_t rsp, std::uint64_t ss) {
        lay(0, rip), lay(8, cs), lay(16, flags), lay(24, rsp), lay(32, ss);
    }
    State state;
    Image image;
};

void expect_fault(const Effect& e, std::uint8_t vector, std::uint32_t error = 0, std::uint64_t cr2 = 0) {
    EXPECT_FALSE(e.unmodelled) << e.why;
    ASSERT_TRUE(e.faults);
    EXPECT_EQ(e.fault.vector, vector);
    EXPECT_EQ(e.fault.error, error);
    EXPECT_EQ(e.fault.cr2, cr2);
}

void expect_completes(const Effect& e) {
    EXPECT_FALSE(e.unmodelled) << e.why;
    EXPECT_FALSE(e.faults) << "vector " << int{e.fault.vector};
}

void expect_accesses(const Effect& e, std::initializer_list<Access> expected) {
    ASSERT_EQ(e.access_count, expected.size());
    for (std::size_t i = 0; const auto& access : expected) {
        EXPECT_EQ(e.access[i].address, access.address) << i;
        EXPECT_EQ(e.access[i].length, access.length) << i;
        EXPECT_EQ(e.access[i].write, access.write) << i;
        ++i;
    }
}

/// The value an effect leaves in a register; ~0 − 1 when it leaves it alone or unknown.
std::uint64_t written(const Effect& e, Gpr gpr) {
    for (std::size_t i = e.register_count; i-- > 0;)
        if (e.registers[i].gpr == gpr && e.registers[i].known) return e.registers[i].value;
    return ~1ull;
}

// --- registers

TEST_F(EffectTest, EveryInstructionClearsRf) {
    state.rflags |= rflags::rf | rflags::tf;
    EXPECT_EQ(effect(ops::Nop{}).rflags, rflags::tf | rflags::fixed1);
    EXPECT_EQ(effect(ops::Nop{}).next, here + 1);
}

TEST_F(EffectTest, DivByZeroIsDivideError) { expect_fault(effect(ops::Div{Gpr::Rcx, {8}}), 0); }

TEST_F(EffectTest, DivWithAQuotientTooLargeIsDivideError) {
    reg(Gpr::Rdx) = 2;
    reg(Gpr::Rcx) = 2;
    expect_fault(effect(ops::Div{Gpr::Rcx, {8}}), 0);
    reg(Gpr::Rcx) = 3;
    expect_completes(effect(ops::Div{Gpr::Rcx, {8}}));
}

TEST_F(EffectTest, DivOfDoublewordsZeroExtends) {
    reg(Gpr::Rax) = 0xFFFF'FFFF'0000'0007;
    reg(Gpr::Rcx) = 2;
    const auto e = effect(ops::Div{Gpr::Rcx, {4}});
    EXPECT_EQ(written(e, Gpr::Rax), 3u);
    EXPECT_EQ(written(e, Gpr::Rdx), 1u);
    EXPECT_EQ(e.rflags_known & rflags::arithmetic, 0u);
}

TEST_F(EffectTest, DivOfBytesLeavesTheRemainderInAh) {
    reg(Gpr::Rax) = 0xAABB'0017;
    reg(Gpr::Rcx) = 5;
    EXPECT_EQ(written(effect(ops::Div{Gpr::Rcx, {1}}), Gpr::Rax), 0xAABB'0304u);  // 23 = 4·5 + 3
}

TEST_F(EffectTest, CpuidLeavesFourRegistersUnknown) {
    const auto e = effect(ops::Cpuid{});
    EXPECT_EQ(e.register_count, 4);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_FALSE(e.registers[i].known);
}

// --- memory

TEST_F(EffectTest, LoadReadsTheInitialData) {
    const auto e = effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x40010}, {4}});
    expect_completes(e);
    expect_accesses(e, {{data + 0x10, 4, false}});
    EXPECT_EQ(written(e, Gpr::Rcx), 0x32231001u);  // 11h·k ^ 1 for k = 0…3
}

TEST_F(EffectTest, LoadSeesWhatTheProgramWroteOverIt) {
    state.memory.write(data + 1, 0xBEEF, 2, true);
    EXPECT_EQ(written(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x40000}, {4}}), Gpr::Rcx), 0x33BEEF00u);
    state.memory.write(data + 3, 0, 1, false);
    const auto e = effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x40000}, {4}});
    ASSERT_EQ(e.register_count, 1);
    EXPECT_FALSE(e.registers[0].known);
}

TEST_F(EffectTest, LoadReadsTheProgramsOwnBytes) {
    EXPECT_EQ(written(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x20000}, {4}}), Gpr::Rcx), 0x0B0F9090u);
}

TEST_F(EffectTest, NarrowLoadsKeepTheUpperBitsAndDoublewordsClearThem) {
    reg(Gpr::Rcx) = ~0ull;
    const Mem at{std::nullopt, 0x40000};
    EXPECT_EQ(written(effect(ops::Load{Gpr::Rcx, at, {1}}), Gpr::Rcx), 0xFFFF'FFFF'FFFF'FF00);
    EXPECT_EQ(written(effect(ops::Load{Gpr::Rcx, at, {2}}), Gpr::Rcx), 0xFFFF'FFFF'FFFF'1100);
    EXPECT_EQ(written(effect(ops::Load{Gpr::Rcx, at, {4}}), Gpr::Rcx), 0x3322'1100u);
}

TEST_F(EffectTest, HolesArePageFaultsWithTheAddressInCr2) {
    expect_fault(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x42000}, {1}}), 14, 0, 0x42000);
    expect_fault(effect(ops::Store{{std::nullopt, 0x3FFF8}, Gpr::Rcx, {8}}), 14, 2, 0x3FFF8);
    user();
    expect_fault(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x42000}, {1}}), 14, 4, 0x42000);
    expect_fault(effect(ops::Store{{std::nullopt, 0x42000}, Gpr::Rcx, {8}}), 14, 6, 0x42000);
}

TEST_F(EffectTest, ReadOnlyPagesFaultWritesAtEveryPrivilege) {
    const Mem at{std::nullopt, 0x44008};
    expect_completes(effect(ops::Load{Gpr::Rcx, at, {8}}));
    expect_fault(effect(ops::Store{at, Gpr::Rcx, {8}}), 14, 3, 0x44008);
    user();
    expect_fault(effect(ops::Store{at, Gpr::Rcx, {8}}), 14, 7, 0x44008);
}

TEST_F(EffectTest, SupervisorPagesFaultAtCpl3) {
    const Mem at{std::nullopt, 0x46000};
    expect_completes(effect(ops::Store{at, Gpr::Rcx, {8}}));
    user();
    expect_fault(effect(ops::Load{Gpr::Rcx, at, {8}}), 14, 5, 0x46000);
    expect_fault(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x5000}, {8}}), 14, 5, 0x5000);
}

TEST_F(EffectTest, StageMemoryAtCpl0IsNotModelled) {
    EXPECT_TRUE(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x5000}, {8}}).unmodelled);
    EXPECT_TRUE(effect(ops::Store{{std::nullopt, 0x20000}, Gpr::Rcx, {8}}).unmodelled) << "code";
}

TEST_F(EffectTest, AnAccessAcrossPagesFaultsInTheOneThatIsMissing) {
    expect_fault(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x41FFC}, {8}}), 14, 0, 0x42000);
    expect_fault(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x3FFFE}, {4}}), 14, 0, 0x3FFFE);
    const auto e = effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x40FFC}, {8}});
    expect_completes(e);
    expect_accesses(e, {{0x40FFC, 8, false}});
    EXPECT_TRUE(effect(ops::Load{Gpr::Rcx, {std::nullopt, 0x42FFC}, {8}}).unmodelled) << "both pages are missing";
}

TEST_F(EffectTest, NonCanonicalAddressesAreStackFaultsByRspAndRbpOnly) {
    for (const auto base : {Gpr::Rax, Gpr::Rsp, Gpr::Rbp, Gpr::R12, Gpr::R13}) {
        reg(base) = noncanonical;
        expect_fault(effect(ops::Load{Gpr::Rcx, {base, 0}, {8}}), base == Gpr::Rsp || base == Gpr::Rbp ? 12 : 13);
    }
    reg(Gpr::Rax) = noncanonical - 4;
    expect_fault(effect(ops::Load{Gpr::Rcx, {Gpr::Rax, 0}, {8}}), 13);
}

TEST_F(EffectTest, AnUnknownBaseIsNotModelled) {
    unknown(Gpr::Rbx);
    EXPECT_TRUE(effect(ops::Load{Gpr::Rcx, {Gpr::Rbx, 0}, {8}}).unmodelled);
    expect_completes(effect(ops::Store{{std::nullopt, 0x40000}, Gpr::Rbx, {8}}));
    expect_completes(effect(ops::Lea{Gpr::Rcx, {Gpr::Rbx, 0}}));
}

TEST_F(EffectTest, ReadModifyWriteReadsAndWritesAndAsksForWritePermission) {
    expect_accesses(effect(ops::AddMem{{std::nullopt, 0x40000}, Gpr::Rcx, {4}}), {{data, 4, false}, {data, 4, true}});
    expect_fault(effect(ops::AddMem{{std::nullopt, 0x44000}, Gpr::Rcx, {4}}), 14, 3, 0x44000);
    expect_fault(effect(ops::AddMem{{std::nullopt, 0x42000}, Gpr::Rcx, {4}}), 14, 2, 0x42000);
}

TEST_F(EffectTest, AddSetsTheArithmeticFlags) {
    const Mem at{std::nullopt, 0x40000};
    const auto flags_of = [&](std::uint64_t memory, std::uint64_t addend, std::uint8_t width) {
        state.memory.write(data, memory, 8, true);
        reg(Gpr::Rcx) = addend;
        return effect(ops::AddMem{at, Gpr::Rcx, {width}}).rflags & rflags::arithmetic;
    };
    using namespace rflags;
    EXPECT_EQ(flags_of(0xFF, 1, 1), cf | pf | af | zf);         // 00h
    EXPECT_EQ(flags_of(0x7F, 1, 1), af | sf | of);              // 80h
    EXPECT_EQ(flags_of(0x80, 0x80, 1), cf | pf | zf | of);      // 00h
    EXPECT_EQ(flags_of(0x7FFF'FFFF, 1, 4), pf | af | sf | of);  // 80000000h
    EXPECT_EQ(flags_of(~0ull, ~0ull, 8), cf | af | sf);         // …FEh
    EXPECT_EQ(flags_of(3, 4, 8), 0u);                           // 7: three bits
}

TEST_F(EffectTest, CmpxchgWritesEvenWhenItFails) {
    state.memory.write(data, 0x1'0000'0005, 8, true);
    reg(Gpr::Rax) = 0xFFFF'FFFF'0000'0007;
    reg(Gpr::Rcx) = 9;
    const Op op = ops::Cmpxchg{{std::nullopt, 0x40000}, Gpr::Rcx, {4}};
    auto e = effect(op);
    expect_accesses(e, {{data, 4, false}, {data, 4, true}});
    EXPECT_EQ(e.memory[0].value, 5u);
    EXPECT_EQ(written(e, Gpr::Rax), 5u);
    EXPECT_EQ(e.rflags & rflags::arithmetic, 0u);  // 7 − 5 = 2
    reg(Gpr::Rax) = 5;
    e = effect(op);
    EXPECT_EQ(e.memory[0].value, 9u);
    EXPECT_EQ(e.register_count, 0);
    EXPECT_EQ(e.rflags & rflags::arithmetic, rflags::zf | rflags::pf);
    reg(Gpr::Rax) = 4;
    EXPECT_EQ(effect(op).rflags & rflags::arithmetic, rflags::cf | rflags::pf | rflags::af | rflags::sf);
}

TEST_F(EffectTest, XchgSwaps) {
    reg(Gpr::Rcx) = 0xABCD;
    const auto e = effect(ops::XchgMem{{std::nullopt, 0x40000}, Gpr::Rcx, {2}});
    EXPECT_EQ(e.memory[0].value, 0xABCDu);
    EXPECT_EQ(written(e, Gpr::Rcx), 0x1100u);
}

TEST_F(EffectTest, BtsCopiesTheOldBitToCf) {
    const auto e = effect(ops::BtsMem{{std::nullopt, 0x40000}, {8}});  // 33221100h: bit 8 is set
    EXPECT_EQ(e.memory[0].value, 0x33221100u);
    EXPECT_TRUE(e.rflags & rflags::cf);
    EXPECT_EQ(e.rflags_known & rflags::arithmetic, rflags::cf);
    EXPECT_EQ(effect(ops::BtsMem{{std::nullopt, 0x40000}, {0}}).memory[0].value, 0x33221101u);
}

// --- stack

TEST_F(EffectTest, PushStoresBelowRsp) {
    const auto e = effect(ops::Push{Gpr::Rsp});
    expect_accesses(e, {{stack - 8, 8, true}});
    EXPECT_EQ(e.memory[0].value, stack);
    EXPECT_EQ(written(e, Gpr::Rsp), stack - 8);
    EXPECT_EQ(effect(ops::PushImm{-2}).memory[0].value, ~1ull);
}

TEST_F(EffectTest, PopRspEndsWithTheLoadedValue) {
    lay(0, 0x1234);
    EXPECT_EQ(written(effect(ops::Pop{Gpr::Rsp}), Gpr::Rsp), 0x1234u);
    const auto e = effect(ops::Pop{Gpr::Rcx});
    EXPECT_EQ(written(e, Gpr::Rcx), 0x1234u);
    EXPECT_EQ(written(e, Gpr::Rsp), stack + 8);
}

TEST_F(EffectTest, PopToMemoryCountsFromTheIncrementedRsp) {
    lay(0, 7);
    const auto e = effect(ops::PopMem{{Gpr::Rsp, 0x10}});
    expect_accesses(e, {{stack, 8, false}, {stack + 0x18, 8, true}});
    EXPECT_EQ(e.memory[0].value, 7u);
}

TEST_F(EffectTest, StackAccessesByANonCanonicalRspAreStackFaults) {
    reg(Gpr::Rsp) = noncanonical;
    for (const Op& op : {Op(ops::Pop{Gpr::Rcx}), Op(ops::Ret{}), Op(ops::Popf{}), Op(ops::Iret{}), Op(ops::PopFs{})})
        expect_fault(effect(op), 12);
    reg(Gpr::Rsp) = noncanonical + 0x100;
    for (const Op& op : {Op(ops::Push{Gpr::Rcx}), Op(ops::Call{{0}}), Op(ops::Pushf{})}) expect_fault(effect(op), 12);
}

TEST_F(EffectTest, InitialStackQuadwordsAreReadAndTheRestIsZero) {
    ASSERT_TRUE(assemble({.environment = {.stack = {{std::nullopt, 0x77}}}}, image));
    reg(Gpr::Rsp) = stack - 8;
    EXPECT_EQ(written(effect(ops::Pop{Gpr::Rcx}), Gpr::Rcx), 0x77u);
    reg(Gpr::Rsp) = stack;
    EXPECT_EQ(written(effect(ops::Pop{Gpr::Rcx}), Gpr::Rcx), 0u);
}

// --- flags

TEST_F(EffectTest, PushfShowsNoRf) {
    state.rflags |= rflags::rf | rflags::tf;
    EXPECT_EQ(effect(ops::Pushf{}).memory[0].value, rflags::tf | rflags::fixed1);
}

TEST_F(EffectTest, PopfAtCpl0LoadsIopl) {
    lay(0, 0xFFFF'FFFF);
    EXPECT_EQ(effect(ops::Popf{}).rflags, 0x247FD7u);  // all but RF, VM, VIF, VIP and the reserved bits
    EXPECT_EQ(effect(ops::Popf{}).kind, Kind::Popf);
}

TEST_F(EffectTest, PopfAtCpl3KeepsIfAndIopl) {
    user();
    lay(0, rflags::if_ | rflags::iopl | rflags::tf);
    EXPECT_EQ(effect(ops::Popf{}).rflags, rflags::tf | rflags::fixed1);
    state.rflags |= rflags::iopl;
    EXPECT_EQ(effect(ops::Popf{}).rflags, rflags::if_ | rflags::iopl | rflags::tf | rflags::fixed1);
}

TEST_F(EffectTest, CliAndStiNeedIopl) {
    user();
    expect_fault(effect(ops::Cli{}), 13);
    expect_fault(effect(ops::Sti{}), 13);
    state.rflags |= rflags::iopl;
    expect_completes(effect(ops::Cli{}));
    EXPECT_TRUE(effect(ops::Sti{}).rflags & rflags::if_);
}

// --- branches

TEST_F(EffectTest, CallPushesItsFallthrough) {
    const auto e = effect(ops::Call{{2}});
    EXPECT_EQ(e.memory[0].value, here + 1);
    EXPECT_EQ(e.next, here + 2);
    EXPECT_TRUE(e.branch);
}

TEST_F(EffectTest, RetGoesToTheQuadwordAtRsp) {
    lay(0, here + 1);
    const auto e = effect(ops::Ret{});
    EXPECT_EQ(e.next, here + 1);
    EXPECT_EQ(written(e, Gpr::Rsp), stack + 8);
    lay(0, noncanonical);
    EXPECT_TRUE(effect(ops::Ret{}).unmodelled);
}

TEST_F(EffectTest, ConditionalBranchesCountAsBranchesOnlyWhenTaken) {
    reg(Gpr::Rcx) = 1;
    EXPECT_FALSE(effect(ops::Jrcxz{{2}}).branch);
    reg(Gpr::Rcx) = 0;
    EXPECT_TRUE(effect(ops::Jrcxz{{2}}).branch);
    EXPECT_EQ(effect(ops::Jrcxz{{2}}).next, here + 2);
    EXPECT_FALSE(effect(ops::Jc{{2}}).branch);
    state.rflags |= rflags::cf;
    EXPECT_TRUE(effect(ops::Jc{{2}}).branch);
    state.rflags_known &= ~rflags::cf;
    EXPECT_TRUE(effect(ops::Jc{{2}}).unmodelled);
}

// --- strings and I/O

TEST_F(EffectTest, MovsReadsThenWritesAndStepsByDf) {
    reg(Gpr::Rsi) = data;
    reg(Gpr::Rdi) = data + 0x100;
    auto e = effect(ops::Movs{{4}});
    expect_accesses(e, {{data, 4, false}, {data + 0x100, 4, true}});
    EXPECT_EQ(written(e, Gpr::Rsi), data + 4);
    state.rflags |= rflags::df;
    e = effect(ops::Movs{{4}});
    EXPECT_EQ(written(e, Gpr::Rdi), data + 0xFC);
}

TEST_F(EffectTest, RepStaysOnTheInstructionUntilItsLastIteration) {
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

TEST_F(EffectTest, RepWithNothingToDoTouchesNothing) {
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

TEST_F(EffectTest, AStringOperandIsNeverAStackReference) {
    reg(Gpr::Rdi) = noncanonical;
    expect_fault(effect(ops::Stos{{8}}), 13);
}

TEST_F(EffectTest, AFaultingDestinationOfMovsComesAfterTheRead) {
    reg(Gpr::Rsi) = data;
    reg(Gpr::Rdi) = layout::hole;
    const auto e = effect(ops::Movs{{8}});
    expect_fault(e, 14, 2, layout::hole);
    expect_accesses(e, {{data, 8, false}});
    reg(Gpr::Rsi) = layout::readonly - 8;
    expect_fault(effect(ops::Movs{{8}}), 14, 0, layout::readonly - 8);
}

TEST_F(EffectTest, IoAtCpl3NeedsTheBitmapOrIopl) {
    user();
    expect_completes(effect(ops::In{{0x80}, {4}}));
    expect_fault(effect(ops::In{{0x86}, {4}}), 13);
    expect_fault(effect(ops::Out{{0x88}, {1}}), 13);
    state.rflags |= rflags::iopl;
    expect_completes(effect(ops::Out{{0x88}, {1}}));
}

TEST_F(EffectTest, InLeavesAnUnknownValueAndNamesThePort) {
    reg(Gpr::Rdx) = 0xFFFF'0081;
    const auto e = effect(ops::InDx{{2}});
    EXPECT_TRUE(e.io);
    EXPECT_EQ(e.io_port, 0x81);
    EXPECT_EQ(e.io_width, 2);
    EXPECT_FALSE(e.registers[0].known);
}

TEST_F(EffectTest, InsChecksPermissionBeforeItsDestination) {
    user();
    reg(Gpr::Rdx) = 0x88;
    reg(Gpr::Rdi) = layout::hole;
    expect_fault(effect(ops::Ins{{1}}), 13);
    reg(Gpr::Rdx) = 0x80;
    const auto e = effect(ops::Ins{{1}});
    expect_fault(e, 14, 6, layout::hole);
    EXPECT_FALSE(e.io);
}

TEST_F(EffectTest, ThePortThatEndsTheRunIsNotModelled) {
    reg(Gpr::Rdx) = layout::exit_port - 1;
    EXPECT_TRUE(effect(ops::OutDx{{2}}).unmodelled);
    expect_completes(effect(ops::OutDx{{1}}));
}

// --- segments

TEST_F(EffectTest, MovSsTakesTheStacksOwnSelectors) {
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

TEST_F(EffectTest, MovSsTakesNullBelowCpl3WithEqualRpl) {
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

TEST_F(EffectTest, MovSsFromMemoryReadsTwoBytes) {
    state.memory.write(data, layout::kernel_ss, 2, true);
    const auto e = effect(ops::MovSsMem{{std::nullopt, 0x40000}});
    expect_completes(e);
    expect_accesses(e, {{data, 2, false}});
    EXPECT_EQ(e.ss, layout::kernel_ss);
}

TEST_F(EffectTest, PopFsChecksPrivilege) {
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

TEST_F(EffectTest, IntAtCpl3NeedsAGateOfDpl3) {
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

TEST_F(EffectTest, PrivilegedInstructionsFaultAtCpl3) {
    user();
    for (const Op& op : {Op(ops::Hlt{}), Op(ops::Clts{}), Op(ops::Wbinvd{}), Op(ops::Rdmsr{}), Op(ops::Wrmsr{}),
                         Op(ops::MovToCr4{Gpr::Rax}), Op(ops::MovFromCr4{Gpr::Rax}), Op(ops::Sysret{})})
        expect_fault(effect(op), 13);
}

TEST_F(EffectTest, Ud2IsInvalidOpcode) { expect_fault(effect(ops::Ud2{}), 6); }

// --- system

TEST_F(EffectTest, WrmsrSetsDebugctl) {
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

TEST_F(EffectTest, RdmsrReadsDebugctlIntoBothHalves) {
    reg(Gpr::Rcx) = 0xFFFF'FFFF'0000'01D9;
    state.debugctl = 2;
    const auto e = effect(ops::Rdmsr{});
    EXPECT_EQ(written(e, Gpr::Rax), 2u);
    EXPECT_EQ(written(e, Gpr::Rdx), 0u);
}

TEST_F(EffectTest, Cr4MayChangeInDeOnly) {
    reg(Gpr::Rax) = state.cr4 | cr4_de;
    EXPECT_EQ(effect(ops::MovToCr4{Gpr::Rax}).cr4, 0x28u);
    reg(Gpr::Rax) = 0;
    EXPECT_TRUE(effect(ops::MovToCr4{Gpr::Rax}).unmodelled);
    EXPECT_EQ(written(effect(ops::MovFromCr4{Gpr::R9}), Gpr::R9), 0x20u);
}

TEST_F(EffectTest, MovDrLeavesItsChecksToTheChapter) {
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

TEST_F(EffectTest, SyscallSavesRipAndFlagsAndMasksThem) {
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

TEST_F(EffectTest, SysretLoadsFlagsFromR11WithoutRf) {
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

TEST_F(EffectTest, IretLoadsTheWholeFrame) {
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

TEST_F(EffectTest, IretAtCpl3KeepsIfAndIopl) {
    user();
    lay_frame(here, layout::user_cs, rflags::if_ | rflags::iopl | rflags::rf, stack, layout::user_ss);
    EXPECT_EQ(effect(ops::Iret{}).rflags, rflags::rf | rflags::fixed1);
}

TEST_F(EffectTest, IretChecksSelectors) {
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

TEST_F(EffectTest, IretWithNestedTaskFaults) {
    state.rflags |= rflags::nt;
    expect_fault(effect(ops::Iret{}), 13);
}

}  // namespace
}  // namespace faultline::guest
