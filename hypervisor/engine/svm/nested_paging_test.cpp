// Nested paging where no case of the corpus reaches: rights at every level, accessed and dirty bits, nested tables of
// other kinds, deliveries, and tables that lead nowhere.
#include <gtest/gtest.h>

#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

/// Nested tables of their own, which map all memory to itself; the guest's are the host's.
struct NestedPaging : testing::Test, SvmMachine {
    static constexpr std::uint64_t root = 0x80000, pdpt = 0x81000, pd = 0x82000, pt = 0x83000;
    static constexpr std::uint64_t open = 7, accessed = 0x20, dirty = 0x40, no_execute = 1ull << 63;
    static constexpr std::uint64_t present = 1, write = 2, user = 4, reserved = 8, fetch = 16;

    NestedPaging() {
        write_entry(root, pdpt | open);
        write_entry(pdpt, pd | open);
        write_entry(pd, pt | open);
        for (std::uint64_t page = 0; page < Memory::page_count; ++page) map(page * Memory::page_size, open);
        vmcb.nested_control = 1;
        vmcb.nested_cr3 = root;
        vmcb.g_pat = 0x0007'0406'0007'0406;
        guest_code({0x90, 0xF4});
    }
    void write_entry(std::uint64_t at, std::uint64_t value) { SvmMachine::write(at, value); }
    static std::uint64_t entry_of(std::uint64_t address) { return pt + address / Memory::page_size * 8; }
    void map(std::uint64_t address, std::uint64_t rights) { write_entry(entry_of(address), address | rights); }
    void expect_fault(std::uint64_t info_1, std::uint64_t info_2) {
        EXPECT_EQ(vmcb.exit_code, exit_code::nested_page_fault);
        EXPECT_EQ(vmcb.exit_info_1, info_1);
        EXPECT_EQ(vmcb.exit_info_2, info_2);
        EXPECT_EQ(vmcb.next_rip, 0u);
    }
};

TEST_F(NestedPaging, AGuestRunsInMemoryThatIsMappedElsewhere) {
    write_entry(entry_of(place::data), 0x90000 | open);
    SvmMachine::write(0x90010, 0x1122'3344);
    EXPECT_EQ(run({0xA1, 0x10, 0x00, 0x04, 0, 0, 0, 0, 0, 0xF4}), code_of(Intercept::Hlt));  // MOV EAX, [40010h]
    EXPECT_EQ(vmcb.rax, 0x1122'3344u);
    EXPECT_FALSE(m.svm.nested_paging) << "and the host by its own tables";
}

TEST_F(NestedPaging, RightsOfTheFinalPageAreThoseOfAUser) {
    struct Row {
        std::uint64_t rights, error;  ///< 0: no fault
    };
    for (const auto& [rights, error] :
         {Row{open, 0}, Row{open & ~1ull, write | user}, Row{present | user, present | write | user},
          Row{present | write, present | write | user}, Row{open | 1ull << 51, present | write | user | reserved}}) {
        map(place::data, rights);
        vmcb.rip = place::guest;
        vmcb.cr0 &= ~cr0::wp;
        run({0x88, 0x04, 0x25, 0x10, 0, 4, 0, 0xF4});  // MOV [40010h], AL
        if (error == 0)
            EXPECT_EQ(vmcb.exit_code, code_of(Intercept::Hlt));
        else
            expect_fault(npf::final_address | error, place::data + 0x10);
    }
}

TEST_F(NestedPaging, AnUpperLevelRefusesForAllBelowIt) {
    write_entry(pd, pt | present | user);
    run();
    expect_fault(npf::guest_tables | present | write | user, place::pml4);
}

TEST_F(NestedPaging, TheGuestsTablesAreWrittenInTheNestedOnes) {
    map(place::pt, present | user);
    run();
    expect_fault(npf::guest_tables | present | write | user, place::pt + place::guest / Memory::page_size * 8);
    map(place::pt, open);
    run();
    EXPECT_EQ(vmcb.exit_code, code_of(Intercept::Hlt));
    EXPECT_EQ(read(entry_of(place::pt)) & (accessed | dirty), accessed | dirty);
    EXPECT_EQ(read(entry_of(place::guest)) & (accessed | dirty), accessed) << "only fetched from";
}

TEST_F(NestedPaging, AGuestPageFaultComesBeforeTheFinalTranslationAndAfterThatOfItsTables) {
    write_entry(place::pt + 8 * (place::data / Memory::page_size), 0);
    map(place::data, 0);
    intercept_exception(vector::pf);
    EXPECT_EQ(run({0xA0, 0x10, 0x00, 0x04, 0, 0, 0, 0, 0, 0xF4}), exception(vector::pf));
    EXPECT_EQ(vmcb.exit_info_2, place::data + 0x10);
    map(place::pt, 0);
    run();
    expect_fault(npf::guest_tables | write | user, place::pt + 8 * (place::guest / Memory::page_size));
}

TEST_F(NestedPaging, FetchesKnowNoExecuteUnderTheHostsNxe) {
    map(place::guest, open | no_execute);
    run();
    expect_fault(npf::final_address | present | user | fetch, place::guest);
    EXPECT_EQ(vmcb.instruction_length, 0u) << "no bytes of a fetch";
    m.cpu.efer &= ~efer::nxe;
    m.registers_changed();
    run();
    expect_fault(npf::final_address | present | user | reserved, place::guest);
}

TEST_F(NestedPaging, TheBytesOfADataAccessAreReported) {
    map(place::data, 0);
    run({0xA0, 0x10, 0x00, 0x04, 0, 0, 0, 0, 0, 0xF4});
    expect_fault(npf::final_address | user, place::data + 0x10);
    EXPECT_EQ(vmcb.instruction_length, 15u);
    EXPECT_EQ(vmcb.instruction_bytes[0], 0xA0u);
}

TEST_F(NestedPaging, AFaultWhileAnEventIsDeliveredTellsOfIt) {
    map(place::idt, 0);
    run({0xCD, 0x80});
    expect_fault(npf::final_address | user, place::idt + 16 * 0x80);
    EXPECT_EQ(vmcb.exit_int_info, event_info::make(event_info::Software, 0x80));
    EXPECT_EQ(vmcb.rip, place::guest);
}

TEST_F(NestedPaging, AnUnpagedGuestHasOnlyTheNestedTables) {
    vmcb.efer = efer::svme;
    vmcb.cr0 &= ~cr0::pg;
    vmcb.cs.attributes = 0xC9B;
    map(place::guest, open & ~present);
    run();
    expect_fault(npf::final_address | user | fetch, place::guest);
}

TEST_F(NestedPaging, TheNestedTablesAreOfTheHostsKind) {
    // A host in PAE paging: pointers of 32 bytes, tables of two levels below them.
    m.cpu.efer = efer::svme;
    m.cpu.cr3 = pdpt;
    m.cpu.segment[cs].attributes = 0xC9B;
    write_entry(pdpt, pd | present);
    m.registers_changed();
    vmcb.nested_cr3 = pdpt;
    run();
    EXPECT_EQ(vmcb.exit_code, code_of(Intercept::Hlt));
    // Without PAE: two levels of 32 bits; the first entry leads to a table of pages.
    m.cpu.cr4 = 0;
    const auto put32 = [&](std::uint64_t at, std::uint32_t value) { m.write_physical(at, &value, sizeof value); };
    put32(root, pt | open);
    for (std::uint32_t page = 0; page < Memory::page_count; ++page)
        put32(pt + 4 * page, page << 12 | static_cast<std::uint32_t>(open));
    m.cpu.cr3 = root;
    m.registers_changed();
    vmcb.rip = place::guest;
    vmcb.nested_cr3 = root;
    run();
    EXPECT_EQ(vmcb.exit_code, code_of(Intercept::Hlt));
}

TEST_F(NestedPaging, TablesThatLeadNowhereExit) {
    vmcb.nested_cr3 = 0x7F'FFFF'F000;  // no memory: all ones
    run();
    expect_fault(npf::guest_tables | present | write | user | reserved, place::pml4);
    vmcb.nested_cr3 = root;
    write_entry(root, 0x7F'FFFF'F000 | open);
    run();
    expect_fault(npf::guest_tables | present | write | user | reserved, place::pml4);
    for (const std::uint64_t table : {root, pdpt, pd}) write_entry(table, root | open);  // each its own child
    run();
    EXPECT_EQ(vmcb.exit_code, exit_code::nested_page_fault);
}

TEST_F(NestedPaging, TheGuestHasAPatOfItsOwn) {
    m.cpu.pat = 0x0007'0406'0007'0404;
    intercept(Intercept::Msr, false);
    EXPECT_EQ(run({0xB9, 0x77, 0x02, 0, 0, 0x0F, 0x32, 0xF4}), code_of(Intercept::Hlt));  // RDMSR of PAT
    EXPECT_EQ(vmcb.rax, 0x0007'0406u);
    EXPECT_EQ(m.cpu.pat, 0x0007'0406'0007'0404u);
}

TEST_F(NestedPaging, WhatVmrunRefuses) {
    vmcb.g_pat = 2;
    EXPECT_EQ(run(), exit_code::invalid);
    vmcb.g_pat = 6;
    vmcb.nested_cr3 = 1ull << 52;
    EXPECT_EQ(run(), exit_code::invalid);
    vmcb.nested_cr3 = root;
    EXPECT_EQ(run(), code_of(Intercept::Hlt));
    m.cpu.cr0 &= ~cr0::pg;
    m.cpu.efer &= ~efer::lma;
    m.cpu.segment[cs].attributes = 0xC9B;
    m.registers_changed();
    EXPECT_EQ(run(), exit_code::invalid);
}

}  // namespace
}  // namespace faultline::engine
