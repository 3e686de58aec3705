// What a vCPU knows about SVM beyond its registers. AMD APM vol 2 (24593, ~2024), "Secure Virtual Machine".
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/mmu.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::engine {

using guest::svm::Intercept;
using guest::svm::Intercepts;

/// VM_CR. AMD APM vol 2, "VM_CR MSR (C001_0114h)".
namespace vm_cr {
inline constexpr std::uint64_t r_init = 1 << 1, lock = 1 << 3, svmdis = 1 << 4, defined = 0x1F;
}

/// What VMRUN saves and #VMEXIT reloads. "Processor implementations may store … some or all host state in hidden
/// on-chip memory": this one keeps all of it there, and a copy of what the manual lists in the host save area.
struct HostState {
    std::uint64_t rip = 0, rsp = 0, rax = 0, rflags = 0;
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    std::uint64_t pat = 0;  ///< only with nested paging
    std::uint64_t gdt_base = 0, idt_base = 0;
    std::uint16_t gdt_limit = 0, idt_limit = 0;
    std::array<guest::Segment, 4> segment{};  ///< ES, CS, SS, DS
    /// DEBUGCTL, last branch from and to, last interrupt from and to: only with LBR virtualisation.
    std::array<std::uint64_t, 5> branches{};
};

/// Why the guest is about to be left.
struct ExitReport {
    std::uint64_t code = 0, info_1 = 0, info_2 = 0;
    std::uint64_t next_rip = 0;
    bool data_page_fault = false;  ///< the instruction's bytes are reported
};

struct Svm {
    // ---- The host's ----
    std::uint64_t vm_cr = 0, host_save_area = 0, key = 0;
    bool gif = true;

    // ---- The guest's: all clear outside a guest ----
    Intercepts intercepts;
    bool in_guest = false;
    /// The machine's owner entered the guest, and #VMEXIT goes back to it.
    bool owned = false;
    std::uint64_t vmcb = 0;  ///< its physical address
    std::uint64_t iopm = 0, msrpm = 0, tsc_offset = 0;
    std::uint64_t virtual_interrupts = 0;  ///< bits in guest::svm::vintr, as of now
    std::uint16_t pauses_left = 0;
    bool lbr_virtualisation = false;
    /// Nested paging: the host's registers, with nCR3.
    std::optional<PagingRegisters> nested_paging;
    /// The event that is being delivered through the IDT, as EXITINTINFO tells it; zero: none.
    std::uint64_t delivering = 0;
    /// Set by what has found an intercept, read by `leave_guest`.
    ExitReport report;
    HostState host;
};

}  // namespace faultline::engine
