// Far transfers and segment loads in protected and in long mode. AMD APM vol 2, "Control-Transfer Privilege Checks",
// "Data-Access Privilege Checks", "Segment-Register Loading"; vol 3, "CALL (Far)", "JMP (Far)", "RET (Far)", "MOV",
// "POP", "LDS".
#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

namespace s = selector;

struct Far : testing::Test {
    LegacyMachine t;
    Cpu& cpu = t.m.cpu;
};

void jump_to(LegacyMachine& t, std::uint16_t to, std::uint32_t offset, int opcode = 0xEA) {
    t.code({opcode, static_cast<int>(offset & 0xFF), static_cast<int>(offset >> 8 & 0xFF),
            static_cast<int>(offset >> 16 & 0xFF), static_cast<int>(offset >> 24), to & 0xFF, to >> 8});
}

TEST_F(Far, AJumpLoadsCsWithRplOfCpl) {
    jump_to(t, s::kernel_code, place::task_code);
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.rip, place::task_code);
    t.legacy_cpl3();
    jump_to(t, s::conforming, place::task_code);
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.segment[cs].selector, s::conforming | 3);
    EXPECT_EQ(cpu.cpl, 3);
}

TEST_F(Far, ACallPushesCsAndEipAndARetPopsThem) {
    jump_to(t, s::kernel_code, place::task_code, 0x9A);
    t.code({0xCA, 0x08, 0x00}, place::task_code);  // retf 8
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.r[rsp], place::stack - 8);
    EXPECT_EQ(t.slot(0), place::code + 7);
    EXPECT_EQ(t.slot(1), s::kernel_code);
    t.m.run(1);
    EXPECT_EQ(cpu.rip, place::code + 7);
    EXPECT_EQ(cpu.r[rsp], place::stack + 8);
}

TEST_F(Far, TransfersThroughMemoryReadTheOffsetFirst) {
    t.write32(place::data, place::task_code);
    t.write16(place::data + 4, s::kernel_code);
    t.code({0xFF, 0x2D, 0x00, 0x00, 0x04, 0x00});  // jmp far [40000h]
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.rip, place::task_code);
    t.code({0x66, 0xFF, 0x1D, 0x00, 0x00, 0x04, 0x00});  // call far m16:16
    t.write32(place::data, s::kernel_code << 16 | 0x1234);
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.rip, 0x1234u);
    EXPECT_EQ(t.slot16(0), (place::code + 7) & 0xFFFF);
    EXPECT_EQ(t.slot16(1), s::kernel_code);
}

TEST_F(Far, WhatIsRefused) {
    struct Row {
        const char* fact;
        int cpl;
        std::uint16_t to;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {
        {"null", 0, 0, 13, 0},
        {"null with RPL", 3, 3, 13, 0},
        {"beyond the GDT", 0, s::outside, 13, 0x200},
        {"in no LDT", 0, 0x0C, 13, 0x0C},
        {"data", 0, s::kernel_data, 13, 0x10},
        {"an empty entry", 0, s::empty, 13, 0xE8},
        {"an LDT descriptor", 0, s::ldt, 13, 0xB8},
        {"inner level", 3, s::kernel_code, 13, 0x08},
        {"outer level", 0, s::user_code, 13, 0x20},
        {"RPL above CPL", 0, s::kernel_code | 3, 13, 0x08},
        {"absent", 0, s::absent_code, 11, 0x50},
        {"DPL before P", 3, s::absent_code, 13, 0x50},
        {"offset beyond the limit", 0, s::small_code, 13, 0},
        {"call gate of DPL 0", 3, s::call_gate, 13, 0xB0},
        {"TSS of DPL 0 at CPL 3", 3, s::task0, 13, 0xD0},
        {"TSS of DPL 0 with RPL 3", 0, s::task0 | 3, 13, 0xD0},
        {"busy TSS", 0, s::busy_task, 13, 0x38},
        {"current TSS, busy", 0, s::main_tss, 13, 0x28},
        {"absent TSS", 3, s::absent_task, 11, 0x98},
        {"TSS of 103 bytes", 3, s::short_task, 10, 0xA0},
        {"task gate of DPL 0 at CPL 3", 3, s::task_gate0, 13, 0x40},
        {"task gate of DPL 0 with RPL 3", 0, s::task_gate0 | 3, 13, 0x40},
        {"absent task gate", 0, s::absent_gate, 11, 0xD8},
        {"task gate to a TSS in the LDT", 0, s::gate_to_ldt, 13, 0x34},
    };
    for (const int opcode : {0xEA, 0x9A})
        for (const Row& row : rows) {
            LegacyMachine fresh;
            if (row.cpl == 3) fresh.legacy_cpl3();
            for (const unsigned vector : {10u, 11u, 13u}) fresh.gate(vector, s::conforming, 0x8E);
            const std::uint64_t top = fresh.m.cpu.r[rsp];
            jump_to(fresh, row.to, place::task_code, opcode);
            EXPECT_EQ(fresh.step_from(place::code), row.vector) << row.fact;
            EXPECT_EQ(fresh.slot(0), row.error) << row.fact;
            EXPECT_EQ(fresh.slot(1), place::code) << row.fact;
            EXPECT_EQ(fresh.m.cpu.r[rsp], top - 16) << row.fact;
            EXPECT_EQ(fresh.m.cpu.tr.selector, s::main_tss) << row.fact;
        }
}

TEST_F(Far, ACallWithoutRoomIsAStackFaultAndChangesNothing) {
    t.m.set_segment(ss, {s::small_stack, place::small_base, 0xFF, 0x493});
    cpu.r[rsp] = 4;  // room for CS, not for EIP
    t.write(place::idt + 12 * 8, legacy_gate(s::task, 0, 0x85));
    jump_to(t, s::kernel_code, place::task_code, 0x9A);
    t.step_from(place::code);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(t.read32(place::tss + 0x38), 4u);  // ESP as it was
}

TEST_F(Far, ARetToAnOuterLevelPopsBothStacksParameters) {
    const std::uint64_t frame[] = {place::task_code, s::user_code, 0xAAAA, 0xBBBB, place::user_stack, s::user_data};
    for (unsigned n = 0; n < 6; ++n) t.write32(place::stack + 4 * n, frame[n]);
    t.code({0xCA, 0x08, 0x00});
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.cpl, 3);
    EXPECT_EQ(cpu.rip, place::task_code);
    EXPECT_EQ(cpu.r[rsp], place::user_stack + 8);
    EXPECT_EQ(cpu.segment[ss].selector, s::user_data);
    EXPECT_EQ(cpu.segment[ds].selector, 0);
}

TEST_F(Far, ARetIsRefusedAsAnIretIs) {
    struct Row {
        std::uint64_t code, stack;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{0, 0, 13, 0},
                          {s::outside, 0, 13, 0x200},
                          {s::kernel_data, 0, 13, 0x10},
                          {s::absent_code, 0, 11, 0x50},
                          {s::user_code, 3, 13, 0},
                          {s::user_code, s::kernel_data, 13, 0x10},
                          {s::user_code, s::absent_user_data, 12, 0x70}};
    t.code({0xCB});
    for (const Row& row : rows) {
        const std::uint64_t frame[] = {place::task_code, row.code, place::user_stack, row.stack};
        cpu.r[rsp] = place::stack;
        for (unsigned n = 0; n < 4; ++n) t.write32(place::stack + 4 * n, frame[n]);
        EXPECT_EQ(t.step_from(place::code), row.vector);
        EXPECT_EQ(t.slot(0), row.error);
        EXPECT_EQ(cpu.r[rsp], place::stack - 16);
    }
}

// ---- Segment registers ------------------------------------------------------------------------------------------

struct Load {
    const char* fact;
    int cpl;
    SegmentSlot slot;
    std::uint16_t selector;
    int vector;  ///< -1: loaded
    std::uint64_t error;
};

const Load loads[] = {
    {"DS null", 0, ds, 0, -1, 0},
    {"ES null with RPL", 3, es, 3, -1, 0},
    {"SS null", 0, ss, 0, 13, 0},
    {"DS data", 0, ds, s::kernel_data, -1, 0},
    {"DS data of an outer level", 0, ds, s::user_data, -1, 0},
    {"DS data of an inner level", 3, ds, s::kernel_data, 13, 0x10},
    {"DS data, RPL above DPL", 0, ds, s::kernel_data | 3, 13, 0x10},
    {"DS readable code", 0, ds, s::kernel_code, -1, 0},
    {"DS conforming code at any level", 3, ds, s::conforming | 3, -1, 0},
    {"DS unreadable code", 3, ds, s::unreadable_code, 13, 0x80},
    {"DS a system descriptor", 0, ds, s::main_tss, 13, 0x28},
    {"DS beyond the GDT", 0, ds, s::outside, 13, 0x200},
    {"DS in no LDT", 0, ds, 0x0C, 13, 0x0C},
    {"DS not present", 0, ds, s::absent_data, 11, 0x60},
    {"DS DPL before P", 3, ds, s::absent_data, 13, 0x60},
    {"DS read-only", 0, ds, s::readonly_data, -1, 0},
    {"FS not present", 3, fs, s::absent_user_data, 11, 0x70},
    {"GS beyond the GDT", 3, gs, s::outside | 3, 13, 0x200},
    {"SS data", 0, ss, s::kernel_data, -1, 0},
    {"SS at CPL 3", 3, ss, s::user_data, -1, 0},
    {"SS RPL not CPL", 0, ss, s::kernel_data | 3, 13, 0x10},
    {"SS DPL not CPL", 0, ss, s::user_data & ~3, 13, 0x18},
    {"SS read-only", 0, ss, s::readonly_data, 13, 0x68},
    {"SS code", 0, ss, s::kernel_code, 13, 0x08},
    {"SS beyond the GDT", 0, ss, s::outside, 13, 0x200},
    {"SS not present", 0, ss, s::absent_data, 12, 0x60},
    {"SS not present at CPL 3", 3, ss, s::absent_user_data, 12, 0x70},
    {"SS type before P", 0, ss, s::absent_code, 13, 0x50},
};

class LegacyLoad : public testing::TestWithParam<Load> {};

TEST_P(LegacyLoad, BySegmentRegister) {
    const Load& row = GetParam();
    // MOV Sreg, POP Sreg and LDS and its kind check the same, and change nothing where they fault.
    static constexpr int far_opcode[] = {0xC4, 0, 0xB2, 0xC5, 0xB4, 0xB5};
    static constexpr int pop_opcode[] = {0x07, 0, 0x17, 0x1F, 0xA1, 0xA9};
    for (int way = 0; way < 3; ++way) {
        LegacyMachine t;
        Cpu& cpu = t.m.cpu;
        if (row.cpl == 3) t.legacy_cpl3();
        for (const unsigned vector : {11u, 12u, 13u}) t.gate(vector, s::conforming, 0x8E);
        cpu.r[rax] = row.selector;
        t.write32(cpu.r[rsp], row.selector);
        t.write32(place::data, 0x1234'5678);
        t.write16(place::data + 4, row.selector);
        const bool two = row.slot >= fs;
        if (way == 0) t.code({0x8E, 0xC0 | row.slot << 3});
        if (way == 1 && two) t.code({0x0F, pop_opcode[row.slot]});
        if (way == 1 && !two) t.code({pop_opcode[row.slot]});
        if (way == 2 && (two || row.slot == ss)) t.code({0x0F, far_opcode[row.slot], 0x05, 0x00, 0x00, 0x04, 0x00});
        if (way == 2 && !two && row.slot != ss) t.code({far_opcode[row.slot], 0x05, 0x00, 0x00, 0x04, 0x00});
        const std::uint16_t before = cpu.segment[row.slot].selector;
        const std::uint64_t top = cpu.r[rsp];
        EXPECT_EQ(t.step_from(place::code), row.vector) << row.fact;
        if (row.vector == -1) {
            EXPECT_EQ(cpu.segment[row.slot].selector, row.selector) << row.fact;
            EXPECT_EQ((cpu.segment[row.slot].attributes & attribute::present) != 0, (row.selector & ~3) != 0);
            EXPECT_EQ(cpu.r[rsp], top + (way == 1 ? 4 : 0)) << row.fact;
            EXPECT_EQ(cpu.r[rax], way == 2 ? 0x1234'5678u : row.selector) << row.fact;
            EXPECT_EQ(t.m.shadow == Shadow::MovSs, row.slot == ss && way != 2) << row.fact;  // LSS opens none
        } else {
            EXPECT_EQ(t.slot(0), row.error) << row.fact;
            EXPECT_EQ(cpu.segment[row.slot].selector, before) << row.fact;
            EXPECT_EQ(cpu.r[rsp], top - 16) << row.fact;
            EXPECT_EQ(cpu.r[rax], row.selector) << row.fact;
            EXPECT_EQ(t.m.shadow, Shadow::None) << row.fact;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(OneRowPerCheck, LegacyLoad, testing::ValuesIn(loads));

TEST_F(Far, ANullSegmentIsLoadedInSilenceAndFaultsWhenUsed) {
    cpu.r[rax] = 0;
    t.code({0x8E, 0xD8, 0xA0, 0x00, 0x00, 0x04, 0x00});  // mov ds, eax; mov al, [40000h]
    EXPECT_EQ(t.step_from(place::code), -1);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::gp);
    EXPECT_EQ(t.slot(0), 0u);
}

TEST_F(Far, ADescriptorOfTheLdtIsFoundAfterLldt) {
    cpu.r[rax] = s::ldt;
    t.code({0x0F, 0x00, 0xD0, 0x0F, 0x00, 0xC3, 0x8E, 0xD9});  // lldt ax; sldt ebx; mov ds, ecx
    cpu.r[rcx] = 0x0C;
    EXPECT_EQ(t.step_from(place::code), -1);
    t.m.run(2);
    EXPECT_EQ(cpu.r[rbx], s::ldt);
    EXPECT_EQ(cpu.segment[ds].selector, 0x0C);
    cpu.r[rcx] = 0x14;  // beyond its limit
    t.code({0x8E, 0xD9});
    EXPECT_EQ(t.step_from(place::code), vector::gp);
    EXPECT_EQ(t.slot(0), 0x14u);
}

TEST_F(Far, LtrTakesAnAvailableTssAndMarksItBusy) {
    struct Row {
        std::uint16_t selector;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{s::task, -1, 0},         {s::tss16, -1, 0},          {0, 13, 0},
                          {s::busy_task, 13, 0x38}, {s::kernel_data, 13, 0x10}, {s::outside, 13, 0x200},
                          {0x0C, 13, 0x0C},         {s::absent_task, 11, 0x98}, {s::ldt, 13, 0xB8}};
    for (const Row& row : rows) {
        LegacyMachine fresh;
        fresh.m.cpu.r[rax] = row.selector;
        fresh.code({0x0F, 0x00, 0xD8});
        EXPECT_EQ(fresh.step_from(place::code), row.vector);
        if (row.vector != -1) {
            EXPECT_EQ(fresh.slot(0), row.error);
        }
        EXPECT_EQ(fresh.m.cpu.tr.selector, row.vector == -1 ? row.selector : s::main_tss);
        if (row.vector == -1) {
            EXPECT_EQ(fresh.read(place::gdt + row.selector + 5) & 2, 2u);
        }
    }
}

TEST_F(Far, LldtRefusesWhatIsNoLdtInTheGdt) {
    struct Row {
        std::uint16_t selector;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{0, -1, 0},       {s::ldt, -1, 0},          {s::task, 13, 0x30}, {s::outside, 13, 0x200},
                          {0x0C, 13, 0x0C}, {s::absent_ldt, 11, 0xC8}};
    for (const Row& row : rows) {
        LegacyMachine fresh;
        fresh.m.cpu.r[rax] = row.selector;
        fresh.code({0x0F, 0x00, 0xD0});
        EXPECT_EQ(fresh.step_from(place::code), row.vector);
        if (row.vector != -1) {
            EXPECT_EQ(fresh.slot(0), row.error);
        }
    }
}

TEST_F(Far, SystemRegistersAreCpl0sAlone) {
    const std::initializer_list<int> privileged[] = {{0x0F, 0x00, 0xD0},
                                                     {0x0F, 0x00, 0xD8},
                                                     {0x0F, 0x01, 0x15, 0, 0, 4, 0},
                                                     {0x0F, 0x01, 0x1D, 0, 0, 4, 0},
                                                     {0x0F, 0x22, 0xC0},
                                                     {0x0F, 0x20, 0xC0},
                                                     {0x0F, 0x06},
                                                     {0x0F, 0x23, 0xC0}};
    for (const auto& bytes : privileged) {
        t.legacy_cpl3();
        t.code(bytes);
        EXPECT_EQ(t.step_from(place::code), vector::gp);
        EXPECT_EQ(t.slot(0), 0u);
    }
}

TEST_F(Far, LidtHasThirtyTwoBitsOfBaseAndSidtStoresThem) {
    t.write16(place::data, 0x7FF);
    t.write(place::data + 2, 0xFFFF'FFFF'1234'5678);
    t.code({0x0F, 0x01, 0x1D, 0x00, 0x00, 0x04, 0x00, 0x0F, 0x01, 0x0D, 0x10, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.idt_base, 0x1234'5678u);
    t.m.run(1);
    EXPECT_EQ(t.read(place::data + 0x10), 0x1234'5678'07FFu);
}

// ---- Long mode --------------------------------------------------------------------------------------------------

struct FarLong : testing::Test {
    TestMachine t;
    Cpu& cpu = t.m.cpu;
    static constexpr std::uint16_t code32 = 0x30;
    FarLong() {
        t.write(place::gdt + code32, descriptor(0, 0x7FFFF, 0x49B));
        t.write(place::gdt + 0x38, descriptor(0, 0xFFFFF, 0xE9B));  // L = D = 1
        t.write(place::gdt + 0x40, legacy_gate(0x28, 0, 0x85));     // a task gate
        t.write(place::gdt + 0x50, legacy_gate(0x08, 0, 0x84));     // a 16-bit call gate
        t.write(place::gdt + 0x60, descriptor(place::tss, 0x67, 0x81));
        cpu.gdt_limit = 0xFF;
    }
    void far_jump(std::uint32_t offset, std::uint16_t to) {
        t.write(place::data, offset | std::uint64_t{to} << 32);
        t.code({0xFF, 0x2C, 0x25, 0x00, 0x00, 0x04, 0x00});  // jmp far [40000h]
        cpu.rip = place::code;
        t.m.run(1);
    }
    int handler() const { return static_cast<int>((cpu.rip - place::handlers) / 16); }
};

TEST_F(FarLong, AJumpToACodeSegmentWithoutLEntersCompatibilityMode) {
    far_jump(0x2'1000, code32);
    EXPECT_EQ(cpu.rip, 0x2'1000u);
    EXPECT_EQ(t.m.mode(), CodeMode::Compat32);
    t.code({0xEA, 0x00, 0x00, 0x02, 0x00, 0x08, 0x00}, 0x2'1000);  // and back: jmp 8:20000h
    t.m.run(1);
    EXPECT_EQ(t.m.mode(), CodeMode::Long64);
    EXPECT_EQ(cpu.rip, 0x2'0000u);
}

TEST_F(FarLong, InCompatibilityModeTheTargetMustLieWithinTheLimit) {
    far_jump(0x8'0000, code32);
    EXPECT_EQ(handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(FarLong, WhatIsRefused) {
    struct Row {
        const char* fact;
        std::uint16_t to;
        std::uint64_t error;
    } constexpr rows[] = {{"L and D", 0x38, 0x38},      {"a task gate", 0x40, 0x40},
                          {"a TSS", 0x28, 0x28},        {"a 16-bit call gate", 0x50, 0x50},
                          {"a 16-bit TSS", 0x60, 0x60}, {"null", 0, 0}};
    for (const Row& row : rows) {
        far_jump(place::code + 0x100, row.to);
        EXPECT_EQ(handler(), vector::gp) << row.fact;
        EXPECT_EQ(t.frame(true).error, row.error) << row.fact;
        EXPECT_EQ(t.frame(true).rip, place::code) << row.fact;
    }
}

TEST_F(FarLong, AnEventFromCompatibilityModeEntersA64BitHandlerWithTheLongFrame) {
    far_jump(0x2'1000, code32);
    t.code({0xCD, 0x20}, 0x2'1000);
    t.m.run(1);
    EXPECT_EQ(handler(), 0x20);
    EXPECT_EQ(t.m.mode(), CodeMode::Long64);
    EXPECT_EQ(t.frame().rip, 0x2'1002u);
    EXPECT_EQ(t.frame().cs, code32);
    EXPECT_EQ(t.frame().rsp, place::stack);
    EXPECT_EQ(cpu.r[rsp], place::stack - 40);
    t.code({0x48, 0xCF}, place::handlers + 0x20 * 16);  // iretq
    t.m.run(1);
    EXPECT_EQ(t.m.mode(), CodeMode::Compat32);
    EXPECT_EQ(cpu.rip, 0x2'1002u);
}

TEST_F(FarLong, IretInCompatibilityModePopsTheStackOnlyOutward) {
    far_jump(0x2'1000, code32);
    const std::uint32_t frame[] = {0x2'1100, code32, 0x202};
    t.m.write_physical(place::stack, frame, sizeof frame);
    t.code({0xCF}, 0x2'1000);
    t.m.run(1);
    EXPECT_EQ(cpu.rip, 0x2'1100u);
    EXPECT_EQ(cpu.r[rsp], place::stack + 12);
    EXPECT_EQ(cpu.rflags, 0x202u);
    t.set_rflags(rflags::nt);
    cpu.rip = 0x2'1000;
    t.m.run(1);
    EXPECT_EQ(handler(), vector::gp);  // NT in long mode
}

TEST_F(FarLong, ANullStackNeedsA64BitTarget) {
    const std::uint64_t frame[] = {0x2'1000, code32, 2, place::stack, 0};
    t.m.write_physical(place::stack, frame, sizeof frame);
    t.code({0x48, 0xCF});
    t.m.run(1);
    EXPECT_EQ(handler(), vector::gp);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(FarLong, MovSsNullIsRefusedOutside64BitMode) {
    far_jump(0x2'1000, code32);
    cpu.r[rax] = 0;
    t.code({0x8E, 0xD0}, 0x2'1000);
    t.m.run(1);
    EXPECT_EQ(handler(), vector::gp);
}

TEST_F(FarLong, LeavingAndEnteringLongModeByPagingFollowsItsRules) {
    // AMD APM vol 2, "Activating Long Mode": PG is 64-bit mode's to keep; compatibility mode may clear it.
    t.code({0x0F, 0x22, 0xC0});
    cpu.r[rax] = cr0::pe | cr0::et;
    t.m.run(1);
    EXPECT_EQ(handler(), vector::gp);
    far_jump(0x2'1000, code32);
    t.code({0x0F, 0x22, 0xC0, 0x0F, 0x22, 0xC3}, 0x2'1000);  // mov cr0, eax; mov cr0, ebx
    cpu.r[rbx] = cr0::pe | cr0::et | cr0::pg;
    t.m.run(1);
    EXPECT_EQ(t.m.mode(), CodeMode::Protected32);
    EXPECT_EQ(cpu.efer & efer::lma, 0u);
    t.m.run(1);
    EXPECT_EQ(t.m.mode(), CodeMode::Compat32);
    EXPECT_EQ(cpu.rip, 0x2'1006u);
}

}  // namespace
}  // namespace faultline::engine
