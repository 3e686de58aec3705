// One VM with one vCPU and the stage's megabyte of memory: set up, entered, and put back. Knows how to talk to
// /dev/kvm and nothing of what a run means.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/kvm/descriptor.hpp"

namespace faultline::kvm {

/// /dev/kvm, opened and checked for what a Machine needs.
tl::expected<Descriptor, guest::Unavailable> open_kvm();

class Machine {
public:
    /// `memory` is the guest's RAM and outlives the machine; `kvm` is only used here.
    static tl::expected<Machine, guest::Unavailable> create(const Descriptor& kvm, std::span<std::uint8_t> memory,
                                                            const guest::Stage& stage);

    /// Puts everything of the vCPU that a program can change, general registers apart, back to the state of a
    /// new one, the last of it with the next entry.
    tl::expected<void, guest::Unavailable> reset(const guest::Stage& stage);

    /// Registers of the last exit.
    const kvm_regs& registers() const { return run_->s.regs.regs; }
    /// What CS adds to RIP: a request of its own, but in real mode only.
    std::uint64_t cs_base() const;
    /// Registers of the next entry.
    void set_registers(const kvm_regs& registers);

    /// KVM_RUN; false with errno when it failed.
    bool enter();
    kvm_run& exit() { return *run_; }

    /// An exception will be delivered with the next entry.
    bool exception_waiting() const;
    bool inject_interrupt(std::uint8_t vector);
    bool inject_nmi();

private:
    Descriptor vm_, vcpu_;
    Mapping run_page_;
    kvm_run* run_ = nullptr;
    kvm_sregs sregs_{};         ///< special registers at the stage's entry
    kvm_vcpu_events events_{};  ///< of a new vCPU
};

}  // namespace faultline::kvm
