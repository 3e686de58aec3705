#include "harness/explore/explore.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "harness/explore/ordered_queue.hpp"
#include "harness/generate/generator.hpp"
#include "harness/scratch.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {
namespace {

/// The engine with a lie: every #DB record says that DR6.BS is clear.
class ForgetsBs : public guest::Backend {
public:
    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return inner_->features(); }
    void run(const guest::Image& image, guest::Tape& tape) override {
        inner_->run(image, tape);
        ++runs_;
        if (!lies()) return;
        for (std::uint32_t i = 0; i < tape.count; ++i)
            if (tape.records[i].vector == 1 && tape.records[i].dr6 != guest::not_recorded)
                tape.records[i].dr6 &= ~guest::dr::dr6_bs;
    }
    tl::expected<void, guest::Unavailable> refresh() override {
        runs_ = 0;
        return inner_->refresh();
    }

protected:
    virtual bool lies() const { return true; }
    unsigned runs_ = 0;  ///< since the machine was new

private:
    guest::Subject subject_{"liar", "1", "", "", ""};
    std::unique_ptr<guest::Backend> inner_ = engine::make_engine_backend();
};

/// Lies only once it has been used, as a machine does that keeps something from the case before.
class ForgetsBsWhenUsed final : public ForgetsBs {
    bool lies() const override { return runs_ > 1; }
};

template <class B>
BackendFactory factory() {
    return [] { return std::make_unique<B>(); };
}

Plan plan_for(BackendFactory backend, std::uint64_t programs) {
    static const Generator generator;
    Plan plan;
    plan.run.command = "explore";
    plan.subjects = {std::move(backend)};
    plan.source = [](std::uint64_t index, guest::Case& kase) { generator.draw(11, index, kase); };
    plan.programs = programs;
    plan.shrink_runs = 300;
    return plan;
}

TEST(OrderedQueue, ResultsComeInOrderHoweverTheyAreMade) {
    OrderedQueue<std::uint64_t> queue(100, 10);
    std::vector<std::jthread> workers;
    for (int w = 0; w < 4; ++w)
        workers.emplace_back([&] {
            while (auto piece = queue.claim()) {
                if (*piece % 7 == 0) std::this_thread::yield();
                queue.deliver(*piece, *piece);
            }
        });
    std::uint64_t result = 0, expected = 0;
    for (auto taken = queue.take(result, std::chrono::seconds(10));
         taken != OrderedQueue<std::uint64_t>::Take::Finished; taken = queue.take(result, std::chrono::seconds(10))) {
        ASSERT_EQ(taken, OrderedQueue<std::uint64_t>::Take::Taken);
        EXPECT_EQ(result, expected++);
    }
    EXPECT_EQ(expected, 100u);
}

TEST(OrderedQueue, ClosingHandsOutNothingMore) {
    OrderedQueue<int> queue(OrderedQueue<int>::endless, 10);
    EXPECT_EQ(queue.claim(), 0u);
    queue.close();
    EXPECT_FALSE(queue.claim());
    queue.deliver(0, 5);
    int result = 0;
    EXPECT_EQ(queue.take(result, std::chrono::seconds(10)), OrderedQueue<int>::Take::Taken);
    EXPECT_EQ(queue.take(result, std::chrono::seconds(10)), OrderedQueue<int>::Take::Finished);
}

TEST(Explore, GuestsOfBothHypervisorsDoNotDiverge) {
    static const Generator generator({}, Profile{}.in(guest::World::Svm));
    for (const auto& subject : {BackendFactory([] { return engine::make_engine_backend(); }),
                                BackendFactory([] { return reference::make_reference_backend(); })}) {
        Plan plan = plan_for(subject, 600);
        plan.source = [](std::uint64_t index, guest::Case& kase) { generator.draw(11, index, kase); };
        const auto summary = explore(plan);
        ASSERT_TRUE(summary) << summary.error().message;
        EXPECT_EQ(summary->total(Verdict::Divergence), 0u) << summary->findings.front().title;
        EXPECT_GT(summary->total(Verdict::Pass), 570u);
    }
}

TEST(Explore, AWrongSubjectIsFoundConfirmedAndShrunk) {
    auto summary = explore(plan_for(factory<ForgetsBs>(), 300));
    ASSERT_TRUE(summary) << summary.error().message;
    ASSERT_FALSE(summary->findings.empty());
    EXPECT_GT(summary->total(Verdict::Divergence), 0u);
    EXPECT_EQ(summary->total(Verdict::OrderDependent), 0u);
    std::uint64_t sum = 0;
    for (const std::uint64_t programs : summary->subjects[0].tally.by_verdict) sum += programs;
    EXPECT_EQ(sum, 300u) << "every program has exactly one verdict";
    for (const FindingRow& finding : summary->findings) {
        auto minimal = guest::parse_case(finding.minimal.text, "minimal");
        ASSERT_TRUE(minimal);
        EXPECT_LE(minimal->ops.size(), 4u) << finding.minimal.text;
    }
}

TEST(Explore, TheResultIsTheSameForAnyNumberOfJobs) {
    auto one = plan_for(factory<ForgetsBs>(), 500), three = one;
    three.jobs = 3;
    const auto a = explore(one), b = explore(three);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->programs, b->programs);
    EXPECT_EQ(a->subjects[0].tally.by_verdict, b->subjects[0].tally.by_verdict);
    EXPECT_EQ(a->subjects[0].reasons, b->subjects[0].reasons);
    EXPECT_EQ(a->subjects[0].use.applied, b->subjects[0].use.applied);
    EXPECT_EQ(a->subjects[0].use.decisive, b->subjects[0].use.decisive);
    ASSERT_EQ(a->findings.size(), b->findings.size());
    for (std::size_t i = 0; i < a->findings.size(); ++i) {
        EXPECT_EQ(a->findings[i].signature, b->findings[i].signature);
        EXPECT_EQ(a->findings[i].original.hash, b->findings[i].original.hash);
        EXPECT_EQ(a->findings[i].minimal.text, b->findings[i].minimal.text);
        EXPECT_EQ(a->findings[i].occurrences, b->findings[i].occurrences);
    }
}

TEST(Explore, WhatAFreshMachineDoesNotRepeatIsOrderDependentAndNoFinding) {
    auto summary = explore(plan_for(factory<ForgetsBsWhenUsed>(), 200));
    ASSERT_TRUE(summary);
    EXPECT_GT(summary->total(Verdict::OrderDependent), 0u);
    EXPECT_EQ(summary->total(Verdict::Divergence), 0u);
    EXPECT_TRUE(summary->findings.empty());
}

TEST(Explore, AKnownFindingIsCountedApart) {
    Known known;
    known.id = "bs";
    known.faces = {{.signatures = {"*"}}};
    known.subject.backend = "liar";
    const std::vector<Known> all{known};
    auto plan = plan_for(factory<ForgetsBs>(), 200);
    plan.known = &all;
    auto summary = explore(plan);
    ASSERT_TRUE(summary);
    EXPECT_GT(summary->total(Verdict::Known), 0u);
    EXPECT_EQ(summary->total(Verdict::Divergence), 0u);
    ASSERT_FALSE(summary->findings.empty());
    EXPECT_EQ(summary->findings.front().known, "bs");
}

TEST(Explore, AnUnavailableBackendIsSkippedWithItsReason) {
    auto plan = plan_for(
        []() -> tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable> {
            return tl::unexpected(guest::Unavailable{"no such thing"});
        },
        10);
    const auto summary = explore(plan);
    ASSERT_FALSE(summary);
    EXPECT_EQ(summary.error().exit, Exit::Skipped);
    EXPECT_EQ(summary.error().message, "no such thing");
}

TEST(Explore, AnInterruptedRunKeepsWhatItHas) {
    std::atomic<bool> stop{false};
    auto plan = plan_for(factory<ForgetsBs>(), 200'000);
    plan.shrink_runs = 0;
    plan.stop = &stop;
    plan.on_finding = [&](const FindingRow&) { stop = true; };
    const auto summary = explore(plan);
    ASSERT_TRUE(summary);
    EXPECT_TRUE(summary->interrupted);
    EXPECT_LT(summary->programs, 200'000u);
    EXPECT_FALSE(summary->findings.empty());
}

TEST(Explore, TheStoreHoldsTheFindingBeforeItIsAnnounced) {
    const ScratchFolder folder;
    const std::string path = folder / "x.db";
    auto store = Store::open(path, Store::Access::Create);
    ASSERT_TRUE(store) << store.error().message;
    auto plan = plan_for(factory<ForgetsBs>(), 300);
    plan.store = &*store;
    unsigned announced = 0;
    plan.on_finding = [&](const FindingRow& finding) {
        auto other = Store::open(path, Store::Access::Existing);  // another reader sees what is committed
        ASSERT_TRUE(other);
        auto row = other->finding(finding.id);
        ASSERT_TRUE(row) << row.error().message;
        EXPECT_EQ(row->signature, finding.signature);
        ++announced;
    };
    auto summary = explore(plan);
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(announced, summary->findings.size());
    auto rows = store->findings(summary->run);
    ASSERT_TRUE(rows);
    ASSERT_EQ(rows->size(), summary->findings.size());
    for (std::size_t i = 0; i < rows->size(); ++i) EXPECT_EQ((*rows)[i].occurrences, summary->findings[i].occurrences);
    EXPECT_EQ(store->run(summary->run)->status, "complete");
}

}  // namespace
}  // namespace faultline::harness
