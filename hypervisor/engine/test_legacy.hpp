// A machine for tests outside long mode: the one of test_machine.hpp with tables of legacy protected mode, without
// paging, or in real mode.
#pragma once

#include <cstdint>

#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {

/// Descriptors that exist to be refused stand behind the usual ones. `a` in DPL 0, `b` in DPL 3 where both are needed.
namespace selector {
inline constexpr std::uint16_t kernel_code = 0x08, kernel_data = 0x10, user_data = 0x1B, user_code = 0x23,
                               main_tss = 0x28, task = 0x30, busy_task = 0x38, task_gate0 = 0x40, task_gate3 = 0x48,
                               absent_code = 0x50, conforming = 0x58, absent_data = 0x60, readonly_data = 0x68,
                               absent_user_data = 0x73, readonly_user_data = 0x7B, unreadable_code = 0x83,
                               small_stack = 0x88, tss16 = 0x90, absent_task = 0x98, short_task = 0xA0,
                               small_code = 0xA8, call_gate = 0xB0, ldt = 0xB8, stack16 = 0xC0, absent_ldt = 0xC8,
                               task0 = 0xD0, absent_gate = 0xD8, gate_to_ldt = 0xE0, empty = 0xE8, outside = 0x200;
}  // namespace selector

namespace place {
inline constexpr std::uint64_t task_tss = 0x6100, busy_tss = 0x6200, tss16 = 0x6300, local_table = 0x6400,
                               esp0 = 0x1A000, user_stack = 0x30000, task_stack = 0x31000, task_code = 0x21000,
                               small_base = 0x1E000;
}

constexpr std::uint64_t descriptor(std::uint64_t base, std::uint64_t limit, std::uint64_t attributes) {
    return (limit & 0xFFFF) | (base & 0xFF'FFFF) << 16 | (attributes & 0xFF) << 40 | (limit >> 16 & 0xF) << 48 |
           (attributes >> 8 & 0xF) << 52 | (base >> 24 & 0xFF) << 56;
}
constexpr std::uint64_t legacy_gate(std::uint16_t to, std::uint64_t offset, unsigned type_and_rights) {
    return (offset & 0xFFFF) | std::uint64_t{to} << 16 | std::uint64_t{type_and_rights} << 40 |
           (offset >> 16 & 0xFFFF) << 48;
}

struct LegacyMachine : TestMachine {
    /// Rights byte of a gate or system descriptor: P, DPL, type.
    static constexpr unsigned interrupt_gate = 0x8E, trap_gate = 0x8F, task_gate = 0x85;

    LegacyMachine() {
        const auto put = [&](std::uint16_t at, std::uint64_t value) { write(place::gdt + (at & ~7u), value); };
        namespace s = selector;
        put(0, descriptor(0, 0xFFFFF, 0xC93));  // what a null selector does not name
        put(s::kernel_code, descriptor(0, 0xFFFFF, 0xC9B));
        put(s::kernel_data, descriptor(0, 0xFFFFF, 0xC93));
        put(s::user_data, descriptor(0, 0xFFFFF, 0xCF3));
        put(s::user_code, descriptor(0, 0xFFFFF, 0xCFB));
        put(s::main_tss, descriptor(place::tss, 0x67, 0x08B));
        put(s::task, descriptor(place::task_tss, 0x67, 0x0E9));
        put(s::busy_task, descriptor(place::busy_tss, 0x67, 0x0EB));
        put(s::task_gate0, legacy_gate(s::task, 0, 0x85));
        put(s::task_gate3, legacy_gate(s::task0, 0, 0xE5));
        put(s::absent_code, descriptor(0, 0xFFFFF, 0xC1B));
        put(s::conforming, descriptor(0, 0xFFFFF, 0xC9F));
        put(s::absent_data, descriptor(0, 0xFFFFF, 0xC13));
        put(s::readonly_data, descriptor(0, 0xFFFFF, 0xC91));
        put(s::absent_user_data, descriptor(0, 0xFFFFF, 0xC73));
        put(s::readonly_user_data, descriptor(0, 0xFFFFF, 0xCF1));
        put(s::unreadable_code, descriptor(0, 0xFFFFF, 0xCF9));
        put(s::small_stack, descriptor(place::small_base, 0xFF, 0x493));
        put(s::tss16, descriptor(place::tss16, 0x2B, 0x0E1));
        put(s::absent_task, descriptor(place::task_tss, 0x67, 0x069));
        put(s::short_task, descriptor(place::task_tss, 0x66, 0x0E9));
        put(s::small_code, descriptor(0, 0xFF, 0x49B));
        put(s::call_gate, legacy_gate(s::kernel_code, place::task_code, 0x8C));
        put(s::ldt, descriptor(place::local_table, 0xF, 0x082));
        put(s::stack16, descriptor(0x10000, 0xFFFF, 0x093));
        put(s::absent_ldt, descriptor(place::local_table, 0xF, 0x002));
        put(s::task0, descriptor(place::task_tss, 0x67, 0x089));
        put(s::absent_gate, legacy_gate(s::task, 0, 0x05));
        put(s::gate_to_ldt, legacy_gate(0x34, 0, 0x85));
        put(s::empty, 0);
        write(place::local_table + 8, descriptor(0, 0xFFFFF, 0xC93));
        for (unsigned vector = 0; vector < 256; ++vector) gate(vector, s::kernel_code, interrupt_gate);

        tss32(place::tss, 4, place::esp0);
        tss32(place::tss, 8, s::kernel_data);
        tss32(place::tss, 0x64, 0x68'0000);
        task(place::task_tss, s::kernel_code, s::kernel_data);
        task(place::busy_tss, s::kernel_code, s::kernel_data);

        Cpu& cpu = m.cpu;
        cpu.segment[cs] = {s::kernel_code, 0, 0xFFFF'FFFF, 0xC9B};
        for (const SegmentSlot slot : {es, ss, ds, fs, gs}) cpu.segment[slot] = {s::kernel_data, 0, 0xFFFF'FFFF, 0xC93};
        cpu.tr = {s::main_tss, place::tss, 0x67, 0x8B};
        cpu.ldtr = {};
        cpu.gdt_limit = 0xEF;
        cpu.idt_limit = 0x7FF;
        cpu.cr0 = cr0::pe | cr0::et | cr0::ne;
        cpu.cr3 = 0;
        cpu.cr4 = 0;
        cpu.efer = 0;
        m.registers_changed();
    }

    void gate(unsigned vector, std::uint16_t to, unsigned type_and_rights, std::uint64_t offset) {
        write(place::idt + 8 * vector, legacy_gate(to, offset, type_and_rights));
    }
    void gate(unsigned vector, std::uint16_t to, unsigned type_and_rights) {
        gate(vector, to, type_and_rights, place::handlers + 16 * vector);
    }
    void write32(std::uint64_t address, std::uint64_t value) { m.write_physical(address, &value, 4); }
    void write16(std::uint64_t address, std::uint64_t value) { m.write_physical(address, &value, 2); }
    std::uint64_t read32(std::uint64_t address) { return read(address) & 0xFFFF'FFFF; }
    std::uint64_t read16(std::uint64_t address) { return read(address) & 0xFFFF; }
    void tss32(std::uint64_t tss, unsigned offset, std::uint64_t value) { write32(tss + offset, value); }
    /// A TSS whose task runs at `task_code` with these segments.
    void task(std::uint64_t tss, std::uint16_t code, std::uint16_t data) {
        tss32(tss, 0x20, place::task_code);
        tss32(tss, 0x24, rflags::fixed1);
        for (unsigned n = 0; n < 8; ++n) tss32(tss, 0x28 + 4 * n, 0x1111'0000u + n);
        tss32(tss, 0x38, place::task_stack);
        for (const unsigned slot : {0u, 2u, 3u, 4u, 5u}) tss32(tss, 0x48 + 4 * slot, data);
        tss32(tss, 0x4C, code);
        tss32(tss, 0x60, 0);
        tss32(tss, 0x64, 0x68'0000);
    }

    void legacy_cpl3() {
        m.set_segment(cs, {selector::user_code, 0, 0xFFFF'FFFF, 0xCFB});
        m.set_segment(ss, {selector::user_data, 0, 0xFFFF'FFFF, 0xCF3});
        m.set_cpl(3);
        m.cpu.r[rsp] = place::user_stack;
    }
    void real_mode() {
        Cpu& cpu = m.cpu;
        cpu.cr0 = cr0::et;
        cpu.segment[cs] = {place::code >> 4, place::code, 0xFFFF, 0x9B};
        cpu.segment[ss] = {place::stack >> 4, place::stack, 0xFFFF, 0x93};
        for (const SegmentSlot slot : {es, ds, fs, gs})
            cpu.segment[slot] = {place::data >> 4, place::data, 0xFFFF, 0x93};
        cpu.rip = 0;
        cpu.r[rsp] = 0x100;
        cpu.idt_limit = 0x3FF;
        for (unsigned vector = 0; vector < 256; ++vector)
            write32(place::idt + 4 * vector, (place::handlers >> 4) << 16 | 16 * vector);
        m.registers_changed();
    }

    /// The handler that one boundary from `rip` on enters; -1: none.
    int step_from(std::uint64_t rip) {
        m.cpu.rip = rip;
        last_exit = m.run(1);
        return entered();
    }
    int entered() const { return handler_at(m.cpu.rip); }
    /// n-th slot of 32 bits from the top of the current stack.
    std::uint64_t slot(unsigned n) { return read32(m.cpu.segment[ss].base + m.stack_pointer() + 4 * n); }
    std::uint64_t slot16(unsigned n) { return read16(m.cpu.segment[ss].base + m.stack_pointer() + 2 * n); }
};

}  // namespace faultline::engine
