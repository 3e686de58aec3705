#include "hypervisor/engine/mmu.hpp"

#include <gtest/gtest.h>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint64_t present = 1, writable = 2, user_page = 4, accessed = 0x20, dirty = 0x40, large = 0x80,
                        execute_disable = 1ull << 63;
constexpr std::uint64_t leaf_of(std::uint64_t linear) { return place::pt + linear / Memory::page_size * 8; }

struct Paging : testing::Test {
    TestMachine t;
    Translation translate(std::uint64_t linear, Access access, bool user) {
        return t.m.mmu.translate(linear, access, user);
    }
    void leaf(std::uint64_t bits) { t.write(leaf_of(place::data), place::data | bits); }
};

TEST_F(Paging, UserAccessToASupervisorPageFaultsWithPresentAndUser) {
    leaf(present | writable);
    EXPECT_EQ(translate(place::data, Access::Read, true).error, pf::present | pf::user);
    EXPECT_TRUE(translate(place::data, Access::Read, false).ok);
}

TEST_F(Paging, WritingAReadOnlyPageFaultsAtCpl0OnlyUnderWriteProtect) {
    leaf(present | user_page);
    EXPECT_EQ(translate(place::data, Access::Write, true).error, pf::present | pf::write | pf::user);
    EXPECT_EQ(translate(place::data, Access::Write, false).error, pf::present | pf::write);
    t.m.cpu.cr0 &= ~cr0::wp;
    t.m.paging_changed();
    EXPECT_TRUE(translate(place::data, Access::Write, false).ok);
    EXPECT_FALSE(translate(place::data, Access::Write, true).ok);
}

TEST_F(Paging, ANotPresentPageFaultsWithoutThePresentBit) {
    leaf(writable | user_page);
    EXPECT_EQ(translate(place::data, Access::Read, false).error, 0u);
    EXPECT_EQ(translate(place::data, Access::Fetch, true).error, pf::user | pf::fetch);
}

TEST_F(Paging, RightsAreTheAndOfAllLevels) {
    t.write(place::pdpt, place::pd | present | user_page);
    EXPECT_EQ(translate(place::data, Access::Write, true).error, pf::present | pf::write | pf::user);
    t.write(place::pdpt, place::pd | present | writable);
    EXPECT_EQ(translate(place::data, Access::Read, true).error, pf::present | pf::user);
}

TEST_F(Paging, NoExecuteStopsFetchesOnlyAndIsReservedWithoutNxe) {
    leaf(present | writable | user_page | execute_disable);
    EXPECT_EQ(translate(place::data, Access::Fetch, true).error, pf::present | pf::user | pf::fetch);
    EXPECT_TRUE(translate(place::data, Access::Write, true).ok);
    t.m.cpu.efer &= ~efer::nxe;
    t.m.paging_changed();
    EXPECT_EQ(translate(place::data, Access::Read, false).error, pf::present | pf::reserved);
    EXPECT_EQ(translate(place::data, Access::Fetch, false).error, pf::present | pf::reserved);
}

TEST_F(Paging, AddressBitsBeyondThePhysicalWidthAreReserved) {
    leaf(present | writable | user_page | 1ull << 48);
    EXPECT_EQ(translate(place::data, Access::Read, true).error, pf::present | pf::user | pf::reserved);
}

TEST_F(Paging, AReadSetsAccessedAndAWriteSetsDirtyInTheLeafToo) {
    EXPECT_TRUE(translate(place::data, Access::Read, true).ok);
    EXPECT_EQ(t.read(leaf_of(place::data)) & (accessed | dirty), accessed);
    EXPECT_EQ(t.read(place::pml4) & (accessed | dirty), accessed);
    EXPECT_TRUE(translate(place::data, Access::Write, true).ok);
    EXPECT_EQ(t.read(leaf_of(place::data)) & (accessed | dirty), accessed | dirty);
    EXPECT_EQ(t.read(place::pd) & dirty, 0u);
}

TEST_F(Paging, AFaultSetsNoBit) {
    leaf(present | user_page);
    EXPECT_FALSE(translate(place::data, Access::Write, true).ok);
    EXPECT_EQ(t.read(leaf_of(place::data)) & (accessed | dirty), 0u);
}

TEST_F(Paging, LargePagesTranslateTheirWholeOffset) {
    t.write(place::pd, 0 | present | writable | user_page | large);
    EXPECT_EQ(translate(0x45678, Access::Read, true).physical, 0x45678u);
    t.write(place::pd, 0x2000 | present | large);  // bit 13 is reserved in a 2 MiB page
    EXPECT_EQ(translate(0x45678, Access::Read, false).error, pf::present | pf::reserved);
    t.write(place::pdpt, 0 | present | writable | large);
    EXPECT_EQ(translate(0x0567'8000, Access::Read, false).physical, 0x0567'8000u);
}

TEST_F(Paging, ATableWriteIsSeenByTheNextAccess) {
    std::uint64_t value;
    EXPECT_TRUE(t.m.load(place::data, value));
    leaf(0);
    EXPECT_FALSE(t.m.load(place::data, value));
    EXPECT_EQ(t.m.fault.vector, vector::pf);
    EXPECT_EQ(t.m.fault.address, place::data);
}

TEST_F(Paging, ACrossingStoreThatFaultsOnItsSecondPageWritesNothing) {
    t.write(leaf_of(place::data + 0x1000), 0);
    EXPECT_FALSE(t.m.store<std::uint64_t>(place::data + 0xFFC, ~0ull));
    EXPECT_EQ(t.m.fault.address, place::data + 0x1000);
    EXPECT_EQ(t.m.fault.error, pf::write);
    EXPECT_EQ(t.read(place::data + 0xFF8), 0u);
}

TEST_F(Paging, MemoryBeyondRamReadsAllOnes) {
    t.write(leaf_of(place::data), 0x4000'0000 | present | writable | user_page);
    std::uint64_t value = 0;
    EXPECT_TRUE(t.m.store<std::uint64_t>(place::data, 5));
    EXPECT_TRUE(t.m.load(place::data, value));
    EXPECT_EQ(value, ~0ull);
}

/// Three roots above the same tables; the first permits writes.
struct AddressSpaces : Paging {
    static constexpr std::uint64_t roots[] = {place::pml4, 0x50000, 0x51000};
    AddressSpaces() {
        for (const std::uint64_t root : {roots[1], roots[2]}) t.write(root, place::pdpt | present | user_page);
    }
    void enter(std::uint64_t root) {
        t.m.cpu.cr3 = root;
        t.m.paging_changed();
    }
};

TEST_F(AddressSpaces, EachHasItsOwnTranslationsInAnyTurn) {
    for (const std::uint64_t next : {0, 1, 0, 2, 1, 0, 0, 2, 0}) {
        enter(roots[next]);
        EXPECT_EQ(translate(place::data, Access::Write, true).ok, next == 0);
        EXPECT_TRUE(translate(place::data, Access::Read, true).ok);
    }
}

TEST_F(AddressSpaces, AWriteToATableIsSeenInAllThatItServes) {
    for (const std::uint64_t root : {roots[0], roots[1]}) {
        enter(root);
        EXPECT_TRUE(translate(place::data, Access::Read, true).ok);
    }
    leaf(present);
    EXPECT_FALSE(translate(place::data, Access::Read, true).ok);
    enter(roots[0]);
    EXPECT_FALSE(translate(place::data, Access::Read, true).ok);
    EXPECT_EQ(t.m.mmu.entry(place::data, true).read, Mmu::TlbEntry::none);
}

TEST_F(Paging, NonCanonicalIsStackFaultThroughTheStackAndGeneralProtectionElsewhere) {
    std::uint64_t value;
    constexpr std::uint64_t hole = 0x0000'8000'0000'0000;
    EXPECT_FALSE(t.m.load(hole, value));
    EXPECT_EQ(t.m.fault.vector, vector::gp);
    EXPECT_FALSE(t.m.load(hole - 4, value, Via::Stack));  // the last bytes are beyond the edge
    EXPECT_EQ(t.m.fault.vector, vector::ss);
}

TEST_F(Paging, MisalignedAccessIsAlignmentCheckOnlyAtCpl3UnderAmAndAc) {
    std::uint64_t value;
    t.m.cpu.cr0 |= cr0::am;
    t.set_rflags(rflags::ac);
    EXPECT_TRUE(t.m.load(place::data + 1, value));
    t.at_cpl3();
    EXPECT_FALSE(t.m.load(place::data + 1, value));
    EXPECT_EQ(t.m.fault.vector, vector::ac);
    EXPECT_TRUE(t.m.load(place::data + 8, value));
    t.set_rflags(0);
    EXPECT_TRUE(t.m.load(place::data + 1, value));
}

}  // namespace
}  // namespace faultline::engine
