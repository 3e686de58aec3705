#include "harness/shrink/shrink.hpp"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include "harness/generate/gen.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/op_fields.hpp"

namespace faultline::harness {
namespace {

using namespace guest;

bool has_icebp(const Case& kase) {
    for (const Op& op : kase.ops)
        if (std::holds_alternative<ops::Icebp>(op)) return true;
    return false;
}

TEST(Shrink, FindsTheOneOpThatMatters) {
    const Generator generator;
    Case kase;
    unsigned tried = 0;
    for (std::uint64_t i = 0; tried < 20; ++i) {
        generator.draw(5, i, kase);
        if (!has_icebp(kase)) continue;
        ++tried;
        const Case small = shrink(kase, has_icebp, 5000);
        Case expected;
        expected.mode = kase.mode, expected.cpl = kase.cpl;  // a privilege is not simpler than another
        expected.ops = {ops::Icebp{}};
        EXPECT_EQ(small, expected) << i;
    }
}

TEST(Shrink, SpendsItsBudgetAndNoMore) {
    Case kase;
    Generator().draw(5, 0, kase);
    unsigned runs = 0;
    shrink(
        kase, [&](const Case&) { return ++runs, false; }, 10);
    EXPECT_EQ(runs, 10u);
}

TEST(Shrink, IsDeterministic) {
    Case kase;
    for (std::uint64_t i = 0; i < 50; ++i) {
        Generator().draw(5, i, kase);
        const auto keeps = [](const Case& c) { return c.ops.size() >= 2; };
        EXPECT_EQ(shrink(kase, keeps, 500), shrink(kase, keeps, 500));
    }
}

TEST(Shrink, AReferenceToARemovedOpGoesToWhatFollows) {
    Case kase;
    kase.ops = {ops::Nop{}, ops::Jmp{{3}}, ops::Stc{}, ops::Clc{}};
    bool seen = false;
    for (const Case& c : simpler(kase)) seen |= c.ops == std::vector<Op>{ops::Jmp{{2}}, ops::Stc{}, ops::Clc{}};
    EXPECT_TRUE(seen);
}

RC_GTEST_PROP(ShrinkLaw, EverySimplerCaseDiffersAndKeepsItsReferencesInside, ()) {
    const Case kase = *cases();
    for (const Case& c : simpler(kase)) {
        RC_ASSERT(!(c == kase));
        for (const Op& op : c.ops)
            for_each_field(op, [&](std::string_view, const auto& field) {
                if constexpr (std::is_same_v<std::decay_t<decltype(field)>, OpRef>)
                    RC_ASSERT(field.index <= c.ops.size());
                if constexpr (std::is_same_v<std::decay_t<decltype(field)>, Value>)
                    if (field.op) RC_ASSERT(field.op->index <= c.ops.size());
            });
        for (const Value& value : c.environment.dr)
            if (value.op) RC_ASSERT(value.op->index <= c.ops.size());
    }
}

RC_GTEST_PROP(ShrinkLaw, TakingEveryStepEnds, ()) {
    const Case kase = *cases();
    unsigned steps = 0;
    const Case least = shrink(
        kase, [&](const Case&) { return ++steps, true; }, 100'000);
    RC_ASSERT(steps < 100'000u);
    RC_ASSERT(least.ops.empty());
    RC_ASSERT(simpler(least).empty());
}

}  // namespace
}  // namespace faultline::harness
