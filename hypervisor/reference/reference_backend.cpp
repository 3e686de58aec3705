#include "hypervisor/reference/reference_backend.hpp"

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/reference/vm.hpp"

namespace faultline::reference {
namespace {

using guest::Outcome;

class ReferenceBackend final : public guest::Backend {
public:
    ReferenceBackend() {
        // The guest's CPUID is the engine's: nothing here changes it.
        const auto engine = engine::make_engine_backend();
        features_ = engine->features();
        subject_ = {"reference", "1", "", "", engine->subject().cpu};
    }

    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return features_; }
    void run(const guest::Image& image, guest::Tape& tape) override;
    tl::expected<void, guest::Unavailable> refresh() override {
        machines_.forget();
        return {};
    }

private:
    guest::Subject subject_;
    guest::Features features_;
    engine::StagedMachines machines_;
};

void ReferenceBackend::run(const guest::Image& image, guest::Tape& tape) {
    tape.features = features_;
    if (image.stage->vmcb == 0) {
        tape.unsuitable = "a reference hypervisor runs programs of world svm";
        return;
    }
    tape.unsuitable = {};
    engine::Machine& machine = machines_.restore(*image.stage, image.stage->entry);
    engine::lay(image, machine);
    machine.cpu.r[engine::rcx] = image.params.gpr[engine::rcx];
    machine.cpu.r[engine::rdx] = image.params.gpr[engine::rdx];
    machine.cpu.efer |= engine::efer::svme;
    machine.debug.address = image.params.dr;
    machine.registers_changed();

    tape.stop_rip = 0;
    Vm vm(machine, image, tape);
    tape.outcome = vm.run(image.step_limit);
    const std::uint32_t exits = tape.exit_count;
    guest::parse_tape(machine.memory.bytes(), image.mode, tape);
    tape.exit_count = exits;
    if (tape.outcome == Outcome::Completed) {
        tape.stop_rip = 0;
        for (const std::size_t n : engine::carried_registers) tape.final.gpr[n] = machine.cpu.r[n];
    } else if (tape.outcome == Outcome::InternalError && tape.detail.empty()) {
        tape.detail = engine::describe_unimplemented(machine);
    }
}

}  // namespace

std::unique_ptr<guest::Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace faultline::reference
