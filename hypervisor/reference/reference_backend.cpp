#include "hypervisor/reference/reference_backend.hpp"

#include <array>
#include <optional>
#include <utility>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/reference/vm.hpp"

namespace faultline::reference {
namespace {

using guest::Outcome;

class ReferenceBackend final : public guest::Backend {
public:
    explicit ReferenceBackend(bool moves, const engine::Quirks& quirks = {})
        : moves_(moves), machines_{engine::StagedMachines(quirks), engine::StagedMachines(quirks)} {
        // The guest's CPUID is the engine's: nothing here changes it.
        const auto engine = engine::make_engine_backend();
        features_ = engine->features();
        subject_ = {moves ? "reference+moving" : "reference", "1", "", "", engine->subject().cpu};
        for (const engine::QuirkInfo& info : engine::quirk_catalogue())
            if (quirks.has(info.quirk)) subject_.backend += "+" + info.name;
    }

    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return features_; }
    void run(const guest::Image& image, guest::Tape& tape) override;
    tl::expected<void, guest::Unavailable> refresh() override {
        for (auto& machines : machines_) machines.forget();
        return {};
    }

private:
    engine::Machine& prepare(const guest::Image& image);
    engine::Machine& run_moving(engine::Machine& first, const guest::Image& image, guest::Tape& tape);

    const bool moves_;
    guest::Subject subject_;
    guest::Features features_;
    std::array<engine::StagedMachines, 2> machines_;  ///< a guest that moves goes to and fro
    SavedVm saved_;
};

/// A machine with everything that the guest is to find.
engine::Machine& ReferenceBackend::prepare(const guest::Image& image) {
    engine::Machine& machine = machines_[0].restore(*image.stage, image.stage->entry);
    engine::lay(image, machine);
    machine.cpu.r[engine::rcx] = image.params.gpr[engine::rcx];
    machine.cpu.r[engine::rdx] = image.params.gpr[engine::rdx];
    machine.cpu.efer |= engine::efer::svme;
    // This host executes nothing; under the guest's own page tables no world switch empties the TLB.
    machine.cpu.cr3 = guest::layout::page_tables;
    machine.debug.address = image.params.dr;
    machine.registers_changed();
    return machine;
}

/// Returns the machine on which the run has ended.
engine::Machine& ReferenceBackend::run_moving(engine::Machine& first, const guest::Image& image, guest::Tape& tape) {
    engine::Machine* machine = &first;
    std::uint64_t steps = image.step_limit;
    std::optional<Vm> vm(std::in_place, first, image, tape);
    for (std::size_t moves = 0;; ++moves) {
        if (const auto outcome = vm->run_to_exit(steps)) {
            tape.outcome = *outcome;
            return *machine;
        }
        vm->save(saved_);
        machine = &machines_[(moves + 1) % machines_.size()].restore(*image.stage, image.stage->entry);
        vm.emplace(*machine, image, tape, saved_);
    }
}

void ReferenceBackend::run(const guest::Image& image, guest::Tape& tape) {
    tape.features = features_;
    if (image.stage->vmcb == 0) {
        tape.unsuitable = "a reference hypervisor runs programs of world svm";
        return;
    }
    tape.unsuitable = {};
    engine::Machine& start = prepare(image);
    tape.stop_rip = 0;
    if (!moves_) tape.outcome = Vm(start, image, tape).run(image.step_limit);
    engine::Machine& machine = moves_ ? run_moving(start, image, tape) : start;
    const std::uint32_t exits = tape.exit_count;
    guest::parse_tape(machine.memory.bytes(), image.mode, tape);
    tape.exit_count = exits;
    if (tape.outcome == Outcome::Completed) {
        tape.stop_rip = 0;
        for (const std::size_t n : engine::carried_registers) tape.final.gpr[n] = machine.cpu.r[n];
    }
}

}  // namespace

std::unique_ptr<guest::Backend> make_reference_backend(const engine::Quirks& quirks) {
    return std::make_unique<ReferenceBackend>(false, quirks);
}
std::unique_ptr<guest::Backend> make_moving_reference_backend() { return std::make_unique<ReferenceBackend>(true); }

}  // namespace faultline::reference
