// The stage of world bare: constants of its machine state that others may need to name, and what may be
// done with a page of it.
#pragma once

#include <cstdint>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::guest {

/// PE, MP, ET, NE, WP, PG. WP so that CPL0 programs respect the read-only page; AM clear, so #AC never occurs.
inline constexpr std::uint64_t stage_cr0 = 0x8001'0033;
/// The same in real mode: ET, MP, NE.
inline constexpr std::uint64_t stage_cr0_real = 0x32;
/// PAE. DE is the case's choice (Environment::de); no SMEP and SMAP: CPL0 programs live on user pages.
inline constexpr std::uint64_t stage_cr4 = 0x20;
/// SCE, LME, LMA.
inline constexpr std::uint64_t stage_efer = 0x501;
/// RFLAGS bits that SYSCALL clears: those whose survival would change what CPL0 code means. AMD APM vol 2,
/// "SYSCALL and SYSRET MSRs" leaves the choice to software; arithmetic flags pass.
inline constexpr std::uint64_t stage_sfmask = rflags::tf | rflags::if_ | rflags::df | rflags::nt | rflags::ac;

/// What the stage of world svm needs of its hypervisor while it speaks: its ports, and VMRUN, without which VMRUN
/// refuses the guest.
inline constexpr svm::Intercepts stage_intercepts{
    {0, 0, 0, 1u << (static_cast<unsigned>(svm::Intercept::Io) - static_cast<unsigned>(svm::Intercept::Intr)), 1, 0}};

struct PageAccess {
    bool present = false, writable = false, user = false;
};

/// What the stage's page tables permit at a linear address. Accessed and dirty bits are always set.
constexpr PageAccess page_access(std::uint64_t address) {
    const auto within = [address](std::uint64_t begin, std::uint64_t size) { return address - begin < size; };
    // Page 0 stays absent, so that a jump or access through a null pointer is seen.
    if (within(layout::page_tables, layout::stage_end - layout::page_tables)) return {true, true, false};
    if (within(layout::code, layout::page)) return {true, true, true};
    if (within(layout::stack_bottom, 2 * layout::page)) return {true, true, true};
    if (within(layout::data, layout::data_size)) return {true, true, true};
    if (within(layout::readonly, layout::page)) return {true, false, true};
    if (within(layout::supervisor, layout::page)) return {true, true, false};
    return {};
}

}  // namespace faultline::guest
