#include "harness/bench/kvm_floor.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/kvm/machine.hpp"

namespace faultline::harness {
namespace {

namespace layout = guest::layout;

class Floor final : public KvmFloor {
public:
    Floor(const guest::Stage& stage, kvm::Mapping ram, kvm::Machine machine)
        : stage_(stage), ram_(std::move(ram)), machine_(std::move(machine)) {}

    void run(const guest::Image& image) override {
        for (const guest::MemoryRange& range : guest::restored_ranges(guest::Mode::Long64))
            std::memcpy(ram_.bytes().data() + range.begin, stage_.memory.data() + range.begin, range.size);
        guest::apply(image, ram_.bytes());
        constexpr std::uint64_t yes = 1;
        std::memcpy(ram_.bytes().data() + layout::params + offsetof(guest::Params, gprs_by_backend), &yes, sizeof yes);
        const auto& g = image.params.gpr;
        machine_.set_registers({.rbx = g[3],
                                .rsi = g[6],
                                .rdi = g[7],
                                .rsp = layout::rsp0_top,
                                .rbp = g[5],
                                .r8 = g[8],
                                .r9 = g[9],
                                .r10 = g[10],
                                .r11 = g[11],
                                .r12 = g[12],
                                .r13 = g[13],
                                .r14 = g[14],
                                .r15 = g[15],
                                .rip = stage_.entry,
                                .rflags = guest::rflags::fixed1});
        kvm_run& exit = machine_.exit();
        do {
            if (!machine_.enter()) return;
        } while (exit.exit_reason == KVM_EXIT_IO && exit.io.port != layout::exit_port);
    }

private:
    const guest::Stage& stage_;
    kvm::Mapping ram_;
    kvm::Machine machine_;
};

}  // namespace

tl::expected<std::unique_ptr<KvmFloor>, guest::Unavailable> KvmFloor::make(const guest::Stage& stage) {
    auto kvm = kvm::open_kvm();
    if (!kvm) return tl::unexpected(kvm.error());
    kvm::Mapping ram(layout::ram_size, -1);
    if (!ram.valid()) return tl::unexpected(guest::Unavailable{"no memory for the guest"});
    std::memcpy(ram.bytes().data(), stage.memory.data(), stage.memory.size());
    auto machine = kvm::Machine::create(*kvm, ram.bytes(), stage);
    if (!machine) return tl::unexpected(machine.error());
    return std::make_unique<Floor>(stage, std::move(ram), std::move(*machine));
}

}  // namespace faultline::harness
