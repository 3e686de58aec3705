// Machines to run instructions on in the other modes: TestMachine in compatibility mode, LegacyMachine under paging.
#pragma once

#include <utility>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {

namespace place {
inline constexpr std::uint16_t kernel_cs32 = 0x30, user_cs32 = 0x3B;
/// Prot32 only: not present, supervisor, read-only.
inline constexpr std::uint64_t hole = 0x50000, supervisor = 0x51000, readonly = 0x52000;
inline constexpr std::uint32_t limit = 0x7FFFF;
}  // namespace place

/// Runs compatibility-mode code at CPL0; its handlers are 64-bit code.
struct CompatMachine : TestMachine {
    CompatMachine() {
        write(place::gdt + place::kernel_cs32, 0x0047'9B00'0000'FFFF);
        write(place::gdt + (place::user_cs32 & ~7), 0x0047'FB00'0000'FFFF);
        m.cpu.gdt_limit = 0x3F;
        m.set_segment(cs, {place::kernel_cs32, 0, place::limit, 0x49B});
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) m.set_segment(slot, {place::kernel_ss, 0, place::limit, 0x493});
    }
    void at_cpl3() {
        m.set_segment(cs, {place::user_cs32, 0, place::limit, 0x4FB});
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) m.set_segment(slot, {place::user_ss, 0, place::limit, 0x4F3});
        m.set_cpl(3);
    }
};

/// Protected mode with non-PAE paging (page directory at place::pml4, table at place::pdpt), segments that end behind
/// the memory.
struct Prot32Machine : LegacyMachine {
    Prot32Machine() {
        constexpr std::uint64_t open = 7;
        write32(place::pml4, place::pdpt | open);
        for (std::uint64_t page = 0; page < Memory::page_count; ++page) {
            const std::uint64_t address = page * Memory::page_size;
            const std::uint64_t rights = address == place::hole         ? 0
                                         : address == place::supervisor ? 3
                                         : address == place::readonly   ? 5
                                                                        : open;
            write32(place::pdpt + 4 * page, address | rights);
        }
        Cpu& cpu = m.cpu;
        cpu.segment[cs] = {place::kernel_cs, 0, place::limit, 0x49B};
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) cpu.segment[slot] = {place::kernel_ss, 0, place::limit, 0x493};
        cpu.cr0 |= cr0::wp | cr0::pg;
        cpu.cr3 = place::pml4;
        cpu.efer = efer::sce;
        m.registers_changed();
    }
    void at_cpl3() {
        m.set_segment(cs, {place::user_cs, 0, place::limit, 0x4FB});
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) m.set_segment(slot, {place::user_ss, 0, place::limit, 0x4F3});
        m.set_cpl(3);
    }
    /// Vector and error code of the exception that ends the run.
    std::pair<int, std::uint32_t> run_to_fault() {
        const int vector = run_to_handler();
        return {vector, static_cast<std::uint32_t>(slot(0))};
    }
};

struct RealMachine : LegacyMachine {
    RealMachine() { real_mode(); }
};

}  // namespace faultline::engine
