// Ends a KVM_RUN that takes too long: a periodic timer signals the thread that runs the vCPU, and after
// enough ticks of one run its handler sets kvm_run::immediate_exit. Arming a run costs no system call.
//
// Linux Documentation/virt/kvm/api.rst, "The kvm_run structure", immediate_exit: set by the handler, it stops
// KVM_RUN however the signal falls between the check and the entry.
#pragma once

#include <chrono>
#include <cstdint>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"

namespace faultline::kvm {

/// Starts the calling thread's timer unless it runs already; it ends with the thread.
tl::expected<void, guest::Unavailable> start_watchdog();

/// Watches one run, on a thread whose watchdog was started, for as long as it lives.
class Watch {
public:
    Watch(std::uint8_t& immediate_exit, std::chrono::milliseconds limit);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    bool expired() const;
};

}  // namespace faultline::kvm
