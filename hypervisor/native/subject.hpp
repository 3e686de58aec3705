// Who answers on this host, and with which features.
#pragma once

#include "hypervisor/guest/tape.hpp"

namespace faultline::native {

/// From CPUID, executed here as a program would.
guest::Features host_features();

/// Whether linear addresses have 57 bits, so that what is not canonical in a stage may be here.
bool five_level_paging();

}  // namespace faultline::native
