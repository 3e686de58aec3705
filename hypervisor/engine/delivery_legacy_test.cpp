// Events in legacy protected mode, and IRET from them. AMD APM vol 2, "Legacy Protected-Mode Interrupt Control
// Transfers", "Selector-Error Code"; what is AMD's to say and only Intel says is from the SDM, vol 2 "INT n".
#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

using M = LegacyMachine;
namespace s = selector;

struct Legacy : testing::Test {
    M t;
    Cpu& cpu = t.m.cpu;
};

// ---- Frames ---------------------------------------------------------------------------------------------------

TEST_F(Legacy, AtTheSameLevelTheFrameIsEflagsCsEip) {
    t.code({0xCD, 0x20});
    t.set_rflags(rflags::if_ | rflags::cf | rflags::nt);
    EXPECT_EQ(t.step_from(place::code), 0x20);
    EXPECT_EQ(cpu.r[rsp], place::stack - 12);
    EXPECT_EQ(t.slot(0), place::code + 2);
    EXPECT_EQ(t.slot(1), s::kernel_code);
    EXPECT_EQ(t.slot(2), 0x4203u);
    EXPECT_EQ(cpu.rflags, 0x3u);  // IF, TF, NT, RF cleared
    EXPECT_EQ(cpu.segment[ss].selector, s::kernel_data);
}

TEST_F(Legacy, FromAnOuterLevelSsAndEspArePushedOnTheStackOfTheTss) {
    t.legacy_cpl3();
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.step_from(place::code), vector::ud);
    EXPECT_EQ(cpu.r[rsp], place::esp0 - 20);
    EXPECT_EQ(t.slot(0), place::code);
    EXPECT_EQ(t.slot(1), s::user_code);
    EXPECT_EQ(t.slot(2), 0x1'0002u);  // a fault: RF
    EXPECT_EQ(t.slot(3), place::user_stack);
    EXPECT_EQ(t.slot(4), s::user_data);
    EXPECT_EQ(cpu.cpl, 0);
    EXPECT_EQ(cpu.segment[ss].selector, s::kernel_data);
    EXPECT_EQ(cpu.segment[cs].selector, s::kernel_code);
}

TEST_F(Legacy, TheErrorCodeLiesOnTopInFourBytes) {
    t.legacy_cpl3();
    t.write32(place::esp0 - 24, 0xFFFF'FFFF);
    t.code({0xF4});
    EXPECT_EQ(t.step_from(place::code), vector::gp);
    EXPECT_EQ(cpu.r[rsp], place::esp0 - 24);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(t.slot(1), place::code);
}

TEST_F(Legacy, ASixteenBitGatePushesWordsAndHasAnOffsetOfSixteenBits) {
    t.gate(0x20, s::kernel_code, 0x86);
    t.write16(place::idt + 0x20 * 8 + 6, 0xFFFF);  // not part of its offset
    t.code({0xCD, 0x20});
    t.m.set_rflags(rflags::fixed1 | rflags::ac);
    EXPECT_EQ(t.step_from(place::code), 0x20);
    EXPECT_EQ(cpu.r[rsp], place::stack - 6);
    EXPECT_EQ(t.slot16(0), 2u);
    EXPECT_EQ(t.slot16(1), s::kernel_code);
    EXPECT_EQ(t.slot16(2), 2u);
}

TEST_F(Legacy, AConformingHandlerKeepsLevelAndStack) {
    t.gate(6, s::conforming, M::trap_gate);
    t.legacy_cpl3();
    t.set_rflags(rflags::if_);
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.step_from(place::code), vector::ud);
    EXPECT_EQ(cpu.cpl, 3);
    EXPECT_EQ(cpu.segment[cs].selector, s::conforming | 3);
    EXPECT_EQ(cpu.r[rsp], place::user_stack - 12);
    EXPECT_EQ(cpu.rflags, 0x202u);  // a trap gate keeps IF
}

TEST_F(Legacy, AnInnerStackOfSixteenBitsUsesSpOnly) {
    t.tss32(place::tss, 4, 0x1'0100);
    t.tss32(place::tss, 8, s::stack16);
    t.legacy_cpl3();
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.step_from(place::code), vector::ud);
    EXPECT_EQ(cpu.r[rsp] & 0xFFFF, 0xECu);
    EXPECT_EQ(t.read32(0x10000 + 0xEC), place::code);
}

TEST_F(Legacy, AnExpandDownStackHasItsRoomAboveTheLimit) {
    // AMD APM vol 2, "Limit Checks": valid offsets of an expand-down segment are above the limit.
    cpu.r[rsp] = 0x1000;
    t.m.set_segment(ss, {s::kernel_data, 0x10000, 0xFF3, 0x497});
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.step_from(place::code), 0x20);
    EXPECT_EQ(t.m.stack_pointer(), 0xFF4u);
    cpu.r[rsp] = 0x1000;
    t.m.set_segment(cs, {s::kernel_code, 0, 0xFFFF'FFFF, 0xC9B});
    t.m.set_segment(ss, {s::kernel_data, 0x10000, 0xFF4, 0x497});
    t.gate(12, s::task_gate0, M::task_gate);  // no stack to deliver it on
    t.write(place::idt + 12 * 8, legacy_gate(s::task, 0, M::task_gate));
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(t.slot(0), 0u);  // #SS(EXT = 0)
}

// ---- What goes wrong: one row per check ------------------------------------------------------------------------

enum class By { IntN, Ud2, Icebp, Interrupt };

struct Refused {
    const char* fact;
    int cpl;
    By by;
    std::function<void(M&)> arrange;  ///< vector 20h for INT n and interrupts, 6 for UD2, 1 for ICEBP
    int vector;
    std::uint64_t error;
};

void set_gates(M& t, std::uint16_t to, unsigned rights) {
    for (const unsigned vector : {1u, 6u, 0x20u}) t.gate(vector, to, rights);
}
std::function<void(M&)> gates(std::uint16_t to, unsigned rights) {
    return [=](M& t) { set_gates(t, to, rights); };
}
std::function<void(M&)> inner_stack(std::uint16_t selector) {
    return [=](M& t) { t.tss32(place::tss, 8, selector); };
}

// #TS, #NP, #SS and #GP come to a conforming handler, so that they need no inner stack themselves.
const Refused refused[] = {
    // "The interrupt vector is beyond the IDT limit": 8 bytes per gate, 20h*8+7 = 107h.
    {"limit", 0, By::IntN, [](M& t) { t.m.cpu.idt_limit = 0x106; }, 13, 0x102},
    {"limit with EXT", 0, By::Interrupt, [](M& t) { t.m.cpu.idt_limit = 0x106; }, 13, 0x103},
    // Gate types other than 5, 6, 7, 14, 15.
    {"type 0", 0, By::IntN, gates(s::kernel_code, 0x80), 13, 0x102},
    {"type 12, a call gate", 0, By::IntN, gates(s::kernel_code, 0x8C), 13, 0x102},
    {"type 9, a TSS", 0, By::Ud2, gates(s::kernel_code, 0x89), 13, 0x33},
    {"S set", 0, By::Ud2, gates(s::kernel_code, 0x9E), 13, 0x33},
    {"type before DPL and P", 3, By::IntN, gates(s::kernel_code, 0x0C), 13, 0x102},
    // DPL: software interrupts only, and before P.
    {"DPL", 3, By::IntN, gates(s::kernel_code, 0x8E), 13, 0x102},
    {"DPL before P", 3, By::IntN, gates(s::kernel_code, 0x0E), 13, 0x102},
    {"DPL of a task gate", 3, By::IntN, gates(s::task, 0x85), 13, 0x102},
    {"P", 0, By::IntN, gates(s::kernel_code, 0x0E), 11, 0x102},
    {"P of a trap gate, DPL 3", 3, By::IntN, gates(s::kernel_code, 0x6F), 11, 0x102},
    {"P, an exception", 3, By::Ud2, gates(s::kernel_code, 0x0E), 11, 0x33},
    {"P, ICEBP", 3, By::Icebp, gates(s::kernel_code, 0x0E), 11, 0x0B},
    {"P, an interrupt", 0, By::Interrupt, gates(s::kernel_code, 0x0E), 11, 0x103},
    {"P of a task gate", 0, By::Ud2, gates(s::task, 0x05), 11, 0x33},
    // The code segment.
    {"null", 0, By::IntN, gates(0, 0x8E), 13, 0},
    {"null with EXT", 0, By::Ud2, gates(3, 0x8E), 13, 1},
    {"beyond the GDT", 0, By::IntN, gates(s::outside, 0x8E), 13, 0x200},
    {"beyond the GDT with EXT", 0, By::Ud2, gates(s::outside | 3, 0x8E), 13, 0x201},
    {"in an LDT that is not there", 0, By::Ud2, gates(0x0C, 0x8E), 13, 0x0D},
    {"data", 0, By::Ud2, gates(s::kernel_data, 0x8E), 13, 0x11},
    {"a system descriptor", 0, By::Ud2, gates(s::main_tss, 0x8E), 13, 0x29},
    {"code of an outer level", 0, By::Ud2, gates(s::user_code, 0x8E), 13, 0x21},
    {"absent", 0, By::IntN, gates(s::absent_code, 0x8E), 11, 0x50},
    {"absent with EXT", 3, By::Ud2, gates(s::absent_code, 0x8E), 11, 0x51},
    // Target beyond the limit of CS: #GP(EXT).
    {"offset", 0, By::IntN, gates(s::small_code, 0x8E), 13, 0},
    {"offset with EXT", 0, By::Ud2, gates(s::small_code, 0x8E), 13, 1},
    // The inner stack.
    {"TSS limit", 3, By::Ud2, [](M& t) { t.m.cpu.tr.limit = 8; }, 10, 0x29},
    {"SS0 null", 3, By::Ud2, inner_stack(0), 10, 1},
    {"SS0 beyond the GDT", 3, By::Ud2, inner_stack(s::outside), 10, 0x201},
    {"SS0 with RPL 3", 3, By::Ud2, inner_stack(s::kernel_data | 3), 10, 0x11},
    {"SS0 of DPL 3", 3, By::Ud2, inner_stack(s::user_data & ~3), 10, 0x19},
    {"SS0 not writable", 3, By::Ud2, inner_stack(s::readonly_data), 10, 0x69},
    {"SS0 code", 3, By::Ud2, inner_stack(s::kernel_code), 10, 0x09},
    {"SS0 a system descriptor", 3, By::Ud2, inner_stack(s::main_tss), 10, 0x29},
    {"SS0 absent", 3, By::Ud2, inner_stack(s::absent_data), 12, 0x61},
    {"no room on the inner stack", 3, By::Ud2,
     [](M& t) {
         t.tss32(place::tss, 4, 0x10);
         t.tss32(place::tss, 8, s::small_stack);
     },
     12, 0x89},
    {"ESP0 beyond the inner stack's limit", 3, By::Ud2, inner_stack(s::small_stack), 12, 0x89},
};

class LegacyRefused : public testing::TestWithParam<Refused> {};

TEST_P(LegacyRefused, Event) {
    const Refused& row = GetParam();
    M t;
    for (const unsigned vector : {10u, 11u, 12u, 13u}) t.gate(vector, s::conforming, M::interrupt_gate);
    if (row.cpl == 3) t.legacy_cpl3();
    row.arrange(t);
    switch (row.by) {
        case By::IntN: t.code({0xCD, 0x20}); break;
        case By::Ud2: t.code({0x0F, 0x0B}); break;
        case By::Icebp: t.code({0xF1}); break;
        case By::Interrupt:
            t.set_rflags(rflags::if_);
            t.m.inject_interrupt(0x20);
            break;
    }
    const std::uint64_t before = t.m.cpu.r[rsp];
    EXPECT_EQ(t.step_from(place::code), row.vector) << row.fact;
    EXPECT_EQ(t.slot(0), row.error) << row.fact;
    EXPECT_EQ(t.slot(1), place::code) << row.fact;  // of the instruction, or the boundary
    EXPECT_EQ(t.m.cpu.r[rsp], before - 16) << row.fact;
    EXPECT_EQ(t.m.cpu.cpl, row.cpl) << row.fact;
}

INSTANTIATE_TEST_SUITE_P(OneRowPerCheck, LegacyRefused, testing::ValuesIn(refused));

TEST_F(Legacy, NoRoomOnTheCurrentStackHasNoSelectorInItsErrorCode) {
    t.m.set_segment(ss, {s::small_stack, place::small_base, 0xFF, 0x493});
    cpu.r[rsp] = 8;
    t.code({0x0F, 0x0B});
    t.write(place::idt + 12 * 8, legacy_gate(s::task, 0, M::task_gate));
    t.step_from(place::code);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(t.slot(0), 1u);  // #SS(EXT)
}

TEST_F(Legacy, ExceptionsInterruptsAndIcebpIgnoreTheGatesDpl) {
    t.legacy_cpl3();
    t.code({0xF1});
    EXPECT_EQ(t.step_from(place::code), vector::db);
    EXPECT_EQ(t.slot(0), place::code + 1);
    t.legacy_cpl3();
    t.set_rflags(rflags::if_);
    t.m.inject_interrupt(0x30);
    EXPECT_EQ(t.step_from(place::code), 0x30);
}

TEST_F(Legacy, ContributoryTwiceIsADoubleFaultAndFromThereAShutdown) {
    t.gate(13, s::kernel_code, 0x0E);
    t.legacy_cpl3();
    t.code({0xF4});
    EXPECT_EQ(t.step_from(place::code), vector::df);
    EXPECT_EQ(t.slot(0), 0u);
    cpu.idt_limit = 0;
    t.step_from(place::code);
    EXPECT_EQ(t.last_exit, Exit::Hlt);  // CPL0 now: one more, by an undefined opcode
    t.code({0x0F, 0x0B});
    t.m.drop(Machine::halted);
    t.step_from(place::code);
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
}

TEST_F(Legacy, PushesAtCpl3AreUserAccessesOthersAreNot) {
    // Paging: a directory with one table, all pages open but the two stacks' that are absent.
    const std::uint64_t directory = 0x70000, table = 0x71000;
    t.write32(directory, table | 7);
    for (std::uint64_t page = 0; page < 256; ++page) t.write32(table + 4 * page, page << 12 | 7);
    t.write32(table + 4 * ((place::esp0 - 1) >> 12), 0);
    t.write32(table + 4 * ((place::user_stack - 1) >> 12), 0);
    cpu.cr3 = directory;
    cpu.cr0 |= cr0::pg;
    t.m.registers_changed();
    t.legacy_cpl3();
    t.write(place::idt + 14 * 8, legacy_gate(s::task, 0, M::task_gate));
    t.tss32(place::task_tss, 0x1C, directory);
    t.code({0x0F, 0x0B});
    t.step_from(place::code);
    EXPECT_EQ(cpu.cr2, place::esp0 - 4);
    EXPECT_EQ(t.slot(0), 2u);  // W/R; not present, not a user access
    EXPECT_EQ(cpu.tr.selector, s::task);

    t.write(place::gdt + s::main_tss, descriptor(place::tss, 0x67, 0x08B));
    t.write(place::gdt + s::task, descriptor(place::task_tss, 0x67, 0x0E9));
    cpu.tr = {s::main_tss, place::tss, 0x67, 0x8B};
    t.task(place::task_tss, s::kernel_code, s::kernel_data);
    t.tss32(place::task_tss, 0x1C, directory);
    t.gate(6, s::conforming, M::interrupt_gate);
    t.legacy_cpl3();
    t.step_from(place::code);
    EXPECT_EQ(cpu.cr2, place::user_stack - 4);
    EXPECT_EQ(t.slot(0), 6u);  // W/R, U/S
}

TEST_F(Legacy, AHandlerAtCpl3OnAMisalignedStackIsAnAlignmentCheck) {
    // AMD APM vol 2, "#AC—Alignment-Check Exception (Vector 17)": CR0.AM, RFLAGS.AC, CPL 3.
    cpu.cr0 |= cr0::am;
    t.gate(6, s::conforming, M::interrupt_gate);
    t.legacy_cpl3();
    t.set_rflags(rflags::ac);
    cpu.r[rsp] -= 2;
    t.code({0x0F, 0x0B});
    EXPECT_EQ(t.step_from(place::code), vector::ac);
    EXPECT_EQ(cpu.cpl, 0);
    EXPECT_EQ(t.slot(0), 0u);
}

TEST_F(Legacy, AnAlignmentCheckThatMeetsItselfGoesOnForEver) {
    // Benign after benign is no #DF: "#DF—Double-Fault Exception (Vector 8)".
    cpu.cr0 |= cr0::am;
    for (const unsigned vector : {6u, 17u}) t.gate(vector, s::conforming, M::interrupt_gate);
    t.legacy_cpl3();
    t.set_rflags(rflags::ac);
    cpu.r[rsp] -= 2;
    t.code({0x0F, 0x0B});
    t.step_from(place::code);
    EXPECT_EQ(t.last_exit, Exit::StepLimit);
    EXPECT_EQ(cpu.rip, place::code);
}

TEST_F(Legacy, TablesThatEndWithTheEntryAreLongEnough) {
    cpu.idt_limit = 0x107;
    cpu.tr.limit = 9;
    cpu.gdt_limit = 0x2F;
    t.gate(0x20, s::kernel_code, 0xEE);
    t.legacy_cpl3();
    t.code({0xCD, 0x20});
    EXPECT_EQ(t.step_from(place::code), 0x20);
    EXPECT_EQ(cpu.r[rsp], place::esp0 - 20);
}

// ---- INTO, BOUND ------------------------------------------------------------------------------------------------

TEST_F(Legacy, IntoIsATrapOfVectorFourAndOnlyWithOfSet) {
    t.code({0xCE, 0x90});
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.rip, place::code + 1);
    t.set_rflags(rflags::of);
    EXPECT_EQ(t.step_from(place::code), vector::of);
    EXPECT_EQ(t.slot(0), place::code + 1);
    EXPECT_EQ(t.slot(2), 0x802u);  // no RF
    t.legacy_cpl3();
    t.set_rflags(rflags::of);
    EXPECT_EQ(t.step_from(place::code), vector::gp);  // the gate's DPL counts
    EXPECT_EQ(t.slot(0), 0x22u);
}

TEST_F(Legacy, BoundComparesSignedAndIsAFaultThatIgnoresDpl) {
    struct Row {
        std::int32_t index, lower, upper;
        bool inside;
    } constexpr rows[] = {{0, 0, 0, true},    {-1, 0, 5, false},   {6, 0, 5, false},  {5, 0, 5, true},
                          {-3, -3, -1, true}, {-4, -3, -1, false}, {0, 1, -1, false}, {0, -1, 1, true}};
    t.code({0x62, 0x05, 0x00, 0x00, 0x04, 0x00});  // bound eax, [40000h]
    for (const Row& row : rows) {
        t.legacy_cpl3();
        t.write32(place::data, static_cast<std::uint32_t>(row.lower));
        t.write32(place::data + 4, static_cast<std::uint32_t>(row.upper));
        cpu.r[rax] = static_cast<std::uint32_t>(row.index);
        EXPECT_EQ(t.step_from(place::code), row.inside ? -1 : vector::br);
        if (row.inside) continue;
        EXPECT_EQ(t.slot(0), place::code);
        EXPECT_EQ(t.slot(2), 0x1'0002u);
    }
}

// ---- IRET -------------------------------------------------------------------------------------------------------

struct LegacyIret : Legacy {
    int iret(std::uint64_t eip, std::uint64_t code, std::uint64_t flags, std::uint64_t esp = 0,
             std::uint64_t stack = 0) {
        const std::uint64_t frame[] = {eip, code, flags, esp, stack};
        for (unsigned n = 0; n < 5; ++n) t.write32(cpu.r[rsp] + 4 * n, frame[n]);
        t.code({0xCF});
        return t.step_from(place::code);
    }
};

TEST_F(LegacyIret, ToTheSameLevelLeavesTheStackAlone) {
    EXPECT_EQ(iret(place::task_code, s::kernel_code, 0x4'0203), -1);
    EXPECT_EQ(cpu.rip, place::task_code);
    EXPECT_EQ(cpu.r[rsp], place::stack + 12);
    EXPECT_EQ(cpu.rflags, 0x4'0203u);
}

TEST_F(LegacyIret, ToAnOuterLevelPopsTheStackAndNullsWhatIsTooPrivileged) {
    t.m.set_segment(ds, {s::user_data, 0, 0xFFFF'FFFF, 0xCF3});
    t.m.set_segment(fs, {s::conforming, 0, 0xFFFF'FFFF, 0xC9F});
    EXPECT_EQ(iret(place::task_code, s::user_code, 0x3202, place::user_stack, s::user_data), -1);
    EXPECT_EQ(cpu.cpl, 3);
    EXPECT_EQ(cpu.r[rsp], place::user_stack);
    EXPECT_EQ(cpu.segment[ss].selector, s::user_data);
    EXPECT_EQ(cpu.segment[ds].selector, s::user_data);
    EXPECT_EQ(cpu.segment[fs].selector, s::conforming);  // conforming code stays
    EXPECT_EQ(cpu.segment[es].selector, 0);
    EXPECT_EQ(cpu.segment[gs].selector, 0);
    EXPECT_EQ(cpu.rflags, 0x3202u);
}

TEST_F(LegacyIret, TheOldLevelDecidesAboutIfAndIopl) {
    t.legacy_cpl3();
    EXPECT_EQ(iret(place::task_code, s::user_code, 0x3203), -1);
    EXPECT_EQ(cpu.rflags, 0x3u);
    t.set_rflags(rflags::iopl);
    EXPECT_EQ(iret(place::task_code, s::user_code, 0x0202), -1);
    EXPECT_EQ(cpu.rflags, 0x3202u);  // IF at CPL ≤ IOPL; IOPL only at CPL0
}

TEST_F(LegacyIret, OfSixteenBitsKeepsTheUpperFlags) {
    t.set_rflags(rflags::ac | rflags::id);
    t.write16(place::stack, 0x1234);
    t.write16(place::stack + 2, s::kernel_code);
    t.write16(place::stack + 4, 0x0203);
    t.code({0x66, 0xCF});
    EXPECT_EQ(t.step_from(place::code), -1);
    EXPECT_EQ(cpu.rip, 0x1234u);
    EXPECT_EQ(cpu.r[rsp], place::stack + 6);
    EXPECT_EQ(cpu.rflags, 0x24'0203u);
}

TEST_F(LegacyIret, WhatIsRefused) {
    struct Row {
        const char* fact;
        int cpl;
        std::uint64_t eip, code, stack;
        int vector;
        std::uint64_t error;
    } const rows[] = {
        {"CS null", 0, 0, 0, 0, 13, 0},
        {"CS null with RPL", 0, 0, 3, 0, 13, 0},
        {"CS beyond the GDT", 0, 0, s::outside, 0, 13, 0x200},
        {"CS data", 0, 0, s::kernel_data, 0, 13, 0x10},
        {"CS a system descriptor", 0, 0, s::main_tss, 0, 13, 0x28},
        {"RPL below CPL", 3, 0, s::kernel_code, 0, 13, 8},
        {"DPL not RPL", 0, 0, s::kernel_code | 3, s::user_data, 13, 8},
        {"conforming, DPL above RPL is none here; RPL 3 is fine, SS is not", 0, 0, s::conforming | 3, 0, 13, 0},
        {"absent", 0, 0, s::absent_code, 0, 11, 0x50},
        {"EIP beyond the limit", 0, 0x100, s::small_code, 0, 13, 0},
        {"SS null", 0, 0, s::user_code, 3, 13, 0},
        {"SS beyond the GDT", 0, 0, s::user_code, s::outside | 3, 13, 0x200},
        {"SS RPL", 0, 0, s::user_code, s::user_data & ~3, 13, 0x18},
        {"SS DPL", 0, 0, s::user_code, s::kernel_data | 3, 13, 0x10},
        {"SS not writable", 0, 0, s::user_code, s::readonly_user_data, 13, 0x78},
        {"SS absent", 0, 0, s::user_code, s::absent_user_data, 12, 0x70},
    };
    for (const Row& row : rows) {
        M fresh;
        if (row.cpl == 3) fresh.legacy_cpl3();
        const std::uint64_t top = fresh.m.cpu.r[rsp];
        const std::uint64_t frame[] = {row.eip, row.code, 2, place::user_stack, row.stack};
        for (unsigned n = 0; n < 5; ++n) fresh.write32(top + 4 * n, frame[n]);
        fresh.code({0xCF});
        EXPECT_EQ(fresh.step_from(place::code), row.vector) << row.fact;
        EXPECT_EQ(fresh.slot(0), row.error) << row.fact;
        EXPECT_EQ(fresh.slot(1), place::code) << row.fact;
        EXPECT_EQ(row.cpl == 3 ? fresh.slot(4) : fresh.m.cpu.r[rsp] + 16, top) << row.fact;
    }
}

TEST_F(LegacyIret, ToVirtual8086ModeIsWhatTheMachineDoesNotHave) {
    iret(place::task_code, s::kernel_code, rflags::vm | 2);
    EXPECT_EQ(t.last_exit, Exit::Unimplemented);
}

TEST_F(LegacyIret, ClearingRfAndLoadingRf) {
    EXPECT_EQ(iret(place::task_code, s::kernel_code, rflags::rf | 2), -1);
    EXPECT_EQ(cpu.rflags, rflags::rf | 2);
}

}  // namespace
}  // namespace faultline::engine
