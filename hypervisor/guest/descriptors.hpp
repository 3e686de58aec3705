// The stage's GDT as facts: what stands behind each selector. The stage writes its table from these, ops state their
// selector checks by them, and the oracle knows from them what event delivery finds.
#pragma once

#include <cstdint>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

struct Descriptor {
    enum class Kind : std::uint8_t {
        None,  ///< null, beyond the table, or an empty entry (type 0, a system type that nothing accepts)
        Data,
        Code,
        Tss,
        TaskGate,
    } kind = Kind::None;
    bool outside = false;  ///< beyond the table's limit
    bool present = true;
    std::uint8_t dpl = 0;
    bool writable = false;    ///< Data
    bool readable = false;    ///< Code
    bool conforming = false;  ///< Code
    bool long_code = false;   ///< Code: L = 1, D = 0
    std::uint16_t task = 0;   ///< TaskGate: selector of the TSS
    constexpr bool operator==(const Descriptor&) const = default;
};

/// What `selector` (RPL ignored) names in the GDT of this mode's stage. TI = 1 names an entry of the LDT, which the
/// stages do not have: outside. Meaningless in real16.
constexpr Descriptor descriptor_of(Mode mode, std::uint16_t selector) {
    using Is = Descriptor::Kind;
    const auto code = [](std::uint8_t dpl, bool long_code) {
        return Descriptor{.kind = Is::Code, .dpl = dpl, .readable = true, .long_code = long_code};
    };
    const auto data = [](std::uint8_t dpl) { return Descriptor{.kind = Is::Data, .dpl = dpl, .writable = true}; };
    const auto with = [](Descriptor d, auto change) {
        change(d);
        return d;
    };
    const auto absent = [&](Descriptor d) { return with(d, [](Descriptor& x) { x.present = false; }); };
    const auto readonly = [&](Descriptor d) { return with(d, [](Descriptor& x) { x.writable = false; }); };
    const bool wide = long_mode(mode);
    const unsigned index = selector & ~7u;
    if ((selector & 4) != 0 || index >= layout::gdt_bytes) return {.outside = true};
    switch (index) {
        case layout::kernel_cs: return code(0, wide);
        case layout::kernel_ss: return data(0);
        case layout::user_ss & ~7: return data(3);
        case layout::user_cs & ~7: return code(3, wide);
        case layout::tr: return {.kind = Is::Tss};
        case layout::kernel_cs32: return wide ? code(0, false) : Descriptor{};
        case layout::user_cs32 & ~7: return wide ? code(3, false) : Descriptor{};
        case layout::absent_code: return absent(code(0, wide));
        case layout::conforming_code: return with(code(0, wide), [](Descriptor& x) { x.conforming = true; });
        case layout::absent_data: return absent(data(0));
        case layout::absent_user_data & ~7: return absent(data(3));
        case layout::readonly_data: return readonly(data(0));
        case layout::readonly_user_data & ~7: return readonly(data(3));
        case layout::unreadable_user_code & ~7: return with(code(3, wide), [](Descriptor& x) { x.readable = false; });
        case layout::task_a:
        case layout::task_b: return wide ? Descriptor{} : Descriptor{.kind = Is::Tss, .dpl = 3};
        case layout::task_gate: return wide ? Descriptor{} : Descriptor{.kind = Is::TaskGate, .task = layout::task_a};
        case layout::task_gate_dpl3:
            return wide ? Descriptor{} : Descriptor{.kind = Is::TaskGate, .dpl = 3, .task = layout::task_a};
        default: return {};
    }
}

/// CS and SS at a program's start.
constexpr std::uint16_t program_cs(Mode mode, unsigned cpl) {
    if (mode == Mode::Real16) return layout::real_cs;
    if (mode == Mode::Compat32) return cpl == 0 ? layout::kernel_cs32 : layout::user_cs32;
    return cpl == 0 ? layout::kernel_cs : layout::user_cs;
}
constexpr std::uint16_t program_ss(Mode mode, unsigned cpl) {
    if (mode == Mode::Real16) return layout::real_ss;
    return cpl == 0 ? layout::kernel_ss : layout::user_ss;
}

}  // namespace faultline::guest
