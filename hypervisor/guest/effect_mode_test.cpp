// What instructions do outside long64: widths, segments, limits, selectors, tasks. By hand from the manuals.
#include "hypervisor/guest/effect_fixture.hpp"
#include "hypervisor/guest/task.hpp"

namespace faultline::guest {
namespace {

struct ModeEffectTest : EffectFixture {};

constexpr Mem at(std::int32_t address) { return {std::nullopt, address}; }
constexpr Mode flat[] = {Mode::Compat32, Mode::Prot32};

// --- widths, segments, limits

TEST_F(ModeEffectTest, PushMovesASlotOfTheMode) {
    reg(Gpr::Rcx) = 0x1234'5678;
    for (const Mode mode : flat) {
        in(mode);
        const auto e = effect(ops::Push{Gpr::Rcx});
        expect_accesses(e, {{stack - 4, 4, true}});
        EXPECT_EQ(written(e, Gpr::Rsp), stack - 4);
    }
    in(Mode::Real16);
    const auto e = effect(ops::Push{Gpr::Rcx});
    expect_accesses(e, {{stack - 2, 2, true}});
    EXPECT_EQ(e.memory[0].value, 0x5678u);
    EXPECT_EQ(written(e, Gpr::Rsp), 0x1EFEu);
}

TEST_F(ModeEffectTest, AStackPointerOf16BitsWrapsAndKeepsItsUpperHalf) {
    in(Mode::Real16);
    reg(Gpr::Rsp) = 0xABCD'0000;  // aligned at the top: no fault
    const auto e = effect(ops::Push{Gpr::Rcx});
    EXPECT_TRUE(e.unmodelled) << "3FFFEh is outside the program's pages";
    reg(Gpr::Rsp) = 0xABCD'1F00;
    EXPECT_EQ(written(effect(ops::Pop{Gpr::Rcx}), Gpr::Rsp), 0xABCD'1F02u);
}

TEST_F(ModeEffectTest, AnOperandBeyondTheLimitIsAFaultOfItsSegment) {
    for (const Mode mode : flat) {
        in(mode);
        const auto e = effect(ops::Load{Gpr::Rcx, at(0x7FFFD), {4}});
        expect_fault(e, 13);
        EXPECT_TRUE(e.fault.out_of_range);
        expect_fault(effect(ops::Load{Gpr::Rcx, at(0x7FFFC), {4}}), 14, 0, 0x7FFFC);
        reg(Gpr::Rbp) = 0x7FFFE;
        expect_fault(effect(ops::Store{{Gpr::Rbp, 0}, Gpr::Rcx, {4}}), 12);
        reg(Gpr::Rbx) = 0xFFFF'FFFE;  // wraps at 4 GiB: still beyond the limit
        expect_fault(effect(ops::Load{Gpr::Rcx, {Gpr::Rbx, 0}, {4}}), 13);
        reg(Gpr::Rbx) = 0x40010;
        expect_accesses(effect(ops::Load{Gpr::Rcx, {Gpr::Rbx, -0x10}, {4}}), {{data, 4, false}});
    }
}

TEST_F(ModeEffectTest, RealModeAddressesAreSegmentPlus16BitOffset) {
    in(Mode::Real16);
    expect_accesses(effect(ops::Load{Gpr::Rcx, at(0x40010), {4}}), {{data + 0x10, 4, false}});
    reg(Gpr::Rbx) = 0xFFFF;
    expect_accesses(effect(ops::Load{Gpr::Rcx, {Gpr::Rbx, 1}, {2}}), {{data, 2, false}});
    expect_fault(effect(ops::Load{Gpr::Rcx, {Gpr::Rbx, 0}, {2}}), 13);
    reg(Gpr::Rbp) = 0xFFFF;
    expect_fault(effect(ops::Load{Gpr::Rcx, {Gpr::Rbp, 0}, {2}}), 12);
    reg(Gpr::Rbp) = 0x1F00;
    expect_accesses(effect(ops::Load{Gpr::Rcx, {Gpr::Rbp, 0}, {2}}), {{stack, 2, false}});
}

TEST_F(ModeEffectTest, MisalignedAccessesAtCpl3AreAlignmentChecksWhenAsked) {
    surroundings.alignment_check = true;
    state.rflags |= rflags::ac;
    for (const Mode mode : {Mode::Long64, Mode::Compat32, Mode::Prot32}) {
        in(mode, 3);
        const auto e = effect(ops::Load{Gpr::Rcx, at(0x40002), {4}});
        expect_fault(e, 17);
        EXPECT_TRUE(e.fault.misaligned);
        expect_completes(effect(ops::Load{Gpr::Rcx, at(0x40002), {2}}));
        EXPECT_TRUE(effect(ops::Load{Gpr::Rcx, at(0x42002), {4}}).fault.page) << "both are facts";
        in(mode, 0);
        expect_completes(effect(ops::Load{Gpr::Rcx, at(0x40002), {4}}));
    }
    in(Mode::Prot32, 3);
    state.rflags &= ~rflags::ac;
    expect_completes(effect(ops::Load{Gpr::Rcx, at(0x40002), {4}}));
}

TEST_F(ModeEffectTest, PageFaultsKnowTheBytesOfTheAccessInTheirPage) {
    auto e = effect(ops::Load{Gpr::Rcx, at(0x41FFD), {8}});
    EXPECT_EQ(e.fault.address, 0x42000u);
    EXPECT_EQ(e.fault.span, 4);
    e = effect(ops::Load{Gpr::Rcx, at(0x3FFFE), {8}});
    EXPECT_EQ(e.fault.address, 0x3FFFEu);
    EXPECT_EQ(e.fault.span, 1);
}

TEST_F(ModeEffectTest, StringsCountAndStepInTheAddressSize) {
    in(Mode::Real16);
    reg(Gpr::Rcx) = 0xFFFF'0001;
    reg(Gpr::Rdi) = 0xABCD'FFFF;
    const auto e = effect(ops::RepStos{{1}});
    EXPECT_TRUE(e.unmodelled);  // 4FFFFh is not the program's
    reg(Gpr::Rdi) = 0xABCD'0100;
    const auto last = effect(ops::RepStos{{1}});
    EXPECT_TRUE(last.last_iteration);
    EXPECT_EQ(written(last, Gpr::Rcx), 0xFFFF'0000u);
    EXPECT_EQ(written(last, Gpr::Rdi), 0xABCD'0101u);
    reg(Gpr::Rcx) = 0xFFFF'0000;
    EXPECT_EQ(effect(ops::RepStos{{1}}).access_count, 0);
    EXPECT_TRUE(effect(ops::Jrcxz{{2}}).branch);
}

TEST_F(ModeEffectTest, FlagsMoveInThe16BitImage) {
    in(Mode::Real16);
    state.rflags |= rflags::ac | rflags::cf;
    const auto pushed = effect(ops::Pushf{});
    EXPECT_EQ(pushed.memory[0].value, rflags::cf | rflags::fixed1);
    EXPECT_EQ(pushed.memory[0].length, 2);
    lay_slots({0xFFFF});
    EXPECT_EQ(effect(ops::Popf{}).rflags, 0x7FD7u | rflags::ac);
}

// --- branches

TEST_F(ModeEffectTest, CallPushesAnOffsetAndRetAddsTheBase) {
    in(Mode::Real16);
    EXPECT_EQ(effect(ops::Call{{1}}).memory[0].value, 1u);
    EXPECT_EQ(effect(ops::Call{{1}}).next, here + 1);
    lay_slots({0x0001});
    EXPECT_EQ(effect(ops::Ret{}).next, here + 1);
    reg(Gpr::Rcx) = 0xFFFF'0002;
    EXPECT_EQ(effect(ops::JmpReg{Gpr::Rcx}).next, here + 2);
}

TEST_F(ModeEffectTest, NearBranchesBeyondTheLimitFaultThemselves) {
    for (const Mode mode : flat) {
        in(mode);
        reg(Gpr::Rcx) = 0x80000;
        expect_cause(effect(ops::JmpReg{Gpr::Rcx}), Cause::BranchTarget);
        reg(Gpr::Rcx) = 0x7FFFF;
        expect_completes(effect(ops::JmpReg{Gpr::Rcx}));
        lay_slots({0x80000});
        const auto e = effect(ops::Ret{});
        expect_fault(e, 13);
        expect_accesses(e, {{stack, 4, false}});
    }
}

// --- selectors

TEST_F(ModeEffectTest, MovSsNamesWhatIsWrongWithItsSelector) {
    const auto load = [this](std::uint16_t selector) {
        reg(Gpr::Rax) = selector;
        return effect(ops::MovSs{Gpr::Rax});
    };
    for (const Mode mode : {Mode::Long64, Mode::Compat32, Mode::Prot32}) {
        in(mode);
        expect_fault(load(layout::absent_data), 12, layout::absent_data);
        expect_cause(load(layout::absent_data), Cause::AbsentSelector, layout::absent_data);
        expect_cause(load(layout::readonly_data), Cause::Selector, layout::readonly_data);
        expect_cause(load(layout::absent_user_data), Cause::Selector, layout::absent_user_data);
        expect_cause(load(layout::outside_gdt), Cause::Selector, layout::outside_gdt);
        mode == Mode::Long64 ? expect_completes(load(0)) : expect_cause(load(0), Cause::NullSelector);
        in(mode, 3);
        expect_completes(load(layout::user_ss));
        expect_fault(load(layout::absent_user_data), 12, layout::absent_user_data & ~3);
    }
    in(Mode::Real16);
    EXPECT_EQ(load(0x1234).ss, 0x1234);
}

TEST_F(ModeEffectTest, AnOperandOfTwoPartsRefusedInTwoWaysIsNotModelled) {
    in(Mode::Compat32);
    constexpr std::int32_t limit = layout::segment_limit;
    const auto lss = [&](std::int32_t address) { return effect(ops::Lss{Gpr::Rsp, at(address)}); };
    EXPECT_TRUE(lss(limit - 4).unmodelled) << "the offset is not mapped, the selector's last byte is beyond the limit";
    EXPECT_FALSE(lss(limit - 5).unmodelled);
    EXPECT_TRUE(lss(limit - 5).fault.page);
    EXPECT_FALSE(lss(limit - 2).unmodelled);
    EXPECT_TRUE(lss(limit - 2).fault.out_of_range) << "of the first part";
    EXPECT_TRUE(effect(ops::Bound{Gpr::Rax, at(limit - 6), {4}}).unmodelled);
}
TEST_F(ModeEffectTest, PopSsShadowsAndLssDoesNot) {
    in(Mode::Prot32);
    lay_slots({layout::kernel_ss});
    const auto pop = effect(ops::PopSs{});
    EXPECT_EQ(pop.kind, Kind::LoadSs);
    EXPECT_EQ(written(pop, Gpr::Rsp), stack + 4);
    state.memory.write(data, 0x31000, 4, true);
    state.memory.write(data + 4, layout::kernel_ss, 2, true);
    const auto lss = effect(ops::Lss{Gpr::Rsp, at(0x40000)});
    expect_accesses(lss, {{data, 4, false}, {data + 4, 2, false}});
    EXPECT_EQ(lss.kind, Kind::Ordinary);
    EXPECT_EQ(written(lss, Gpr::Rsp), 0x31000u);
    EXPECT_EQ(lss.ss, layout::kernel_ss);
}

// --- events

TEST_F(ModeEffectTest, IntoIsASoftwareInterruptWhenOfIsSet) {
    in(Mode::Prot32, 3);
    EXPECT_EQ(effect(ops::Into{}).kind, Kind::Ordinary);
    state.rflags |= rflags::of;
    EXPECT_EQ(effect(ops::Into{}).kind, Kind::IntN);
    EXPECT_EQ(effect(ops::Into{}).vector, 4);
    const auto e = effect(ops::Into{}, Gates::Dpl0);
    expect_cause(e, Cause::GateDpl);
    expect_fault(e, 13, 4 * 8 + 2);
    surroundings.gates = {{.vector = {4}, .dpl = 3}};
    expect_completes(effect(ops::Into{}, Gates::Dpl0));
    state.rflags_known &= ~rflags::of;
    EXPECT_TRUE(effect(ops::Into{}).unmodelled);
}

TEST_F(ModeEffectTest, RealModeHasNoGatesAndNoErrorCodes) {
    in(Mode::Real16);
    expect_completes(effect(ops::Int{{0x20}}, Gates::Dpl0));
    expect_completes(effect(ops::Int{{13}}));
    EXPECT_TRUE(effect(ops::Int{{6}}).unmodelled) << "the end's own";
    reg(Gpr::Rdx) = 0x300;
    expect_completes(effect(ops::InDx{{1}}));
}

TEST_F(ModeEffectTest, BoundReadsBothBoundsAndComparesSigned) {
    in(Mode::Compat32);
    state.memory.write(data, 0xFFFF'FFFE, 4, true);  // -2
    state.memory.write(data + 4, 5, 4, true);
    const auto bound = [&](std::uint64_t index) {
        reg(Gpr::Rcx) = index;
        return effect(ops::Bound{Gpr::Rcx, at(0x40000), {4}});
    };
    expect_accesses(bound(0), {{data, 4, false}, {data + 4, 4, false}});
    for (const std::uint64_t inside : {0xFFFF'FFFEull, 0ull, 5ull}) expect_completes(bound(inside));
    for (const std::uint64_t outside : {0xFFFF'FFFDull, 6ull, 0x8000'0000ull}) expect_fault(bound(outside), 5);
}

TEST_F(ModeEffectTest, AamByZeroIsDivideError) {
    in(Mode::Prot32);
    expect_fault(effect(ops::Aam{{0}}), 0);
    reg(Gpr::Rax) = 0xAABB'CC2F;  // 47
    const auto e = effect(ops::Aam{{10}});
    EXPECT_EQ(written(e, Gpr::Rax), 0xAABB'0407u);
    EXPECT_EQ(e.rflags_known & rflags::arithmetic, rflags::zf | rflags::sf | rflags::pf);
}

TEST_F(ModeEffectTest, UndefinedInstructionsLookAtNoOperand) {
    for (const Mode mode : {Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16}) {
        in(mode);
        for (const Op& op : {Op(ops::Ud1{Gpr::Rcx, at(0x42000)}), Op(ops::LockMov{at(0x42000), Gpr::Rcx, {4}})}) {
            expect_fault(effect(op), 6);
            expect_accesses(effect(op), {});
        }
    }
}

TEST_F(ModeEffectTest, IoAtCpl3EndsWhereTheTssDoes) {
    in(Mode::Prot32, 3);
    expect_completes(effect(ops::In{{0x80}, {1}}));
    surroundings.tss_limit = 0x77;  // the bitmap's byte of port 80h is at 78h
    expect_cause(effect(ops::In{{0x80}, {1}}), Cause::IoPermission);
    surroundings.tss_limit = 0x78;
    EXPECT_TRUE(effect(ops::In{{0x80}, {1}}).unmodelled);
    surroundings.tss_limit = 0x79;
    expect_completes(effect(ops::In{{0x80}, {1}}));
}

// --- frames

TEST_F(ModeEffectTest, EnterAndLeaveMakeAndDropAFrame) {
    in(Mode::Prot32);
    reg(Gpr::Rbp) = 0x31F80;
    auto e = effect(ops::Enter{{0x20}, {0}});
    expect_accesses(e, {{stack - 4, 4, true}});
    EXPECT_EQ(written(e, Gpr::Rbp), stack - 4);
    EXPECT_EQ(written(e, Gpr::Rsp), stack - 0x24);
    state.memory.write(0x31F7C, 0x77, 4, true);
    e = effect(ops::Enter{{0x20}, {2}});
    expect_accesses(e, {{stack - 4, 4, true}, {0x31F7C, 4, false}, {stack - 8, 4, true}, {stack - 12, 4, true}});
    EXPECT_EQ(e.memory[1].value, 0x77u);
    EXPECT_EQ(e.memory[2].value, stack - 4);
    EXPECT_EQ(written(e, Gpr::Rsp), stack - 0x2C);
    e = effect(ops::Leave{});
    expect_accesses(e, {{0x31F80, 4, false}});
    EXPECT_EQ(written(e, Gpr::Rsp), 0x31F84u);
    EXPECT_TRUE(effect(ops::Enter{{0x3000}, {0}}).unmodelled) << "faults at the final stack pointer, after a push";
}

// --- far transfers

TEST_F(ModeEffectTest, FarJumpsCheckTheirSelector) {
    const auto jump = [this](std::uint16_t selector) { return effect(ops::FarJmp{{selector}, {1}}); };
    in(Mode::Prot32);
    EXPECT_EQ(jump(layout::kernel_cs).next, here + 1);
    EXPECT_EQ(jump(layout::conforming_code).cs, layout::conforming_code);
    expect_cause(jump(0), Cause::NullSelector);
    expect_cause(jump(layout::user_cs), Cause::Selector, layout::user_cs);
    expect_cause(jump(layout::kernel_ss), Cause::Selector, layout::kernel_ss);
    expect_fault(jump(layout::absent_code), 11, layout::absent_code);
    expect_cause(jump(layout::outside_gdt), Cause::Selector, layout::outside_gdt);
    in(Mode::Prot32, 3);
    EXPECT_EQ(jump(layout::conforming_code).cs, layout::conforming_code | 3);
    expect_cause(jump(layout::kernel_cs), Cause::Selector, layout::kernel_cs);
    in(Mode::Compat32);
    EXPECT_EQ(jump(layout::kernel_cs32).next, here + 1);
    EXPECT_TRUE(jump(layout::kernel_cs).unmodelled) << "64-bit code";
    expect_cause(jump(layout::tr), Cause::Selector, layout::tr);
    in(Mode::Real16);
    EXPECT_EQ(jump(0x1FF0).cs, 0x1FF0);
    EXPECT_EQ(jump(0x1FF0).next, here + 1);
    EXPECT_TRUE(jump(0x4000).unmodelled);
}

TEST_F(ModeEffectTest, FarCallPushesCsAndOffset) {
    in(Mode::Prot32);
    auto e = effect(ops::FarCall{{layout::kernel_cs}, {1}});
    expect_accesses(e, {{stack - 4, 4, true}, {stack - 8, 4, true}});
    EXPECT_EQ(e.memory[0].value, layout::kernel_cs);
    EXPECT_FALSE(e.memory[1].known) << "padding";
    EXPECT_EQ(e.memory[2].value, here + 1);
    in(Mode::Real16);
    e = effect(ops::FarCall{{0x2000}, {1}});
    EXPECT_EQ(e.memory[0].value, 0x2000u);
    EXPECT_EQ(e.memory[1].value, 1u);
    EXPECT_EQ(written(e, Gpr::Rsp), 0x1EFCu);
}

TEST_F(ModeEffectTest, FarReturnsPopTheStackWhenPrivilegeChanges) {
    in(Mode::Prot32);
    lay_slots({here + 1, layout::kernel_cs});
    auto e = effect(ops::FarRet{});
    EXPECT_EQ(written(e, Gpr::Rsp), stack + 8);
    lay_slots({here + 1, layout::user_cs, 0x31000, layout::user_ss});
    e = effect(ops::FarRet{});
    EXPECT_EQ(e.access_count, 4);
    EXPECT_EQ(e.cpl, 3);
    EXPECT_EQ(written(e, Gpr::Rsp), 0x31000u);
    lay_slots({0x80000, layout::kernel_cs});
    expect_cause(effect(ops::FarRet{}), Cause::BranchTarget);
    lay_slots({here, layout::absent_code});
    expect_fault(effect(ops::FarRet{}), 11, layout::absent_code);
    in(Mode::Long64);
    lay_slots({here + 1, layout::kernel_cs});
    EXPECT_EQ(written(effect(ops::FarRet{}), Gpr::Rsp), stack + 16);
}

TEST_F(ModeEffectTest, IretPopsThreeSlotsWithinAPrivilegeAndFiveAcross) {
    for (const Mode mode : flat) {
        in(mode);
        lay_slots({here + 1, program_cs(mode, 0), rflags::rf | rflags::tf});
        auto e = effect(ops::Iret{});
        EXPECT_EQ(e.access_count, 3);
        EXPECT_EQ(e.rflags, rflags::rf | rflags::tf | rflags::fixed1);
        EXPECT_EQ(written(e, Gpr::Rsp), stack + 12);
        EXPECT_EQ(e.ss, layout::kernel_ss);
        lay_slots({here + 1, program_cs(mode, 3), 2, 0x31000, layout::user_ss});
        e = effect(ops::Iret{});
        EXPECT_EQ(e.access_count, 5);
        EXPECT_EQ(e.cpl, 3);
        EXPECT_EQ(e.ss, layout::user_ss);
        lay_slots({here + 1, program_cs(mode, 3), 2, 0x31000, 0});
        expect_cause(effect(ops::Iret{}), Cause::NullSelector);
        lay_slots({here + 1, program_cs(mode, 3), 2, 0x31000, layout::absent_user_data});
        expect_fault(effect(ops::Iret{}), 12, layout::absent_user_data & ~3);
        in(mode, 3);
        lay_slots({here + 1, program_cs(mode, 0), 2});
        expect_cause(effect(ops::Iret{}), Cause::Selector, program_cs(mode, 0));
    }
    in(Mode::Real16);
    lay_slots({1, 0x2000, 0x7FD7});
    state.rflags |= rflags::nt | rflags::ac;
    const auto e = effect(ops::Iret{});
    expect_completes(e);
    EXPECT_EQ(e.rflags, 0x7FD7u | rflags::ac);
    EXPECT_EQ(e.next, here + 1);
    EXPECT_EQ(written(e, Gpr::Rsp), 0x1F06u);
}

TEST_F(ModeEffectTest, IretToVirtual8086ModeIsLeftOut) {
    in(Mode::Prot32);
    lay_slots({here, layout::kernel_cs, rflags::vm});
    EXPECT_TRUE(effect(ops::Iret{}).unmodelled);
    in(Mode::Compat32);
    lay_slots({here, layout::kernel_cs32, rflags::vm});
    expect_completes(effect(ops::Iret{}));
}

// --- tasks

TEST_F(ModeEffectTest, ACallOfATaskNestsItAndIretReturns) {
    in(Mode::Prot32);
    surroundings.task = Task{.eip = {OpRef{1}, 0}, .eflags = rflags::fixed1 | rflags::tf};
    reg(Gpr::Rcx) = 0x77;
    const Op call = ops::FarCall{{layout::task_a}, {0}};
    const auto e = effect(call);
    expect_completes(e);
    EXPECT_EQ(e.kind, Kind::TaskSwitch);
    EXPECT_EQ(e.next, here + 1);
    EXPECT_EQ(e.rflags, rflags::fixed1 | rflags::tf | rflags::nt);
    EXPECT_EQ(e.tr, layout::task_a);
    EXPECT_FALSE(e.task_trap);
    expect_accesses(e, {});

    const State before = state;
    state = after_task_switch(state, {state, image, here + 1, Gates::Dpl3, &surroundings}, e);
    EXPECT_EQ(state.reg(Gpr::Rcx), 0u);
    EXPECT_EQ(state.reg(Gpr::Rsp), layout::task_stack);
    EXPECT_TRUE(state.cr0 & cr0_ts);
    EXPECT_TRUE(effect(call).unmodelled || effect(call).fault.cause == Cause::TaskSelector);
    const auto back = effect(ops::Iret{});
    EXPECT_EQ(back.kind, Kind::TaskSwitch);
    EXPECT_EQ(back.tr, layout::tr);
    state = after_task_switch(state, {state, image, here + 1, Gates::Dpl3, &surroundings}, back);
    EXPECT_EQ(state.rip, here + 1);
    EXPECT_EQ(state.gpr, before.gpr);
    EXPECT_EQ(state.rflags, before.rflags);
    EXPECT_EQ(state.cs, before.cs);
    EXPECT_TRUE(effect(call).unmodelled) << "its TSS is no longer the image's";
}

TEST_F(ModeEffectTest, AJumpToATaskLeavesNoWayBack) {
    in(Mode::Prot32);
    surroundings.task = Task{};
    const auto e = effect(ops::FarJmp{{layout::task_b}, {0}});
    EXPECT_FALSE(e.rflags & rflags::nt);
    EXPECT_TRUE(e.task_trap);
    state = after_task_switch(state, {state, image, here + 1, Gates::Dpl3, &surroundings}, e);
    state.rflags |= rflags::nt;
    expect_fault(effect(ops::Iret{}), 10, 0);
}

/// SDM vol 2, "RET" and "IRET", do not say which slot's page fault comes first; processors read CS or the flags first.
TEST_F(ModeEffectTest, APageFaultOfAFarReturnMayShowAnySlot) {
    in(Mode::Long64, 3);
    const auto span = [this](const Op& op, std::uint64_t rsp) {
        state.gpr[static_cast<std::size_t>(Gpr::Rsp)] = rsp;
        const auto e = effect(op);
        return e.unmodelled ? -1 : e.faults ? int{e.fault.span} : -2;
    };
    EXPECT_EQ(span(ops::FarRet{}, layout::hole), 15);
    EXPECT_EQ(span(ops::Iret{}, layout::hole), 39);
    EXPECT_EQ(span(ops::Ret{}, layout::hole), 7);
    EXPECT_EQ(span(ops::FarRet{}, layout::hole - 8), -1) << "two pages";
}

TEST_F(ModeEffectTest, TaskSelectorsAreChecked) {
    in(Mode::Prot32, 3);
    surroundings.task = Task{};
    const auto jump = [this](std::uint16_t selector) { return effect(ops::FarJmp{{selector}, {0}}); };
    expect_cause(jump(layout::task_gate), Cause::Selector, layout::task_gate);
    expect_completes(jump(layout::task_gate_dpl3));
    EXPECT_EQ(jump(layout::task_gate_dpl3).tr, layout::task_a);
    expect_cause(jump(layout::tr), Cause::Selector, layout::tr);
    in(Mode::Prot32);
    expect_cause(jump(layout::tr), Cause::TaskSelector, layout::tr);
    surroundings.task->busy = true;
    expect_fault(jump(layout::task_gate), 13, layout::task_a);
    expect_completes(jump(layout::task_b));
    state.rflags |= rflags::nt;
    expect_fault(effect(ops::Iret{}), 10, 0);
}

}  // namespace
}  // namespace faultline::guest
