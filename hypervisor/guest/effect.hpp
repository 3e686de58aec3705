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

/// What an op's effect is computed from: nothing else is looked at.
struct EffectContext {
    const State& state;
    const Image& image;
    std::uint64_t fallthrough;  ///< address of the byte after the op
    Gates gates;                ///< the case's IDT: decides the DPL check of INT n
};

/// A data access by linear address. Instruction fetches and pushes of event delivery are not listed.
struct Access {
    std::uint64_t address = 0;
    std::uint8_t length = 0;  ///< bytes, 1–8
    bool write = false;       ///< a read-modify-write lists a read and a write
};

/// The exception an op raises instead of completing (never #DB).
struct Fault {
    std::uint8_t vector = 0;
    std::uint32_t error = 0;  ///< 0 for vectors without an error code
    std::uint64_t cr2 = 0;    ///< #PF only
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
    IntN,   ///< CD ib; `vector`
    Int3,   ///< CC
    Icebp,  ///< F1
    Hlt,
};

struct Effect {
    Kind kind = Kind::Ordinary;
    bool unmodelled = false;  ///< depends on something unknown; `why` names it
    const char* why = nullptr;

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
    std::array<RegisterWrite, 6> registers{};
    struct MemoryWrite {
        std::uint64_t address, value;
        std::uint8_t length;
        bool known;
    };
    std::uint8_t memory_count = 0;
    std::array<MemoryWrite, 2> memory{};
};

}  // namespace faultline::guest
