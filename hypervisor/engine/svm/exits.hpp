// Which exit codes this machine has, for those who want all of them tried.
#pragma once

#include <cstdint>
#include <string_view>

namespace faultline::engine {

/// Why no guest here exits with this code, in a few words; empty: some guest does.
std::string_view why_never(std::uint64_t exit_code);

}  // namespace faultline::engine
