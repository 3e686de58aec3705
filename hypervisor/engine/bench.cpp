#include "hypervisor/engine/bench.hpp"

#include <chrono>

#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/engine/svm/vmcb_memory.hpp"

namespace faultline::engine {

double vmrun_loop_seconds(std::uint64_t round_trips) {
    namespace layout = guest::layout;
    // again: vmrun rax; dec rcx; jnz again; hlt
    constexpr std::uint8_t host[] = {0x0F, 0x01, 0xD8, 0x48, 0xFF, 0xC9, 0x75, 0xF8, 0xF4};
    constexpr std::uint8_t cpuid[] = {0x0F, 0xA2};
    constexpr std::uint64_t boundaries = 5, warm_up = 100;  // of one turn, at most; turns

    const guest::Stage& stage = *guest::stage_of(guest::World::Svm, guest::Mode::Long64);
    StagedMachines machines;
    Machine& m = machines.restore(stage, layout::monitor);
    m.write_physical(layout::monitor, host, sizeof host);
    m.write_physical(layout::code, cpuid, sizeof cpuid);
    VmcbWriter vmcb(m, layout::vmcb);
    Intercepts intercepts = guest::svm::intercepts_of(read_vmcb(m, layout::vmcb));
    intercepts.set(Intercept::Cpuid);
    vmcb.set(&Vmcb::intercept_3, intercepts.words[3]);
    vmcb.set(&Vmcb::rip, layout::code);
    m.svm.host_save_area = layout::host_save;
    m.cpu.efer |= efer::svme;

    const auto turns = [&](std::uint64_t count) {
        m.cpu.rip = layout::monitor;
        m.cpu.r[rax] = layout::vmcb;
        m.cpu.r[rcx] = count;
        m.registers_changed();
        return m.run(boundaries * count + 1) == Exit::Hlt && m.cpu.r[rcx] == 0;
    };
    const bool warm = turns(warm_up);
    m.drop(Machine::halted);
    const auto begin = std::chrono::steady_clock::now();
    const bool done = turns(round_trips);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return warm && done ? seconds.count() : -1;
}

}  // namespace faultline::engine
