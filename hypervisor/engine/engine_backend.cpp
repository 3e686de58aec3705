#include "hypervisor/engine/engine_backend.hpp"

#include <fmt/ranges.h>

#include <array>
#include <map>
#include <optional>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/guest/stage/memory.hpp"

namespace faultline::engine {
namespace {

using guest::Outcome;
namespace layout = guest::layout;

/// The registers of Params::gprs_by_backend.
constexpr std::array<std::uint8_t, 12> carried_registers{rbx, rbp, rsi, rdi, 8, 9, 10, 11, 12, 13, 14, 15};

class EngineBackend final : public guest::Backend {
public:
    EngineBackend(const guest::Stage& stage, const Quirks& quirks) : quirks_(quirks) {
        for (const QuirkInfo& info : quirk_catalogue())
            if (quirks.has(info.quirk)) subject_.backend += "+" + info.name;
        identify(stage);
    }

    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return features_; }
    void run(const guest::Image& image, guest::Tape& tape) override;
    tl::expected<void, guest::Unavailable> refresh() override;

private:
    void identify(const guest::Stage& stage);
    void restore(const guest::Stage& stage, std::uint64_t rip);
    void lay(const guest::Image& image);
    Outcome execute(const guest::Stage& stage, guest::Wake wake, std::uint64_t steps);
    std::optional<Outcome> answer_stop(const guest::StageSymbols& symbols) const;
    std::string describe_unimplemented();

    Quirks quirks_;
    guest::Subject subject_{"engine", "1", "", "", ""};
    guest::Features features_;
    /// One for each stage met, so that a change of stage costs nothing: what is pristine differs.
    std::map<const guest::Stage*, Machine> machines_;
    Machine* machine_ = nullptr;  ///< of the run's stage
};

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

void EngineBackend::restore(const guest::Stage& stage, std::uint64_t rip) {
    machine_ = &machines_.try_emplace(&stage, stage.memory, quirks_).first->second;
    machine_->stop_port = layout::exit_port;
    machine_->reset();
    machine_->cpu = initial_cpu(stage, rip);
    machine_->registers_changed();
}

/// What guest::apply does, on memory that is pristine: what follows the program's end is zero there already.
void EngineBackend::lay(const guest::Image& image) {
    constexpr std::size_t ud2_size = 2;
    guest::Params params = image.params;
    params.gprs_by_backend = 1;
    for (const std::size_t n : carried_registers) machine_->cpu.r[n] = params.gpr[n];
    machine_->write_physical(layout::params, &params, sizeof params);
    machine_->write_physical(guest::skip_table, image.skip.data(), image.code_size);
    machine_->write_physical(layout::code, image.code.data(), image.code_size + ud2_size);
    const unsigned slot = image.stack_slot_bytes();
    std::uint64_t address = image.initial_stack();
    for (std::size_t i = 0; i < image.stack_count; ++i, address += slot)
        if (address <= layout::ram_size - slot) machine_->write_physical(address, &image.stack[i], slot);
    for (const auto& patch : image.all_patches())
        machine_->write_physical(patch.address, &patch.value, sizeof patch.value);
}

void EngineBackend::identify(const guest::Stage& stage) {
    constexpr std::uint64_t enough = 1000;
    restore(stage, stage.symbols.identify);
    execute(stage, guest::Wake::None, enough);
    features_ = guest::features_of(machine_->memory.bytes());
    features_.cpl0 = features_.cpl3 = guest::Features::Execution::Emulated;
    subject_.cpu = guest::brand_of(machine_->memory.bytes());
}

tl::expected<void, guest::Unavailable> EngineBackend::refresh() {
    machines_.clear();
    return {};
}

void EngineBackend::run(const guest::Image& image, guest::Tape& tape) {
    const guest::Stage& stage = *image.stage;
    restore(stage, stage.entry);
    lay(image);
    tape.features = features_;
    tape.stop_rip = 0;
    tape.detail.clear();
    tape.outcome = execute(stage, image.wake, image.step_limit);
    guest::parse_tape(machine_->memory.bytes(), image.mode, tape);
    if (tape.outcome == Outcome::Completed)
        for (const std::size_t n : carried_registers) tape.final.gpr[n] = machine_->cpu.r[n];
    else
        tape.stop_rip = machine_->code_address(machine_->cpu.rip);
    if (tape.outcome == Outcome::InternalError) tape.detail = describe_unimplemented();
}

Outcome EngineBackend::execute(const guest::Stage& stage, guest::Wake wake, std::uint64_t steps) {
    Machine& m = *machine_;
    for (;;) {
        const Exit exit = m.run(steps);
        steps -= m.steps_taken();
        switch (exit) {
            case Exit::StopPort:
                if (const auto outcome = answer_stop(stage.symbols)) return *outcome;
                break;
            case Exit::Hlt:
                if (wake == guest::Wake::Nmi) m.inject_nmi();
                if (wake == guest::Wake::Interrupt && m.cpu.rflags & rflags::if_)
                    m.inject_interrupt(guest::wake_vector);
                break;
            case Exit::Halted: return Outcome::Halted;
            case Exit::Shutdown: return Outcome::Shutdown;
            case Exit::StepLimit: return Outcome::Hang;
            case Exit::Unimplemented: return Outcome::InternalError;
            case Exit::EntryFailure: return Outcome::EntryFailure;
            case Exit::VmExit: break;  // only from guests that an owner enters
        }
    }
}

/// Only the stage ends a run; for a program the port is one like any other.
std::optional<Outcome> EngineBackend::answer_stop(const guest::StageSymbols& symbols) const {
    const std::uint64_t rip = machine_->code_address(machine_->cpu.rip);
    if (rip < symbols.text_begin || rip > symbols.text_end) return std::nullopt;
    return guest::outcome_of(static_cast<guest::ExitCode>(machine_->cpu.r[rax] & 0xFF));
}

std::string EngineBackend::describe_unimplemented() {
    std::array<std::uint8_t, max_instruction_length> bytes;
    const std::span fetched(bytes.data(), machine_->fetch_bytes(bytes));
    return fmt::format("the engine does not implement the instruction that starts with {:02x}", fmt::join(fetched, " "));
}

}  // namespace

std::unique_ptr<guest::Backend> make_engine_backend(const Quirks& quirks) {
    return std::make_unique<EngineBackend>(*guest::stage_of(guest::World::Bare, guest::Mode::Long64), quirks);
}

}  // namespace faultline::engine
