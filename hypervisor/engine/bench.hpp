// How fast the machine interprets: for `faultline bench`.
#pragma once

#include <cstdint>

namespace faultline::engine {

struct LoopRun {
    std::uint64_t instructions = 0;
    double seconds = 0;
};

/// Runs a register loop (ADD, XOR, DEC, JNZ) of about so many instructions on a fresh machine, under paging.
LoopRun run_register_loop(std::uint64_t instructions);

}  // namespace faultline::engine
