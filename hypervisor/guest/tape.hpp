// The tape: what one run of an image recorded. A plain value with a text form (tape_text.hpp).
//
// The guest writes RawTape into its own memory; a backend copies it out and never trusts it: a
// count above the capacity, or a half-written record, is data to be judged, not an error of ours.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// How a run ended. A closed set; nothing else is ever an outcome.
enum class Outcome : std::uint8_t {
    Completed,      ///< the epilogue ran; `final` is valid
    WildRip,        ///< a stub met a RIP outside program and epilogue and ended the run; last record tells
    TapeOverflow,   ///< more than tape_capacity exceptions
    DoubleFault,    ///< the #DF stub ran; last record tells
    Shutdown,       ///< triple fault
    Halted,         ///< HLT with nothing scheduled to wake it
    Hang,           ///< stopped by the backend's timer or step limit
    EntryFailure,   ///< the vCPU could not be entered (KVM_EXIT_FAIL_ENTRY, failing KVM_RUN)
    InternalError,  ///< the subject gave up (KVM_EXIT_INTERNAL_ERROR); `detail` says what it said
    Crash,          ///< the subject's process died
    Stopped,        ///< world svm: the hypervisor's policy ended the run at the last exit; or VMRUN failed there
};

/// What the guest's exit protocol puts in AL before OUT exit_port.
enum class ExitCode : std::uint8_t {
    Completed = 1,
    WildRip = 2,
    TapeOverflow = 3,
    DoubleFault = 4,
    Identified = 5,
    Stopped = 6,  ///< of the monitor, like the next two
    Shutdown = 7,
    InternalError = 8,
};
/// None: a byte that the protocol does not know.
constexpr std::optional<Outcome> outcome_of(ExitCode code) {
    switch (code) {
        case ExitCode::Completed:
        case ExitCode::Identified: return Outcome::Completed;
        case ExitCode::WildRip: return Outcome::WildRip;
        case ExitCode::TapeOverflow: return Outcome::TapeOverflow;
        case ExitCode::DoubleFault: return Outcome::DoubleFault;
        case ExitCode::Stopped: return Outcome::Stopped;
        case ExitCode::Shutdown: return Outcome::Shutdown;
        case ExitCode::InternalError: return Outcome::InternalError;
    }
    return std::nullopt;
}

inline constexpr std::uint32_t tape_capacity = 64;
/// Fill of a record field that the stub has not written (DR6/DR7 for anything but #DB, CR2 for anything
/// but #PF, or a record cut short by a nested exception).
inline constexpr std::uint64_t not_recorded = 0xFA17FA17FA17FA17ull;

/// One exception as the guest's handler saw it, before the reaction policy was applied. The layout is
/// the guest's memory layout; stubs write it with 64-bit stores in this order, `complete` last.
struct Record {
    std::uint64_t vector = not_recorded;
    std::uint64_t error = not_recorded;  ///< error code pushed; 0 for vectors without one
    std::uint64_t rip = not_recorded;
    std::uint64_t cs = not_recorded;
    std::uint64_t rflags = not_recorded;
    std::uint64_t rsp = not_recorded;
    std::uint64_t ss = not_recorded;
    std::uint64_t cr2 = not_recorded;  ///< #PF only
    std::uint64_t rcx = not_recorded;  ///< tells a REP instruction's iteration
    std::uint64_t dr6 = not_recorded;  ///< #DB only, before the policy cleared it
    std::uint64_t dr7 = not_recorded;  ///< #DB only
    std::uint64_t handler_flags =
        not_recorded;  ///< RFLAGS at the stub, arithmetic flags meaningless, RF as PUSHF shows it
    std::uint64_t handler_ss = not_recorded;  ///< SS at the stub
    std::uint64_t frame = not_recorded;       ///< RSP (SP) as delivery left it: the address of the frame's lowest slot
    std::uint64_t reserved = not_recorded;
    std::uint64_t complete = not_recorded;  ///< 1 once everything above is written
    auto operator<=>(const Record&) const = default;
};
static_assert(sizeof(Record) == 128 && std::is_standard_layout_v<Record>);

/// World svm: one #VMEXIT, as the VMCB showed it before the hypervisor answered. Exits that the stage itself asks for
/// (layout::enter_port and its kind) are not recorded. The layout is that of the monitor's memory.
struct VmExit {
    std::uint64_t code = 0, info_1 = 0, info_2 = 0, int_info = 0, next_rip = 0;
    std::uint64_t rip = 0, rflags = 0, rsp = 0, rax = 0;
    std::uint64_t cs = 0;  ///< selector in 15:0, CPL in 23:16
    std::uint64_t dr6 = 0, dr7 = 0, cr2 = 0;
    std::uint64_t interrupt_shadow = 0;
    std::uint64_t event_injection = 0;  ///< as the exit left it
    std::uint64_t records = 0;          ///< exceptions that the guest had recorded before
    auto operator<=>(const VmExit&) const = default;
};
static_assert(sizeof(VmExit) == 128 && std::is_standard_layout_v<VmExit>);

/// State at the end, written by the epilogue.
struct Final {
    std::array<std::uint64_t, gpr_count> gpr{};  ///< encoding order; RSP as the end's #UD pushed it
    std::uint64_t rflags = 0;                    ///< as the end's #UD pushed it
    std::uint64_t cs = 0, ss = 0;
    std::uint64_t dr6 = 0, dr7 = 0;
    std::array<std::uint64_t, 4> dr{};      ///< DR0–DR3
    std::uint64_t debugctl = not_recorded;  ///< only when Environment asked for DEBUGCTL
    std::uint64_t cr4 = 0;
    auto operator<=>(const Final&) const = default;
};

/// Tape memory in the guest, at layout::tape.
struct RawTape {
    std::uint64_t count;  ///< records claimed so far
    std::uint64_t reserved[7];
    Final final;
    std::uint64_t pad[(256 - sizeof(Final)) / 8];
    std::array<Record, tape_capacity> records;
};
static_assert(offsetof(RawTape, final) == 64 && offsetof(RawTape, records) == 320);

/// Memory of the monitor, at layout::exits.
struct RawExits {
    std::uint64_t count;    ///< exits claimed so far
    std::uint64_t refused;  ///< vectors that were to be forced and cannot be
    /// An exception in the monitor itself, which must not happen: its RIP (0: none) and vector.
    std::uint64_t fault_rip, fault_vector;
    std::uint64_t reserved[12];
    std::array<VmExit, tape_capacity> exits;
};
static_assert(offsetof(RawExits, exits) == 128);

/// What the guest's CPUID says, as the guest executed it, and what executes its instructions.
struct Features {
    Vendor vendor = Vendor::Unknown;
    std::uint32_t signature = 0;   ///< CPUID 1 EAX
    bool rtm = false;              ///< CPUID 7.0 EBX[11]: DR6.RTM, DR7.RTM exist
    bool bus_lock_detect = false;  ///< CPUID 7.0 ECX[24]: DR6.BLD exists
    bool dbext = false;            ///< CPUID 8000_0001 ECX[26]
    bool btf = false;              ///< DEBUGCTL.BTF can be set and read back (probed by the stage)
    /// Who executes guest instructions. It says which machine a finding is about, never what is right.
    enum class Execution : std::uint8_t { Unknown, Silicon, Emulated } cpl0 = Execution::Unknown, cpl3 = Execution::Unknown;
    /// What VMRUN's checks and exits depend on; where there is no SVM, of no meaning.
    struct Svm {
        std::uint32_t asids = 0, edx = 0;               ///< CPUID 8000_000A EBX and EDX; 0, 0: no SVM
        std::uint64_t cr4_absent = 0, efer_absent = 0;  ///< bits with a meaning, but of features that are not there
        std::uint8_t physical_bits = 0;                 ///< CPUID 8000_0008 EAX[7:0]
        bool long_mode = false, shadow_stacks = false;  ///< CPUID 8000_0001 EDX[29]; CPUID 7.0 ECX[7]
        /// Bits of `edx`. AMD APM vol 3 (24594), "Function 8000_000Ah—SVM Features".
        static constexpr unsigned nested_paging = 0, lbr = 1, nrips = 3, clean_bits = 5, decode_assists = 7, vgif = 16,
                                  v_nmi = 25, idle_hlt = 30;
        bool has(unsigned bit) const { return edx >> bit & 1; }
        auto operator<=>(const Svm&) const = default;
    } svm;
    auto operator<=>(const Features&) const = default;
};

/// What a record does not show: bits set here say nothing. A backend that sees events through another kernel, whose own
/// handlers they reach, states with it what that kernel keeps to itself, never what is seen and wrong.
struct Unseen {
    std::uint64_t error = 0, rflags = 0, dr6 = 0, dr7 = 0;
    auto operator<=>(const Unseen&) const = default;
};

/// Fixed capacity so that a run allocates nothing; only [0, count) is meaningful.
struct Tape {
    Features features;
    Outcome outcome = Outcome::Hang;
    std::uint32_t count = 0;  ///< records, at most tape_capacity
    std::array<Record, tape_capacity> records;
    std::uint32_t exit_count = 0;  ///< #VMEXITs, at most tape_capacity
    std::array<VmExit, tape_capacity> exits;
    Final final;                 ///< valid iff outcome == Completed
    std::uint64_t stop_rip = 0;  ///< RIP where the run stopped, when not Completed
    std::string detail;          ///< the subject's own words (suberror, errno), for people

    /// Not written by the stage's stubs but from what another kernel shows: `unseen` holds for `records`; what only a
    /// handler of our own can see (its flags, SS and frame, an event on its first instruction) is not there, nor are
    /// the debug registers, DEBUGCTL and CR4 of `final`.
    bool through_kernel = false;
    std::array<Unseen, tape_capacity> unseen;
    /// Not empty: why this subject cannot run this image. Then nothing else is meaningful, and the case is skipped.
    std::string_view unsuitable;
};

}  // namespace faultline::guest
