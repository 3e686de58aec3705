// This host's own processor: CPL3 programs in a traced child, on 64-bit Linux, without root and without KVM.
// README.md states what Linux shows of a run and what it keeps to itself.
#pragma once

#include <cstdint>
#include <memory>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"

namespace faultline::native {

struct Options {
    /// A run ends as Outcome::Hang when it has spent this many quarters of a second in user mode.
    unsigned tick_limit = 5;
};

/// Use it from one thread at a time. From a thread that is not the last one's, a run starts with a new child.
tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable> make_native_backend(Options options = {});

/// Who would answer: kernel release, processor with microcode, and the hypervisor beneath as `module`.
guest::Subject native_subject();

/// The floor under this backend in `bench`: a child that executes INT3, time and again.
class SignalRoundTrip {
public:
    static tl::expected<std::unique_ptr<SignalRoundTrip>, guest::Unavailable> make();
    virtual ~SignalRoundTrip() = default;
    /// PTRACE_CONT and wait, `count` times; on the thread that made it. False when the child died.
    virtual bool run(std::uint64_t count) = 0;
};

}  // namespace faultline::native
