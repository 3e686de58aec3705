// What the stage finds out about the machine it runs on: the `identify` entry of a stage.
//
// To run it, a backend starts pristine stage memory at StageSymbols::identify, everything else as for
// Stage::entry. It ends with ExitCode::Identified, or with ExitCode::WildRip where the DEBUGCTL probe
// took an exception (#GP: no such MSR or bit); both are answers, and `features_of` reads either.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::guest {

/// Guest memory at identity_address, written by `identify` in the order of the fields.
struct Identity {
    struct Leaf {
        std::uint32_t eax, ebx, ecx, edx;
    };
    /// CPUID with ECX=0 of the leaves 0, 1, 7, 80000000h–80000004h, 80000008h and 8000000Ah.
    std::array<Leaf, 10> cpuid;
    /// DEBUGCTL as read back after BTF was written; not touched where the write faults.
    std::uint64_t debugctl;
};
inline constexpr std::uint64_t identity_address = layout::tape + 3 * layout::page;
static_assert(sizeof(RawTape) <= 3 * layout::page);

/// Features from memory that `identify` ran in. `cpl0` and `cpl3` stay Unknown: no guest can tell.
Features features_of(std::span<const std::uint8_t> guest_memory);

/// The processor's brand string as the guest sees it; empty where there is none.
std::string brand_of(std::span<const std::uint8_t> guest_memory);

}  // namespace faultline::guest
