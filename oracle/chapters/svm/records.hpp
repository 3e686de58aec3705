// The svm chapter's records. It speaks about five kinds of moment in the life of a guest:
//
//   enter        VMRUN has read its VMCB: does the guest run, or does VMRUN end with VMEXIT_INVALID? Illegal event
//                injection included. What the guest then does is another chapter's affair.
//   instruction  An instruction that checks an intercept is about to execute. Does the intercept come, and does it come
//                before what the instruction itself would raise? Where it does not come, the instruction goes on as it
//                does without a hypervisor (VMMCALL: to its #UD).
//   exception    An event is about to be delivered, and nothing of its delivery has happened: not even the check of its
//                gate. Is it intercepted?
//   boundary     Between two instructions, with no trap of the first left and GIF, shadow and flags as they are: does
//   an
//                interrupt come, physical or virtual, and is it taken or does it exit?
//   nested       Under nested paging a guest-physical address is translated: of an entry of the guest's page tables, or
//                the one that the guest's access is to. Does it exit?
//
// How to ask about exceptions. Of an event that meets no other: once. Where a delivery meets a second exception, first
// about the second exception by itself, with what was being delivered as `prior_…`. Where it is not
// intercepted and the two combine to #DF, then about #DF (vector 8, source fault), with the same `prior_…`; where they
// combine to shutdown, about shutdown. What is delivered in the end is the prior event of whatever its delivery meets.
// AMD APM vol 2, "EXITINTINFO Pseudo-Code".
#pragma once

#include <boost/hana/define_struct.hpp>
#include <cstdint>

#include "hypervisor/guest/vmcb.hpp"
#include "oracle/domain.hpp"

namespace faultline::oracle::svm {

/// Stimulus::kind.
namespace kind {
inline constexpr std::uint64_t enter = 0, instruction = 1, exception = 2, boundary = 3, nested = 4;
inline constexpr std::uint64_t last = nested;
}  // namespace kind
/// Stimulus::form: which of the instructions that check one of CR0's intercepts, or what switches tasks. `mov` for
/// every other intercept.
namespace form {
inline constexpr std::uint64_t mov = 0, lmsw = 1, smsw = 2, clts = 3;
inline constexpr std::uint64_t call = 4, jump = 5, iret = 6;  ///< TaskSwitch
inline constexpr std::uint64_t last = iret;
}  // namespace form
/// Stimulus::source: how the event came about.
namespace source {
inline constexpr std::uint64_t fault = 0;  ///< every exception that is none of the others; #BP, #OF and #BR among them
inline constexpr std::uint64_t trap = 1;   ///< #DB after the instruction
inline constexpr std::uint64_t icebp = 2;  ///< INT1
inline constexpr std::uint64_t external = 3;  ///< INTR, physical or virtual
inline constexpr std::uint64_t nmi = 4;
inline constexpr std::uint64_t software = 5;  ///< INT n (CDh)
inline constexpr std::uint64_t injected = 6;  ///< by EVENTINJ
inline constexpr std::uint64_t shutdown = 7;  ///< no event: what would shut the processor down
inline constexpr std::uint64_t last = shutdown;
}  // namespace source
/// Stimulus::prior_source: how the event came about that was being delivered when this one was met, or that there was
/// none. An injected event is what EVENTINJ called it.
namespace prior {
inline constexpr std::uint64_t none = 0, exception = 1, one_byte = 2 /* INT1, INT3, INTO */, software = 3 /* INT n */,
                               external = 4, nmi = 5;
inline constexpr std::uint64_t last = nmi;
}  // namespace prior

/// Response::event: what comes at a boundary, to be taken or to exit.
namespace event {
inline constexpr std::uint64_t none = 0, intr = 1, nmi = 2, virtual_intr = 3, virtual_nmi = 4;
inline constexpr std::uint64_t last = virtual_nmi;
}  // namespace event

/// What the processor is able to do.
template <class D>
struct Pre {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Pre, (Bool, long_mode),
                             (Bits, physical_limit),  // the first physical address that cannot be: 2^width
                             (Bits, asid_count),      // CPUID 8000_000A EBX
                             (Bits, s_cet_reserved),  // none without shadow stacks
                             (Bits, cr4_absent), (Bits, efer_absent),  // bits with a meaning, but of absent features
                             (Bool, nrips), (Bool, decode_assists), (Bool, v_nmi), (Bool, v_gif), (Bool, nested_paging),
                             (Bool, idle_hlt));
};

/// Stimulus::raises: what an instruction meets if nobody intercepts it, all of it at once.
namespace raises {
inline constexpr std::uint64_t code_breakpoint = 1,  ///< a #DB on it …
    pending_trap = 2,                                ///< … or left by the instruction before
    undefined = 4,                                   ///< #UD, #NM
    privilege = 8,                                   ///< #GP that CPL, IOPL, CR4 or the TSS's I/O bitmap decide
    operand = 16,         ///< #GP for a value: reserved bits, an illegal combination, a fact about one MSR
    memory = 32,          ///< what access to a memory operand, a descriptor, PDPTEs or the stack meets
    general_detect = 64;  ///< MOV DR under DR7.GD
inline constexpr std::uint64_t all = 127, exceptions = all & ~(code_breakpoint | pending_trap);
}  // namespace raises

/// Stimulus::standing: what decides beside the VMCB's fields. Of a boundary:
namespace standing {
inline constexpr std::uint64_t intr = 1, nmi = 2,  ///< physical ones that are pending
    nmi_blocked = 4,                               ///< by the NMI before, until IRET
    gif = 8, guest_if = 16,                        ///< RFLAGS.IF
    host_if = 32;                                  ///< … of the host, as it was at VMRUN
inline constexpr std::uint64_t boundary = 63;
/// … of VMRUN:
inline constexpr std::uint64_t nested_paging = 1 << 6,  ///< NP_ENABLE
    host_paging = 1 << 7,                               ///< CR0.PG of the host
    bad_base = 1 << 18,                                 ///< of some segment: not canonical
    pdpte_reserved = 1 << 17;                           ///< … bits in the page directory pointers at CR3
inline constexpr std::uint64_t enter = nested_paging | host_paging | bad_base | pdpte_reserved;
/// … of a nested translation: the access that it is for,
inline constexpr std::uint64_t tables = 1 << 8,  ///< to an entry of the guest's page tables; else what the guest does:
    write = 1 << 9, fetch = 1 << 10,             ///< at most one of them
    // … and what the nested tables say of the page, all their levels taken together
    present = 1 << 11, reserved = 1 << 12,  ///< … a bit set in a present entry
    user = 1 << 13, writable = 1 << 14, no_execute = 1 << 15,
                               host_nxe = 1 << 16;  ///< the host's EFER.NXE
inline constexpr std::uint64_t nested = 0x1FF00;
}  // namespace standing

/// A fact about something that is not looked at is false or zero.
template <class D>
struct Stimulus {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(
        Stimulus, (Bits, kind),
        // enter: the VMCB
        (Bits, efer), (Bits, cr0), (Bits, cr3), (Bits, cr4), (Bits, cs_attributes), (Bits, s_cet),
        (Bool, bad_rip),  // not canonical, or beyond CS's limit
        (Bits, asid), (Bits, iopm), (Bits, msrpm), (Bits, intercepts_4), (Bits, intercepts_3),  // boundary, too
        (Bits, virtual_interrupts),  // the quadword at 060h: guest::svm::vintr; boundary: as it is
        (Bits, injection),           // EVENTINJ
        (Bits, nested_cr3), (Bits, g_pat), (Bool, pdpte_reserved),  // … bits in the page directory pointers at CR3
        // enter: of the VMCB. instruction: as they are. exception: as its handler would find them
        (Bits, dr6), (Bits, dr7),
        // instruction
        (Bits, intercept),            // its guest::svm::Intercept, and so its exit code
        (Bool, intercepted),          // the VMCB asks for it; exception: the bit of `vector`, or that of shutdown
        (Bool, selective),            // … and for another: WriteCr0: Cr0Selective, Hlt: IdleHlt, Mwait: MwaitArmed
        (Bits, form),                 // CR0, task switches
        (Bits, cr0_changes),          // WriteCr0 by MOV: bits that it would change
        (Bits, raises), (Bits, gpr),  // MOV CR, MOV DR: number of the register
        (Bits, number),               // of the port or the MSR; TaskSwitch: selector of the incoming TSS
        (Bits, map),    // bit i: the IOPM's bit of that port + i; bit 0: the MSRPM's of that MSR and direction, if any
        (Bool, write),  // OUT, WRMSR
        (Bits, width), (Bool, string), (Bool, rep), (Bool, count_zero),  // I/O: bytes; REP of zero
        (Bits, address_size),                                            // I/O of strings, bytes: 2, 4, 8
        (Bits, segment),   // I/O of strings, as instructions encode it: after prefixes; DS if there is none
        (Bool, filtered),  // PAUSE: there is a filter count. HLT: a virtual interrupt is pending. MWAIT: it would wait
        (Bits, vector),    // INT n; exception; boundary: of the physical interrupt
        (Bits, address),   // linear: INVLPG's operand; #PF. nested: the guest-physical one
        // instruction and exception: the state that an exit would find
        (Bits, rip),       // instruction: its own. exception: what a delivery would push; INT3, INTO: their own
        (Bits, next_rip),  // of the sequentially next instruction
        (Bool, rf), (Bool, shadow), (Bits, cr2),
        // exception
        (Bits, source), (Bool, has_error),
        (Bits, error),         // that a delivery would push; #PF: in protected mode's format
        (Bool, interrupt_op),  // what raises it is INT3, INTO or BOUND
        (Bits, incoming_rip),  // #TS by a task switch: the new task's first instruction; else `rip`
        (Bits, prior_source), (Bits, prior_vector), (Bool, prior_has_error), (Bits, prior_error),
        (Bits, standing));  // bits of `standing`
};

/// What the VMCB shows. Normalised: where nothing exits all is zero; of `enter` only `exits` and `code` mean something.
/// The last line is of `boundary` alone, and means something whether or not it exits.
template <class D>
struct Response {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Response, (Bool, exits), (Bits, code), (Bits, info1), (Bits, info2), (Bits, int_info),
                             (Bits, next_rip), (Bits, rip), (Bool, rf), (Bool, shadow), (Bits, cr2), (Bits, dr6),
                             (Bits, dr7),                    //
                             (Bits, event), (Bits, vector),  // of what is taken
                             (Bits, pending));               // of `virtual_interrupts` after: V_IRQ, V_NMI, V_NMI_MASK
};

}  // namespace faultline::oracle::svm
