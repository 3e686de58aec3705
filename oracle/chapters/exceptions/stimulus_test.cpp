// The facts that a delivery is judged by, gathered from state, surroundings and image. Addresses and limits are counted
// out by hand from layout.hpp and the manuals' tables.
#include "oracle/chapters/exceptions/stimulus.hpp"

#include <gtest/gtest.h>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/surroundings.hpp"
#include "oracle/chapters/exceptions/outcomes.hpp"
#include "oracle/chapters/exceptions/situation.hpp"

namespace faultline::oracle::exceptions {
namespace {

using namespace guest;

struct Scene {
    explicit Scene(Mode mode, std::uint8_t cpl = 0) {
        state.mode = mode;
        state.cpl = cpl;
        state.cs = program_cs(mode, cpl), state.ss = program_ss(mode, cpl);
        rsp(mode == Mode::Real16 ? 0x1F00 : layout::stack_top);
    }
    void rsp(std::uint64_t value) { state.gpr[static_cast<std::size_t>(Gpr::Rsp)] = value; }
    Stimulus<Judging> meet(const Event& event) const {
        const EffectContext context{
            .state = state, .image = image, .fallthrough = 0, .gates = Gates::Dpl3, .surroundings = &surroundings};
        const auto s = deliver_of(event, context);
        EXPECT_TRUE(valid<Judging>(pre_of(state, {}), s));
        return s;
    }
    Stimulus<Judging> int_21() const {
        return meet({.vector = 0x21, .source = source::software, .rip = 0x20002, .origin = 0x20000});
    }
    Stimulus<Judging> exception(std::uint8_t vector) const {
        return meet({.vector = vector, .rip = 0x20000, .origin = 0x20000});
    }
    /// How the delivery ends, where only one end is right.
    Response<Judging> end(const Stimulus<Judging>& s) const {
        Outcomes right;
        outcomes(pre_of(state, {}), s, right);
        EXPECT_EQ(right.size(), 1u);
        return right[0].response;
    }

    State state;
    Image image;
    Surroundings surroundings;
};

TEST(ExceptionsStimulus, OnTheDefaultSurroundingsEveryDeliverySucceeds) {
    for (const Mode mode : {Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16})
        for (const std::uint8_t cpl : {std::uint8_t{0}, std::uint8_t{3}}) {
            if (mode == Mode::Real16 && cpl == 3) continue;
            const Scene scene(mode, cpl);
            const auto r = scene.end(scene.int_21());
            EXPECT_EQ(r.result, result::delivered);
            EXPECT_EQ(r.cpl, 0u);
            EXPECT_EQ(scene.end(scene.exception(6)).result, result::delivered);
        }
}

TEST(ExceptionsStimulus, FramesLieWhereTheManualPutsThem) {
    Scene wide(Mode::Long64, 0);
    wide.rsp(0x31E03);
    EXPECT_EQ(wide.end(wide.int_21()).frame, 0x31E00u - 40);
    EXPECT_EQ(wide.end(wide.exception(13)).frame, 0x31E00u - 48);
    const Scene outer(Mode::Compat32, 3);
    EXPECT_EQ(outer.end(outer.int_21()).frame, layout::rsp0_top - 40);
    const Scene legacy(Mode::Prot32, 3);
    EXPECT_EQ(legacy.end(legacy.exception(14)).frame, layout::rsp0_top - 24);
    Scene same(Mode::Prot32, 0);
    same.rsp(0x31E02);
    EXPECT_EQ(same.end(same.int_21()).frame, 0x31E02u - 12);
    const Scene real(Mode::Real16);
    EXPECT_EQ(real.end(real.int_21()).frame, 0x1F00u - 6);
}

TEST(ExceptionsStimulus, AVectorIsInsideWhereItsLastByteIs) {
    for (const auto& [mode, last] : {std::pair{Mode::Long64, 0x21F}, {Mode::Prot32, 0x10F}, {Mode::Real16, 0x87}}) {
        Scene scene(mode);
        scene.surroundings.idt_limit = static_cast<std::uint16_t>(last);
        EXPECT_FALSE(scene.int_21().gate_outside);
        --scene.surroundings.idt_limit;
        EXPECT_TRUE(scene.int_21().gate_outside);
    }
}

TEST(ExceptionsStimulus, ATssIsTooShortWhereItEndsInsideTheSlot) {
    Scene wide(Mode::Long64, 3), legacy(Mode::Prot32, 3);
    wide.surroundings.tss_limit = 0xB, legacy.surroundings.tss_limit = 0xB;
    EXPECT_FALSE(wide.int_21().slot_outside);
    EXPECT_FALSE(legacy.int_21().slot_outside || legacy.int_21().slot_edge);
    wide.surroundings.tss_limit = 0xA, legacy.surroundings.tss_limit = 0xA;
    EXPECT_TRUE(wide.int_21().slot_outside);
    EXPECT_TRUE(legacy.int_21().slot_edge);
    legacy.surroundings.tss_limit = 8;
    EXPECT_TRUE(legacy.int_21().slot_outside);
    wide.surroundings.gates.push_back({.vector = {0x21}, .dpl = 3, .ist = 2});
    wide.surroundings.tss_limit = 0x33;
    EXPECT_FALSE(wide.int_21().slot_outside);
    wide.surroundings.tss_limit = 0x32;
    EXPECT_TRUE(wide.int_21().slot_outside);
}

TEST(ExceptionsStimulus, AFrameOnAnAbsentPageIsRefusedAtItsFirstPush) {
    Scene scene(Mode::Long64, 3);
    scene.surroundings.inner_stack.literal = 0x43000;
    const auto s = scene.int_21();
    EXPECT_TRUE(s.push_page && !s.push_present);
    EXPECT_EQ(s.push_address, 0x42FF8u);
    EXPECT_EQ(s.push_low, 0x43000u - 40);
    EXPECT_EQ(s.push_high, 0x42FFFu);
    const auto r = scene.end(s);
    EXPECT_EQ(r.vector, 14u);
    EXPECT_EQ(r.error, 2u);
    EXPECT_EQ(r.cr2, 0x42FF8u);
}

TEST(ExceptionsStimulus, AFrameThatCrossesIntoAnAbsentPageIsRefusedThere) {
    Scene scene(Mode::Prot32, 0);
    scene.rsp(0x40006);  // EFLAGS at 40002h, CS from 3FFFEh on, EIP at 3FFFAh
    const auto s = scene.int_21();
    EXPECT_TRUE(s.push_page && !s.push_present);
    EXPECT_EQ(s.push_address, 0x3FFFEu);
    EXPECT_EQ(s.push_low, 0x3FFFAu);
    EXPECT_EQ(s.push_high, 0x3FFFFu);
}

TEST(ExceptionsStimulus, AReadOnlyPageRefusesWithPSet) {
    Scene scene(Mode::Long64, 3);
    scene.surroundings.inner_stack.literal = 0x45000;
    EXPECT_EQ(scene.end(scene.int_21()).error, 3u);
}

TEST(ExceptionsStimulus, StackPointersThatNothingFitsBelow) {
    Scene wide(Mode::Long64), legacy(Mode::Prot32), real(Mode::Real16);
    wide.rsp(0x800000000000);
    EXPECT_TRUE(wide.int_21().sp_out_of_range);
    legacy.rsp(0x80004);
    EXPECT_TRUE(legacy.int_21().sp_out_of_range);
    legacy.rsp(0x80000);
    EXPECT_FALSE(legacy.int_21().sp_out_of_range);
    legacy.rsp(8);
    EXPECT_TRUE(legacy.int_21().sp_out_of_range);
    for (const std::uint64_t sp : {1, 3, 5}) {
        real.rsp(sp);
        EXPECT_TRUE(real.int_21().sp_out_of_range) << sp;
    }
    for (const std::uint64_t sp : {2, 4}) {
        real.rsp(sp);
        EXPECT_TRUE(real.int_21().sp_edge) << sp;
    }
    for (const std::uint64_t sp : {0, 6}) {
        real.rsp(sp);
        EXPECT_FALSE(real.int_21().sp_edge || real.int_21().sp_out_of_range) << sp;
    }
}

TEST(ExceptionsStimulus, ADataBreakpointOnTheFrameOrTheGateIsWatched) {
    Scene scene(Mode::Long64, 3);
    scene.state.dr[0] = layout::rsp0_top - 16, scene.state.dr[1] = layout::idt_dpl3 + 0x21 * 16 + 8;
    scene.state.dr[2] = layout::rsp0_top, scene.state.dr[3] = layout::tss + 4;
    scene.state.dr7 = 0x400 | 0x55 | 0x1ull << 16 | 0x3ull << 20 | 0x1ull << 24 | 0x0ull << 28;
    EXPECT_EQ(scene.int_21().watched, 3u);  // DR2 lies above the frame, DR3 is an instruction breakpoint
}

TEST(ExceptionsStimulus, WhatStandsBehindAGatesSelector) {
    Scene scene(Mode::Prot32);
    const auto with = [&](std::uint16_t selector, Gate::Type type = Gate::Type::Interrupt) {
        scene.surroundings.gates = {{.vector = {0x21}, .type = type, .selector = selector}};
        return scene.int_21();
    };
    EXPECT_TRUE(with(layout::outside_gdt).cs_outside);
    EXPECT_FALSE(with(layout::kernel_ss).cs_code);
    EXPECT_FALSE(with(layout::absent_code).cs_present);
    EXPECT_TRUE(with(layout::conforming_code).cs_conforming);
    EXPECT_FALSE(with(layout::tr, Gate::Type::Task).tss_available);
    EXPECT_TRUE(with(layout::task_a, Gate::Type::Task).tss_available);
    scene.surroundings.task.emplace().busy = true;
    EXPECT_FALSE(with(layout::task_a, Gate::Type::Task).tss_available);
    EXPECT_EQ(scene.end(with(layout::tr, Gate::Type::Task)).error, 0x28u);
}

TEST(ExceptionsStimulus, AFaultBecomesItsException) {
    Effect effect;
    effect.faults = true;
    effect.fault = {
        .cause = Cause::Access, .page = true, .present = true, .write = true, .user = true, .address = 0x44000};
    const State state{};
    Outcomes right;
    outcomes(pre_of(state, {}), raise_of(effect), right);
    ASSERT_EQ(right.size(), 1u);
    EXPECT_EQ(right[0].response.vector, 14u);
    EXPECT_EQ(right[0].response.error, 7u);
    EXPECT_EQ(right[0].response.cr2, 0x44000u);

    effect.fault = {.cause = Cause::AbsentSelector, .selector = 0x5B, .stack = true};
    outcomes(pre_of(state, {}), raise_of(effect), right);
    ASSERT_EQ(right.size(), 1u);
    EXPECT_EQ(right[0].response.vector, 12u);
    EXPECT_EQ(right[0].response.error, 0x58u);
}

}  // namespace
}  // namespace faultline::oracle::exceptions
