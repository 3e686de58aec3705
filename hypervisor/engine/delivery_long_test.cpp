// The checks of delivery in long mode, a row each. AMD APM vol 2, "Long-Mode Interrupt Control Transfers",
// "Selector-Error Code", "64-Bit Task State Segment"; order of the checks: SDM vol 2, "INT n", pseudocode of IA-32e
// mode.
#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

/// Selectors behind the ones of test_machine.hpp. The IST of the handlers of #TS, #NP, #SS, #GP and #PF is a stack of
/// their own, so that they are met whatever is wrong with the others.
constexpr std::uint16_t absent_code = 0x38, conforming = 0x40, code32 = 0x48, both_l_and_d = 0x50, absent_code32 = 0x58,
                        outside = 0x200;
constexpr std::uint64_t handlers_stack = 0x1D000, non_canonical = 0x0000'8000'0000'0000;

struct Long : TestMachine {
    Long() {
        write(place::gdt, descriptor(0, 0xFFFFF, 0xA9B));  // what a null selector does not name
        write(place::gdt + absent_code, descriptor(0, 0xFFFFF, 0xA1B));
        write(place::gdt + conforming, descriptor(0, 0xFFFFF, 0xA9F));
        write(place::gdt + code32, descriptor(0, 0xFFFFF, 0xC9B));
        write(place::gdt + both_l_and_d, descriptor(0, 0xFFFFF, 0xE9B));
        write(place::gdt + absent_code32, descriptor(0, 0xFFFFF, 0xC1B));
        m.cpu.gdt_limit = 0x5F;
        write(place::tss + 0x54, handlers_stack);  // IST7
        for (unsigned vector = 10; vector <= 14; ++vector) gate(vector, place::kernel_cs, 0x8E, 7);
    }
    void gate(unsigned vector, std::uint16_t to, unsigned rights, unsigned ist = 0) {
        gate_at(vector, place::handlers + 16 * vector, to, rights, ist);
    }
    void gate_at(unsigned vector, std::uint64_t target, std::uint16_t to, unsigned rights, unsigned ist = 0) {
        write(place::idt + 16 * vector, (target & 0xFFFF) | std::uint64_t{to} << 16 | std::uint64_t{ist} << 32 |
                                            std::uint64_t{rights} << 40 | (target >> 16 & 0xFFFF) << 48);
        write(place::idt + 16 * vector + 8, target >> 32);
    }
    int handler() const {
        const std::uint64_t at = m.cpu.rip - place::handlers;
        return at < 256 * 16 && at % 16 == 0 ? static_cast<int>(at / 16) : -1;
    }
};

enum class By { IntN, Ud2, Icebp, Interrupt, Nmi };

struct Row {
    const char* fact;
    int cpl;
    By by;
    std::function<void(Long&)> arrange;
    int vector;
    std::uint64_t error;
};

std::function<void(Long&)> gates(std::uint16_t to, unsigned rights, unsigned ist = 0) {
    return [=](Long& t) {
        for (const unsigned vector : {1u, 2u, 6u, 0x20u}) t.gate(vector, to, rights, ist);
    };
}
std::function<void(Long&)> tss_field(std::uint64_t offset, std::uint64_t value, unsigned ist = 0) {
    return [=](Long& t) {
        t.write(place::tss + offset, value);
        gates(place::kernel_cs, 0x8E, ist)(t);
    };
}
std::function<void(Long&)> tss_limit(std::uint32_t limit, unsigned ist = 0) {
    return [=](Long& t) {
        t.m.cpu.tr.limit = limit;
        gates(place::kernel_cs, 0x8E, ist)(t);
        for (unsigned vector = 10; vector <= 14; ++vector) t.gate(vector, conforming, 0x8E);
    };
}

const Row rows[] = {
    // A gate has 16 bytes: that of vector 20h ends at 20Fh.
    {"limit", 0, By::IntN, [](Long& t) { t.m.cpu.idt_limit = 0x20E; }, 13, 0x102},
    {"limit, an interrupt", 0, By::Interrupt, [](Long& t) { t.m.cpu.idt_limit = 0x20E; }, 13, 0x103},
    // Types other than 14 and 15, the legacy ones included.
    {"task gate", 0, By::Ud2, gates(place::kernel_cs, 0x85), 13, 0x33},
    {"16-bit interrupt gate", 0, By::Ud2, gates(place::kernel_cs, 0x86), 13, 0x33},
    {"16-bit trap gate", 0, By::IntN, gates(place::kernel_cs, 0x87), 13, 0x102},
    {"call gate", 0, By::IntN, gates(place::kernel_cs, 0x8C), 13, 0x102},
    {"type 0", 0, By::Nmi, gates(place::kernel_cs, 0x80), 13, 0x13},
    {"S set", 0, By::Ud2, gates(place::kernel_cs, 0x9E), 13, 0x33},
    {"type before DPL and P", 3, By::IntN, gates(place::kernel_cs, 0x05), 13, 0x102},
    // The DPL is for software interrupts, and comes before P.
    {"DPL", 3, By::IntN, gates(place::kernel_cs, 0x8E), 13, 0x102},
    {"DPL before P", 3, By::IntN, gates(place::kernel_cs, 0x0E), 13, 0x102},
    {"DPL 3, P clear", 3, By::IntN, gates(place::kernel_cs, 0x6E), 11, 0x102},
    {"P, an exception", 3, By::Ud2, gates(place::kernel_cs, 0x0E), 11, 0x33},
    {"P, ICEBP", 3, By::Icebp, gates(place::kernel_cs, 0x0E), 11, 0x0B},
    {"P, an interrupt", 0, By::Interrupt, gates(place::kernel_cs, 0x0E), 11, 0x103},
    {"P, an NMI", 0, By::Nmi, gates(place::kernel_cs, 0x0E), 11, 0x13},
    {"P before CS", 0, By::IntN, gates(0, 0x0E), 11, 0x102},
    // The code segment.
    {"CS null", 0, By::IntN, gates(0, 0x8E), 13, 0},
    {"CS null, EXT", 0, By::Ud2, gates(3, 0x8E), 13, 1},
    {"CS beyond the GDT", 0, By::IntN, gates(outside, 0x8E), 13, 0x200},
    {"CS beyond the GDT, RPL dropped, EXT", 0, By::Ud2, gates(outside | 3, 0x8E), 13, 0x201},
    {"CS in no LDT", 0, By::Ud2, gates(0x0C, 0x8E), 13, 0x0D},
    {"CS data", 0, By::Ud2, gates(place::kernel_ss, 0x8E), 13, 0x11},
    {"CS of an outer level", 0, By::Ud2, gates(place::user_cs, 0x8E), 13, 0x21},
    {"CS not 64-bit", 0, By::Ud2, gates(code32, 0x8E), 13, 0x49},
    {"CS with L and D", 0, By::Ud2, gates(both_l_and_d, 0x8E), 13, 0x51},
    {"L before P", 0, By::Ud2, gates(absent_code32, 0x8E), 13, 0x59},
    {"CS absent", 0, By::IntN, gates(absent_code, 0x8E), 11, 0x38},
    {"CS absent, EXT", 0, By::Ud2, gates(absent_code, 0x8E), 11, 0x39},
    // Stacks. A slot must lie within the TSS: RSP0 ends at 0Bh, IST1 at 2Bh.
    {"RSP0 beyond the TSS", 3, By::Ud2, tss_limit(0x0A), 10, 0x29},
    {"IST1 beyond the TSS", 0, By::Ud2, tss_limit(0x2A, 1), 10, 0x29},
    {"RSP0 not canonical", 3, By::Ud2, tss_field(4, non_canonical), 12, 1},
    {"RSP0 not canonical, INT n", 3, By::IntN,
     [](Long& t) {
         t.write(place::tss + 4, non_canonical);
         gates(place::kernel_cs, 0xEE)(t);
     },
     12, 0},
    {"IST1 not canonical", 0, By::Ud2, tss_field(0x24, non_canonical | 0x1000, 1), 12, 1},
    {"RSP not canonical", 0, By::Ud2, [](Long& t) { t.m.cpu.r[rsp] = non_canonical + 0x100; }, 12, 1},
    {"RSP not canonical, INT n", 0, By::IntN, [](Long& t) { t.m.cpu.r[rsp] = non_canonical + 0x100; }, 12, 0},
    // Not the frame's highest byte but its lowest leaves the canonical range.
    {"the frame not canonical", 0, By::Ud2, [](Long& t) { t.m.cpu.r[rsp] = 0xFFFF'8000'0000'0010; }, 12, 1},
    // The manual has the target checked at the fetch or before; here before.
    {"target not canonical", 0, By::Ud2, [](Long& t) { t.gate_at(6, non_canonical, place::kernel_cs, 0x8E); }, 13, 1},
    // Pages: implicit accesses are the supervisor's.
    {"RSP0's page absent", 3, By::Ud2, tss_field(4, 0x40'0000), 14, 2},
    {"IDT absent", 3, By::Interrupt, [](Long& t) { t.m.cpu.idt_base = 0x40'0000; }, -1, 0},
    {"TSS absent", 3, By::Ud2, [](Long& t) { t.m.cpu.tr.base = 0x40'0000; }, -1, 0},
};

class LongRefused : public testing::TestWithParam<Row> {};

TEST_P(LongRefused, Event) {
    const Row& row = GetParam();
    Long t;
    t.write(place::pd + 16, 0);
    t.set_rflags(rflags::if_);
    if (row.cpl == 3) {
        t.at_cpl3();
        t.m.cpu.r[rsp] = place::data + 0x800;
    }
    row.arrange(t);
    switch (row.by) {
        case By::IntN: t.code({0xCD, 0x20}); break;
        case By::Ud2: t.code({0x0F, 0x0B}); break;
        case By::Icebp: t.code({0xF1}); break;
        case By::Interrupt: t.m.inject_interrupt(0x20); break;
        case By::Nmi: t.m.inject_nmi(); break;
    }
    const std::uint64_t before = t.m.cpu.r[rsp], cr2 = t.m.cpu.cr2;
    const std::uint16_t cs_before = t.m.cpu.segment[cs].selector, ss_before = t.m.cpu.segment[ss].selector;
    t.m.run(1);
    if (row.vector == -1) {  // no handler can be reached
        EXPECT_EQ(t.m.exit, Exit::Shutdown) << row.fact;
        return;
    }
    EXPECT_EQ(t.handler(), row.vector) << row.fact;
    const auto frame = t.frame(true);
    EXPECT_EQ(frame.error, row.error) << row.fact;
    EXPECT_EQ(frame.rip, place::code) << row.fact;
    EXPECT_EQ(frame.cs, cs_before) << row.fact;
    EXPECT_EQ(frame.ss, ss_before) << row.fact;
    EXPECT_EQ(frame.rsp, before) << row.fact;
    EXPECT_EQ(frame.rflags, rflags::fixed1 | rflags::if_ | rflags::rf) << row.fact;
    if (row.vector != 14) {
        EXPECT_EQ(t.m.cpu.cr2, cr2) << row.fact;
    }
}

INSTANTIATE_TEST_SUITE_P(OneRowPerCheck, LongRefused, testing::ValuesIn(rows));

struct LongDelivery : testing::Test {
    Long t;
    Cpu& cpu = t.m.cpu;
};

TEST_F(LongDelivery, AConformingHandlerKeepsLevelAndStackAndPushesAsTheUser) {
    t.gate(6, conforming, 0x8E);
    t.at_cpl3();
    t.code({0x0F, 0x0B});
    t.m.run(1);
    EXPECT_EQ(t.handler(), vector::ud);
    EXPECT_EQ(cpu.cpl, 3);
    EXPECT_EQ(cpu.segment[cs].selector, conforming | 3);
    EXPECT_EQ(cpu.segment[ss].selector, place::user_ss);
    EXPECT_EQ(cpu.r[rsp], place::stack - 40);
    t.write(place::pt + ((place::stack - 1) >> 12) * 8, ((place::stack - 1) & ~0xFFFull) | 3);  // the supervisor's now
    cpu.rip = place::code;
    cpu.r[rsp] = place::stack;
    t.m.set_segment(cs, {place::user_cs, 0, 0xFFFF'FFFF, 0xAFB});
    t.m.run(1);
    EXPECT_EQ(t.handler(), vector::pf);
    EXPECT_EQ(t.frame(true).error, 7u);
}

TEST_F(LongDelivery, TablesThatEndWithTheEntryAreLongEnough) {
    cpu.idt_limit = 0x20F;
    cpu.tr.limit = 0x0B;
    t.gate(0x20, place::kernel_cs, 0xEE);
    t.at_cpl3();
    t.code({0xCD, 0x20});
    t.m.run(1);
    EXPECT_EQ(t.handler(), 0x20);
    EXPECT_EQ(cpu.r[rsp], place::rsp0 - 40);
}

TEST_F(LongDelivery, IstWinsOverTheInnerStackAndSsIsNullOnlyInward) {
    t.write(place::tss + 0x24, place::ist1);
    t.gate(6, place::kernel_cs, 0x8E, 1);
    t.at_cpl3();
    t.code({0x0F, 0x0B});
    t.m.run(1);
    EXPECT_EQ(cpu.r[rsp], place::ist1 - 40);
    EXPECT_EQ(cpu.segment[ss].selector, 0);
    EXPECT_EQ(t.frame().ss, place::user_ss);
}

TEST_F(LongDelivery, InnerStacksAreAlignedTooAndTheErrorCodeFillsItsSlot) {
    t.write(place::tss + 4, place::rsp0 - 7);
    t.gate(13, place::kernel_cs, 0x8E);
    t.at_cpl3();
    t.code({0xF4});
    t.m.run(1);
    EXPECT_EQ(cpu.r[rsp], place::rsp0 - 16 - 48);
    EXPECT_EQ(t.frame(true).error, 0u);
}

TEST_F(LongDelivery, TheHandlersCodeSegmentIsMarkedAccessed) {
    t.write(place::gdt + place::kernel_cs, 0x00AF'9A00'0000'FFFF);
    t.code({0x0F, 0x0B});
    t.m.run(1);
    EXPECT_EQ(t.read(place::gdt + place::kernel_cs), 0x00AF'9B00'0000'FFFFu);
}

TEST_F(LongDelivery, EveryPairOfClassesEndsAsTheTableSays) {
    // "Double-Fault Exception Conditions": contributory are 0, 10-13; #PF; all else is benign. The second exception is
    // that of a gate that is absent (#NP), or of a page of the stack (#PF).
    struct Pair {
        const char* fact;
        std::initializer_list<int> code;
        int first;
        int with_np, with_pf;
    };
    const Pair pairs[] = {
        {"#DE", {0x31, 0xC9, 0xF7, 0xF1}, 0, 8, 14},
        {"#GP", {0xF4}, 13, 8, 14},
        {"#UD", {0x0F, 0x0B}, 6, 11, 14},
        {"#BP", {0xCC}, 3, 11, 14},
        {"ICEBP", {0xF1}, 1, 11, 14},
        {"#PF", {0xA0, 0, 0, 0x50, 0, 0, 0, 0, 0}, 14, 8, 8},
    };
    for (const Pair& pair : pairs)
        for (const bool by_page : {false, true}) {
            Long fresh;
            fresh.write(place::pd + 16, 0);
            fresh.gate(8, place::kernel_cs, 0x8E, 7);
            const auto first = static_cast<unsigned>(pair.first);
            if (by_page) {
                fresh.write(place::tss + 0x24, 0x40'0000);  // absent
                fresh.gate(first, place::kernel_cs, 0xEE, 1);
            } else {
                fresh.gate(first, place::kernel_cs, 0x6E);
            }
            fresh.at_cpl3();
            fresh.code(pair.code);
            for (int n = 0; n < 4 && fresh.handler() == -1; ++n) fresh.m.run(1);
            // A #PF whose own gate has the bad stack cannot be delivered as #PF a second time.
            EXPECT_EQ(fresh.handler(), by_page ? pair.with_pf : pair.with_np) << pair.fact << by_page;
        }
}

TEST_F(LongDelivery, ABenignEventAfterAPageFaultInItsDeliveryIsAPageFaultWithTheNewAddress) {
    t.write(place::pd + 16, 0);
    t.write(place::tss + 4, 0x40'1000);
    t.at_cpl3();
    t.code({0x0F, 0x0B});
    t.m.run(1);
    EXPECT_EQ(t.handler(), vector::pf);
    EXPECT_EQ(cpu.cr2, 0x40'1000u - 40);
}

}  // namespace
}  // namespace faultline::engine
