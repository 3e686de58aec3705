// A machine for tests: flat identity paging, a GDT, a TSS, and an IDT whose handlers are a HLT each.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

namespace place {
inline constexpr std::uint64_t pml4 = 0x1000, pdpt = 0x2000, pd = 0x3000, pt = 0x4000, gdt = 0x5000, tss = 0x6000,
                               idt = 0x9000, handlers = 0xB000, stack = 0x18000, rsp0 = 0x1A000, ist1 = 0x1C000,
                               code = 0x20000, data = 0x40000;
inline constexpr std::uint16_t kernel_cs = 8, kernel_ss = 0x10, user_ss = 0x1B, user_cs = 0x23, tr = 0x28;
}  // namespace place

/// Fields of DR7.
enum Kind : unsigned { Execute = 0, Write = 1, Io = 2, ReadWrite = 3 };
enum Length : unsigned { One = 0, Two = 1, Eight = 2, Four = 3 };
constexpr std::uint64_t breakpoint(unsigned n, Kind kind, Length length = One) {
    return 2ull << 2 * n | std::uint64_t{kind} << (16 + 4 * n) | std::uint64_t{length} << (18 + 4 * n);
}

inline void put64(std::vector<std::uint8_t>& memory, std::uint64_t address, std::uint64_t value) {
    std::memcpy(&memory[address], &value, sizeof value);
}

inline std::vector<std::uint8_t> test_memory() {
    std::vector<std::uint8_t> memory(Memory::size);
    constexpr std::uint64_t open = 7;  // present, writable, user; A and D clear
    put64(memory, place::pml4, place::pdpt | open);
    put64(memory, place::pdpt, place::pd | open);
    put64(memory, place::pd, place::pt | open);
    for (std::uint64_t page = 0; page < Memory::page_count; ++page)
        put64(memory, place::pt + 8 * page, page * Memory::page_size | open);
    put64(memory, place::gdt + 0x08, 0x00AF'9B00'0000'FFFF);
    put64(memory, place::gdt + 0x10, 0x00CF'9300'0000'FFFF);
    put64(memory, place::gdt + 0x18, 0x00CF'F300'0000'FFFF);
    put64(memory, place::gdt + 0x20, 0x00AF'FB00'0000'FFFF);
    put64(memory, place::tss + 4, place::rsp0);
    put64(memory, place::tss + 0x24, place::ist1);
    memory[place::tss + 0x66] = 0x68;
    for (std::uint64_t vector = 0; vector < 256; ++vector) {
        const std::uint64_t handler = place::handlers + 16 * vector;
        put64(memory, place::idt + 16 * vector,
              (handler & 0xFFFF) | place::kernel_cs << 16 | 0x8Eull << 40 | (handler >> 16) << 48);
        memory[handler] = 0xF4;
    }
    return memory;
}

/// Runs at CPL0 with RSP = place::stack until told otherwise.
struct TestMachine {
    std::vector<std::uint8_t> pristine = test_memory();
    Machine m{pristine};

    TestMachine() {
        Cpu& cpu = m.cpu;
        cpu.rip = place::code;
        cpu.r[rsp] = place::stack;
        cpu.segment[cs] = {place::kernel_cs, 0, 0xFFFF'FFFF, 0xA9B};
        cpu.segment[ss] = {place::kernel_ss, 0, 0xFFFF'FFFF, 0xC93};
        cpu.tr = {place::tr, place::tss, 0x2068, 0x8B};
        cpu.gdt_base = place::gdt;
        cpu.gdt_limit = 0x37;
        cpu.idt_base = place::idt;
        cpu.idt_limit = 0xFFF;
        cpu.cr0 = cr0::pe | cr0::et | cr0::ne | cr0::wp | cr0::pg;
        cpu.cr3 = place::pml4;
        cpu.cr4 = cr4::pae;
        cpu.efer = efer::sce | efer::lme | efer::lma | efer::nxe;
        m.registers_changed();
    }

    void at_cpl3() {
        m.cpu.segment[cs] = {place::user_cs, 0, 0xFFFF'FFFF, 0xAFB};
        m.cpu.segment[ss] = {place::user_ss, 0, 0xFFFF'FFFF, 0xCF3};
        m.set_cpl(3);
    }
    void code(std::initializer_list<int> bytes, std::uint64_t at = place::code) {
        std::vector<std::uint8_t> raw(bytes.begin(), bytes.end());
        m.write_physical(at, raw.data(), raw.size());
    }
    void write(std::uint64_t address, std::uint64_t value) { m.write_physical(address, &value, sizeof value); }
    std::uint64_t read(std::uint64_t address) {
        std::uint64_t value;
        m.memory.read(address, &value, sizeof value);
        return value;
    }
    /// DR7 := value, as if written by MOV.
    void arm(std::uint64_t dr7) {
        m.debug.set_dr7(DebugUnit::writable_dr7(dr7));
        m.breakpoints_changed();
    }
    void set_rflags(std::uint64_t bits) { m.set_rflags(rflags::fixed1 | bits); }

    /// The vector whose handler begins at `rip`; -1: none.
    int handler_at(std::uint64_t rip) const {
        const std::uint64_t at = m.code_address(rip) - place::handlers;
        return at < 256 * 16 && at % 16 == 0 ? static_cast<int>(at / 16) : -1;
    }
    /// Runs into the next handler's HLT and returns its vector; -1 when the run ended otherwise (a HLT elsewhere too).
    int run_to_handler() {
        last_exit = m.run(10'000);
        const int vector = last_exit == Exit::Hlt ? handler_at(m.cpu.rip - 1) : -1;
        if (vector >= 0) m.drop(Machine::halted);
        return vector;
    }
    /// Executes one boundary: an instruction or a delivery.
    Exit step() { return m.run(1); }

    /// The frame of the handler just entered; `with_error` when the vector pushes an error code.
    struct Frame {
        std::uint64_t error = 0, rip = 0, cs = 0, rflags = 0, rsp = 0, ss = 0;
    };
    Frame frame(bool with_error = false) {
        std::uint64_t at = m.cpu.r[rsp];
        Frame f;
        if (with_error) f.error = read(at), at += 8;
        f.rip = read(at);
        f.cs = read(at + 8);
        f.rflags = read(at + 16);
        f.rsp = read(at + 24);
        f.ss = read(at + 32);
        return f;
    }

    Exit last_exit = Exit::StepLimit;
};

}  // namespace faultline::engine
