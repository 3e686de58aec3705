#include "hypervisor/guest/task.hpp"

#include <algorithm>

#include "hypervisor/guest/descriptors.hpp"

namespace faultline::guest {
namespace {

std::uint16_t index_of(std::uint16_t selector) { return selector & 0xFFF8; }
std::uint8_t mark_of(std::uint16_t selector) { return index_of(selector) == layout::task_a ? 1 : 2; }

}  // namespace

bool task_busy(const State& state, const Surroundings& surroundings, std::uint16_t selector) {
    const auto index = index_of(selector);
    if (index == index_of(state.tr)) return true;
    if (index == layout::tr) return state.outer.has_value();
    return index == layout::task_a && surroundings.task && surroundings.task->busy;
}

const char* task_unmodelled(const State& state, const Surroundings& surroundings, std::uint16_t selector) {
    if (index_of(selector) == layout::tr) return "a switch to the main task that is no return";
    if (!surroundings.task) return "the case does not say what the task finds";
    // The old state does not fit; whether that is #TS, and of which TSS, the manuals leave to "accessible".
    constexpr unsigned tss_bytes = 0x68;
    if (surroundings.tss_limit < tss_bytes - 1) return "the current TSS is too short to be saved in";
    if (surroundings.task->eflags & rflags::vm) return "a task in virtual-8086 mode";
    if (state.tr != layout::tr) return "a task switch by a task that is not the main one";
    if (state.tasks_entered & mark_of(selector)) return "a task is entered for the second time";
    return nullptr;
}

bool task_traps(const Surroundings& surroundings, std::uint16_t selector) {
    // task_b's TSS differs from task_a's in T = 1.
    return index_of(selector) == layout::task_b || (surroundings.task && surroundings.task->trap);
}

State enter_task(const State& state, const Image& image, const Surroundings& surroundings, std::uint16_t selector,
                 bool nested, std::uint64_t saved_rip, std::uint64_t saved_rflags) {
    State next = state;
    next.outer.reset();
    if (nested) {
        SavedTask& saved = next.outer.emplace();
        std::copy_n(state.gpr.begin(), saved.gpr.size(), saved.gpr.begin());
        saved.gpr_known = state.gpr_known;
        saved.rip = saved_rip;
        saved.rflags = saved_rflags;
        saved.rflags_known = state.rflags_known;
        saved.cpl = state.cpl;
        saved.cs = state.cs;
        saved.ss = state.ss;
    }
    constexpr std::uint64_t loaded = rflags::arithmetic | rflags::tf | rflags::if_ | rflags::df | rflags::iopl |
                                     rflags::nt | rflags::rf | rflags::ac | rflags::vif | rflags::vip | rflags::id;
    const Task& task = *surroundings.task;
    next.gpr = {};
    next.gpr[static_cast<std::size_t>(Gpr::Rsp)] = layout::task_stack;
    next.gpr_known = 0xFFFF;
    next.rip = image.resolve(task.eip) & 0xFFFF'FFFF;
    next.rflags = (task.eflags & loaded) | rflags::fixed1 | (nested ? rflags::nt : 0);
    next.rflags_known = ~0ull;
    const unsigned cpl = image.params.entry_frame.cs & 3;  // the TSS has the case's segments
    next.cpl = static_cast<std::uint8_t>(cpl);
    next.cs = program_cs(Mode::Prot32, cpl);
    next.ss = program_ss(Mode::Prot32, cpl);
    next.cr0 |= cr0_ts;
    next.tr = index_of(selector);
    next.tasks_entered |= mark_of(selector);
    return next;
}

State leave_task(const State& state) {
    State next = state;
    const SavedTask& saved = *state.outer;
    next.gpr = {};
    std::ranges::copy(saved.gpr, next.gpr.begin());
    next.gpr_known = saved.gpr_known;
    next.rip = saved.rip;
    next.rflags = saved.rflags;
    next.rflags_known = saved.rflags_known;
    next.cpl = saved.cpl;
    next.cs = saved.cs;
    next.ss = saved.ss;
    next.cr0 |= cr0_ts;
    next.tr = layout::tr;
    next.outer.reset();
    return next;
}

State after_task_switch(const State& state, const EffectContext& context, const Effect& effect) {
    static const Surroundings defaults;
    const auto& surroundings = context.surroundings ? *context.surroundings : defaults;
    if (effect.tr == layout::tr) return leave_task(state);
    return enter_task(state, context.image, surroundings, effect.tr, effect.task_nested, context.fallthrough,
                      state.rflags & ~rflags::rf);
}

}  // namespace faultline::guest
