// What the chapter says between instructions and under nested paging, with values written by hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "oracle/chapters/svm/chapter.hpp"
#include "oracle/chapters/svm/outcomes.hpp"
#include "oracle/chapters/svm/situation.hpp"

namespace faultline::oracle::svm {
namespace {

namespace vintr = guest::svm::vintr;

Pre<Judging> processor() {
    Pre<Judging> p{};
    p.long_mode = p.nrips = p.decode_assists = p.v_nmi = p.v_gif = p.nested_paging = true;
    p.physical_limit = 1ull << 40, p.asid_count = 0x8000, p.s_cet_reserved = ~3ull;
    return p;
}

/// The one right response, which every rule permits.
Response<Judging> answer(const Stimulus<Judging>& s) {
    const auto p = processor();
    EXPECT_TRUE(valid<Judging>(p, s)) << "not a situation of this chapter";
    Outcomes list;
    outcomes(p, s, list);
    EXPECT_EQ(list.size(), 1u);
    const auto& r = list[0].response;
    for (const RuleEntry& rule : rule_table()) {
        if (!rule.constrains) continue;
        EXPECT_TRUE(rule.permits(p, s, r, {})) << rule.info.id;
    }
    return r;
}

/// A boundary at which interrupts may come.
Stimulus<Judging> boundary() {
    Stimulus<Judging> s{};
    s.kind = kind::boundary;
    s.standing = standing::gif | standing::guest_if;
    s.rip = 0x20003, s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400, s.vector = 0x31;
    return s;
}
/// Vector 30h, priority 3, against a V_TPR of 2.
constexpr std::uint64_t virtual_interrupt = 0x30'0003'0102;

TEST(SvmBoundary, AVirtualInterruptIsTakenByItsVectorAndIsThenGone) {
    auto s = boundary();
    s.virtual_interrupts = virtual_interrupt;
    const auto r = answer(s);
    EXPECT_FALSE(r.exits);
    EXPECT_EQ(r.event, event::virtual_intr);
    EXPECT_EQ(r.vector, 0x30u);
    EXPECT_EQ(r.pending, 0u);
}

TEST(SvmBoundary, WhateverMasksAVirtualInterruptLeavesItPending) {
    const auto waits = [](auto change) {
        auto s = boundary();
        s.virtual_interrupts = virtual_interrupt;
        change(s);
        const auto r = answer(s);
        return !r.exits && r.event == event::none && r.pending == (s.virtual_interrupts & vintr::irq);
    };
    EXPECT_TRUE(waits([](auto& s) { s.standing &= ~standing::guest_if; }));
    EXPECT_TRUE(waits([](auto& s) { s.standing &= ~standing::gif; }));
    EXPECT_TRUE(waits([](auto& s) { s.shadow = true; }));
    EXPECT_TRUE(waits([](auto& s) { s.virtual_interrupts += 1; })) << "V_TPR 3";
    EXPECT_TRUE(waits([](auto& s) { s.virtual_interrupts |= vintr::gif_enable; }));
    EXPECT_TRUE(waits([](auto& s) { s.virtual_interrupts &= ~vintr::irq; }));
    EXPECT_FALSE(waits([](auto& s) { s.virtual_interrupts |= 0xF | vintr::ignore_tpr; }));
}

TEST(SvmBoundary, APhysicalInterruptComesFirstAndTheVirtualOneStays) {
    auto s = boundary();
    s.virtual_interrupts = virtual_interrupt;
    s.standing |= standing::intr;
    auto r = answer(s);
    EXPECT_EQ(r.event, event::intr);
    EXPECT_EQ(r.vector, 0x31u);
    EXPECT_EQ(r.pending, vintr::irq);
    s.intercepts_3 = 0x11;  // INTR, VINTR
    r = answer(s);
    EXPECT_EQ(r.code, 0x60u);
    EXPECT_EQ(r.rip, 0x20003u);
    EXPECT_EQ(r.next_rip, 0u);
    s.standing &= ~standing::guest_if;
    EXPECT_EQ(answer(s).event, event::none);
    s.virtual_interrupts |= vintr::masking;
    EXPECT_EQ(answer(s).event, event::none) << "the host's IF is clear";
    s.standing |= standing::host_if;
    EXPECT_EQ(answer(s).code, 0x60u);
}

TEST(SvmBoundary, TheVirtualInterruptInterceptLeavesItPending) {
    auto s = boundary();
    s.virtual_interrupts = virtual_interrupt;
    s.intercepts_3 = 0x10;
    const auto r = answer(s);
    EXPECT_EQ(r.code, 0x64u);
    EXPECT_EQ(r.pending, vintr::irq);
}

TEST(SvmBoundary, AVirtualNmiComesBeforeAVirtualInterruptMeetsNoInterceptAndMasksTheNext) {
    auto s = boundary();
    s.virtual_interrupts = virtual_interrupt | vintr::nmi_enable | vintr::nmi;
    s.intercepts_3 = 0x12;  // NMI, VINTR
    const auto r = answer(s);
    EXPECT_FALSE(r.exits);
    EXPECT_EQ(r.event, event::virtual_nmi);
    EXPECT_EQ(r.vector, 2u);
    EXPECT_EQ(r.pending, vintr::irq | vintr::nmi_mask);
    s.virtual_interrupts |= vintr::nmi_mask;
    EXPECT_EQ(answer(s).code, 0x64u);
    s.standing |= standing::nmi;
    EXPECT_EQ(answer(s).code, 0x61u) << "a physical one";
}

/// A final address that the nested tables map for everything.
Stimulus<Judging> translation() {
    Stimulus<Judging> s{};
    s.kind = kind::nested;
    s.standing = standing::present | standing::user | standing::writable;
    s.address = 0x40018, s.rip = 0x20000, s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400;
    return s;
}

TEST(SvmNested, WhatTheNestedTablesAllowGoesOn) {
    auto s = translation();
    for (const auto access : {std::uint64_t{0}, standing::write, standing::fetch, standing::tables}) {
        s.standing = translation().standing | access;
        EXPECT_FALSE(answer(s).exits);
    }
}

TEST(SvmNested, EachRefusalHasItsErrorCode) {
    const auto info = [](std::uint64_t added, std::uint64_t removed) {
        auto s = translation();
        s.rf = true;  // what it would be in any case
        s.standing = (s.standing | added) & ~removed;
        const auto r = answer(s);
        EXPECT_EQ(r.code, 0x400u);
        EXPECT_EQ(r.info2, 0x40018u);
        return r.info1;
    };
    EXPECT_EQ(info(0, standing::present), 0x1'0000'0004u);
    EXPECT_EQ(info(standing::write, standing::present), 0x1'0000'0006u);
    EXPECT_EQ(info(standing::write, standing::writable), 0x1'0000'0007u);
    EXPECT_EQ(info(0, standing::user), 0x1'0000'0005u);
    EXPECT_EQ(info(standing::reserved, 0), 0x1'0000'000Du);
    EXPECT_EQ(info(standing::fetch | standing::no_execute | standing::host_nxe, 0), 0x1'0000'0015u);
    EXPECT_EQ(info(standing::tables, standing::writable), 0x2'0000'0007u);
    EXPECT_EQ(info(standing::tables | standing::fetch, standing::present), 0x2'0000'0006u);
}

TEST(SvmNested, VmrunLooksAtNestedPagingOnlyWhereItIsAskedFor) {
    Stimulus<Judging> s{};
    s.kind = kind::enter;
    s.efer = 0x1500, s.cr0 = 0x80010033, s.cr3 = 0x1000, s.cr4 = 0x20, s.cs_attributes = 0x29B;
    s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400, s.asid = 1, s.intercepts_4 = 1;
    s.standing = standing::nested_paging | standing::host_paging;
    s.nested_cr3 = 0x92000, s.g_pat = 0x0007'0406'0007'0406;
    EXPECT_FALSE(answer(s).exits);
    const auto refused_only_when_asked = [&](auto change) {
        auto changed = s;
        change(changed);
        const bool refused = answer(changed).code == ~0ull;
        changed.standing &= ~standing::nested_paging;
        return refused && !answer(changed).exits;
    };
    EXPECT_TRUE(refused_only_when_asked([](auto& t) { t.standing &= ~standing::host_paging; }));
    EXPECT_TRUE(refused_only_when_asked([](auto& t) { t.nested_cr3 |= 1ull << 52; }));
    EXPECT_TRUE(refused_only_when_asked([](auto& t) { t.g_pat |= 2ull << 56; }));
    EXPECT_TRUE(refused_only_when_asked([](auto& t) { t.g_pat |= 8; }));
}

}  // namespace
}  // namespace faultline::oracle::svm
