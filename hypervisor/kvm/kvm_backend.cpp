#include "hypervisor/kvm/kvm_backend.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/kvm/machine.hpp"
#include "hypervisor/kvm/watchdog.hpp"

namespace faultline::kvm {
namespace {

using guest::Outcome;
namespace layout = guest::layout;

/// How a run left the machine, and so what the next one must restore.
enum class Condition {
    Orderly,  ///< through the epilogue: only what an orderly run changes
    Wild,     ///< stopped somewhere: all memory it could reach, and the vCPU by ioctls
    Broken,   ///< the vCPU itself gave up, or there is none: a new machine
};

/// The registers of Params::gprs_by_backend, with their encodings.
constexpr std::array<std::pair<std::size_t, __u64 kvm_regs::*>, 12> carried_registers{{
    {3, &kvm_regs::rbx},
    {5, &kvm_regs::rbp},
    {6, &kvm_regs::rsi},
    {7, &kvm_regs::rdi},
    {8, &kvm_regs::r8},
    {9, &kvm_regs::r9},
    {10, &kvm_regs::r10},
    {11, &kvm_regs::r11},
    {12, &kvm_regs::r12},
    {13, &kvm_regs::r13},
    {14, &kvm_regs::r14},
    {15, &kvm_regs::r15},
}};

constexpr std::string_view cannot_run = "this host's KVM runs no instruction at all in this mode";

/// A stage's own machine: cases of several modes come in any order, and a switch of stage would cost a machine.
struct Guest {
    const guest::Stage* stage;
    Mapping ram{layout::ram_size, -1};
    std::optional<Machine> machine{};
    Condition condition = Condition::Broken;
};

class KvmBackend final : public guest::Backend {
public:
    KvmBackend(guest::Subject subject, Descriptor kvm, Options options)
        : subject_(std::move(subject)), kvm_(std::move(kvm)), options_(options) {}

    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return features_; }
    void run(const guest::Image& image, guest::Tape& tape) override;
    tl::expected<void, guest::Unavailable> refresh() override;

    /// Finds out the features; to be called once, before any run.
    tl::expected<void, guest::Unavailable> identify(const guest::Stage& stage);

private:
    /// One way out of the guest: the run's outcome, or nothing when it goes on.
    using Answer = std::optional<Outcome>;

    tl::expected<void, guest::Unavailable> enter(const guest::Stage& stage);
    tl::expected<void, guest::Unavailable> restore();
    Outcome execute(kvm_regs registers, guest::Wake wake, std::string& detail);
    Condition condition_after(Outcome outcome);
    Answer answer_failure(const Watch& watch, std::string& detail) const;
    Answer answer_exit(guest::Wake wake, std::string& detail);
    Answer answer_io();
    Answer answer_halt(guest::Wake wake);
    bool in_stage_text(std::uint64_t rip) const {
        return rip >= guest_->stage->symbols.text_begin && rip <= guest_->stage->symbols.text_end;
    }

    guest::Subject subject_;
    guest::Features features_;
    Descriptor kvm_;
    Options options_;
    std::vector<std::unique_ptr<Guest>> guests_;
    Guest* guest_ = nullptr;  ///< of the current run
    /// Stages whose first instruction, which depends on nothing of a case, does not run: kvm_pvm gives up on a guest in
    /// protected mode with any paging but long mode's.
    std::vector<const guest::Stage*> unable_;
    bool woken_ = false;  ///< this run was sent an interrupt or NMI
};

/// Makes the machine of this stage the current one, as new.
tl::expected<void, guest::Unavailable> KvmBackend::enter(const guest::Stage& stage) {
    if (guest_ == nullptr || guest_->stage != &stage) {
        auto found = std::ranges::find_if(guests_, [&](const auto& one) { return one->stage == &stage; });
        if (found == guests_.end()) found = guests_.insert(found, std::make_unique<Guest>(Guest{&stage}));
        guest_ = found->get();
        if (!guest_->ram.valid()) return tl::unexpected(guest::Unavailable{"no memory for the guest"});
    }
    return restore();
}

tl::expected<void, guest::Unavailable> KvmBackend::restore() {
    const guest::Stage& stage = *guest_->stage;
    const auto pristine = std::span<const std::uint8_t>(stage.memory);
    const auto ram = guest_->ram.bytes();
    const auto copy = [&](std::uint64_t begin, std::uint64_t size) {
        std::memcpy(ram.data() + begin, pristine.data() + begin, size);
    };
    if (guest_->condition == Condition::Orderly) {
        for (const auto& range : guest::restored_ranges(stage.mode)) copy(range.begin, range.size);
        return {};
    }
    constexpr std::uint64_t tables = layout::page_tables, tables_size = layout::gdt - layout::page_tables;
    const bool tables_whole = stage.mode != guest::Mode::Real16 &&
                              std::memcmp(ram.data() + tables, pristine.data() + tables, tables_size) == 0;
    copy(0, tables_whole ? guest::mapped_end : pristine.size());
    if (guest_->condition == Condition::Broken) {
        // The old one goes first: two at a time would need twice the kernel's memory.
        guest_->machine.reset();
        auto machine = Machine::create(kvm_, ram, stage);
        if (!machine) return tl::unexpected(machine.error());
        guest_->machine = std::move(*machine);
    } else if (auto done = guest_->machine->reset(stage); !done) {
        return done;
    }
    guest_->condition = Condition::Orderly;
    return {};
}

tl::expected<void, guest::Unavailable> KvmBackend::refresh() {
    for (const auto& one : guests_) one->condition = Condition::Broken;
    return guest_ == nullptr ? tl::expected<void, guest::Unavailable>{} : restore();
}

tl::expected<void, guest::Unavailable> KvmBackend::identify(const guest::Stage& stage) {
    if (auto ready = enter(stage); !ready) return ready;
    std::string detail;
    const Outcome outcome = execute({.rip = stage.symbols.identify}, guest::Wake::None, detail);
    if (outcome != Outcome::Completed && outcome != Outcome::WildRip)
        return tl::unexpected(guest::Unavailable{"the vCPU could not run the stage's CPUID probe: " + detail});
    features_ = guest::features_of(guest_->ram.bytes());
    using Execution = guest::Features::Execution;
    if (subject_.module == "kvm_intel" || subject_.module == "kvm_amd") {
        features_.cpl0 = features_.cpl3 = Execution::Silicon;
    } else if (subject_.module == "kvm_pvm") {
        features_.cpl0 = Execution::Emulated;
        features_.cpl3 = Execution::Silicon;
    }
    return refresh();
}

void KvmBackend::run(const guest::Image& image, guest::Tape& tape) {
    tape.features = features_;
    tape.stop_rip = 0;
    tape.count = 0;
    tape.detail.clear();
    tape.unsuitable = std::ranges::find(unable_, image.stage) == unable_.end() ? std::string_view() : cannot_run;
    if (image.stage->vmcb) tape.unsuitable = guest::needs_a_hypervisor;
    if (!tape.unsuitable.empty()) return;
    auto ready = start_watchdog();
    if (ready) ready = enter(*image.stage);
    if (!ready) {
        tape.outcome = Outcome::EntryFailure;
        tape.detail = ready.error().reason;
        if (guest_ != nullptr) guest_->condition = Condition::Broken;
        return;
    }
    guest::apply(image, guest_->ram.bytes());
    constexpr std::uint64_t yes = 1;
    std::memcpy(guest_->ram.bytes().data() + layout::params + offsetof(guest::Params, gprs_by_backend), &yes,
                sizeof yes);
    kvm_regs registers{.rip = image.stage->entry};
    for (const auto& [gpr, field] : carried_registers) registers.*field = image.params.gpr[gpr];

    tape.outcome = execute(registers, image.wake, tape.detail);
    guest::parse_tape(guest_->ram.bytes(), image.mode, tape);
    guest::remove_patches(image, guest_->ram.bytes());
    const kvm_regs& last = guest_->machine->registers();
    if (tape.outcome != Outcome::Completed) {
        tape.stop_rip = guest_->machine->cs_base() + last.rip;
        const bool gave_up = tape.outcome == Outcome::Shutdown || tape.outcome == Outcome::InternalError;
        if (gave_up && tape.stop_rip == image.stage->entry) {
            unable_.push_back(image.stage);
            tape.unsuitable = cannot_run;
        }
    } else {
        for (const auto& [gpr, field] : carried_registers) tape.final.gpr[gpr] = last.*field;
    }
}

Outcome KvmBackend::execute(kvm_regs registers, guest::Wake wake, std::string& detail) {
    registers.rsp = layout::rsp0_top;
    registers.rflags = guest::rflags::fixed1;
    guest_->machine->set_registers(registers);
    kvm_run& exit = guest_->machine->exit();
    woken_ = false;
    const Watch watch(exit.immediate_exit, options_.time_limit);
    Answer outcome;
    while (!outcome) outcome = guest_->machine->enter() ? answer_exit(wake, detail) : answer_failure(watch, detail);
    guest_->condition = condition_after(*outcome);
    return *outcome;
}

Condition KvmBackend::condition_after(Outcome outcome) {
    switch (outcome) {
        // What was injected may still wait for its delivery.
        case Outcome::Completed: return woken_ ? Condition::Wild : Condition::Orderly;
        case Outcome::Shutdown:
        case Outcome::EntryFailure: return Condition::Broken;
        // An instruction that KVM could not emulate leaves a sound vCPU before it.
        case Outcome::InternalError: {
            const kvm_run& exit = guest_->machine->exit();
            const bool emulation =
                exit.exit_reason == KVM_EXIT_INTERNAL_ERROR && exit.internal.suberror == KVM_INTERNAL_ERROR_EMULATION;
            return emulation ? Condition::Wild : Condition::Broken;
        }
        default: return Condition::Wild;
    }
}

KvmBackend::Answer KvmBackend::answer_failure(const Watch& watch, std::string& detail) const {
    if (errno == EINTR || errno == EAGAIN) return watch.expired() ? Answer{Outcome::Hang} : std::nullopt;
    detail = fmt::format("KVM_RUN: {}", std::strerror(errno));
    return Outcome::EntryFailure;
}

KvmBackend::Answer KvmBackend::answer_exit(guest::Wake wake, std::string& detail) {
    kvm_run& exit = guest_->machine->exit();
    switch (exit.exit_reason) {
        case KVM_EXIT_IO: return answer_io();
        case KVM_EXIT_HLT: return answer_halt(wake);
        case KVM_EXIT_INTR: return std::nullopt;
        case KVM_EXIT_SHUTDOWN: return Outcome::Shutdown;
        case KVM_EXIT_FAIL_ENTRY:
            detail = fmt::format("hardware entry failure reason {:#x}", exit.fail_entry.hardware_entry_failure_reason);
            return Outcome::EntryFailure;
        case KVM_EXIT_INTERNAL_ERROR:
            detail = fmt::format("KVM_EXIT_INTERNAL_ERROR suberror {}, data", exit.internal.suberror);
            for (unsigned i = 0; i < exit.internal.ndata && i < std::size(exit.internal.data); ++i)
                detail += fmt::format(" {:x}", exit.internal.data[i]);
            return Outcome::InternalError;
        case KVM_EXIT_MMIO:
            detail = fmt::format("{} outside RAM at {:#x}", exit.mmio.is_write ? "write" : "read", exit.mmio.phys_addr);
            return Outcome::InternalError;
        default: detail = fmt::format("unexpected exit reason {}", exit.exit_reason); return Outcome::InternalError;
    }
}

/// Ports read as zeros and swallow what is written, but the exit port tells how the stage ended the run.
KvmBackend::Answer KvmBackend::answer_io() {
    kvm_run& exit = guest_->machine->exit();
    std::uint8_t* data = reinterpret_cast<std::uint8_t*>(&exit) + exit.io.data_offset;
    if (exit.io.direction == KVM_EXIT_IO_IN) {
        std::memset(data, 0, std::size_t{exit.io.size} * exit.io.count);
        return std::nullopt;
    }
    const Machine& machine = *guest_->machine;
    if (exit.io.port != layout::exit_port || !in_stage_text(machine.cs_base() + machine.registers().rip))
        return std::nullopt;
    return guest::outcome_of(static_cast<guest::ExitCode>(*data));
}

KvmBackend::Answer KvmBackend::answer_halt(guest::Wake wake) {
    // A trap on the HLT ends the halt without anyone's help. Sending the wake too would leave it to chance when it
    // is taken, because an emulating module looks for events only now and then.
    if (guest_->machine->exception_waiting()) return std::nullopt;
    if (wake == guest::Wake::None) return Outcome::Halted;
    if (wake == guest::Wake::Interrupt && !guest_->machine->exit().if_flag) return Outcome::Halted;
    woken_ = true;
    const bool sent = wake == guest::Wake::Nmi ? guest_->machine->inject_nmi()
                                               : guest_->machine->inject_interrupt(guest::wake_vector);
    return sent ? Answer{} : Outcome::Halted;
}

}  // namespace

tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable> make_kvm_backend(Options options) {
    auto subject = kvm_subject();
    if (!subject) return tl::unexpected(subject.error());
    auto kvm = open_kvm();
    if (!kvm) return tl::unexpected(kvm.error());
    const auto* stage = guest::stage_of(guest::World::Bare, guest::Mode::Long64);
    auto backend = std::make_unique<KvmBackend>(std::move(*subject), std::move(*kvm), options);
    if (auto started = start_watchdog(); !started) return tl::unexpected(started.error());
    if (auto identified = backend->identify(*stage); !identified) return tl::unexpected(identified.error());
    return backend;
}

}  // namespace faultline::kvm
