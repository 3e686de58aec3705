#include "harness/mutate/mutation.hpp"

#include <gtest/gtest.h>

#include "harness/generate/generator.hpp"

namespace faultline::harness {
namespace {

const engine::QuirkInfo* info_of(engine::Quirk quirk) {
    for (const engine::QuirkInfo& info : engine::quirk_catalogue())
        if (info.quirk == quirk) return &info;
    return nullptr;
}

MutationPlan plan_of(std::initializer_list<engine::Quirk> quirks) {
    MutationPlan plan;
    for (const engine::Quirk quirk : quirks) plan.quirks.push_back(info_of(quirk));
    plan.programs = 2000;
    return plan;
}

TEST(Mutation, CatchesAMissingGeneralDetectAndShrinksIt) {
    const auto score = run_mutation(plan_of({engine::Quirk::general_detect_missing}));
    ASSERT_TRUE(score);
    const MutationResult& result = score->results.front();
    EXPECT_TRUE(result.caught);
    EXPECT_FALSE(result.rule.empty());
    EXPECT_LE(result.smallest.ops.size(), 4u);
    EXPECT_EQ(score->score(), 1);
}

TEST(Mutation, IsTheSameForAnyNumberOfThreads) {
    MutationPlan plan = plan_of({engine::Quirk::stale_b_kept, engine::Quirk::rf_ignored, engine::Quirk::icebp_sets_bs,
                                 engine::Quirk::step_sets_no_bs});
    const auto one = run_mutation(plan);
    plan.jobs = 3;
    const auto three = run_mutation(plan);
    ASSERT_TRUE(one && three);
    for (std::size_t i = 0; i < plan.quirks.size(); ++i) {
        EXPECT_EQ(one->results[i].quirk, plan.quirks[i]);
        EXPECT_EQ(one->results[i].programs, three->results[i].programs);
        EXPECT_EQ(one->results[i].signature, three->results[i].signature);
        EXPECT_EQ(one->results[i].smallest, three->results[i].smallest);
    }
}

TEST(Mutation, HuntsQuirksOfWorldSvmWithItsPrograms) {
    const auto score =
        run_mutation(plan_of({engine::Quirk::int_info_missing, engine::Quirk::page_fault_given_back_without_cr2}));
    ASSERT_TRUE(score);
    for (const MutationResult& result : score->results) {
        EXPECT_EQ(result.quirk->world, guest::World::Svm);
        EXPECT_TRUE(result.caught) << result.quirk->name;
        EXPECT_EQ(result.smallest.world, guest::World::Svm);
    }
}

TEST(Mutation, DoesNotCountEquivalentQuirks) {
    const auto score = run_mutation(plan_of({engine::Quirk::general_detect_before_cpl}));
    ASSERT_TRUE(score);
    EXPECT_FALSE(score->results.front().caught) << score->results.front().signature;
    EXPECT_EQ(score->counted(), 0u);
    EXPECT_EQ(score->score(), 1);
}

TEST(Mutation, MediansLeaveOutWhatWasNotCaught) {
    MutationScore score;
    for (const std::uint64_t programs : {10, 30, 1000}) {
        MutationResult r{.quirk = info_of(engine::Quirk::rf_ignored), .caught = programs < 1000, .programs = programs};
        r.smallest.ops.resize(programs / 10);
        score.results.push_back(r);
    }
    EXPECT_DOUBLE_EQ(score.median_programs(), 20);
    EXPECT_DOUBLE_EQ(score.median_ops(), 2);
    EXPECT_DOUBLE_EQ(score.score(), 2.0 / 3);
}

}  // namespace
}  // namespace faultline::harness
