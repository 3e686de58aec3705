// TestMachine in the other modes: the same places, tables of the mode's own shape, handlers that are a HLT each.
#pragma once

#include "hypervisor/engine/test_machine.hpp"

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

/// 32-bit protected mode with non-PAE paging: page directory at place::pml4, table at place::pdpt.
struct Prot32Machine : TestMachine {
    Prot32Machine() {
        const auto put = [&](std::uint64_t address, auto value) { m.write_physical(address, &value, sizeof value); };
        const std::uint32_t open = 7;
        put(place::pml4, static_cast<std::uint32_t>(place::pdpt | open));
        for (std::uint32_t page = 0; page < Memory::page_count; ++page) {
            const std::uint32_t address = page * 0x1000;
            const std::uint32_t rights = address == place::hole         ? 0
                                         : address == place::supervisor ? 3
                                         : address == place::readonly   ? 5
                                                                        : open;
            put(place::pdpt + 4 * page, address | rights);
        }
        write(place::gdt + 0x08, 0x0047'9B00'0000'FFFF);
        write(place::gdt + 0x10, 0x0047'9300'0000'FFFF);
        write(place::gdt + 0x18, 0x0047'F300'0000'FFFF);
        write(place::gdt + 0x20, 0x0047'FB00'0000'FFFF);
        put(place::tss + 4, static_cast<std::uint32_t>(place::rsp0));
        put(place::tss + 8, std::uint32_t{place::kernel_ss});
        for (std::uint64_t vector = 0; vector < 256; ++vector) {
            const std::uint64_t handler = place::handlers + 16 * vector;
            write(place::idt + 8 * vector, (handler & 0xFFFF) | place::kernel_cs << 16 | 0x8Eull << 40);
        }
        Cpu& cpu = m.cpu;
        cpu.segment[cs] = {place::kernel_cs, 0, place::limit, 0x49B};
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) cpu.segment[slot] = {place::kernel_ss, 0, place::limit, 0x493};
        cpu.idt_limit = 0x7FF;
        cpu.cr4 = 0;
        cpu.efer = efer::sce;
        m.registers_changed();
    }
    void at_cpl3() {
        m.set_segment(cs, {place::user_cs, 0, place::limit, 0x4FB});
        for (SegmentSlot slot : {ss, ds, es, fs, gs}) m.set_segment(slot, {place::user_ss, 0, place::limit, 0x4F3});
        m.set_cpl(3);
    }
    std::uint32_t read32(std::uint64_t address) { return static_cast<std::uint32_t>(read(address)); }
    /// Vector and error code of the exception that ends the run.
    std::pair<int, std::uint32_t> run_to_fault() {
        const int vector = run_to_handler();
        return {vector, read32(m.cpu.r[rsp])};
    }
};

/// Real mode: CS = 2000h, SS = 3000h, DS = ES = 4000h; handlers in segment 0.
struct RealMachine : TestMachine {
    static constexpr std::uint64_t stack_base = 0x30000, data_base = 0x40000;
    RealMachine() {
        for (std::uint64_t vector = 0; vector < 256; ++vector) {
            const auto entry = static_cast<std::uint32_t>(place::handlers + 16 * vector);
            m.write_physical(place::idt + 4 * vector, &entry, sizeof entry);
        }
        Cpu& cpu = m.cpu;
        cpu.rip = 0;
        cpu.r[rsp] = 0x1000;
        cpu.segment[cs] = {0x2000, place::code, 0xFFFF, 0x9B};
        cpu.segment[ss] = {0x3000, stack_base, 0xFFFF, 0x93};
        for (SegmentSlot slot : {ds, es}) cpu.segment[slot] = {0x4000, data_base, 0xFFFF, 0x93};
        for (SegmentSlot slot : {fs, gs}) cpu.segment[slot] = {0, 0, 0xFFFF, 0x93};
        cpu.idt_limit = 0x3FF;
        cpu.cr0 = cr0::et;
        cpu.cr3 = cpu.cr4 = cpu.efer = 0;
        m.registers_changed();
    }
    std::uint16_t read16(std::uint64_t address) { return static_cast<std::uint16_t>(read(address)); }
    /// IP in the frame of the handler just entered.
    std::uint16_t pushed_ip() { return read16(stack_base + (m.cpu.r[rsp] & 0xFFFF)); }
};

}  // namespace faultline::engine
