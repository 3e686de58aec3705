// Hardware task switches. AMD APM vol 2, "Switching Tasks", "Task Switches Using Task Gates", "Nesting Tasks", "Effects
// of Task Nesting", "Task-Switch Breakpoints", "Debug-Control Register (DR7)".
#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

namespace s = selector;
using M = LegacyMachine;

struct Task : testing::Test {
    M t;
    Cpu& cpu = t.m.cpu;

    void far(int opcode, std::uint16_t to) {
        t.code({opcode, 0xF4, 0xF4, 0xF4, 0xF4, to & 0xFF, to >> 8});  // the offset is ignored
        t.step_from(place::code);
    }
    void jump(std::uint16_t to) { far(0xEA, to); }
    void call(std::uint16_t to) { far(0x9A, to); }
    bool busy(std::uint16_t selector) { return t.read(place::gdt + selector) >> 41 & 1; }
    std::uint64_t saved(unsigned offset) { return t.read32(place::tss + offset); }
};

TEST_F(Task, AJumpLoadsEverythingFromTheNewTss) {
    t.tss32(place::task_tss, 0x24, 0x4003 | rflags::if_ | rflags::ac);
    t.tss32(place::task_tss, 0x54, s::readonly_data);
    t.tss32(place::task_tss, 0x58, 0);
    t.tss32(place::task_tss, 0x60, s::ldt);
    t.tss32(place::task_tss, 0x5C, 0x0C);  // GS in that LDT
    jump(s::task);
    EXPECT_EQ(cpu.rip, place::task_code);
    EXPECT_EQ(cpu.rflags, 0x4'4203u);
    for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(cpu.r[n], n == rsp ? place::task_stack : 0x1111'0000u + n);
    EXPECT_EQ(cpu.segment[cs].selector, s::kernel_code);
    EXPECT_EQ(cpu.segment[ss].selector, s::kernel_data);
    EXPECT_EQ(cpu.segment[ds].selector, s::readonly_data);
    EXPECT_EQ(cpu.segment[fs].selector, 0);
    EXPECT_EQ(cpu.segment[gs].selector, 0x0C);
    EXPECT_EQ(cpu.ldtr.selector, s::ldt);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(cpu.tr.base, place::task_tss);
    EXPECT_EQ(cpu.cpl, 0);
}

TEST_F(Task, TheOldTaskIsSavedWithTheNextEip) {
    t.set_rflags(rflags::if_ | rflags::cf);
    for (unsigned n = 0; n < 8; ++n)
        if (n != rsp) cpu.r[n] = 0xA000'0000 + n;
    t.tss32(place::tss, 0x1C, 0x5555'5555);
    t.tss32(place::tss, 0x60, 0x6666);
    t.tss32(place::tss, 0x48, 0xEEEE'0000);
    jump(s::task);
    EXPECT_EQ(saved(0x20), place::code + 7);
    EXPECT_EQ(saved(0x24), 0x203u);
    for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(saved(0x28 + 4 * n), n == rsp ? place::stack : 0xA000'0000u + n);
    EXPECT_EQ(saved(0x48) & 0xFFFF, s::kernel_data);
    EXPECT_EQ(saved(0x4C) & 0xFFFF, s::kernel_code);
    EXPECT_EQ(saved(0x5C) & 0xFFFF, s::kernel_data);
    EXPECT_EQ(saved(0x1C), 0x5555'5555u);  // CR3 and the LDT are static fields
    EXPECT_EQ(saved(0x60), 0x6666u);
    EXPECT_EQ(saved(0x04), place::esp0);
}

TEST_F(Task, TheTaskRunsAtTheRplOfItsCs) {
    t.task(place::task_tss, s::user_code, s::user_data);
    jump(s::task);
    EXPECT_EQ(cpu.cpl, 3);
    EXPECT_EQ(cpu.segment[ss].selector, s::user_data);
}

// ---- "Effects of Task Nesting" ----------------------------------------------------------------------------------

TEST_F(Task, AJumpEndsTheOldTaskAndDoesNotNest) {
    t.set_rflags(rflags::nt);
    t.write16(place::task_tss, 0xBEEF);
    jump(s::task);
    EXPECT_FALSE(busy(s::main_tss));
    EXPECT_TRUE(busy(s::task));
    EXPECT_EQ(saved(0x24) & rflags::nt, rflags::nt);
    EXPECT_EQ(cpu.rflags & rflags::nt, 0u);
    EXPECT_EQ(t.read16(place::task_tss), 0xBEEFu);
    EXPECT_EQ(cpu.cr0 & cr0::ts, cr0::ts);
}

TEST_F(Task, ACallAndEventsNest) {
    struct Row {
        const char* fact;
        std::function<void(M&)> arrange;
        std::uint64_t resume, flags;  ///< saved: EIP behind the `code`, EFLAGS
    } const rows[] = {
        {"CALL of a TSS",
         [](M& m) {
             m.code({0x9A, 0, 0, 0, 0, s::task, 0});
         },
         7, 2},
        {"CALL of a task gate",
         [](M& m) {
             m.code({0x9A, 0, 0, 0, 0, s::task_gate0, 0});
         },
         7, 2},
        {"INT n",
         [](M& m) {
             m.gate(0x20, s::task, M::task_gate);
             m.code({0xCD, 0x20});
         },
         2, 2},
        {"a fault: its own EIP, and RF",
         [](M& m) {
             m.gate(6, s::task, M::task_gate);
             m.code({0x0F, 0x0B});
         },
         0, 0x1'0002},
        {"an interrupt",
         [](M& m) {
             m.gate(0x30, s::task, M::task_gate);
             m.set_rflags(rflags::if_);
             m.m.inject_interrupt(0x30);
         },
         0, 0x202},
    };
    for (const Row& row : rows) {
        M fresh;
        const auto busy = [&](std::uint16_t selector) { return (fresh.read(place::gdt + selector) >> 41 & 1) != 0; };
        row.arrange(fresh);
        fresh.step_from(place::code);
        EXPECT_EQ(fresh.m.cpu.tr.selector, s::task) << row.fact;
        EXPECT_TRUE(busy(s::main_tss)) << row.fact;
        EXPECT_TRUE(busy(s::task)) << row.fact;
        EXPECT_EQ(fresh.m.cpu.rflags, rflags::nt | 2) << row.fact;
        EXPECT_EQ(fresh.read16(place::task_tss), s::main_tss) << row.fact;
        EXPECT_EQ(fresh.m.cpu.cr0 & cr0::ts, cr0::ts) << row.fact;
        EXPECT_EQ(fresh.read32(place::tss + 0x20), place::code + row.resume) << row.fact;
        EXPECT_EQ(fresh.read32(place::tss + 0x24), row.flags) << row.fact;
        EXPECT_EQ(fresh.m.cpu.r[rsp], place::task_stack) << row.fact;
    }
}

TEST_F(Task, AnIretReturnsThroughTheLinkAndClearsNtOfTheTaskItLeaves) {
    call(s::task);
    t.code({0xCF}, place::task_code);
    cpu.cr0 &= ~cr0::ts;
    t.m.run(1);
    EXPECT_EQ(cpu.tr.selector, s::main_tss);
    EXPECT_EQ(cpu.rip, place::code + 7);
    EXPECT_EQ(cpu.r[rsp], place::stack);
    EXPECT_FALSE(busy(s::task));
    EXPECT_TRUE(busy(s::main_tss));
    EXPECT_EQ(t.read32(place::task_tss + 0x24) & rflags::nt, 0u);
    EXPECT_EQ(t.read32(place::task_tss + 0x20), place::task_code + 1);
    EXPECT_EQ(t.read16(place::task_tss), s::main_tss);  // the link stays
    EXPECT_EQ(cpu.rflags, 2u);
    EXPECT_EQ(cpu.cr0 & cr0::ts, cr0::ts);
}

TEST_F(Task, AnIretLoadsRfAndUnblocksNmi) {
    t.gate(2, s::task, M::task_gate);
    t.m.inject_nmi();
    t.step_from(place::code);
    EXPECT_EQ(cpu.tr.selector, s::task);
    t.write32(place::tss + 0x24, 0x1'0002);
    t.code({0xCF}, place::task_code);
    t.m.run(1);
    EXPECT_EQ(cpu.rflags, 0x1'0002u);
    EXPECT_FALSE(t.m.nmi_blocked);
}

TEST_F(Task, AnyLevelMayReturnToATask) {
    t.task(place::task_tss, s::user_code, s::user_data);
    call(s::task);
    EXPECT_EQ(cpu.cpl, 3);
    t.code({0xCF}, place::task_code);
    t.m.run(1);
    EXPECT_EQ(cpu.tr.selector, s::main_tss);
    EXPECT_EQ(cpu.cpl, 0);
}

// ---- Refused before anything changes ------------------------------------------------------------------------------

TEST_F(Task, ALinkThatNamesNoBusyTssIsAnInvalidTss) {
    struct Row {
        const char* fact;
        std::uint16_t link;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{"null", 0, 10, 0},
                          {"available", s::task, 10, 0x30},
                          {"in the LDT", 0x2C, 10, 0x2C},
                          {"beyond the GDT", s::outside, 10, 0x200},
                          {"data", s::kernel_data, 10, 0x10},
                          {"a task gate", s::task_gate0, 10, 0x40}};
    for (const Row& row : rows) {
        t.write16(place::tss, row.link);
        t.set_rflags(rflags::nt);
        t.code({0xCF});
        cpu.r[rsp] = place::stack;
        EXPECT_EQ(t.step_from(place::code), row.vector) << row.fact;
        EXPECT_EQ(t.slot(0), row.error) << row.fact;
        EXPECT_EQ(t.slot(1), place::code) << row.fact;
        EXPECT_EQ(t.slot(3), 0x1'4002u) << row.fact;  // NT as it was
        EXPECT_EQ(cpu.tr.selector, s::main_tss) << row.fact;
    }
}

TEST_F(Task, ATaskGateInTheIdtChecksItsTssWithExt) {
    struct Row {
        const char* fact;
        std::uint16_t task;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{"null", 0, 13, 0},
                          {"busy", s::busy_task, 13, 0x38},
                          {"in the LDT", 0x2C, 13, 0x2C},
                          {"beyond the GDT", s::outside, 13, 0x200},
                          {"data", s::kernel_data, 13, 0x10},
                          {"absent", s::absent_task, 11, 0x98},
                          {"too short", s::short_task, 10, 0xA0}};
    for (const Row& row : rows)
        for (const bool software : {true, false}) {
            M fresh;
            for (const unsigned vector : {6u, 0x20u}) fresh.gate(vector, row.task, M::task_gate);
            if (software)
                fresh.code({0xCD, 0x20});
            else
                fresh.code({0x0F, 0x0B});
            EXPECT_EQ(fresh.step_from(place::code), row.vector) << row.fact;
            EXPECT_EQ(fresh.slot(0), row.error | (software ? 0u : 1u)) << row.fact;
            EXPECT_EQ(fresh.slot(1), place::code) << row.fact;
            EXPECT_EQ(fresh.m.cpu.cr0 & cr0::ts, 0u) << row.fact;
        }
}

TEST_F(Task, ATssInTheLdtIsNoneEvenIfItIsThere) {
    // "TSS descriptors cannot be located in the LDT": "TSS Selector".
    cpu.ldtr = {s::ldt, place::local_table, 0xF, 0x82};
    for (const unsigned type : {0x0E9u, 0x0EBu}) {  // available, and busy as a link wants it
        t.write(place::local_table, descriptor(place::task_tss, 0x67, type));
        t.gate(6, 0x04, M::task_gate);
        t.code({0x0F, 0x0B});
        EXPECT_EQ(t.step_from(place::code), vector::gp);
        EXPECT_EQ(t.slot(0), 0x05u);
        t.write16(place::tss, 0x04);
        t.set_rflags(rflags::nt);
        t.code({0xCF});
        EXPECT_EQ(t.step_from(place::code), vector::ts);
        EXPECT_EQ(t.slot(0), 0x04u);
    }
}

TEST_F(Task, AGatesTssNeedsNoDplOfItsOwn) {
    t.legacy_cpl3();
    jump(s::task_gate3);  // DPL 3, to a TSS of DPL 0
    EXPECT_EQ(cpu.tr.selector, s::task0);
    EXPECT_EQ(cpu.cpl, 0);
}

TEST_F(Task, APageFaultBeforeTheCommitLeavesTheOldTask) {
    const std::uint64_t directory = 0x70000, table = 0x71000;
    t.write32(directory, table | 7);
    for (std::uint64_t page = 0; page < 256; ++page) t.write32(table + 4 * page, page << 12 | 7);
    t.write(place::gdt + s::task, descriptor(0x60FE0, 0x67, 0x0E9));  // its second half is absent
    t.write32(table + 4 * 0x61, 0);
    cpu.cr3 = directory;
    cpu.cr0 |= cr0::pg;
    t.m.registers_changed();
    t.set_rflags(rflags::cf);
    t.tss32(place::tss, 0x20, 0x7777'7777);
    jump(s::task);
    EXPECT_EQ(t.entered(), vector::pf);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(t.slot(1), place::code);
    EXPECT_EQ(cpu.cr2, 0x61000u);
    EXPECT_EQ(saved(0x20), 0x7777'7777u);
    EXPECT_TRUE(busy(s::main_tss));
    EXPECT_FALSE(busy(s::task));
    EXPECT_EQ(cpu.cr0 & cr0::ts, 0u);
}

TEST_F(Task, OnlyWhatNestsWritesToTheNewTss) {
    const std::uint64_t directory = 0x70000, table = 0x71000;
    for (const int opcode : {0xEA, 0x9A}) {
        M fresh;
        fresh.write32(directory, table | 7);
        for (std::uint64_t page = 0; page < 256; ++page) fresh.write32(table + 4 * page, page << 12 | 7);
        fresh.write32(table + 4 * 0x60, 0x60005);  // read-only
        fresh.write(place::gdt + s::task, descriptor(0x60000, 0x67, 0x0E9));
        fresh.task(0x60000, s::kernel_code, s::kernel_data);
        fresh.tss32(0x60000, 0x1C, directory);
        fresh.m.cpu.cr3 = directory;
        fresh.m.cpu.cr0 |= cr0::pg | cr0::wp;
        fresh.m.registers_changed();
        fresh.tss32(place::tss, 0x20, 0x7777'7777);
        fresh.code({opcode, 0, 0, 0, 0, s::task, 0});
        EXPECT_EQ(fresh.step_from(place::code), opcode == 0x9A ? vector::pf : -1);
        EXPECT_EQ(fresh.m.cpu.tr.selector, opcode == 0x9A ? s::main_tss : s::task);
        if (opcode == 0xEA) continue;
        EXPECT_EQ(fresh.m.cpu.cr2, 0x60000u);
        EXPECT_EQ(fresh.slot(0), 3u);
        EXPECT_EQ(fresh.read32(place::tss + 0x20), 0x7777'7777u);
        EXPECT_EQ(fresh.read(place::gdt + s::task) >> 41 & 1, 0u);
    }
}

TEST_F(Task, ACurrentTssTooSmallToSaveToIsAnInvalidTss) {
    cpu.tr.limit = 0x5E;
    jump(s::task);
    EXPECT_EQ(t.entered(), vector::ts);
    EXPECT_EQ(t.slot(0), s::main_tss);
}

// ---- In the context of the new task -------------------------------------------------------------------------------

struct Loaded {
    const char* fact;
    unsigned offset;  ///< in the new TSS
    std::uint16_t value;
    int vector;
    std::uint64_t error;
};

const Loaded loaded[] = {
    {"LDT beyond the GDT", 0x60, s::outside, 10, 0x200},
    {"LDT in an LDT", 0x60, 0x0C, 10, 0x0C},
    {"LDT no LDT", 0x60, s::kernel_data, 10, 0x10},
    {"LDT absent", 0x60, s::absent_ldt, 10, 0xC8},
    {"CS null", 0x4C, 0, 10, 0},
    {"CS beyond the GDT", 0x4C, s::outside, 10, 0x200},
    {"CS data", 0x4C, s::kernel_data, 10, 0x10},
    {"CS a system descriptor", 0x4C, s::main_tss, 10, 0x28},
    {"CS DPL not RPL", 0x4C, s::user_code & ~3, 10, 0x20},
    {"CS absent", 0x4C, s::absent_code, 11, 0x50},
    {"DS beyond the GDT", 0x54, s::outside, 10, 0x200},
    {"DS unreadable", 0x54, s::unreadable_code, 10, 0x80},
    {"DS a system descriptor", 0x54, s::task, 10, 0x30},
    {"DS RPL above DPL", 0x54, s::kernel_data | 3, 10, 0x10},
    {"DS absent", 0x54, s::absent_data, 11, 0x60},
    {"ES absent", 0x48, s::absent_data, 11, 0x60},
    {"FS absent", 0x58, s::absent_data, 11, 0x60},
    {"GS in no LDT", 0x5C, 0x0C, 10, 0x0C},
};

class TaskLoads : public testing::TestWithParam<Loaded> {};

TEST_P(TaskLoads, ByJumpAndByException) {
    const Loaded& row = GetParam();
    for (const bool event : {false, true}) {
        M t;
        t.gate(6, s::task, M::task_gate);
        t.tss32(place::task_tss, row.offset, row.value);
        if (event)
            t.code({0x0F, 0x0B});
        else
            t.code({0xEA, 0, 0, 0, 0, s::task, 0});
        EXPECT_EQ(t.step_from(place::code), row.vector) << row.fact;
        EXPECT_EQ(t.slot(0), row.error | (event ? 1u : 0u)) << row.fact;
        EXPECT_EQ(t.slot(1), place::task_code) << row.fact;
        EXPECT_EQ(t.slot(3) & rflags::rf, rflags::rf) << row.fact;
        EXPECT_EQ(t.m.cpu.tr.selector, s::task) << row.fact;
        EXPECT_EQ(t.m.cpu.r[rsp], place::task_stack - 16) << row.fact;
        EXPECT_EQ(t.m.cpu.cr0 & cr0::ts, cr0::ts) << row.fact;
        EXPECT_EQ(t.m.cpu.segment[ss].selector, s::kernel_data) << row.fact;
    }
}

INSTANTIATE_TEST_SUITE_P(OneRowPerCheck, TaskLoads, testing::ValuesIn(loaded));

TEST_F(Task, ABadStackSegmentIsSeenByAHandlerWithAStackOfItsOwn) {
    struct Row {
        const char* fact;
        std::uint16_t stack;
        int vector;
        std::uint64_t error;
    } constexpr rows[] = {{"null", 0, 10, 0},
                          {"beyond the GDT", s::outside, 10, 0x200},
                          {"RPL", s::kernel_data, 10, 0x10},
                          {"DPL", s::kernel_data | 3, 10, 0x10},
                          {"read-only", s::readonly_user_data, 10, 0x78},
                          {"absent", s::absent_user_data, 12, 0x70}};
    for (const Row& row : rows) {
        M fresh;
        fresh.task(place::task_tss, s::user_code, s::user_data);
        fresh.tss32(place::task_tss, 0x50, row.stack);
        fresh.tss32(place::task_tss, 4, place::esp0);
        fresh.tss32(place::task_tss, 8, s::kernel_data);
        fresh.code({0xEA, 0, 0, 0, 0, s::task, 0});
        EXPECT_EQ(fresh.step_from(place::code), row.vector) << row.fact;
        EXPECT_EQ(fresh.slot(0), row.error) << row.fact;
        EXPECT_EQ(fresh.slot(1), place::task_code) << row.fact;
        EXPECT_EQ(fresh.slot(2), s::user_code) << row.fact;
        EXPECT_EQ(fresh.slot(5), row.stack) << row.fact;
        EXPECT_EQ(fresh.m.cpu.r[rsp], place::esp0 - 24) << row.fact;
    }
}

TEST_F(Task, AnEipBeyondTheLimitIsGeneralProtectionInTheNewTask) {
    t.tss32(place::task_tss, 0x4C, s::small_code);
    jump(s::task);
    EXPECT_EQ(t.entered(), vector::gp);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(t.slot(1), place::task_code);
    EXPECT_EQ(t.slot(2), s::small_code);
}

TEST_F(Task, AnErrorCodeIsPushedOnTheNewTasksStack) {
    t.gate(13, s::task, M::task_gate);
    t.legacy_cpl3();
    t.code({0xF4});
    t.step_from(place::code);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(cpu.r[rsp], place::task_stack - 4);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(saved(0x20), place::code);
    EXPECT_EQ(saved(0x38), place::user_stack);
}

TEST_F(Task, AnErrorCodeWithoutRoomIsAStackFault) {
    t.gate(13, s::task, M::task_gate);
    t.tss32(place::task_tss, 0x50, s::small_stack);
    t.tss32(place::task_tss, 0x38, 2);
    t.write(place::idt + 8 * 8, legacy_gate(s::tss16, 0, M::task_gate));
    t.write16(place::tss16 + 0x0E, 0x1000);
    t.write16(place::tss16 + 0x10, 2);
    t.write16(place::tss16 + 0x1A, 0x800);
    t.write16(place::tss16 + 0x24, s::kernel_code);
    for (const unsigned offset : {0x22u, 0x26u, 0x28u}) t.write16(place::tss16 + offset, s::kernel_data);
    t.legacy_cpl3();
    t.code({0xF4});
    t.step_from(place::code);
    // #SS on the way of a #GP: #DF, which finds a task with a stack.
    EXPECT_EQ(cpu.tr.selector, s::tss16);
    EXPECT_EQ(t.read16(place::tss16), s::task);
}

TEST_F(Task, Cr3IsLoadedUnderPagingAloneAndNeverSaved) {
    t.tss32(place::task_tss, 0x1C, 0x72000);
    jump(s::task);
    EXPECT_EQ(cpu.cr3, 0u);

    const std::uint64_t directory = 0x70000, other = 0x72000, table = 0x71000, other_table = 0x73000;
    M fresh;
    for (const auto& [at, entries] : {std::pair{directory, table}, std::pair{other, other_table}}) {
        fresh.write32(at, entries | 7);
        for (std::uint64_t page = 0; page < 256; ++page) fresh.write32(entries + 4 * page, page << 12 | 7);
    }
    fresh.write32(other_table + 4 * (place::task_code >> 12), 0x2F007);  // its code lies elsewhere
    fresh.m.cpu.cr3 = directory;
    fresh.m.cpu.cr0 |= cr0::pg;
    fresh.m.registers_changed();
    fresh.tss32(place::tss, 0x1C, 0x1234);
    fresh.tss32(place::task_tss, 0x1C, other);
    fresh.code({0xEA, 0, 0, 0, 0, s::task, 0});
    fresh.code({0x0F, 0x0B}, 0x2F000);
    fresh.step_from(place::code);
    EXPECT_EQ(fresh.m.cpu.cr3, other);
    EXPECT_EQ(fresh.read32(place::tss + 0x1C), 0x1234u);
    fresh.m.run(1);
    EXPECT_EQ(fresh.entered(), vector::ud);
}

TEST_F(Task, DoubleFaultsMayBeTasks) {
    t.gate(8, s::task, M::task_gate);
    t.gate(13, s::kernel_code, 0x0E);
    t.legacy_cpl3();
    t.code({0xF4});
    t.step_from(place::code);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(t.slot(0), 0u);
    EXPECT_EQ(cpu.r[rsp], place::task_stack - 4);
}

// ---- The 80286's TSS ------------------------------------------------------------------------------------------------

TEST_F(Task, ASixteenBitTssHasWords) {
    t.write16(place::tss16 + 0x0E, 0x1234);
    t.write16(place::tss16 + 0x10, 0x0203);
    for (unsigned n = 0; n < 8; ++n) t.write16(place::tss16 + 0x12 + 2 * n, 0x4400 + n);
    t.write16(place::tss16 + 0x22, 0);
    t.write16(place::tss16 + 0x24, s::kernel_code);
    t.write16(place::tss16 + 0x26, s::kernel_data);
    t.write16(place::tss16 + 0x28, s::kernel_data);
    t.write16(place::tss16 + 0x2A, 0);
    cpu.r[rax] = 0xABCD'0000;
    jump(s::tss16);
    EXPECT_EQ(cpu.tr.selector, s::tss16);
    EXPECT_EQ(cpu.rip, 0x1234u);
    EXPECT_EQ(cpu.rflags, 0x203u);
    EXPECT_EQ(cpu.r[rax] & 0xFFFF, 0x4400u);
    EXPECT_EQ(cpu.r[rdi] & 0xFFFF, 0x4407u);
    EXPECT_EQ(cpu.segment[fs].selector, 0);
    t.code({0xEA, 0, 0, 0, 0, s::task, 0}, 0x1234);
    t.m.run(1);
    EXPECT_EQ(cpu.tr.selector, s::task);
    EXPECT_EQ(t.read16(place::tss16 + 0x0E), 0x1234u + 7);
    EXPECT_EQ(t.read16(place::tss16 + 0x24), s::kernel_code);
}

// ---- Debug ----------------------------------------------------------------------------------------------------------

TEST_F(Task, LocalBreakpointsAreClearedGlobalOnesAreNot) {
    t.arm(0x0000'03FF);
    jump(s::task);
    EXPECT_EQ(t.m.debug.dr7(), 0x0000'07AAu);  // LE, GE and bit 10 stay
}

TEST_F(Task, AGlobalBreakpointFiresInTheNewTaskALocalOneDoesNot) {
    t.m.debug.address = {place::task_code, place::task_code, 0, 0};
    t.arm(1 | 8);  // L0, G1
    t.code({0x90}, place::task_code);
    jump(s::task);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::db);
    EXPECT_EQ(t.m.debug.dr6, 0xFFFF'0FF2u);
}

TEST_F(Task, TheTBitIsATrapBeforeTheFirstInstructionAndStays) {
    t.tss32(place::task_tss, 0x64, 0x68'0001);
    t.code({0x0F, 0x0B}, place::task_code);
    jump(s::task);
    EXPECT_EQ(cpu.rip, place::task_code);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::db);
    EXPECT_EQ(t.m.debug.dr6, 0xFFFF'8FF0u);  // BT
    EXPECT_EQ(t.slot(0), place::task_code);
    EXPECT_EQ(t.slot(2), 2u);
    EXPECT_EQ(t.read32(place::task_tss + 0x64), 0x68'0001u);
    t.code({0xCF}, place::handlers + 16);
    t.m.run(1);
    EXPECT_EQ(cpu.rip, place::task_code);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::ud);
}

TEST_F(Task, TheTBitOfTheTaskThatIsLeftMeansNothing) {
    t.tss32(place::tss, 0x64, 0x68'0001);
    jump(s::task);
    t.code({0x90}, place::task_code);
    t.m.run(1);
    EXPECT_EQ(cpu.rip, place::task_code + 1);
}

TEST_F(Task, AnExceptionsTaskTrapsByItsTBitToo) {
    t.tss32(place::task_tss, 0x64, 0x68'0001);
    t.gate(6, s::task, M::task_gate);
    t.code({0x0F, 0x0B});
    t.step_from(place::code);
    t.m.run(1);
    EXPECT_EQ(t.entered(), vector::db);
    EXPECT_EQ(t.m.debug.dr6, 0xFFFF'8FF0u);
}

// ---- Whatever the tables hold ---------------------------------------------------------------------------------------

TEST_F(Task, TablesOutsideMemoryAndOfNoSizeEndArchitecturally) {
    t.write(place::gdt + s::task, descriptor(0xFFFF'FFF0, 0x67, 0x0E9));  // wraps at 4 GiB
    jump(s::task);
    EXPECT_NE(t.last_exit, Exit::Unimplemented);
    M small;
    small.m.cpu.gdt_limit = 0;
    small.code({0xEA, 0, 0, 0, 0, s::task, 0});
    small.step_from(place::code);
    EXPECT_EQ(small.last_exit, Exit::Shutdown);
    M outside;
    outside.m.cpu.tr.base = 0xF000'0000;
    outside.legacy_cpl3();
    outside.code({0x0F, 0x0B});
    outside.step_from(place::code);
    EXPECT_EQ(outside.last_exit, Exit::Shutdown);
    M gdt;
    gdt.m.cpu.gdt_base = 0xFFFF'FFFC;
    gdt.code({0xCF});
    gdt.set_rflags(rflags::nt);
    gdt.step_from(place::code);
    EXPECT_EQ(gdt.last_exit, Exit::Shutdown);
}

TEST_F(Task, ATaskOfVirtual8086ModeIsWhatTheMachineDoesNotHave) {
    t.tss32(place::task_tss, 0x24, rflags::vm | 2);
    jump(s::task);
    EXPECT_EQ(t.last_exit, Exit::Unimplemented);
}

}  // namespace
}  // namespace faultline::engine
