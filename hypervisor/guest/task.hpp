// Hardware task switches of prot32, as far as a program meets them: from the main task into task_a or task_b, and back
// by IRET. What happens to the state once the checks have passed; who switches (a far transfer, IRET, a gate of the
// IDT) makes them. SDM vol 3, "Task Switching"; AMD APM vol 2, "Task-Management".
#pragma once

#include <cstdint>

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/surroundings.hpp"

namespace faultline::guest {

/// Whether the TSS that `selector` names is marked busy: the current task's, the main one's while another is nested in
/// it, task_a's if the case says so.
bool task_busy(const State& state, const Surroundings& surroundings, std::uint16_t selector);

/// Why nobody can say what the task would find; null when it can be entered.
const char* task_unmodelled(const State& state, const Surroundings& surroundings, std::uint16_t selector);

/// Enters the task of TSS `selector` (task_a or task_b). `saved_rip` and `saved_rflags` go to the old task's TSS: the
/// next instruction for CALL, JMP and INT n, the faulting one for a fault. `nested`: by CALL, exception or interrupt,
/// so that NT is set and IRET finds its way back. L0–L3 of DR7 are the debug chapter's; an error code is not pushed.
State enter_task(const State& state, const Image& image, const Surroundings& surroundings, std::uint16_t selector,
                 bool nested, std::uint64_t saved_rip, std::uint64_t saved_rflags);

/// IRET with NT = 1 in a nested task; `state.outer` is set.
State leave_task(const State& state);

/// T of its TSS: #DB before the new task's first instruction.
bool task_traps(const Surroundings& surroundings, std::uint16_t selector);

/// The state after an op whose effect is Kind::TaskSwitch and completes.
State after_task_switch(const State& state, const EffectContext& context, const Effect& effect);

}  // namespace faultline::guest
