// Hardware task switches of legacy protected mode. AMD APM vol 2, "Hardware Task-Management in Legacy Mode".
#pragma once

#include <cstdint>
#include <optional>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

/// How the tasks hang together afterwards. AMD APM vol 2, "Nesting Tasks", "Effects of Task Nesting".
enum class TaskLink : std::uint8_t {
    Jump,    ///< JMP: the old task ends
    Nest,    ///< CALL, INT n, interrupts, exceptions: the new task returns to the old one
    Return,  ///< IRET with NT = 1
};

struct TaskSwitch {
    std::uint16_t selector = 0;  ///< of the new TSS; privilege is the caller's to check
    TaskLink link = TaskLink::Jump;
    std::uint64_t resume_rip = 0, saved_rflags = 0;  ///< what the old task's TSS gets
    std::uint32_t external = 0;                      ///< EXT for the error codes of what goes wrong
    std::optional<std::uint32_t> error_code;         ///< pushed on the new task's stack
};

/// False: `fault` is raised. Before the commit point nothing has changed but accessed and dirty bits; after it the
/// machine is in the new task, RIP at its first instruction.
bool switch_task(Machine& m, const TaskSwitch& request);

/// The switch that the current instruction makes, which is a branch.
bool switch_task_by_instruction(Machine& m, std::uint16_t selector, TaskLink link);

}  // namespace faultline::engine
