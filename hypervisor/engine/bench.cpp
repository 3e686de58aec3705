#include "hypervisor/engine/bench.hpp"

#include <chrono>
#include <iterator>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/guest/image.hpp"

namespace faultline::engine {

LoopRun run_register_loop(std::uint64_t instructions) {
    const guest::Stage& stage = *guest::stage_of(guest::World::Bare, guest::Mode::Long64);
    // again: add eax, ebx; xor edx, eax; dec rcx; jnz again; hlt
    constexpr std::uint8_t loop[] = {0x01, 0xD8, 0x31, 0xC2, 0x48, 0xFF, 0xC9, 0x75, 0xF7, 0xF4};
    constexpr std::uint64_t loop_length = 4;

    Machine machine(stage.memory);
    machine.write_physical(guest::layout::code, loop, sizeof loop);
    Cpu& cpu = machine.cpu;
    cpu.rip = guest::layout::code;
    cpu.segment[cs] = stage.cs;
    cpu.cr0 = stage.cr0;
    cpu.cr3 = stage.cr3;
    cpu.cr4 = stage.cr4;
    cpu.efer = stage.efer;
    cpu.r[rcx] = instructions / loop_length;
    cpu.r[rbx] = 3;
    machine.registers_changed();

    const auto begin = std::chrono::steady_clock::now();
    machine.run(instructions + loop_length);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return {machine.steps_taken(), seconds.count()};
}

}  // namespace faultline::engine
