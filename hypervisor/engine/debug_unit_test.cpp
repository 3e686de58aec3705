// Which accesses match. AMD APM vol 2, "Setting Breakpoints".
#include "hypervisor/engine/debug_unit.hpp"

#include <gtest/gtest.h>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint64_t b0 = 1, b1 = 2;

/// AMD APM vol 2, table 13-1 "Breakpoint-Setting Examples", all rows.
TEST(Matching, GivesTheManualsTable) {
    struct Row {
        std::uint64_t address;
        std::size_t size;
        bool f000_1, f004_4, f005_8;
    };
    constexpr Row rows[] = {{0xEFFB, 8, true, false, true},  {0xEFFE, 2, false, false, false},
                            {0xEFFE, 4, true, false, true},  {0xF000, 1, true, false, true},
                            {0xF001, 2, false, false, true}, {0xF005, 4, false, true, true}};
    DebugUnit unit;
    unit.address = {0xF000, 0xF004, 0xF005, 0};
    unit.set_dr7(breakpoint(0, ReadWrite) | breakpoint(1, ReadWrite, Four) | breakpoint(2, ReadWrite, Eight));
    for (const Row& row : rows) {
        const std::uint64_t expected = (row.f000_1 ? 1u : 0u) | (row.f004_4 ? 2u : 0u) | (row.f005_8 ? 4u : 0u);
        EXPECT_EQ(unit.match_data(row.address, row.size, false), expected) << std::hex << row.address;
    }
}

TEST(Matching, WriteBreakpointsIgnoreReadsAndDisabledOnesEverything) {
    DebugUnit unit;
    unit.address = {0x1000, 0x1000, 0x1000, 0};
    unit.set_dr7(breakpoint(0, Write) | breakpoint(1, ReadWrite) | (breakpoint(2, ReadWrite) & ~0xFFull));
    EXPECT_EQ(unit.match_data(0x1000, 1, false), b1);
    EXPECT_EQ(unit.match_data(0x1000, 1, true), b0 | b1);
    EXPECT_EQ(unit.match_code(0x1000), 0u);
}

TEST(Matching, IoBreakpointsNeedDeAndComparePortsAsSixtyFourBits) {
    DebugUnit unit;
    unit.address = {0x80, 0x1'0000'0080, 0, 0};
    unit.set_dr7(breakpoint(0, Io) | breakpoint(1, Io));
    EXPECT_EQ(unit.match_io(0x80, 1), 0u);
    unit.set_de(true);
    EXPECT_EQ(unit.match_io(0x80, 1), b0);
    EXPECT_EQ(unit.match_io(0x7F, 2), b0);
    EXPECT_EQ(unit.match_data(0x80, 1, true), 0u);
}

}  // namespace
}  // namespace faultline::engine
