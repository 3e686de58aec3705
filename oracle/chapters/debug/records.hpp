// The debug chapter's three records: the state before an op, what the op does, and what came of it. Over a domain
// D, so that the rules judge integers and are proved over all values.
#pragma once

#include <boost/hana/define_struct.hpp>
#include <cstdint>

#include "hypervisor/guest/types.hpp"
#include "oracle/domain.hpp"

namespace faultline::oracle::debug {

/// Stimulus::kind. The first fourteen are guest::Kind, value for value.
namespace kind {
inline constexpr std::uint64_t ordinary = 0, rep = 1, mov_dr = 2, load_ss = 3, sti = 4, popf = 5, iret = 6, sysret = 7,
                               syscall = 8, int_n = 9, int3 = 10, icebp = 11, hlt = 12, task_switch = 13;
/// No instruction: a trap that was held over an event's delivery, due before the handler's first instruction.
inline constexpr std::uint64_t boundary = 14;
/// No instruction: an external interrupt or NMI taken at this boundary.
inline constexpr std::uint64_t wake = 15;
inline constexpr std::uint64_t last = wake;
}  // namespace kind

/// Response::event.
namespace event {
inline constexpr std::uint64_t none = 0;       ///< the op completed, nothing was raised (HLT: it waits)
inline constexpr std::uint64_t code_db = 1;    ///< #DB fault: instruction breakpoint
inline constexpr std::uint64_t gd_db = 2;      ///< #DB fault: general detect
inline constexpr std::uint64_t trap = 3;       ///< #DB trap: the op completed, then #DB
inline constexpr std::uint64_t fault = 4;      ///< another exception instead of the op
inline constexpr std::uint64_t delivered = 5;  ///< INT n, INT3, interrupt or NMI delivered
inline constexpr std::uint64_t icebp = 6;      ///< #DB by ICEBP
}  // namespace event

/// State before the op, as far as debugging depends on it.
template <class D>
struct Pre {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Pre, (Bits, dr0), (Bits, dr1), (Bits, dr2), (Bits, dr3), (Bits, dr6), (Bits, dr7),
                             (Bits, debugctl),  // LBR and BTF only
                             (Bits, cpl), (Bool, tf), (Bool, rf), (Bool, de),
                             (Bool, shadow),              // a load of SS came immediately before
                             (Bits, held),                // causes met and not yet reported, as DR6 bits: B0–B3, BS
                             (Bool, amd), (Bool, intel),  // neither: the vendor is unknown
                             (Bool, rtm), (Bool, bus_lock));
};

/// What one op does. Accesses with length 0 do not exist.
template <class D>
struct Stimulus {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Stimulus, (Bits, kind), (Bits, rip), (Bits, next), (Bits, address0), (Bits, length0),
                             (Bool, write0), (Bits, address1), (Bits, length1), (Bool, write1), (Bits, address2),
                             (Bits, length2), (Bool, write2), (Bits, address3), (Bits, length3), (Bool, write3),
                             (Bits, address4), (Bits, length4), (Bool, write4), (Bool, io), (Bits, io_port),
                             (Bits, io_width), (Bits, dr_number), (Bool, dr_write),
                             (Bits, dr_value),  // kind mov_dr; the number as encoded
                             (Bool, branch),    // a control transfer, for DEBUGCTL.BTF
                             (Bool, faults), (Bits, vector),
                             (Bits, error),  // the op's own exception; vector also of int_n, wake
                             (Bool, tf_after), (Bool, rf_after), (Bits, debugctl_after),
                             (Bool, task_trap),   // kind task_switch: T of the new TSS
                             (Bool, last),        // kind rep: no iteration remains
                             (Bool, continues));  // kind rep: the iteration before ended without an exception
};

/// What came of it. Normalised: fields that the event makes meaningless are zero (`normalised`, situation.hpp).
template <class D>
struct Response {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Response, (Bits, event), (Bits, vector), (Bits, error),
                             (Bits, rip),             // pushed; event none: of the next boundary
                             (Bool, rf), (Bool, tf),  // in the pushed image; event none: after the op
                             (Bits, dr6), (Bits, dr7), (Bits, debugctl),  // as the handler, or the next op, finds them
                             (Bits, dr_value),  // MOV DR that completed: what was read, or what DR0–DR3 now holds
                             (Bits, held),      // causes still to be reported
                             (Bool, shadow));   // the next op is in an SS shadow
};

}  // namespace faultline::oracle::debug
