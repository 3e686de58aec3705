// The exceptions chapter's records. It speaks about two kinds of moment: an op cannot complete, and the fact that stops
// it becomes an exception (`raise`); and one attempt to deliver an event through the IDT (`deliver`), which ends in the
// handler, in another exception that takes its place, in a double fault, or in shutdown. A delivery that fails is
// followed by a further attempt with what took its place, so a chain of them is what a guest sees.
#pragma once

#include <boost/hana/define_struct.hpp>
#include <cstdint>

#include "hypervisor/guest/types.hpp"
#include "oracle/domain.hpp"

namespace faultline::oracle::exceptions {

/// Pre::mode.
namespace mode {
inline constexpr std::uint64_t long_mode = 0, protected_mode = 1, real_mode = 2;
}
/// Stimulus::kind.
namespace kind {
inline constexpr std::uint64_t raise = 0, deliver = 1;
inline constexpr std::uint64_t last = deliver;
}  // namespace kind
/// Stimulus::cause: guest::Cause, value for value.
namespace cause {
inline constexpr std::uint64_t invalid_opcode = 0, privilege = 1, io_permission = 2, access = 3, fetch = 4,
                               branch_target = 5, divide = 6, bound = 7, reserved_bits = 8, null_selector = 9,
                               selector = 10, absent_selector = 11, gate_dpl = 12, nested_task = 13, task_selector = 14;
inline constexpr std::uint64_t last = task_selector;
}  // namespace cause
/// Stimulus::source: how the event came about, which decides the DPL check, EXT, and how a failed delivery is classed.
namespace source {
inline constexpr std::uint64_t exception = 0, software = 1 /* INT n, INT3, INTO */, icebp = 2,
                               external = 3 /* INTR, NMI */;
}
/// Stimulus::gate_type.
namespace gate {
inline constexpr std::uint64_t interrupt = 0, trap = 1, task = 2, reserved = 3;
}
/// Response::result.
namespace result {
inline constexpr std::uint64_t raised = 0;        ///< raise: `vector`, `error` are to be delivered
inline constexpr std::uint64_t delivered = 1;     ///< the handler's first instruction is next
inline constexpr std::uint64_t serial = 2;        ///< `vector`, `error` take the event's place
inline constexpr std::uint64_t double_fault = 3;  ///< #DF takes the event's place
inline constexpr std::uint64_t shutdown = 4;
inline constexpr std::uint64_t task_switch = 5;  ///< through a task gate, into task `selector`
}  // namespace result

template <class D>
struct Pre {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Pre, (Bits, mode), (Bool, code64),                // long_mode: CS is 64-bit
                             (Bits, cpl), (Bits, cs), (Bits, ss), (Bits, tr),  // selectors
                             (Bits, sp),                                       // RSP, ESP or SP
                             (Bool, tf), (Bool, if_), (Bool, nt), (Bool, ac),  // flags
                             (Bool, fetch_flag),                               // EFER.NXE or CR4.SMEP: #PF shows I/D
                             (Bool, amd), (Bool, intel));                      // neither: the vendor is unknown
};

/// Facts, never verdicts: what is found at each place where a check looks. A fact about something that is not looked at
/// (an SS when the stack stays) is false or zero.
template <class D>
struct Stimulus {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Stimulus, (Bits, kind),
                             // raise: guest::Fault, field for field; `vector` of GateDpl below
                             (Bits, cause), (Bits, selector), (Bool, stack), (Bool, out_of_range), (Bool, misaligned),
                             (Bool, page), (Bool, present), (Bool, write), (Bool, user), (Bits, address), (Bits, span),
                             (Bool, iret),  // the op is IRET
                             // deliver: the event, with the image it would push
                             (Bits, vector), (Bits, error), (Bits, source), (Bits, rip),
                             (Bits, origin),  // linear address of the instruction or boundary that the event interrupts
                             (Bool, rf),
                             // its gate
                             (Bool, gate_outside), (Bits, gate_type), (Bits, gate_dpl), (Bool, gate_present),
                             (Bits, gate_selector), (Bits, gate_ist), (Bool, target_out_of_range),
                             // the code segment behind gate_selector
                             (Bool, cs_outside), (Bool, cs_code), (Bool, cs_conforming), (Bits, cs_dpl),
                             (Bool, cs_present), (Bool, cs_long),
                             // task gate: what its selector names
                             (Bool, tss_available), (Bool, tss_present),
                             // the stack that gate and code segment choose
                             (Bool, slot_outside),            // the TSS is too short for it
                             (Bool, slot_edge),               // ESPn and SSn are inside, the padding behind SSn is not
                             (Bits, new_sp), (Bits, new_ss),  // as the TSS has them (IST, RSPn, or ESPn and SSn)
                             (Bool, ss_outside), (Bool, ss_writable), (Bits, ss_dpl), (Bool, ss_present),
                             (Bool, sp_out_of_range),  // not canonical; the frame does not fit the segment's limit
                             (Bool, sp_edge),          // real mode: SP wraps from 0 to FFFEh between two of the pushes
                             (Bool, push_misaligned),  // under CR0.AM, EFLAGS.AC, with a handler at CPL 3
                             (Bool, push_page), (Bool, push_present),
                             (Bits, push_address),  // first byte that paging refuses of the first such push
                             (Bits, push_low), (Bits, push_high),  // all bytes of the frame that paging refuses
                             (Bits, watched));  // B0-B3: enabled data breakpoints on bytes of IDT, TSS or frame
};

/// Normalised: fields that the result makes meaningless are zero.
template <class D>
struct Response {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Response, (Bits, result), (Bits, vector), (Bits, error), (Bool, writes_cr2),
                             (Bits, cr2),              // raised or serial #PF, also when it ends in #DF or shutdown
                             (Bits, rip), (Bool, rf),  // of the image (real mode: it has none to show): delivered;
                                                       // serial, double_fault: for what takes its place
                             // delivered
                             (Bool, pushes_error), (Bool, pushes_stack),  // in the frame: an error code; SS:SP
                             (Bits, slot),                                // bytes of a frame's slot: 8, 4 or 2
                             (Bits, frame),                               // stack pointer after the pushes
                             (Bits, cpl), (Bits, ss),                     // in the handler; ss: selector
                             (Bool, if_), (Bool, tf), (Bool, nt), (Bool, rf_after), (Bool, ac),  // flags in the handler
                             (Bits, selector),  // task_switch: of the TSS
                             (Bits, held));     // causes of #DB left for the handler's first instruction
};

}  // namespace faultline::oracle::exceptions
