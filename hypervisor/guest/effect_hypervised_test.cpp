// Ops for programs under a hypervisor: what they raise before anybody's intercept, and whether that is all known.
#include <array>

#include "hypervisor/guest/effect_fixture.hpp"

namespace faultline::guest {
namespace {

struct HypervisedEffect : EffectFixture {
    /// What comes next nobody states, but no exception does.
    static void expect_raises_nothing(const Effect& e) {
        EXPECT_FALSE(e.faults);
        EXPECT_TRUE(e.unmodelled);
        EXPECT_TRUE(e.raises_nothing);
    }
    static void expect_unknown(const Effect& e) {
        EXPECT_TRUE(e.unmodelled);
        EXPECT_FALSE(e.raises_nothing);
    }
};

TEST_F(HypervisedEffect, VmcbOfAnUnalignedAddressIsRefusedBeforeAnythingElse) {
    reg(Gpr::Rax) = 0x80000;
    for (const Op& op : {Op{ops::Vmrun{}}, Op{ops::Vmload{}}, Op{ops::Vmsave{}}}) expect_raises_nothing(effect(op));
    reg(Gpr::Rax) = 0x80010;
    for (const Op& op : {Op{ops::Vmrun{}}, Op{ops::Vmload{}}, Op{ops::Vmsave{}}})
        expect_cause(effect(op), Cause::ReservedBits);
    unknown(Gpr::Rax);
    expect_unknown(effect(ops::Vmrun{}));
    user();
    expect_cause(effect(ops::Vmrun{}), Cause::Privilege);
}

TEST_F(HypervisedEffect, VmmcallAndRsmAreUndefinedAtEveryPrivilege) {
    expect_cause(effect(ops::Vmmcall{}), Cause::InvalidOpcode);
    user();
    expect_cause(effect(ops::Vmmcall{}), Cause::InvalidOpcode);
    expect_cause(effect(ops::Rsm{}), Cause::InvalidOpcode);
}

TEST_F(HypervisedEffect, IllegalValuesOfControlRegistersAreRefused) {
    state.cr0 = cr0_pg | cr0_pe;
    reg(Gpr::Rax) = state.cr0 | cr0_ts;
    const Effect e = effect(ops::MovToCr0{Gpr::Rax});
    expect_completes(e);
    EXPECT_EQ(e.cr0, state.cr0 | cr0_ts);
    reg(Gpr::Rax) = state.cr0 | cr0_wp;
    expect_raises_nothing(effect(ops::MovToCr0{Gpr::Rax}));
    for (const std::uint64_t refused :
         std::array<std::uint64_t, 3>{cr0_pg, state.cr0 | 1ull << 29, state.cr0 | 1ull << 32}) {
        reg(Gpr::Rax) = refused;
        expect_cause(effect(ops::MovToCr0{Gpr::Rax}), Cause::ReservedBits);
    }
    reg(Gpr::Rax) = 0x10;
    expect_cause(effect(ops::MovToCr8{Gpr::Rax}), Cause::ReservedBits);
    reg(Gpr::Rax) = 0xF;
    expect_completes(effect(ops::MovToCr8{Gpr::Rax}));
    reg(Gpr::Rax) = 1ull << 52;
    expect_cause(effect(ops::MovToCr3{Gpr::Rax}), Cause::ReservedBits);
    reg(Gpr::Rax) = 1ull << 51;
    expect_unknown(effect(ops::MovToCr3{Gpr::Rax}));
    reg(Gpr::Rax) = 0x1000;
    expect_raises_nothing(effect(ops::MovToCr3{Gpr::Rax}));
}

TEST_F(HypervisedEffect, LmswSetsPeAndNeverClearsIt) {
    state.cr0 = cr0_pg | cr0_pe;
    reg(Gpr::Rbx) = cr0_ts;
    EXPECT_EQ(effect(ops::Lmsw{Gpr::Rbx}).cr0, cr0_pg | cr0_pe | cr0_ts);
}

TEST_F(HypervisedEffect, OnlyPrivilegeIsAskedForBeforeATableIsLoaded) {
    expect_raises_nothing(effect(ops::Lidt{{.disp = static_cast<std::int32_t>(layout::hole)}}));
    reg(Gpr::Rcx) = 3;
    expect_cause(effect(ops::Ltr{Gpr::Rcx}), Cause::NullSelector);
    expect_raises_nothing(effect(ops::Lldt{Gpr::Rcx}));
    user();
    expect_cause(effect(ops::Lgdt{{.disp = 0}}), Cause::Privilege);
    expect_completes(effect(ops::Str{Gpr::Rcx}));
}

TEST_F(HypervisedEffect, OptionalInstructionsMayBeUndefined) {
    for (const Op& op : {Op{ops::Monitor{}}, Op{ops::Mwait{}}, Op{ops::Rdpru{}}, Op{ops::Tlbsync{}}})
        expect_unknown(effect(op));
}

TEST_F(HypervisedEffect, FourCountersMayBeReadByPrivilegedPrograms) {
    reg(Gpr::Rcx) = 3;
    expect_completes(effect(ops::Rdpmc{}));
    reg(Gpr::Rcx) = 4;
    expect_unknown(effect(ops::Rdpmc{}));
    user();
    expect_cause(effect(ops::Rdpmc{}), Cause::Privilege);
}

}  // namespace
}  // namespace faultline::guest
