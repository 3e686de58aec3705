// Where quirks come in: what the machine calls, at places off its fast path, when it has any (`Quirks::any`). What a
// hook does without its quirks is nothing, or what the machine itself would have done. Quirks of one condition stand
// where the right behaviour stands, as `quirk(Quirk::…)`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "hypervisor/engine/quirk.hpp"
#include "hypervisor/guest/types.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::engine {

struct Machine;
struct Fault;
struct Instruction;
enum class Delivery : std::uint8_t;
enum class DebugEvent : std::uint8_t;
enum class Shadow : std::uint8_t;
enum class Via : std::uint8_t;

/// What a machine with quirks remembers beyond a right one.
struct QuirkState {
    /// Which instruction executes, as far as quirks tell them apart.
    enum class Kind : std::uint8_t {
        Other,
        Cpuid,
        Msr,
        Wbinvd,
        Hlt,
        Pause,
        Iret,
        Sysret,
        Syscall,
        Popf,
        Out,
        MovDr,
        Int,
        Int3,
        Icebp,
        MovSs,
        PopFs,
        Ud2,
        Repeated
    } kind = Kind::Other;
    std::uint64_t last_rip = 0;  ///< of that instruction
    std::uint8_t last_length = 0;
    std::uint64_t count = 0;          ///< its RCX before
    std::uint64_t rf = 0;             ///< RFLAGS.RF at the last boundary
    Shadow boundary_shadow{};         ///< the shadow at the last boundary
    bool at_code_breakpoint = false;  ///< the #DB about to be delivered is an instruction breakpoint
    bool detected = false;            ///< … a general detect
    bool covered_twice = false;
    std::uint64_t data_hits = 0, io_hits = 0;      ///< of the instruction
    std::uint64_t disabled_hits = 0;               ///< matches of breakpoints that are not enabled
    std::uint64_t late = 0, late_rip = 0;          ///< hits kept until the REP string at `late_rip` ends
    std::uint64_t unfused = 0;                     ///< held causes kept from the ICEBP's #DB
    std::uint64_t modified = 1;                    ///< address of the last check that a write may come
    std::array<std::uint64_t, 4> armed_address{};  ///< DR0-DR3 as of the last write of DR7
    bool armed_de = false;                         ///< CR4.DE as of then
    std::array<std::uint64_t, 2> spare{};          ///< DR4 and DR5 as registers of their own
    std::uint64_t dr6_before_db = guest::dr::dr6_reset, dr6_before_write = guest::dr::dr6_reset;
    bool reload_dr6 = false, dr6_written = false;
    // World svm.
    bool injecting = false;         ///< the event that VMRUN injects is on its way
    std::uint64_t armed_dr7 = 0;    ///< DR7 as of the guest's last write of it
    std::uint64_t entry_rax = 0;    ///< RAX as VMRUN loaded it
    std::uint64_t last_info_1 = 0;  ///< EXITINFO1 of the last exit
    bool trapping = false;          ///< the #DB about to be delivered is a trap
};

/// One function per place in the machine.
struct QuirkHooks {
    // The boundary between instructions and the instruction itself (machine.cpp).
    /// Before anything is recognised there. A value: it has delivered an event, and whether that went well.
    static std::optional<bool> boundary(Machine& m, bool inside_rep, std::uint64_t& trap_rip, std::uint64_t& pushed);
    static std::uint64_t match_code(Machine& m, bool inside_rep);
    static void before_instruction(Machine& m);
    static void after_instruction(Machine& m, bool stepping, bool completed);
    static void fault(Machine& m);
    // Accesses: these replace what the debug unit has found (machine.cpp, ports.cpp).
    static void match_data(Machine& m, std::uint64_t linear, std::size_t length, bool write, Via via);
    static void match_io(Machine& m, std::uint16_t port, std::size_t length, bool in);
    static void store_first_page(Machine& m, std::uint64_t linear, const void* from, std::size_t length);
    // MOV DR (exec_system.cpp). `written` is null for a read. True: it has raised an exception.
    static bool refuses_dr(Machine& m, unsigned number, const std::uint64_t* written, bool& undefined, bool& allowed,
                           bool& detected);
    /// A value: it has done the write, and whether that completed.
    static std::optional<bool> write_dr(Machine& m, unsigned number, std::uint64_t value);
    // PUSHF and POPF (exec_stack.cpp).
    static std::uint64_t pushed_flags(const Machine& m, std::uint64_t image);
    static std::uint64_t popped_flags(const Machine& m, std::uint64_t loaded);
    // #DB and the way into a handler (delivery.cpp).
    static bool debug_exception(Machine& m, DebugEvent event, std::uint64_t& causes, std::uint64_t& return_rip,
                                std::uint64_t& pushed);
    static void recorded(Machine& m, DebugEvent event, std::uint64_t causes, std::uint64_t dr6_before);
    static void before_delivery(Machine& m, std::uint8_t& number, std::uint32_t& error, Delivery& delivery,
                                std::uint64_t& return_rip, std::uint64_t& pushed);
    static bool checks_dpl(const Machine& m, bool software);
    static std::uint64_t cleared_flags(const Machine& m, std::uint64_t cleared);
    static void after_delivery(Machine& m, std::uint8_t number, Delivery delivery, std::uint64_t dr7_before,
                               std::uint64_t debugctl_before);
    /// `event` is what comes of a fault met while delivering `first`.
    static void nested_fault(Machine& m, std::uint8_t first, Fault& event);

    // Guests (quirk_svm.cpp): VMRUN,
    static bool refuses_entry(const Machine& m, const guest::svm::Vmcb& vmcb);
    /// The guest is loaded; `cr2` and `dr6` are from before.
    static void entered(Machine& m, const guest::svm::Vmcb& vmcb, std::uint64_t cr2, std::uint64_t dr6);
    static bool loses_injection(Machine& m, std::uint64_t event);
    // the instruction itself, with its intercept earlier or later among its checks,
    static bool execute(Machine& m, const Instruction& instruction);
    // an intercept that is asked for: whether it is missed, and what is reported,
    static bool overlooks(const Machine& m, guest::svm::Intercept what, std::uint64_t info_1);
    static void reported(Machine& m, guest::svm::Intercept what);
    static bool io_map_asks(const Machine& m, std::uint16_t port, std::size_t width);
    static bool msr_map_asks(const Machine& m, std::uint32_t index, bool write, bool asked);
    // and #VMEXIT, when the VMCB is written. `event` is EVENTINJ before that.
    static void left(Machine& m, std::uint64_t event);

private:
    static QuirkState::Kind kind_at_rip(Machine& m);
    /// The intercept that the instruction at RIP checks, if it has one of its own.
    static std::optional<guest::svm::Intercept> intercept_at_rip(Machine& m);
    static bool intercepted_at_rip(Machine& m);
    static bool comes_before_privilege(const Machine& m, guest::svm::Intercept what);
    static bool comes_after_exceptions(const Machine& m, guest::svm::Intercept what);
    static bool fails_entry(Machine& m);
};

}  // namespace faultline::engine
