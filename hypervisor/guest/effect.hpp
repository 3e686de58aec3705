// What one op does when nothing about debugging interferes: the facts about an instruction that the
// oracle's chapters need to build their stimulus. Addresses, accesses, values, the op's own fault. No
// #DB semantics: no breakpoint match, no TF, no RF, no shadow, no GD, no DR access check lives here.
//
// Only the oracle and the harness may include this header. The engine reads bytes, not ops (law 2).
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/state.hpp"

namespace faultline::guest {

struct Surroundings;

/// What an op's effect is computed from: nothing else is looked at.
struct EffectContext {
    const State& state;
    const Image& image;
    std::uint64_t fallthrough;                   ///< address of the byte after the op
    Gates gates;                                 ///< the case's IDT: decides the DPL check of INT n
    const Surroundings* surroundings = nullptr;  ///< the case's; null: the defaults
};

/// A data access by linear address. Instruction fetches and pushes of event delivery are not listed.
struct Access {
    std::uint64_t address = 0;
    std::uint8_t length = 0;  ///< bytes, 1–8
    bool write = false;       ///< a read-modify-write lists a read and a write
};

/// Why an op cannot complete: a fact about the op. Which exception that is, and with what error code, is the exceptions
/// chapter's affair.
enum class Cause : std::uint8_t {
    InvalidOpcode,   ///< the instruction is undefined here
    Privilege,       ///< CPL or IOPL forbids it
    IoPermission,    ///< neither IOPL nor the bitmap permits the port
    Access,          ///< a data access: see Fault's facts
    Fetch,           ///< the fetch of the op itself, from `address`
    BranchTarget,    ///< a near branch beyond CS's limit, or to a non-canonical address
    Divide,          ///< DIV: zero, or the quotient does not fit
    Bound,           ///< BOUND: outside
    ReservedBits,    ///< a reserved bit written to CR4, an MSR, …
    NullSelector,    ///< a null selector where none may stand
    Selector,        ///< `selector`: wrong type, privilege, or outside the table
    AbsentSelector,  ///< `selector`: its segment is not present
    GateDpl,         ///< INT n, INT3, INTO: the DPL of gate `vector` is below CPL
    NestedTask,      ///< IRET with NT = 1 in long mode
    TaskSelector,    ///< a task switch by the op: `selector` is no TSS, or busy, or (IRET) not busy
};

/// With 48-bit linear addresses. AMD APM vol 2, "Canonical Address Form".
constexpr bool canonical(std::uint64_t address) {
    const std::uint64_t top = address >> 47;
    return top == 0 || top == 0x1FFFF;
}

/// What keeps an op from completing (never a #DB).
struct Fault {
    Cause cause = Cause::InvalidOpcode;
    std::uint16_t selector = 0;
    bool stack = false;  ///< Access, NullSelector, AbsentSelector: through, or of, SS
    // Access, in the order of the checks; the first that is set decides, but for FREE rules.
    bool out_of_range = false;  ///< beyond the segment's limit; long64: not canonical
    bool misaligned = false;    ///< with CR0.AM, EFLAGS.AC and CPL 3
    bool page = false;          ///< paging refuses, for a byte at `address` (the first such of its page)
    bool present = false, write = false, user = false;  ///< of the page: present; of the access: write, CPL 3
    std::uint64_t address = 0;
    std::uint8_t span = 0;  ///< further bytes of the access in that page
};

/// Instruction classes that the debug chapter distinguishes.
enum class Kind : std::uint8_t {
    Ordinary,  ///< everything else
    Rep,       ///< one iteration of a REP string instruction (`last_iteration` tells)
    MovDr,     ///< MOV to/from DR: `dr_*` are set; access checks are the chapter's
    LoadSs,    ///< MOV SS or POP SS that completed its checks
    Sti,
    Popf,
    Iret,
    Sysret,
    Syscall,
    IntN,   ///< CD ib, and CE (INTO) with OF = 1; `vector`
    Int3,   ///< CC
    Icebp,  ///< F1
    Hlt,
    TaskSwitch,  ///< a far transfer or IRET that enters another task; `task`
};

struct Effect {
    Kind kind = Kind::Ordinary;
    bool unmodelled = false;  ///< depends on something unknown; `why` names it
    const char* why = nullptr;
    /// Unmodelled for what the op does. What it may raise was looked at before, and it raises nothing.
    bool raises_nothing = false;

    std::uint64_t next = 0;  ///< RIP of the next boundary if the op completes
    bool branch = false;     ///< a branch was taken (for DEBUGCTL.BTF): also CALL, RET, IRET, …

    bool faults = false;
    Fault fault;              ///< found after the fetch; below code breakpoints in priority
    std::uint8_t vector = 0;  ///< IntN, Int3: the vector delivered when `faults` is false

    std::uint8_t access_count = 0;
    std::array<Access, 5> access{};  ///< in program order; when `faults`, those before the fault

    bool io = false;  ///< port I/O of `io_width` bytes at `io_port`
    std::uint16_t io_port = 0;
    std::uint8_t io_width = 0;

    std::uint8_t dr_number = 0;  ///< MovDr: as encoded, 0–15
    bool dr_write = false;
    std::uint64_t dr_value = 0;  ///< MovDr write: the source
    Gpr dr_gpr = Gpr::Rax;       ///< MovDr: the general purpose register

    bool last_iteration = true;  ///< Rep: false when RIP stays on the instruction

    // State changes if the op completes (DR writes and reads excluded: they are the chapter's).
    std::uint64_t rflags = 0;  ///< RFLAGS after; TF, IF and all else included; RF as loaded (IRET), else 0
    std::uint64_t rflags_known = ~0ull;
    std::uint8_t cpl = 0;
    std::uint16_t cs = 0, ss = 0;
    std::uint64_t debugctl = 0, cr4 = 0;
    struct RegisterWrite {
        Gpr gpr;
        std::uint64_t value;
        bool known;
    };
    std::uint8_t register_count = 0;
    std::array<RegisterWrite, 8> registers{};
    struct MemoryWrite {
        std::uint64_t address, value;
        std::uint8_t length;
        bool known;
    };
    std::uint8_t memory_count = 0;
    std::array<MemoryWrite, 4> memory{};
    std::uint64_t cr0 = 0;
    std::uint16_t tr = 0;
    bool task_trap = false;    ///< TaskSwitch: T of the new TSS
    bool task_nested = false;  ///< TaskSwitch: by CALL. The registers after are those of after_task_switch (task.hpp)
};

/// What an instruction leaves that comes to its end at `next` and does nothing: RF alone is cleared, as every
/// instruction does that does not load it. AMD APM vol 2, "RFLAGS Register", "Resume Flag".
Effect no_effect(const State& state, std::uint64_t next);

}  // namespace faultline::guest
