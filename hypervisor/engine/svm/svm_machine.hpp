// A machine for tests with a hypervisor and a guest. Both live in the tables of test_machine.hpp; the guest is 64-bit
// code at CPL0, and its handlers are those of the IDT there: a HLT each.
#pragma once

#include <initializer_list>

#include "hypervisor/engine/svm/svm.hpp"
#include "hypervisor/engine/test_machine.hpp"

namespace faultline::engine {

namespace place {
inline constexpr std::uint64_t vmcb = 0x60000, host_save = 0x61000, iopm = 0x62000, msrpm = 0x66000, guest = 0x70000,
                               guest_stack = 0x78000;
}

namespace exit_code = guest::svm::exit_code;
namespace event_info = guest::svm::event_info;
namespace vintr = guest::svm::vintr;

/// The VMCB is `vmcb` until `enter` writes it to memory, and again after it: `run` reads it back.
struct SvmMachine : TestMachine {
    Vmcb vmcb{};

    SvmMachine() {
        m.cpu.efer |= efer::svme;
        m.svm.host_save_area = place::host_save;
        const Cpu& cpu = m.cpu;
        vmcb.cs = vmcb_segment(cpu.segment[cs]);
        vmcb.ss = vmcb_segment(cpu.segment[ss]);
        vmcb.ds = vmcb.es = vmcb.ss;
        vmcb.gdtr = {0, 0, cpu.gdt_limit, cpu.gdt_base};
        vmcb.idtr = {0, 0, cpu.idt_limit, cpu.idt_base};
        vmcb.cr0 = cpu.cr0;
        vmcb.cr3 = cpu.cr3;
        vmcb.cr4 = cpu.cr4;
        vmcb.efer = cpu.efer;
        vmcb.dr6 = guest::dr::dr6_reset;
        vmcb.dr7 = guest::dr::dr7_reset;
        vmcb.rflags = rflags::fixed1;
        vmcb.rip = place::guest;
        vmcb.rsp = place::guest_stack;
        vmcb.iopm_base = place::iopm;
        vmcb.msrpm_base = place::msrpm;
        vmcb.asid = 1;
        intercept(Intercept::Vmrun);
        intercept(Intercept::Hlt);
    }

    void intercept(Intercept what, bool on = true) {
        Intercepts wanted = intercepts_of(vmcb);
        wanted.set(what, on);
        const auto& words = wanted.words;
        vmcb.intercept_cr = words[0];
        vmcb.intercept_dr = words[1];
        vmcb.intercept_exceptions = words[2];
        vmcb.intercept_3 = words[3];
        vmcb.intercept_4 = words[4];
        vmcb.intercept_5 = words[5];
    }
    void intercept_exception(std::uint8_t vector) { intercept(Intercept::Exception + vector); }
    void guest_code(std::initializer_list<int> bytes) { code(bytes, place::guest); }
    void guest_at_cpl3() {
        vmcb.cs = {place::user_cs, 0xAFB, 0xFFFF'FFFF, 0};
        vmcb.ss = {place::user_ss, 0xCF3, 0xFFFF'FFFF, 0};
        vmcb.cpl = 3;
    }

    /// As an owner: enters and runs to the #VMEXIT, and returns its code; ~1: the run ended otherwise.
    static constexpr std::uint64_t no_exit = ~1ull;
    std::uint64_t run(std::uint64_t steps = 1000) {
        m.write_physical(place::vmcb, &vmcb, sizeof vmcb);
        m.enter_guest(place::vmcb);
        return resume(steps);
    }
    std::uint64_t resume(std::uint64_t steps = 1000) {
        last_exit = m.run(steps);
        m.memory.read(place::vmcb, &vmcb, sizeof vmcb);
        return last_exit == Exit::VmExit ? vmcb.exit_code : no_exit;
    }
    std::uint64_t run(std::initializer_list<int> bytes) {
        guest_code(bytes);
        return run();
    }
    /// Executes VMRUN by code at place::code, with a HLT behind it.
    Exit run_as_code(std::uint64_t steps = 1000) {
        m.write_physical(place::vmcb, &vmcb, sizeof vmcb);
        code({0x0F, 0x01, 0xD8, 0xF4});
        m.cpu.rip = place::code;
        m.cpu.r[rax] = place::vmcb;
        m.registers_changed();
        resume(steps);
        return last_exit;
    }
    /// Where the guest's handler for this vector begins.
    static std::uint64_t handler(unsigned number) { return place::handlers + 16 * number; }
};

/// Exit codes as numbers to compare with.
constexpr std::uint64_t code_of(Intercept what) { return exit_code::of(what); }
constexpr std::uint64_t exception(std::uint8_t vector) { return code_of(Intercept::Exception) + vector; }

}  // namespace faultline::engine
