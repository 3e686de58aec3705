#include "harness/generate/generator.hpp"

#include "harness/generate/hypervised.hpp"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include <array>
#include <map>

#include "harness/generate/gen.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/op_fields.hpp"
#include "oracle/judge.hpp"

namespace faultline::harness {
namespace {

using namespace guest;

Case draw(std::uint64_t seed, std::uint64_t index) {
    Case kase;
    Generator().draw(seed, index, kase);
    return kase;
}

TEST(Generator, ACaseIsAPureFunctionOfSeedAndIndex) {
    const Generator generator;
    Case reused;
    for (std::uint64_t i = 0; i < 500; ++i) {
        generator.draw(7, i, reused);  // memory of the case before must not show
        EXPECT_EQ(reused, draw(7, i)) << i;
    }
    EXPECT_NE(draw(7, 3), draw(8, 3));
    EXPECT_NE(draw(7, 3), draw(7, 4));
}

TEST(Generator, AnotherWeightsVersionIsAnotherStream) {
    Weights other;
    other.version += 1;
    Case kase;
    Generator(other).draw(7, 3, kase);
    EXPECT_NE(kase, draw(7, 3));
}

TEST(Generator, EveryWeightNamesAnOp) {
    for (const OpWeight& named : Weights{}.ops) {
        bool found = false;
        for (const OpInfo& op : op_catalogue()) found |= op.mnemonic == named.mnemonic;
        EXPECT_TRUE(found) << named.mnemonic;
    }
}

TEST(Generator, EveryThemeBendsTheWeightsAndMostProgramsHaveNone) {
    const auto modes = [](Theme theme) { return bent(Weights{}, theme).modes; };
    EXPECT_EQ(modes(Theme::Usual), Weights{}.modes);
    EXPECT_EQ(modes(Theme::Tasks)[0], 0u);  // 32-bit task switches exist in prot32 alone
    EXPECT_GT(bent(Weights{}, Theme::Held).watch_stack, Weights{}.watch_stack);
    EXPECT_GT(bent(Weights{}, Theme::Extensions).watch_io, Weights{}.watch_io);
    EXPECT_GT(bent(Weights{}, Theme::Branches).btf, Weights{}.btf);
    EXPECT_GT(bent(Weights{}, Theme::Stacks).lost_stack, Weights{}.lost_stack);
    unsigned themed = 0;
    for (const unsigned share : Weights{}.themes) themed += share;
    EXPECT_LT(themed, 500u) << "most programs follow the weights as they are";
}

TEST(Generator, EveryOpIsDrawn) {
    std::array<unsigned, std::variant_size_v<Op>> drawn{};
    for (std::uint64_t i = 0; i < 20'000; ++i)
        for (const Op& op : draw(1, i).ops) ++drawn[op.index()];
    for (std::size_t i = 0; i < drawn.size(); ++i)
        EXPECT_EQ(drawn[i] > 0, !intercept_of(op_catalogue()[i].mnemonic)) << op_catalogue()[i].mnemonic;
}

TEST(Generator, WhatIsThereToBeInterceptedIsDrawnInWorldSvm) {
    const Generator guests({}, Profile{}.in(World::Svm));
    std::map<std::string_view, unsigned> drawn;
    Case kase;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        guests.draw(1, i, kase);
        ASSERT_EQ(kase.world, World::Svm);
        for (const Op& op : kase.ops) ++drawn[op_catalogue()[op.index()].mnemonic];
    }
    for (const auto& [mnemonic, intercept] : hypervised_ops) EXPECT_GT(drawn[mnemonic], 0u) << mnemonic;
}

RC_GTEST_PROP(GeneratorLaw, EveryCaseAssembles, ()) {
    const Case kase = *cases();
    Image image;
    const auto assembled = assemble(kase, image);
    RC_ASSERT(assembled.has_value());
    RC_ASSERT(!kase.ops.empty());
}

RC_GTEST_PROP(GeneratorLaw, JumpsGoForward, ()) {
    const Case kase = *cases();
    for (std::size_t i = 0; i < kase.ops.size(); ++i)
        for_each_field(kase.ops[i], [&](std::string_view, const auto& field) {
            if constexpr (std::is_same_v<std::decay_t<decltype(field)>, OpRef>) RC_ASSERT(field.index > i);
        });
}

/// A breakpoint may look at the program, its data and ports, and at stack that no exception frame reaches.
RC_GTEST_PROP(GeneratorLaw, NoBreakpointLooksAtTheStage, ()) {
    const Case kase = *cases();
    const unsigned slot = address_bytes(kase.mode);
    const std::uint64_t rsp = layout::stack_top - slot * kase.environment.stack.size();
    for (const Value& dr : kase.environment.dr) {
        if (dr.op) continue;
        const std::uint64_t a = dr.literal;
        const bool port = a <= layout::last_port + 4u;
        const bool data = a >= layout::hole_below && a <= layout::segment_limit + 8;
        const bool stack = kase.cpl == 3 ? a >= rsp - slot && a < layout::stack_top + 24
                                         : a >= layout::stack_top - 2 * slot && a < layout::stack_top;
        const bool nowhere = a >= layout::ram_size;
        RC_ASSERT(port || data || stack || nowhere);
    }
}

RC_GTEST_PROP(GeneratorLaw, OnlyDeChangesInCr4, ()) {
    const Case kase = *cases();
    if (kase.mode != Mode::Long64) return;  // there the value is loaded just before
    const std::uint64_t r13 = kase.environment.gpr[13].literal;
    RC_ASSERT((r13 & ~cr4_de) == stage_of(World::Bare, Mode::Long64)->cr4);
}

/// How often something must be met in 4000 programs, so that nobody aims past it unnoticed.
TEST(Generator, BoundariesAreMet) {
    std::map<std::string_view, unsigned> met;
    for (std::uint64_t i = 0; i < 4000; ++i) {
        const Case kase = draw(3, i);
        const Environment& e = kase.environment;
        met["CPL 3"] += kase.cpl == 3;
        met["TF at the start"] += (e.rflags & rflags::tf) != 0;
        met["GD at the start"] += (e.dr7.literal & dr::dr7_gd) != 0;
        met["CR4.DE"] += e.de;
        met["a halt with an NMI"] += e.wake == Wake::Nmi;
        for (std::size_t n = 0; n < 4; ++n) {
            const unsigned type = e.dr7.literal >> (16 + 4 * n) & 3;
            const bool enabled = e.dr7.literal >> 2 * n & 3;
            met["a code breakpoint on an op"] += enabled && type == 0 && e.dr[n].op;
            met["a code breakpoint on the end"] +=
                enabled && type == 0 && e.dr[n].op == OpRef{std::uint16_t(kase.ops.size())};
            met["an I/O breakpoint"] += enabled && type == 2;
            met["a disabled breakpoint with an address"] += !enabled && e.dr[n] != Value{};
            const std::uint64_t size = std::array{1, 2, 8, 4}[e.dr7.literal >> (18 + 4 * n) & 3];
            met["an unaligned breakpoint"] += enabled && !e.dr[n].op && e.dr[n].literal % size != 0;
            met["a watched stack"] +=
                enabled && (type & 1) && e.dr[n].literal >= layout::stack_bottom && e.dr[n].literal < layout::stack_top;
        }
        for (std::size_t o = 1; o < kase.ops.size(); ++o) {
            const auto loads_ss = [&](std::size_t at) {
                return std::holds_alternative<ops::MovSs>(kase.ops[at]) ||
                       std::holds_alternative<ops::MovSsMem>(kase.ops[at]);
            };
            met["MOV SS behind MOV SS"] += loads_ss(o - 1) && loads_ss(o);
            met["ICEBP in a shadow"] += loads_ss(o - 1) && std::holds_alternative<ops::Icebp>(kase.ops[o]);
            met["INT n in a shadow"] += loads_ss(o - 1) && std::holds_alternative<ops::Int>(kase.ops[o]);
            met["STI, HLT"] +=
                std::holds_alternative<ops::Sti>(kase.ops[o - 1]) && std::holds_alternative<ops::Hlt>(kase.ops[o]);
        }
    }
    for (const auto& [what, times] : met) EXPECT_GE(times, 8u) << what;
    EXPECT_NEAR(met["CPL 3"], 880, 150);  // a quarter, but in real mode
}

TEST(Generator, TheOracleCanFollowWhatIsDrawn) {
    guest::Assembler assembler;
    guest::Image image;
    oracle::Judge judge;
    for (std::uint64_t i = 0; i < 4000; ++i) {
        const Case kase = draw(4, i);
        ASSERT_TRUE(assembler.assemble(kase, image));
        const char* why = judge.forecast(kase, image, {.vendor = Vendor::Amd, .btf = true});
        EXPECT_EQ(why, nullptr) << why << "\n" << to_toml(kase);
    }
}

}  // namespace
}  // namespace faultline::harness
