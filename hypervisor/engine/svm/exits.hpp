// Which exit codes the guest of a case can end with on this machine, for those who want all of them tried.
#pragma once

#include <cstdint>
#include <string_view>

namespace faultline::engine {

/// Why no case makes a guest exit with this code, in a few words; empty: some case does.
std::string_view why_never(std::uint64_t exit_code);

}  // namespace faultline::engine
