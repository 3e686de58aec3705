// Far transfers: JMP, CALL and RET with a selector, and IRET.
#pragma once

#include <variant>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/ops/flags.hpp"
#include "hypervisor/guest/ops/selectors.hpp"
#include "hypervisor/guest/task.hpp"

namespace faultline::guest::ops {

/// Linear address of an offset in the code segment just loaded. Real16: one from which the program can be reached.
inline std::uint64_t in_segment(EffectBuilder& e, std::uint16_t cs, std::uint64_t offset) {
    if (e.mode() != Mode::Real16) return offset;
    const std::uint64_t base = std::uint64_t{cs} << 4;
    if (base > layout::code || base + 0xFFFF < layout::code + layout::code_limit)
        e.unmodelled("CS is loaded with a segment that does not hold the program");
    return base + (offset & 0xFFFF);
}

/// Offset of an op in the segment that a far pointer names.
inline std::uint64_t far_offset(const EffectBuilder& e, std::uint16_t selector, OpRef to) {
    const auto address = e.context().image.op_address(to.index);
    return e.mode() == Mode::Real16 ? (address - (std::uint64_t{selector} << 4)) & 0xFFFF : address;
}

/// The facts about the state after a task switch that an effect has room for.
inline void switched_to(EffectBuilder& e, const State& after) {
    if (e.stopped()) return;
    e.transfer_to(after.rip);
    e.raw().kind = Kind::TaskSwitch;
    e.raw().rflags = after.rflags;
    e.raw().rflags_known = after.rflags_known;
    e.raw().cr0 = after.cr0;
    e.raw().tr = after.tr;
    e.enter(after.cpl, after.cs, after.ss);
}

/// JMP or CALL to a TSS or a task gate: CPL and RPL against its DPL, the gate's alone where there is one; then
/// presence; then the TSS must not be busy. SDM vol 3, "Task Switching"; SDM vol 2, "JMP".
inline void task_transfer(EffectBuilder& e, std::uint16_t selector, const Descriptor& d, bool call) {
    const bool gate = d.kind == Descriptor::Kind::TaskGate;
    if (d.dpl < e.state().cpl || d.dpl < (selector & 3u)) e.selector_fault(Cause::Selector, selector);
    if (!d.present) e.selector_fault(Cause::AbsentSelector, selector);
    const std::uint16_t tss = gate ? d.task : selector;
    if (task_busy(e.state(), e.surroundings(), tss)) e.selector_fault(Cause::TaskSelector, tss);
    if (const char* why = task_unmodelled(e.state(), e.surroundings(), tss)) e.unmodelled(why);
    if (e.state().rflags & rflags::rf) e.unmodelled("whether a task switch by an op saves RF is not stated");
    if (e.stopped()) return;
    const auto rflags = e.state().rflags & ~rflags::rf;
    switched_to(e,
                enter_task(e.state(), e.context().image, e.surroundings(), tss, call, e.context().fallthrough, rflags));
    e.raw().task_nested = call;
    e.raw().task_trap = task_traps(e.surroundings(), tss);
}

/// IRET with NT = 1: the back link must name a busy TSS. Only a nested task's does; the others' is null.
inline void task_return(EffectBuilder& e) {
    // SDM vol 3, "Invalid TSS Exception (#TS)", Invalid TSS Conditions: #TS with "TSS segment selector index".
    if (e.state().tr == layout::tr && e.surroundings().tss_limit < 1)
        e.unmodelled("the back link lies beyond the TSS's limit: which TSS #TS names is not stated");
    if (!e.state().outer) return e.selector_fault(Cause::TaskSelector, 0);
    if (e.state().rflags & rflags::rf) e.unmodelled("whether a task switch by an op saves RF is not stated");
    if (!e.stopped()) switched_to(e, leave_task(e.state()));
}

inline void far_transfer(EffectBuilder& e, std::uint16_t selector, OpRef to, bool call) {
    const auto named = descriptor_of(e.mode(), selector);
    if (e.mode() == Mode::Prot32 && !is_null(selector) &&
        (named.kind == Descriptor::Kind::Tss || named.kind == Descriptor::Kind::TaskGate))
        return task_transfer(e, selector, named, call);
    const auto& state = e.state();
    const bool real = e.mode() == Mode::Real16;
    const auto cs = static_cast<std::uint16_t>(real ? selector : (selector & ~3u) | state.cpl);
    if (!real) check_jump_selector(e, selector);
    if (call) {
        e.push_selector(state.cs);
        e.push({e.return_offset()});
    }
    e.transfer_to(in_segment(e, cs, far_offset(e, selector, to)));
    e.enter(state.cpl, cs, state.ss);
}

struct FarJmp {
    FAULTLINE_OP(FarJmp, "far-jmp", "JMP ptr16:32 (EA)", (Word, selector), (OpRef, to));
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.far_branch(ZYDIS_MNEMONIC_JMP, selector.number); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        far_transfer(e, selector.number, to, false);
        return e.done();
    }
};

struct FarCall {
    FAULTLINE_OP(FarCall, "far-call", "CALL ptr16:32 (9A)", (Word, selector), (OpRef, to));
    static constexpr bool exists(Mode mode) { return mode != Mode::Long64; }
    Encoding encode(const Encoder& with) const { return with.far_branch(ZYDIS_MNEMONIC_CALL, selector.number); }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        far_transfer(e, selector.number, to, true);
        return e.done();
    }
};

inline constexpr auto unknown_frame = "a far return pops an unknown value";

/// The return of IRET and far RET in protected and long mode: pops RIP, CS, with `has_flags` RFLAGS (the result), and
/// SS:RSP if privilege changes or `always_stack`. Checks CS, then SS, then RIP.
inline std::uint64_t return_far(EffectBuilder& e, bool has_flags, bool always_stack) {
    const auto& state = e.state();
    const auto rip = e.need(e.stack(0), unknown_frame);
    const auto cs = static_cast<std::uint16_t>(e.need(e.stack(1), unknown_frame));
    const auto flags = has_flags ? e.need(e.stack(2), unknown_frame) : 0;
    const unsigned frame = has_flags ? 3 : 2, cpl = cs & 3u;
    // SDM vol 2, "RET" and "IRET", pop one after the other; processors read CS or the flags first.
    e.frame_in_any_order(always_stack ? frame + 2 : frame);
    if (e.mode() == Mode::Prot32 && state.cpl == 0 && flags & rflags::vm) e.unmodelled("IRET to virtual-8086 mode");
    const bool pops_stack = always_stack || cpl > state.cpl;
    Known rsp, ss{state.ss};
    const auto pop_stack = [&] {
        if (e.stopped()) return;
        rsp = e.stack(frame);
        ss = e.stack(frame + 1);
        if (!e.raw().faults) return;
        e.raw().faults = false;
        e.unmodelled("a return cannot read RSP or SS: whether CS is checked before is not stated");
    };
    if (always_stack) pop_stack();
    check_return_selector(e, cs);
    if (pops_stack && !always_stack) pop_stack();
    const auto selector = static_cast<std::uint16_t>(e.need(ss, unknown_frame));
    if (pops_stack) check_stack_selector(e, selector, cpl);
    if (e.mode() == Mode::Long64 ? !canonical(rip) : rip > layout::segment_limit) e.fault(Cause::BranchTarget);
    discard_above_selector(e, 1);
    if (pops_stack) discard_above_selector(e, frame + 1);
    if (pops_stack)
        e.set(Gpr::Rsp, {e.need(rsp, unknown_frame)});
    else
        e.release_stack(frame);
    e.transfer_to(rip);
    e.enter(static_cast<std::uint8_t>(cpl), cs, selector);
    return flags;
}

/// The same in real mode: IP, CS, FLAGS; nothing is checked.
inline std::uint64_t return_real(EffectBuilder& e, bool has_flags) {
    const auto ip = e.need(e.stack(0), unknown_frame);
    const auto cs = static_cast<std::uint16_t>(e.need(e.stack(1), unknown_frame));
    const auto flags = has_flags ? e.need(e.stack(2), unknown_frame) : 0;
    e.release_stack(has_flags ? 3 : 2);
    e.transfer_to(in_segment(e, cs, ip));
    e.enter(e.state().cpl, cs, e.state().ss);
    return flags;
}

struct FarRet {
    FAULTLINE_OP(FarRet, "far-ret", "RETF (CB; REX.W in long64)");
    Encoding encode(const Encoder& with) const { return with.far_return(); }
    /// SDM vol 2, "RET": SS:RSP is popped only when privilege changes.
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.mode() == Mode::Real16 ? return_real(e, false) : return_far(e, false, false);
        return e.done();
    }
};

struct Iret {
    FAULTLINE_OP(Iret, "iret", "IRETQ, IRETD or IRET");
    Encoding encode(const Encoder& with) const {
        return with.by_slot(ZYDIS_MNEMONIC_IRETQ, ZYDIS_MNEMONIC_IRETD, ZYDIS_MNEMONIC_IRET);
    }
    /// SDM vol 2, "IRET/IRETD/IRETQ"; AMD APM vol 3, "IRET, IRETD, IRETQ". In 64-bit mode SS:RSP is always popped. The
    /// CPL before decides which flags load; the 16-bit form leaves the upper half alone. Real mode ignores NT,
    /// protected mode returns to the task that the back link names.
    Effect effect(const EffectContext& context) const {
        const auto& state = context.state;
        EffectBuilder e(context, Kind::Iret);
        const bool real = state.mode == Mode::Real16;
        if (state.rflags & rflags::nt && !real) {
            if (long_mode(state.mode)) e.fault(Cause::NestedTask);
            task_return(e);
            return e.done();
        }
        const auto flags = real ? return_real(e, true) : return_far(e, true, state.mode == Mode::Long64);
        const auto upper = state.cpl == 0 ? rflags::vif | rflags::vip : 0;
        e.set_flags((popf_loads | rflags::rf | privileged_flags(state) | upper) & flags_image(state.mode), {flags});
        return e.done();
    }
};

using FarOps = std::variant<FarJmp, FarCall, FarRet, Iret>;

}  // namespace faultline::guest::ops
