// Into a guest and out of it. AMD APM vol 2 (24593, ~2024), "VMRUN Instruction", "#VMEXIT".
#pragma once

#include <cstdint>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/svm/vmcb_memory.hpp"

namespace faultline::engine {

/// VMRUN without the instruction's own checks: saves the host (which goes on at `host_rip`), loads the guest, injects
/// what EVENTINJ asks for. False: the run ends (`exit` says why), else RIP is the guest's, or the host's again where
/// the guest could not be entered.
bool enter_guest(Machine& m, std::uint64_t vmcb, std::uint64_t host_rip);

/// #VMEXIT for the reason in `Svm::report`. False: the run ends, because an owner entered the guest; else RIP is the
/// host's.
bool leave_guest(Machine& m);

/// What VMLOAD loads and VMRUN does not: FS, GS, TR, LDTR and the MSRs of system calls. "VMSAVE and VMLOAD
/// Instructions".
void load_guest_rest(Machine& m, std::uint64_t vmcb);

/// Whether VMRUN refuses this state: #VMEXIT(VMEXIT_INVALID). "Canonicalization and Consistency Checks".
bool is_illegal(const Machine& m, const Vmcb& vmcb);

/// What EVENTINJ asks for. "Event Injection".
bool is_illegal_injection(const Machine& m, const Vmcb& vmcb);
/// False as for `enter_guest`.
bool inject_event(Machine& m, const Vmcb& vmcb);

/// At a boundary where interrupts may come: the virtual one that comes, if any.
enum class VirtualEvent : std::uint8_t { None, Taken, RunEnds };
VirtualEvent take_virtual_interrupt(Machine& m, std::uint64_t pushed_rflags);

/// Machine::exits_on, as the permission maps have it. "IOIO Intercepts", "MSR Intercepts".
enum class IoKind : std::uint64_t { Out = 0, In = 1, Outs = 4, Ins = 5 };  ///< bits of EXITINFO1
bool exits_on_port(Machine& m, const Instruction& i, std::uint16_t port, std::size_t width, IoKind kind);
bool exits_on_msr(Machine& m, std::uint32_t index, bool write);

}  // namespace faultline::engine
