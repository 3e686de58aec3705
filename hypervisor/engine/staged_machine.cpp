#include "hypervisor/engine/staged_machine.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <span>

#include "hypervisor/guest/stage/memory.hpp"

namespace faultline::engine {
namespace {

namespace layout = guest::layout;

/// What the stage gives a vCPU to start with.
Cpu initial_cpu(const guest::Stage& stage, std::uint64_t rip) {
    Cpu cpu;
    cpu.rip = rip;
    cpu.r[rsp] = layout::rsp0_top;
    cpu.segment = {stage.es, stage.cs, stage.ss, stage.ds, stage.fs, stage.gs};
    cpu.tr = stage.tr;
    cpu.gdt_base = stage.gdt_base;
    cpu.gdt_limit = stage.gdt_limit;
    cpu.idt_base = stage.idt_base;
    cpu.idt_limit = stage.idt_limit;
    cpu.cr0 = stage.cr0;
    cpu.cr3 = stage.cr3;
    cpu.cr4 = stage.cr4;
    cpu.efer = stage.efer;
    cpu.star = stage.star;
    cpu.lstar = stage.lstar;
    cpu.sfmask = stage.sfmask;
    return cpu;
}

}  // namespace

Machine& StagedMachines::restore(const guest::Stage& stage, std::uint64_t rip) {
    Machine& machine = machines_.try_emplace(&stage, stage.memory, quirks_).first->second;
    machine.stop_port = layout::exit_port;
    machine.reset();
    machine.cpu = initial_cpu(stage, rip);
    machine.registers_changed();
    return machine;
}

/// What follows the program's end is zero already.
void lay(const guest::Image& image, Machine& machine) {
    constexpr std::size_t ud2_size = 2;
    guest::Params params = image.params;
    params.gprs_by_backend = 1;
    for (const std::size_t n : carried_registers) machine.cpu.r[n] = params.gpr[n];
    machine.write_physical(layout::params, &params, sizeof params);
    machine.write_physical(guest::skip_table, image.skip.data(), image.code_size);
    machine.write_physical(layout::code, image.code.data(), image.code_size + ud2_size);
    const unsigned slot = image.stack_slot_bytes();
    std::uint64_t address = image.initial_stack();
    for (std::size_t i = 0; i < image.stack_count; ++i, address += slot)
        if (address <= layout::ram_size - slot) machine.write_physical(address, &image.stack[i], slot);
    for (const auto& patch : image.all_patches())
        machine.write_physical(patch.address, &patch.value, sizeof patch.value);
}

std::string describe_unimplemented(Machine& machine) {
    std::array<std::uint8_t, max_instruction_length> bytes;
    const std::span fetched(bytes.data(), machine.fetch_bytes(bytes));
    return fmt::format("the engine does not implement the instruction that starts with {:02x}",
                       fmt::join(fetched, " "));
}

}  // namespace faultline::engine
