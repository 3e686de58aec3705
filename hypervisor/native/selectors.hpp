// The user selectors of the stage and those of Linux: a program's values in the one are laid down in the other, and
// taken back when its registers are read.
//
// A quadword that holds exactly the stage's user SS or CS is taken for a selector. A program that does anything else
// with such a value would give it away: so it runs again with other selectors of the child (and other bits above them,
// which no segment load looks at), and where the runs differ it computes with a selector, and says nothing.
#pragma once

#include <cstdint>
#include <span>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/native/child.hpp"

namespace faultline::native {

/// What of a program's values are selectors.
enum class SelectorUse : std::uint8_t {
    None,       ///< nothing: it loads no segment register
    Stack,      ///< user_ss: it loads SS
    StackCode,  ///< the code segments' on the stack too: it returns with IRET, which finds them nowhere else
    Unclear,    ///< one of its values may be a selector that the two tables do not agree on
};
SelectorUse selector_use(const guest::Image& image);

/// What stands for the stage's user selectors; the low 16 bits are what is loaded.
struct Selectors {
    std::uint64_t ss = linux_ss, cs = linux_cs, cs32 = linux_cs32;
    SelectorUse use = SelectorUse::None;

    std::uint64_t to_linux(std::uint64_t value) const {
        return use != SelectorUse::None && value == guest::layout::user_ss ? ss : value;
    }
    std::uint64_t on_stack_to_linux(std::uint64_t value) const {
        if (use != SelectorUse::StackCode) return to_linux(value);
        if (value == guest::layout::user_cs) return cs;
        return value == guest::layout::user_cs32 ? cs32 : to_linux(value);
    }
    std::uint64_t to_stage(std::uint64_t value) const {
        if (use != SelectorUse::None && value == ss) return guest::layout::user_ss;
        if (use != SelectorUse::StackCode) return value;
        if (value == cs) return guest::layout::user_cs;
        return value == cs32 ? guest::layout::user_cs32 : value;
    }
    /// Of SS and CS themselves.
    std::uint64_t loaded_to_stage(std::uint64_t value) const {
        if (value == (ss & 0xFFFF)) return guest::layout::user_ss;
        if (value == linux_cs) return guest::layout::user_cs;
        return value == linux_cs32 ? guest::layout::user_cs32 : value;
    }
};
/// Other ones that do for the same loads.
inline constexpr std::array<Selectors, 2> other_selectors{{
    {0x5A5A'0000u | other_ss[0], 0x5A5A'0000 | linux_cs, 0x5A5A'0000 | linux_cs32},
    {0x0D0D'0000u | other_ss[1], 0x0D0D'0000 | linux_cs, 0x0D0D'0000 | linux_cs32},
}};

/// Whether an op of the program computes with what may be a selector: arithmetic on memory while the stack holds one,
/// or with a register that does. Its flags may tell the stage's selector from all of the others at once.
bool computes(const guest::Image& image);

/// Rewrites the image's stack slots and the immediates that its ops load, in guest memory. True when there were any.
bool translate_memory(const guest::Image& image, const Selectors& selectors, std::span<std::uint8_t> memory);

}  // namespace faultline::native
