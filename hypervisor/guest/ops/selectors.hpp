// What a selector must name to be loaded: by descriptor_of, in the manual's order. Real16 takes any.
#pragma once

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

constexpr bool is_null(std::uint16_t selector) { return selector <= 3; }

/// SS at `cpl`: by MOV SS, POP SS and LSS at the CPL there is, by returns at the one they go to. Null needs 64-bit
/// mode, CPL < 3 and RPL = CPL; else writable data whose RPL and DPL are CPL, and present. SDM vol 2, "MOV",
/// "IRET/IRETD/IRETQ", "RET"; AMD APM vol 2, "Segment-Register Loads with a NULL Selector".
inline void check_stack_selector(EffectBuilder& e, std::uint16_t selector, unsigned cpl) {
    if (e.mode() == Mode::Real16) return;
    if (is_null(selector)) {
        if (e.mode() != Mode::Long64 || cpl == 3 || selector != cpl)
            e.selector_fault(Cause::NullSelector, selector, true);
        return;
    }
    const auto d = descriptor_of(e.mode(), selector);
    if (d.kind != Descriptor::Kind::Data || !d.writable || (selector & 3u) != cpl || d.dpl != cpl)
        e.selector_fault(Cause::Selector, selector, true);
    else if (!d.present)
        e.selector_fault(Cause::AbsentSelector, selector, true);
}

/// DS, ES, FS, GS: null loads; data and readable code need, unless conforming, RPL ≤ DPL and CPL ≤ DPL.
/// SDM vol 2, "MOV" and "POP".
inline void check_data_selector(EffectBuilder& e, std::uint16_t selector) {
    if (e.mode() == Mode::Real16 || is_null(selector)) return;
    const auto d = descriptor_of(e.mode(), selector);
    const bool data = d.kind == Descriptor::Kind::Data, code = d.kind == Descriptor::Kind::Code && d.readable;
    const bool privileged = d.conforming || ((selector & 3u) <= d.dpl && e.state().cpl <= d.dpl);
    if ((!data && !code) || !privileged)
        e.selector_fault(Cause::Selector, selector);
    else if (!d.present)
        e.selector_fault(Cause::AbsentSelector, selector);
}

/// A program's bytes mean something in its own mode only.
inline void check_code_size(EffectBuilder& e, const Descriptor& d) {
    if (d.long_code != (e.mode() == Mode::Long64)) e.unmodelled("a transfer to code of the other size");
}

/// CS of a far transfer: present code; `privileged(descriptor)` is what the transfer asks besides.
template <class Privileged>
void check_code_selector(EffectBuilder& e, std::uint16_t selector, Privileged privileged) {
    if (is_null(selector)) return e.selector_fault(Cause::NullSelector, selector);
    const auto d = descriptor_of(e.mode(), selector);
    if (d.kind != Descriptor::Kind::Code || !privileged(d))
        e.selector_fault(Cause::Selector, selector);
    else if (!d.present)
        e.selector_fault(Cause::AbsentSelector, selector);
    else
        check_code_size(e, d);
}

/// Of a far JMP or CALL: it stays at CPL. SDM vol 2, "JMP" and "CALL".
inline void check_jump_selector(EffectBuilder& e, std::uint16_t selector) {
    const unsigned cpl = e.state().cpl, rpl = selector & 3u;
    check_code_selector(e, selector,
                        [&](const Descriptor& d) { return d.conforming ? d.dpl <= cpl : rpl <= cpl && d.dpl == cpl; });
}

/// Of IRET and far RET: its RPL is the CPL to be, which may only grow. SDM vol 2, "IRET/IRETD/IRETQ" and "RET".
inline void check_return_selector(EffectBuilder& e, std::uint16_t selector) {
    const unsigned cpl = e.state().cpl, rpl = selector & 3u;
    check_code_selector(
        e, selector, [&](const Descriptor& d) { return rpl >= cpl && (d.conforming ? d.dpl <= rpl : d.dpl == rpl); });
}

/// Whether an enabled data breakpoint watches bytes above a selector popped from slot `slot`. SDM vol 2,
/// "IRET/IRETD/IRETQ", "RET" and "POP", discards them; whether it reads them no manual says, and a processor seen
/// doesn't.
inline bool watches_discarded_bytes(const State& state, unsigned slot) {
    const std::uint64_t bytes = address_bytes(state.mode), begin = state.reg(Gpr::Rsp) + slot * bytes + 2,
                        end = begin + bytes - 2;
    for (unsigned n = 0; n < 4; ++n) {
        if ((state.dr7 >> 2 * n & 3) == 0 || (state.dr7 >> (16 + 4 * n) & 3) == 0) continue;
        constexpr std::uint64_t sizes[] = {1, 2, 8, 4};
        const std::uint64_t size = sizes[state.dr7 >> (18 + 4 * n) & 3], first = state.dr[n] & ~(size - 1);
        if (first < end && begin < first + size) return true;
    }
    return false;
}
inline void discard_above_selector(EffectBuilder& e, unsigned slot) {
    if (!e.stopped() && watches_discarded_bytes(e.state(), slot))
        e.unmodelled("a data breakpoint watches bytes of a popped selector that are discarded: reading them is open");
}

}  // namespace faultline::guest::ops
