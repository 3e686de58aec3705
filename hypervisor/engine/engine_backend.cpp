#include "hypervisor/engine/engine_backend.hpp"

#include <fmt/ranges.h>

#include <array>
#include <map>
#include <optional>

#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/guest/stage/memory.hpp"

namespace faultline::engine {
namespace {

using guest::Outcome;
namespace layout = guest::layout;

/// What the monitor may take beyond the program's own limit, so that a program which ends within it under the reference
/// hypervisor ends here, too: its entry, and the answers to all exits of a run that ends. Those are the recorded ones
/// (a full tape ends the run), two for each stub that has claimed a record, and the end's. The longest answer, to an
/// exception that is combined and injected, is below 120 instructions. A program that loops is a hang a little later.
constexpr std::uint64_t monitor_steps = 100 + 120 * (guest::tape_capacity + 2 * guest::tape_capacity + 2);

class EngineBackend final : public guest::Backend {
public:
    EngineBackend(const guest::Stage& stage, const Quirks& quirks) : machines_(quirks) {
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
    Outcome execute(const guest::Stage& stage, guest::Wake wake, std::uint64_t steps, std::string& detail);
    std::optional<Outcome> answer_stop(const guest::Stage& stage) const;

    guest::Subject subject_{"engine", "1", "", "", ""};
    guest::Features features_;
    StagedMachines machines_;
    Machine* machine_ = nullptr;  ///< of the run's stage
};

void EngineBackend::identify(const guest::Stage& stage) {
    constexpr std::uint64_t enough = 1000;
    machine_ = &machines_.restore(stage, stage.symbols.identify);
    std::string detail;
    execute(stage, guest::Wake::None, enough, detail);
    features_ = guest::features_of(machine_->memory.bytes());
    features_.cpl0 = features_.cpl3 = guest::Features::Execution::Emulated;
    subject_.cpu = guest::brand_of(machine_->memory.bytes());
}

tl::expected<void, guest::Unavailable> EngineBackend::refresh() {
    machines_.forget();
    return {};
}

void EngineBackend::run(const guest::Image& image, guest::Tape& tape) {
    const guest::Stage& stage = *image.stage;
    const bool under_monitor = stage.vmcb != 0;
    tape.features = features_;
    tape.unsuitable = {};
    machine_ = &machines_.restore(stage, stage.entry);
    lay(image, *machine_);
    tape.stop_rip = 0;
    tape.detail.clear();
    tape.outcome = execute(stage, image.wake, image.step_limit + (under_monitor ? monitor_steps : 0), tape.detail);
    guest::parse_tape(machine_->memory.bytes(), image.mode, tape);
    if (tape.outcome == Outcome::Completed)
        for (const std::size_t n : carried_registers) tape.final.gpr[n] = machine_->cpu.r[n];
    else
        tape.stop_rip = machine_->code_address(machine_->cpu.rip);
    if (under_monitor) guest::parse_exits(machine_->memory.bytes(), machine_->svm.in_guest, tape);
}

Outcome EngineBackend::execute(const guest::Stage& stage, guest::Wake wake, std::uint64_t steps, std::string& detail) {
    Machine& m = *machine_;
    const bool under_monitor = stage.vmcb != 0;
    for (;;) {
        const Exit exit = m.run(steps);
        steps -= m.steps_taken();
        switch (exit) {
            case Exit::StopPort:
                if (under_monitor && m.svm.in_guest) {
                    detail = "the exit port is not intercepted";
                    return Outcome::InternalError;
                }
                if (const auto outcome = answer_stop(stage)) return *outcome;
                break;
            case Exit::Hlt:
                if (wake == guest::Wake::Nmi) m.inject_nmi();
                if (wake == guest::Wake::Interrupt && m.cpu.rflags & rflags::if_)
                    m.inject_interrupt(guest::wake_vector);
                break;
            case Exit::Halted: return Outcome::Halted;
            case Exit::Shutdown:
                if (!under_monitor) return Outcome::Shutdown;
                detail = "the monitor itself shut down";
                return Outcome::InternalError;
            case Exit::StepLimit: return Outcome::Hang;
            case Exit::Unimplemented: detail = describe_unimplemented(m); return Outcome::InternalError;
            case Exit::EntryFailure: return Outcome::EntryFailure;
            case Exit::VmExit: break;  // only from guests that an owner enters
        }
    }
}

/// Only the stage's text ends a run, in world svm the monitor's; for a program the port is one like any other.
std::optional<Outcome> EngineBackend::answer_stop(const guest::Stage& stage) const {
    const std::uint64_t rip = machine_->code_address(machine_->cpu.rip);
    if (stage.vmcb == 0 && (rip < stage.symbols.text_begin || rip > stage.symbols.text_end)) return std::nullopt;
    return guest::outcome_of(static_cast<guest::ExitCode>(machine_->cpu.r[rax] & 0xFF));
}

}  // namespace

std::unique_ptr<guest::Backend> make_engine_backend(const Quirks& quirks) {
    return std::make_unique<EngineBackend>(*guest::stage_of(guest::World::Bare, guest::Mode::Long64), quirks);
}

}  // namespace faultline::engine
