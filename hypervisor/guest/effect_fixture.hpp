// A state at op 0 of a small program, and what is expected of an effect in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/surroundings.hpp"

namespace faultline::guest {

constexpr std::uint64_t here = layout::code, data = layout::data, stack = layout::stack_top;
constexpr std::uint64_t noncanonical = 0x8000'0000'0000;

/// The exception that a fault comes out as, where neither vendor nor processor has a choice. Written down here for the
/// tests alone: judging goes by the exceptions chapter's rules.
struct Exception {
    std::uint8_t vector;
    std::uint32_t error = 0;
    std::uint64_t cr2 = 0;
};

inline Exception exception_of(const Effect& e, Mode mode) {
    constexpr std::uint8_t de = 0, br = 5, ud = 6, ts = 10, np = 11, ss = 12, gp = 13, pf = 14, ac = 17;
    const Fault& f = e.fault;
    const auto coded = [&](std::uint8_t vector, std::uint32_t error, std::uint64_t cr2 = 0) -> Exception {
        return {vector, mode == Mode::Real16 ? 0 : error, cr2};
    };
    const std::uint32_t selector = f.selector & ~3u;
    switch (f.cause) {
        case Cause::InvalidOpcode: return {ud};
        case Cause::Divide: return {de};
        case Cause::Bound: return {br};
        case Cause::Privilege:
        case Cause::IoPermission:
        case Cause::BranchTarget:
        case Cause::ReservedBits:
        case Cause::NullSelector:
        case Cause::NestedTask: return {gp};
        case Cause::Selector: return coded(gp, selector);
        case Cause::AbsentSelector: return coded(f.stack ? ss : np, selector);
        case Cause::TaskSelector: return coded(e.kind == Kind::Iret ? ts : gp, selector);
        case Cause::GateDpl: return coded(gp, e.vector * 8u + 2);
        case Cause::Fetch:
        case Cause::Access: break;
    }
    if (f.out_of_range) return {f.stack ? ss : gp};
    if (f.misaligned) return {ac};
    // SDM vol 3, "Page-Fault Exceptions".
    return coded(pf, (f.present ? 1u : 0u) | (f.write ? 2u : 0u) | (f.user ? 4u : 0u), f.address);
}

/// A state at op 0 in which an op's effect is asked for.
struct EffectFixture : testing::Test {
    EffectFixture() {
        state.rip = here;
        state.cs = layout::kernel_cs;
        state.ss = layout::kernel_ss;
        state.gpr[4] = stack;
        state.cr4 = 0x20;
        EXPECT_TRUE(assemble({.ops = {ops::Nop{}, ops::Nop{}}}, image));
    }
    void user() {
        state.cpl = 3;
        state.cs = layout::user_cs;
        state.ss = layout::user_ss;
    }
    /// The same program in another mode, whose ops are as long.
    void in(Mode mode, std::uint8_t cpl = 0) {
        state.mode = image.mode = mode;
        state.cpl = cpl;
        state.cs = program_cs(mode, cpl);
        state.ss = program_ss(mode, cpl);
        if (mode == Mode::Real16) state.gpr[4] &= 0xFFFF;
        image.params.entry_frame = {
            .rip = here - state.cs_base(), .cs = state.cs, .rflags = 2, .rsp = state.gpr[4], .ss = state.ss};
    }
    std::uint64_t& reg(Gpr r) { return state.gpr[static_cast<std::size_t>(r)]; }
    void unknown(Gpr r) { state.gpr_known &= static_cast<std::uint16_t>(~(1u << static_cast<unsigned>(r))); }
    Effect effect(const Op& op, Gates gates = Gates::Dpl3) {
        return effect_of(op, {state, image, here + 1, gates, &surroundings});
    }
    /// A quadword on the stack at RSP + offset.
    void lay(std::uint64_t offset, std::uint64_t value) { state.memory.write(reg(Gpr::Rsp) + offset, value, 8, true); }
    /// Slots of the mode's size from the stack pointer up.
    void lay_slots(std::initializer_list<std::uint64_t> values) {
        auto address = state.ss_base() + reg(Gpr::Rsp);
        for (const auto value : values) {
            state.memory.write(address, value, address_bytes(state.mode), true);
            address += address_bytes(state.mode);
        }
    }
    void lay_frame(std::uint64_t rip, std::uint64_t cs, std::uint64_t flags, std::uint64_t rsp, std::uint64_t ss) {
        lay(0, rip), lay(8, cs), lay(16, flags), lay(24, rsp), lay(32, ss);
    }
    void expect_fault(const Effect& e, std::uint8_t vector, std::uint32_t error = 0, std::uint64_t cr2 = 0) const {
        EXPECT_FALSE(e.unmodelled) << e.why;
        ASSERT_TRUE(e.faults);
        const Exception raised = exception_of(e, state.mode);
        EXPECT_EQ(raised.vector, vector);
        EXPECT_EQ(raised.error, error);
        EXPECT_EQ(raised.cr2, cr2);
    }
    State state;
    Image image;
    Surroundings surroundings;
};

inline void expect_cause(const Effect& e, Cause cause, std::uint16_t selector = 0) {
    EXPECT_FALSE(e.unmodelled) << e.why;
    ASSERT_TRUE(e.faults);
    EXPECT_EQ(e.fault.cause, cause);
    EXPECT_EQ(e.fault.selector, selector);
}

inline void expect_completes(const Effect& e) {
    EXPECT_FALSE(e.unmodelled) << e.why;
    EXPECT_FALSE(e.faults) << "cause " << static_cast<int>(e.fault.cause);
}

inline void expect_accesses(const Effect& e, std::initializer_list<Access> expected) {
    ASSERT_EQ(e.access_count, expected.size());
    for (std::size_t i = 0; const auto& access : expected) {
        EXPECT_EQ(e.access[i].address, access.address) << i;
        EXPECT_EQ(e.access[i].length, access.length) << i;
        EXPECT_EQ(e.access[i].write, access.write) << i;
        ++i;
    }
}

/// The value an effect leaves in a register; ~0 − 1 when it leaves it alone or unknown.
inline std::uint64_t written(const Effect& e, Gpr gpr) {
    for (std::size_t i = e.register_count; i-- > 0;)
        if (e.registers[i].gpr == gpr && e.registers[i].known) return e.registers[i].value;
    return ~1ull;
}

}  // namespace faultline::guest
