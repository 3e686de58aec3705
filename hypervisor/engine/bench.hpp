// How fast the machine goes into a guest and out of it: for `faultline bench`.
#pragma once

#include <cstdint>

namespace faultline::engine {

/// Seconds that `round_trips` of VMRUN and #VMEXIT take on a machine that has done it before: a loop of three
/// instructions, and a guest whose only one, CPUID, is intercepted. Negative: the loop did not come to its end.
double vmrun_loop_seconds(std::uint64_t round_trips);

}  // namespace faultline::engine
