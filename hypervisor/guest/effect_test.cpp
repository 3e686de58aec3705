// What the manuals say an instruction does, fact by fact; each test's arithmetic is done by hand.
#include "hypervisor/guest/effect_fixture.hpp"

namespace faultline::guest {
namespace {

struct EffectTest : EffectFixture {};

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

}  // namespace
}  // namespace faultline::guest
