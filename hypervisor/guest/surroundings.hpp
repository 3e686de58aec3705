// What event delivery and task switches find in the stage's tables, as far as a case may choose it.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// A gate of the IDT that differs from the stage's own. Real16 has no gates to differ.
struct Gate {
    enum class Type : std::uint8_t { Interrupt, Trap, Task, Reserved };
    enum class Target : std::uint8_t { Stub, OutOfRange };  ///< OutOfRange: non-canonical, or beyond CS's limit
    Vector vector;
    Type type = Type::Interrupt;
    std::uint8_t dpl = 0;
    bool present = true;
    std::uint16_t selector = layout::kernel_cs;  ///< of the handler's code segment; Task: of a TSS
    std::uint8_t ist = 0;                        ///< long mode: 0; 1, #DF's own; 2 (`ist2`)
    Target target = Target::Stub;
    auto operator<=>(const Gate&) const = default;
};

/// Prot32: what a task switch finds in the TSS of task_a (task_b's differs in T = 1 only). Segments are those of the
/// case's CPL; general purpose registers are zero but ESP, which is layout::task_stack. ESP0 and SS0 are the stage's.
struct Task {
    Value eip;  ///< an op of the program
    std::uint64_t eflags = rflags::fixed1;
    bool trap = false;  ///< T of task_a's TSS
    bool busy = false;  ///< its descriptor is marked busy beforehand
    auto operator<=>(const Task&) const = default;
};

inline constexpr std::size_t max_gates = 8;

/// What event delivery finds; the defaults are a machine on which every delivery succeeds.
struct Surroundings {
    std::vector<Gate> gates;                            ///< at most max_gates, each of another vector
    std::uint16_t idt_limit = 0xFFFF;                   ///< cut to the table's size
    std::uint16_t tss_limit = 0xFFFF;                   ///< the same
    Value inner_stack{std::nullopt, layout::rsp0_top};  ///< RSP0 or ESP0
    std::uint16_t inner_ss = layout::kernel_ss;         ///< prot32: SS0
    Value ist2{std::nullopt, layout::ist2_top};         ///< long mode: IST2
    bool alignment_check = false;                       ///< CR0.AM
    std::optional<Task> task;
    auto operator<=>(const Surroundings&) const = default;
};

/// The gate of `vector` that is in force: the case's own, or the stage's.
inline Gate gate_of(const Surroundings& surroundings, Gates gates, std::uint8_t vector) {
    for (const Gate& gate : surroundings.gates)
        if (gate.vector.number == vector) return gate;
    Gate gate{.vector = {vector}};
    if (gates == Gates::Dpl3 && layout::callable_from_cpl3(vector)) gate.dpl = 3;
    if (vector == 8) gate.ist = 1;  // long mode
    return gate;
}

}  // namespace faultline::guest
