// What the chapter says in situations that the manual describes, with values written by hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "oracle/chapters/svm/chapter.hpp"
#include "oracle/chapters/svm/outcomes.hpp"
#include "oracle/chapters/svm/situation.hpp"

namespace faultline::oracle::svm {
namespace {

using P = Pre<Judging>;
using S = Stimulus<Judging>;
using R = Response<Judging>;

P processor() {
    P p{};
    p.long_mode = p.nrips = p.decode_assists = p.v_nmi = true;
    p.physical_limit = 1ull << 40, p.asid_count = 0x8000, p.s_cet_reserved = ~3ull;
    return p;
}
/// A guest in 64-bit mode that VMRUN enters.
S guest_of_vmrun() {
    S s{};
    s.kind = kind::enter;
    s.efer = 0x1500, s.cr0 = 0x80010033, s.cr3 = 0x1000, s.cr4 = 0x20, s.cs_attributes = 0x29B;
    s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400, s.asid = 1, s.iopm = 0x10000, s.msrpm = 0x13000, s.intercepts_4 = 1;
    return s;
}
S instruction(Intercept what) {
    S s{};
    s.kind = kind::instruction;
    s.intercept = number(what), s.intercepted = true;
    s.rip = 0x20000, s.next_rip = 0x20003, s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400;
    return s;
}
S exception(std::uint64_t vector) {
    S s{};
    s.kind = kind::exception;
    s.source = source::fault, s.vector = vector, s.intercepted = true;
    s.rip = s.incoming_rip = 0x20000, s.next_rip = 0x20003, s.cr2 = 0x7000, s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400;
    return s;
}

bool right(const P& p, const S& s, const R& r) {
    EXPECT_TRUE(valid<Judging>(p, s)) << "not a situation of this chapter";
    const bool permitted = std::ranges::all_of(
        rule_table(), [&](const RuleEntry& rule) { return !rule.constrains || rule.permits(p, s, r, {}); });
    Outcomes list;
    outcomes(p, s, list);
    const bool listed = std::any_of(list.begin(), list.end(), [&](const Outcome& o) { return matches<Judging>(o, r); });
    EXPECT_EQ(permitted, listed) << "rules and outcomes differ";
    return permitted;
}
bool enters(const S& s, const P& p = processor()) { return right(p, s, R{}); }
bool refused(const S& s, const P& p = processor()) {
    R r{};
    r.exits = true, r.code = ~0ull;
    return right(p, s, r);
}
/// The only exit that is right, or none.
R exit_of(const S& s, const P& p = processor()) {
    EXPECT_TRUE(valid<Judging>(p, s)) << "not a situation of this chapter";
    Outcomes list;
    outcomes(p, s, list);
    EXPECT_EQ(list.size(), 1u);
    EXPECT_TRUE(right(p, s, list[0].response));
    return list[0].response;
}
bool goes_on(const S& s) { return !exit_of(s).exits; }

// --- VMRUN

TEST(SvmEnter, AGuestInOrderIsEnteredAndNotRefused) {
    EXPECT_TRUE(enters(guest_of_vmrun()));
    EXPECT_FALSE(refused(guest_of_vmrun()));
}

TEST(SvmEnter, TheIllegalStatesAreRefused) {
    const auto refuses = [](auto change) {
        S s = guest_of_vmrun();
        change(s);
        return refused(s) && !enters(s);
    };
    EXPECT_TRUE(refuses([](S& s) { s.efer = 0x500; }));
    EXPECT_TRUE(refuses([](S& s) { s.cr0 |= 0x20000000; }));
    EXPECT_TRUE(refuses([](S& s) { s.cr0 |= 0x1'00000000; }));
    EXPECT_TRUE(refuses([](S& s) { s.cr3 |= 1ull << 52; }));
    EXPECT_TRUE(refuses([](S& s) { s.cr4 |= 1 << 19; }));
    EXPECT_TRUE(refuses([](S& s) { s.efer |= 1 << 9; }));
    EXPECT_TRUE(refuses([](S& s) { s.dr6 |= 1ull << 32; }));
    EXPECT_TRUE(refuses([](S& s) { s.dr7 |= 1ull << 63; }));
    EXPECT_TRUE(refuses([](S& s) { s.cr4 = 0; })) << "LME and PG without PAE";
    EXPECT_TRUE(refuses([](S& s) { s.cr0 &= ~1ull; })) << "LME and PG without PE";
    EXPECT_TRUE(refuses([](S& s) { s.cs_attributes = 0x69B; })) << "L and D";
    EXPECT_TRUE(refuses([](S& s) { s.intercepts_4 = 0; })) << "no VMRUN intercept";
    EXPECT_TRUE(refuses([](S& s) { s.asid = 0; }));
    EXPECT_TRUE(refuses([](S& s) { s.virtual_interrupts = 1 << 26; })) << "V_NMI_ENABLE without the NMI intercept";
    EXPECT_TRUE(refuses([](S& s) { s.cr4 |= 1 << 23, s.cr0 &= ~0x10000ull; })) << "CET without WP";
}

TEST(SvmEnter, WhatOnlyLooksIllegalIsEntered) {
    const auto passes = [](auto change) {
        S s = guest_of_vmrun();
        change(s);
        return enters(s) && !refused(s);
    };
    EXPECT_TRUE(passes([](S& s) { s.dr6 = 0, s.dr7 = 0xFFFFFFFF; }));
    EXPECT_TRUE(passes([](S& s) { s.efer = 0x1000, s.cr0 &= ~1ull; })) << "paged real mode";
    EXPECT_TRUE(passes([](S& s) { s.bad_rip = true; }));
    EXPECT_TRUE(passes([](S& s) { s.standing |= standing::bad_base; }));
    EXPECT_TRUE(passes([](S& s) { s.efer = 0x1100; })) << "LMA clear in long mode";
    EXPECT_TRUE(passes([](S& s) { s.efer = 0x1000, s.cs_attributes = 0x69B; })) << "L and D in legacy mode";
    EXPECT_TRUE(passes([](S& s) { s.iopm |= 0xFFF, s.msrpm |= 1; }));
    EXPECT_TRUE(passes([](S& s) { s.injection = 0x7F; })) << "no V";
    EXPECT_TRUE(passes([](S& s) { s.injection = 0x80000000 | 2 << 8 | 0x55; })) << "NMI";
    EXPECT_TRUE(passes([](S& s) { s.injection = 0x80000000 | 4 << 8 | 3; })) << "INT 3";
}

TEST(SvmEnter, APermissionsMapEndsBelowTheHighestAddressOfWhatUsesIt) {
    S s = guest_of_vmrun();
    s.intercepts_3 = 1 << 27;
    s.iopm = (1ull << 40) - 0x3000;
    EXPECT_TRUE(enters(s) && !refused(s));
    s.iopm = (1ull << 40) - 0x2000;
    EXPECT_TRUE(refused(s) && !enters(s));
    s.iopm = ~0ull;
    EXPECT_TRUE(refused(s) && !enters(s)) << "the end would wrap";
    s.intercepts_3 = 0;
    EXPECT_TRUE(refused(s) && enters(s)) << "unused: either";
    s = guest_of_vmrun();
    s.intercepts_3 = 1 << 28;
    s.msrpm = (1ull << 40) - 0x2000;
    EXPECT_TRUE(enters(s) && !refused(s));
    s.msrpm = (1ull << 40) - 0x1000;
    EXPECT_TRUE(refused(s) && !enters(s));
}

TEST(SvmEnter, InjectionOfWhatIsNoExceptionIsRefused) {
    const auto with = [](std::uint64_t type, std::uint64_t vector) {
        S s = guest_of_vmrun();
        s.injection = 0x80000000 | type << 8 | vector | (pushes_error<Judging>(vector) ? 0x800 : 0);
        return s;
    };
    for (const unsigned type : {1, 5, 6, 7}) EXPECT_TRUE(refused(with(type, 0x20)) && !enters(with(type, 0x20)));
    for (const unsigned vector : {2, 4, 5, 32, 255}) EXPECT_TRUE(refused(with(3, vector)) && !enters(with(3, vector)));
    for (const unsigned vector : {0, 1, 3, 6, 8, 13, 14, 17, 19})
        EXPECT_TRUE(enters(with(3, vector)) && !refused(with(3, vector))) << vector;
    for (const unsigned vector : {9, 15, 20, 21, 22, 28, 31})
        EXPECT_TRUE(enters(with(3, vector)) && refused(with(3, vector))) << vector;
    S s = with(3, 5);
    s.cs_attributes = 0x49B;
    EXPECT_TRUE(enters(s) && !refused(s)) << "compatibility mode has BOUND";
}

// --- Instructions

TEST(SvmInstruction, MovDrExitsWithItsRegisterAndLeavesAllAsItWas) {
    S s = instruction(Intercept::WriteDr0 + 7);
    s.gpr = 9, s.rf = true, s.shadow = true;
    const R r = exit_of(s);
    EXPECT_TRUE(r.exits && r.rf && r.shadow);
    EXPECT_EQ(r.code, 0x37u);
    EXPECT_EQ(r.info1, 9u);
    EXPECT_EQ(r.rip, 0x20000u);
    EXPECT_EQ(r.next_rip, 0x20003u);
    EXPECT_EQ(r.int_info, 0u);
    EXPECT_EQ(r.dr7, 0x400u);
}

TEST(SvmInstruction, EveryExceptionOfMovDrComesBeforeItsIntercept) {
    for (const auto met : {raises::undefined, raises::privilege, raises::general_detect, raises::code_breakpoint}) {
        S s = instruction(Intercept::ReadDr0 + 4);
        s.raises = met;
        EXPECT_TRUE(goes_on(s)) << met;
    }
    S s = instruction(Intercept::WriteDr0 + 7);
    s.raises = raises::operand;
    R r = exit_of(instruction(Intercept::WriteDr0 + 7));
    EXPECT_TRUE(right(processor(), s, R{}) && right(processor(), s, r)) << "a value: either";
    s.raises |= raises::privilege;
    EXPECT_TRUE(goes_on(s));
}

TEST(SvmInstruction, Cr0ByValueByLmswAndByClts) {
    S s = instruction(Intercept::WriteCr0);
    s.intercepted = false, s.selective = true;
    s.cr0_changes = 0xA;
    EXPECT_TRUE(goes_on(s)) << "TS and MP";
    s.cr0_changes = 0x10000;
    EXPECT_EQ(exit_of(s).code, 0x65u);
    s.form = form::clts;
    EXPECT_TRUE(goes_on(s));
    s.form = form::lmsw, s.cr0_changes = 0, s.raises = raises::memory;
    EXPECT_EQ(exit_of(s).code, 0x65u) << "before the operand is read";
    s.intercepted = true;
    EXPECT_EQ(exit_of(s).code, 0x10u);
    s.raises = raises::privilege;
    EXPECT_TRUE(goes_on(s));
}

TEST(SvmInstruction, IretPushfAndIntNExitWhateverTheyWouldMeet) {
    for (const auto what :
         {Intercept::Iret, Intercept::Pushf, Intercept::Popf, Intercept::SoftwareInterrupt, Intercept::Vmmcall}) {
        S s = instruction(what);
        s.raises = raises::exceptions & ~raises::general_detect;
        EXPECT_EQ(exit_of(s).code, number(what));
        s.raises = raises::pending_trap;
        EXPECT_TRUE(goes_on(s));
    }
    S s = instruction(Intercept::SoftwareInterrupt);
    s.vector = 3;
    EXPECT_EQ(exit_of(s).info1, 3u);
}

TEST(SvmInstruction, RdtscAndHltFaultFirst) {
    for (const auto what : {Intercept::Rdtsc, Intercept::Hlt, Intercept::Wbinvd, Intercept::Invlpg}) {
        S s = instruction(what);
        s.raises = raises::privilege;
        EXPECT_TRUE(goes_on(s));
    }
}

TEST(SvmInstruction, AnOutOfTwoBytesExitsForTheSecondPort) {
    S s = instruction(Intercept::Io);
    s.number = 0x7F, s.width = 2, s.write = true, s.map = 2;
    R r = exit_of(s);
    EXPECT_EQ(r.code, 0x7Bu);
    EXPECT_EQ(r.info1, 0x007F0020u);
    EXPECT_EQ(r.info2, 0x20003u);
    s.width = 1;
    EXPECT_TRUE(goes_on(s));
    s.width = 2, s.raises = raises::privilege;
    EXPECT_TRUE(goes_on(s));
}

TEST(SvmInstruction, RepOutsShowsItsSegmentAndSizes) {
    S s = instruction(Intercept::Io);
    s.number = 0x3F8, s.width = 4, s.write = s.string = s.rep = true, s.map = 1, s.address_size = 8, s.segment = 4;
    s.raises = raises::memory;
    R r = exit_of(s);
    EXPECT_EQ(r.info1, 0x03F8124Cu);
    s.write = false;
    EXPECT_EQ(exit_of(s).info1, 0x03F8024Du) << "INS: ES";
    r = exit_of(s), r.info1 ^= 0xE002;
    EXPECT_TRUE(right(processor(), s, r)) << "reserved bits";
    r.info1 ^= 8;
    EXPECT_FALSE(right(processor(), s, r));
}

TEST(SvmInstruction, MsrsInsideTheMapByTheirBitAndOutsideAlways) {
    S s = instruction(Intercept::Msr);
    s.number = 0x1D9, s.write = true;
    EXPECT_TRUE(goes_on(s));
    s.map = 1, s.raises = raises::operand;
    EXPECT_EQ(exit_of(s).info1, 1u);
    s.map = 0, s.number = 0x2000, s.write = false;
    EXPECT_EQ(exit_of(s).info1, 0u);
    s.raises = raises::privilege;
    EXPECT_TRUE(goes_on(s));
}

TEST(SvmInstruction, WithoutDecodeAssistsAndNripsTheirFieldsSayNothing) {
    P p = processor();
    p.decode_assists = p.nrips = false;
    S s = instruction(Intercept::ReadDr0);
    s.gpr = 3;
    R r = exit_of(s, p);
    r.info1 = 0x1234, r.next_rip = 0x5678;
    EXPECT_TRUE(right(p, s, r));
    EXPECT_FALSE(right(processor(), s, r));
}

// --- Exceptions

TEST(SvmException, AnInterceptedGpInTheDeliveryOfNpShowsBoth) {
    S s = exception(13);
    s.has_error = true, s.error = 0x6A, s.prior_source = prior::exception, s.prior_vector = 11;
    s.prior_has_error = true, s.prior_error = 0x28;
    const R r = exit_of([&] {
        S set = s;
        set.rf = true;
        return set;
    }());
    EXPECT_EQ(r.code, 0x4Du);
    EXPECT_EQ(r.info1, 0x6Au);
    EXPECT_EQ(r.int_info, 0x28'80000B0Bu);
    EXPECT_EQ(r.next_rip, 0u);
    s.intercepted = false;
    EXPECT_TRUE(goes_on(s));
    s.vector = 8, s.intercepted = true;
    EXPECT_EQ(exit_of(s).code, 0x48u) << "where only #DF is intercepted";
}

TEST(SvmException, PageFaultsLeaveCr2AndReportTheAddress) {
    S s = exception(14);
    s.error = 6, s.has_error = true, s.address = 0x42000;
    R r = exit_of(s);
    EXPECT_EQ(r.code, 0x4Eu);
    EXPECT_EQ(r.info1, 6u);
    EXPECT_EQ(r.info2, 0x42000u);
    EXPECT_EQ(r.cr2, 0x7000u);
    r.cr2 = 0x42000;
    EXPECT_FALSE(right(processor(), s, r));
}

TEST(SvmException, WhatThe15_12SubsectionsCallUndefinedMayBeAnything) {
    for (const unsigned vector : {0, 1, 6, 8, 10, 16}) {
        S s = exception(vector);
        s.has_error = true;
        if (vector == 8) s.prior_source = prior::exception, s.prior_vector = 11;
        R r = exit_of(s);
        r.info1 = 0xDEAD, r.info2 = 0xBEEF;
        EXPECT_TRUE(right(processor(), s, r)) << vector;
        r.rip = 0x1234;
        EXPECT_EQ(right(processor(), s, r), vector == 8) << vector;
    }
}

TEST(SvmException, Int3ExitsAtItselfWithTheNextRip) {
    S s = exception(3);
    s.interrupt_op = true;
    R r = exit_of(s);
    EXPECT_EQ(r.code, 0x43u);
    EXPECT_EQ(r.rip, 0x20000u);
    EXPECT_EQ(r.next_rip, 0x20003u);
    r.rip = 0x20003;
    EXPECT_FALSE(right(processor(), s, r));
}

TEST(SvmException, ADebugTrapShowsDr6AndDr7AsItsHandlerWould) {
    S s = exception(1);
    s.source = source::trap, s.dr6 = 0xFFFF4FF0;
    R r = exit_of(s);
    EXPECT_EQ(r.dr6, 0xFFFF4FF0u);
    r.dr6 = 0xFFFF0FF0;
    EXPECT_FALSE(right(processor(), s, r));
}

TEST(SvmException, IcebpInterruptsAndInjectedEventsMeetNoExceptionIntercept) {
    S s = exception(1);
    for (const auto source : {source::icebp, source::external, source::software, source::injected}) {
        s.source = source;
        EXPECT_TRUE(goes_on(s));
    }
}

TEST(SvmException, TheTypesOfExitintinfo) {
    S s = exception(14);
    s.rf = true, s.prior_vector = 3;
    const auto info = [&](std::uint64_t prior) {
        s.prior_source = prior;
        return exit_of(s).int_info;
    };
    EXPECT_EQ(info(prior::one_byte), 0x80000303u);
    EXPECT_EQ(info(prior::software), 0x80000403u);
    EXPECT_EQ(info(prior::external), 0x80000003u);
    EXPECT_EQ(info(prior::nmi), 0x80000203u);
    R r = exit_of(s);
    r.int_info |= 0x5555'00000000;
    EXPECT_TRUE(right(processor(), s, r)) << "no error code: anything";
    r.int_info |= 0x800;
    EXPECT_FALSE(right(processor(), s, r));
}

TEST(SvmException, AnInterceptedShutdownLeavesTheStateUndefined) {
    S s = exception(0);
    s.source = source::shutdown;
    R r = exit_of(s);
    EXPECT_EQ(r.code, 0x7Fu);
    r.rip = 0xDEAD, r.int_info = ~0ull, r.cr2 = 1;
    EXPECT_TRUE(right(processor(), s, r));
    r.code = 0x48;
    EXPECT_FALSE(right(processor(), s, r));
}

}  // namespace
}  // namespace faultline::oracle::svm
