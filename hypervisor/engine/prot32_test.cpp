// Instructions in 32-bit protected mode: segments, stacks, legacy paging.
#include <gtest/gtest.h>

#include "hypervisor/engine/mode_machine.hpp"

namespace faultline::engine {
namespace {

using Fault = std::pair<int, std::uint32_t>;
using Code = std::vector<std::uint8_t>;

void lay(TestMachine& t, const Code& bytes) { t.m.write_physical(place::code, bytes.data(), bytes.size()); }

// ---- Protected mode: segments -----------------------------------------------------------------------------------

TEST(Prot32Segments, TheLastByteUpToTheLimitMayBeAccessed) {
    Prot32Machine t;
    t.code({0xA1, 0xFC, 0xFF, 0x07, 0x00, 0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
}

TEST(Prot32Segments, BeyondTheLimitTheStackSegmentIsStackFault) {
    for (const auto& [bytes, expected] : {std::pair{Code{0xA1, 0xFD, 0xFF, 0x07, 0x00}, 13},
                                          {{0x89, 0x83, 0xFD, 0xFF, 0x07, 0x00}, 13},        // mov [ebx+…], eax
                                          {{0x8B, 0x85, 0xFD, 0xFF, 0x07, 0x00}, 12},        // mov eax, [ebp+…]
                                          {{0x3E, 0x8B, 0x85, 0xFD, 0xFF, 0x07, 0x00}, 13},  // … with a DS prefix
                                          {{0x36, 0xA1, 0xFD, 0xFF, 0x07, 0x00}, 12}}) {     // mov eax, ss:[…]
        Prot32Machine t;
        lay(t, bytes);
        EXPECT_EQ(t.run_to_fault(), Fault(expected, 0));
        EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code);
    }
}

TEST(Prot32Segments, ANullSegmentIsRefusedBeforeItsLimit) {
    Prot32Machine t;
    t.m.set_segment(es, {0, 0, 0, 0});
    t.m.cpu.r[rdi] = place::data;
    t.code({0xAA});  // stosb
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
}

TEST(Prot32Segments, CodeIsReadButNotWritten) {
    Prot32Machine t;
    t.code({0x2E, 0xA1, 0x00, 0x00, 0x04, 0x00, 0x2E, 0xA3, 0x00, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code + 6);
}

TEST(Prot32Segments, ExecuteOnlyCodeIsNotReadAndReadOnlyDataNotWritten) {
    Prot32Machine t;
    t.m.set_segment(fs, {0x50, 0, place::limit, 0x499});
    t.m.set_segment(gs, {0x58, 0, place::limit, 0x491});
    t.code({0x64, 0xA1, 0x00, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    t.m.cpu.rip = place::code;
    t.code({0x65, 0xA1, 0x00, 0x00, 0x04, 0x00, 0x65, 0xA3, 0x00, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code + 6);
}

TEST(Prot32Segments, AnExpandDownSegmentBeginsBehindItsLimit) {
    Prot32Machine t;
    t.m.set_segment(ds, {0x50, 0, 0x40003, 0x497});
    t.code({0xA1, 0x04, 0x00, 0x04, 0x00, 0xA1, 0x03, 0x00, 0x04, 0x00});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code + 5);
}

TEST(Prot32Segments, BasesAreAddedOnceTheOffsetIsChecked) {
    Prot32Machine t;
    t.m.set_segment(ds, {0x50, 0x40000, 0xFF, 0x493});
    t.write(0x400FC, 0x1234'5678);
    t.code({0xA1, 0xFC, 0, 0, 0, 0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1234'5678u);
    t.arm(breakpoint(0, ReadWrite, Four));
    t.m.debug.address[0] = 0x400FC;
    t.m.breakpoints_changed();
    t.m.drop(Machine::halted);
    t.m.cpu.rip = place::code;
    EXPECT_EQ(t.run_to_handler(), vector::db);
}

TEST(Prot32Segments, ABranchBeyondTheLimitFaultsOnTheBranch) {
    for (const auto& bytes : {Code{0xE9, 0xFB, 0xFF, 0x05, 0x00},  // jmp 80000h
                              {0xE8, 0xFB, 0xFF, 0x05, 0x00},      // call 80000h
                              {0xFF, 0xE3},                        // jmp ebx
                              {0xC3}}) {                           // ret
        Prot32Machine t;
        t.m.cpu.r[rbx] = 0x80000;
        t.write(place::stack, 0x80000);
        lay(t, bytes);
        EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
        EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code);
        EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 16);  // nothing was pushed or popped before
    }
}

TEST(Prot32Segments, RunningIntoTheLimitFaultsBehindIt) {
    Prot32Machine t;
    t.m.set_segment(cs, {place::kernel_cs, 0, place::code + 1, 0x49B});
    t.code({0x90, 0x90, 0x90});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code + 2);
}

TEST(Prot32Segments, AnInstructionAcrossTheLimitIsNotExecuted) {
    Prot32Machine t;
    t.code({0x90, 0xB0, 0x55, 0xF4});   // nop; mov al, 55h
    EXPECT_EQ(t.m.run(10), Exit::Hlt);  // decoded and remembered
    t.m.drop(Machine::halted);
    t.m.cpu.r[rax] = 0, t.m.cpu.rip = place::code;
    t.m.set_segment(cs, {place::kernel_cs, 0, place::code + 1, 0x49B});
    EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    EXPECT_EQ(t.m.cpu.r[rax], 0u);
    EXPECT_EQ(t.read32(t.m.cpu.r[rsp] + 4), place::code + 1);
}

TEST(Prot32Segments, InstructionBreakpointsAreLinear) {
    for (const std::uint64_t base : {0x3000u, 0x3210u}) {  // aligned to a page, and not
        Prot32Machine t;
        t.m.set_segment(cs, {place::kernel_cs, base, place::limit, 0x49B});
        t.m.cpu.rip = place::code - base;
        t.code({0x90, 0x90, 0xF4});
        t.m.debug.address[0] = place::code + 1;
        t.arm(breakpoint(0, Execute));
        EXPECT_EQ(t.run_to_handler(), vector::db);
        EXPECT_EQ(t.read32(t.m.cpu.r[rsp]), place::code + 1 - base);
    }
}

TEST(Prot32Segments, SixteenBitCodeHas16BitDefaults) {
    Prot32Machine t;
    t.m.set_segment(cs, {place::kernel_cs, place::code, 0xFFFF, 0x9B});
    t.m.cpu.rip = 0;
    t.m.cpu.r[rax] = 0x1'2345'FFFF, t.m.cpu.r[rbx] = 0xFFFF'FFFF;
    t.code({0x40, 0x66, 0x43, 0xF4});  // inc ax; inc ebx; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1'2345'0000u);
    EXPECT_EQ(t.m.cpu.r[rbx], 0u);
}

TEST(Prot32Segments, A16BitStackKeepsTheUpperHalfOfEsp) {
    Prot32Machine t;
    t.m.set_segment(ss, {place::kernel_ss, 0x30000, 0xFFFF, 0x93});
    t.m.cpu.r[rsp] = 0x1234'0000;
    t.code({0x50, 0xF4});  // push eax
    t.m.cpu.r[rax] = 0x5566'7788;
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rsp], 0x1234'FFFCu);
    EXPECT_EQ(t.read32(0x3FFFC), 0x5566'7788u);
}

// ---- Protected mode: paging -------------------------------------------------------------------------------------

TEST(Prot32Paging, FaultsSayWhatWasWrong) {
    struct {
        std::uint64_t address;
        bool write, user;
        std::uint32_t error;
    } constexpr cases[] = {{place::hole, false, false, 0},
                           {place::hole, true, true, 6},
                           {place::supervisor, false, true, 5},
                           {place::readonly, true, true, 7},
                           {place::readonly, true, false, 3}};
    for (const auto& c : cases) {
        Prot32Machine t;
        if (c.user) t.at_cpl3();
        t.m.cpu.r[rbx] = c.address;
        t.code({c.write ? 0x89 : 0x8B, 0x03});
        EXPECT_EQ(t.run_to_fault(), Fault(14, c.error));
        EXPECT_EQ(t.m.cpu.cr2, c.address);
    }
}

TEST(Prot32Paging, AccessedAndDirtyBitsAreSetInTheirEntryOnly) {
    Prot32Machine t;
    const std::uint64_t entry = place::pdpt + 4 * (place::data / 0x1000);
    t.m.cpu.r[rbx] = place::data;
    t.code({0x8B, 0x03, 0x89, 0x03, 0xF4});
    t.step();
    EXPECT_EQ(t.read32(entry) & 0x60, 0x20u);
    t.step();
    EXPECT_EQ(t.read32(entry) & 0x60, 0x60u);
    EXPECT_EQ(t.read32(entry + 4) & 0x60, 0u);
    EXPECT_EQ(t.read32(place::pml4) & 0x60, 0x20u);
}

TEST(Prot32Paging, FourMbytePagesNeedCr4Pse) {
    for (const bool pse : {false, true}) {
        Prot32Machine t;
        // Linear 4 MB: an entry that is a table at 0 without PSE, the first 4 MB of memory with it.
        const std::uint32_t large = 0x87;
        t.m.write_physical(place::pml4 + 4, &large, sizeof large);
        t.m.cpu.cr4 = pse ? cr4::pse : 0;
        t.m.set_segment(ds, {place::kernel_ss, 0, 0xFFFF'FFFF, 0x493});
        t.m.paging_changed();
        t.write(place::data, 0x77);
        t.code({0xA1, 0x00, 0x00, 0x44, 0x00, 0xF4});
        if (pse) {
            EXPECT_EQ(t.m.run(10), Exit::Hlt);
            EXPECT_EQ(t.m.cpu.r[rax], 0x77u);
        } else {
            EXPECT_EQ(t.run_to_fault(), Fault(14, 0));
        }
    }
}

TEST(Prot32Paging, PaeTablesHaveFourPointers) {
    Prot32Machine t;
    // The tables of 64-bit mode below its top level are PAE's: PDPT (its entries lose the rights bits), PD, PT.
    for (std::uint64_t page = 0; page < Memory::page_count; ++page)
        t.write(place::pt + 8 * page, page * Memory::page_size | (page == place::hole / 0x1000 ? 0 : 7));
    t.write(place::pdpt, place::pd | 1);
    t.write(place::pd, place::pt | 7);
    t.m.cpu.cr3 = place::pdpt, t.m.cpu.cr4 = cr4::pae;
    t.m.paging_changed();
    t.write(place::data, 0x99);
    t.code({0xA1, 0x00, 0x00, 0x04, 0x00, 0xA1, 0x00, 0x00, 0x05, 0x00});
    EXPECT_EQ(t.run_to_fault(), Fault(14, 0));
    EXPECT_EQ(t.m.cpu.r[rax], 0x99u);
    t.write(place::pdpt, place::pd | 3);  // R/W is reserved there
    EXPECT_EQ(t.m.mmu.translate(place::data, Access::Read, false).error, pf::present | pf::reserved);
}

// ---- Protected mode: instructions -------------------------------------------------------------------------------

TEST(Prot32, PushaAndPopaKeepEverythingButThePushedEsp) {
    Prot32Machine t;
    for (unsigned n = 0; n < 8; ++n)
        if (n != rsp) t.m.cpu.r[n] = 0x1111'1111ull * (n + 1);
    t.code({0x60, 0xF4});
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 32);
    EXPECT_EQ(t.read32(place::stack - 4), 0x1111'1111u);
    EXPECT_EQ(t.read32(place::stack - 20), place::stack);
    EXPECT_EQ(t.read32(place::stack - 32), 0x8888'8888u);
    t.m.drop(Machine::halted);
    for (unsigned n = 0; n < 8; ++n)
        if (n != rsp) t.m.cpu.r[n] = 0;
    t.code({0x61, 0xF4}, t.m.cpu.rip);
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(t.m.cpu.r[n], n == rsp ? place::stack : 0x1111'1111ull * (n + 1));
}

TEST(Prot32, APushaThatFaultsWritesNothing) {
    Prot32Machine t;
    t.m.cpu.r[rsp] = place::hole + 0x1010;  // in the supervisor page; the lower half would be in the hole
    t.m.cpu.r[rax] = 0xAAAA'AAAA;
    t.m.set_segment(ss, {place::kernel_ss, 0, place::limit, 0x493});
    t.code({0x60});
    t.m.cpu.segment[ds] = t.m.cpu.segment[ss];
    t.step();
    EXPECT_EQ(t.m.cpu.cr2, place::hole + 0xFFC);
    EXPECT_NE(t.read32(place::supervisor + 0xC), 0xAAAA'AAAAu);
}

TEST(Prot32, EnterMakesAFrameThatLeaveTakesAway) {
    Prot32Machine t;
    t.m.cpu.r[rbp] = place::stack + 0x100;
    t.code({0xC8, 0x10, 0x00, 0x01, 0xF4, 0xC9, 0xF4});  // enter 16, 1; hlt; leave; hlt
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rbp], place::stack - 4);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack - 4 - 4 - 16);
    EXPECT_EQ(t.read32(place::stack - 8), place::stack - 4);
    t.m.drop(Machine::halted);
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack);
    EXPECT_EQ(t.m.cpu.r[rbp], place::stack + 0x100);
}

TEST(Prot32, Prefixes66And67Choose16Bits) {
    Prot32Machine t;
    t.m.cpu.r[rax] = 0x1234'5678, t.m.cpu.r[rbx] = 0xFFFF'8000, t.m.cpu.r[rsi] = 0x9000;
    t.write(0x1'1000, 0);  // where 32 bits would end up
    t.write(0x1000 + 0x10, 0xBEEF);
    t.code({0x66, 0x67, 0x8B, 0x40, 0x10, 0xF4});  // mov ax, [bx+si+10h]
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.r[rax], 0x1234'BEEFu);
}

TEST(Prot32, SyscallGoesToStarAndClearsIf) {
    Prot32Machine t;
    t.at_cpl3();
    t.m.cpu.star = std::uint64_t{place::kernel_cs} << 32 | 0x21000;
    t.set_rflags(rflags::if_ | rflags::cf);
    t.m.cpu.r[11] = 5;
    t.code({0x0F, 0x05});
    t.step();
    EXPECT_EQ(t.m.cpu.rip, 0x21000u);
    EXPECT_EQ(t.m.cpu.r[rcx], place::code + 2);
    EXPECT_EQ(t.m.cpu.r[11], 5u);
    EXPECT_EQ(t.m.cpu.rflags, rflags::fixed1 | rflags::cf);
    EXPECT_EQ(t.m.mode(), CodeMode::Protected32);
    EXPECT_EQ(t.m.cpu.cpl, 0);
}

TEST(Prot32, Cr0RefusesWhatDoesNotGoTogether) {
    struct {
        std::uint32_t value;
        bool refused;
    } constexpr cases[] = {
        {0x8005'0039, false}, {0x8001'0039, false}, {0x8000'0030, true}, {0xA000'0031, true}, {0xE000'0031, false}};
    for (const auto& c : cases) {
        Prot32Machine t;
        t.m.cpu.r[rax] = c.value;
        t.code({0x0F, 0x22, 0xC0, 0xF4});
        EXPECT_EQ(t.run_to_handler(), c.refused ? vector::gp : -1);
        EXPECT_EQ(t.m.cpu.cr0 == c.value, !c.refused);
    }
}

TEST(Prot32, MisalignedAccessIsAlignmentCheckAtCpl3) {
    for (const bool user : {false, true}) {
        Prot32Machine t;
        if (user) t.at_cpl3();
        t.m.cpu.cr0 |= cr0::am;
        t.set_rflags(rflags::ac);
        t.code({0xA1, 0x01, 0x00, 0x04, 0x00, 0xF4});
        EXPECT_EQ(t.run_to_handler(), user ? vector::ac : -1);
    }
}

TEST(Prot32, PrivilegedInstructionsAreRefusedAtCpl3) {
    for (const auto& bytes : {Code{0xF4},
                              {0x0F, 0x22, 0xC0},
                              {0x0F, 0x20, 0xC0},
                              {0x0F, 0x23, 0xF8},
                              {0x0F, 0x06},
                              {0x0F, 0x30},
                              {0x0F, 0x09},
                              {0xFA},
                              {0x0F, 0x01, 0x10},
                              {0x0F, 0x07}}) {
        Prot32Machine t;
        t.at_cpl3();
        lay(t, bytes);
        EXPECT_EQ(t.run_to_fault(), Fault(13, 0));
    }
}

TEST(Prot32, DecimalAdjustments) {
    struct {
        Code bytes;
        std::uint64_t ax, flags, result, flags_after;
    } const cases[] = {
        {{0x37}, 0x000B, 0, 0x0101, rflags::af | rflags::cf},  // aaa
        {{0x37}, 0x0209, 0, 0x0209, 0},
        {{0x3F}, 0x02FF, rflags::af, 0x0109, rflags::af | rflags::cf},      // aas
        {{0x27}, 0x00AE, 0, 0x0014, rflags::af | rflags::cf | rflags::pf},  // daa
        {{0x27}, 0x0079, rflags::af, 0x007F, rflags::af},
        {{0x2F}, 0x0047, rflags::af, 0x0041, rflags::af | rflags::pf},  // das
        {{0x2F}, 0x0003, rflags::af, 0x00FD, rflags::af | rflags::cf | rflags::sf},
        {{0xD4, 0x0A}, 0x0063, 0, 0x0909, rflags::pf},     // aam
        {{0xD5, 0x0A}, 0x0309, 0, 0x0027, rflags::pf},     // aad
        {{0xD6}, 0x1200, rflags::cf, 0x12FF, rflags::cf},  // salc
    };
    for (const auto& c : cases) {
        Prot32Machine t;
        t.m.cpu.r[rax] = c.ax;
        t.set_rflags(c.flags);
        lay(t, c.bytes);
        t.step();
        EXPECT_EQ(t.m.cpu.r[rax], c.result) << int{c.bytes[0]};
        EXPECT_EQ(t.m.cpu.rflags & ~rflags::fixed1, c.flags_after) << int{c.bytes[0]};
    }
}

TEST(Prot32, AamByZeroIsADivideError) {
    Prot32Machine t;
    t.code({0xD4, 0x00});
    EXPECT_EQ(t.run_to_handler(), vector::de);
}

}  // namespace
}  // namespace faultline::engine
