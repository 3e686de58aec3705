// Real KVM through /dev/kvm of this host, whatever vendor module stands behind it.
#pragma once

#include <chrono>
#include <memory>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"

namespace faultline::kvm {

struct Options {
    /// A run that takes longer ends as Outcome::Hang, some 50 ms later at most.
    std::chrono::milliseconds time_limit{1000};
};

/// A backend with its own VM and vCPU. Use it from one thread at a time.
tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable> make_kvm_backend(Options options = {});

/// Who would answer: kernel release, vendor module with its parameters and kvm's, processor with microcode.
/// Fails with the reason when /dev/kvm cannot be used.
tl::expected<guest::Subject, guest::Unavailable> kvm_subject();

}  // namespace faultline::kvm
