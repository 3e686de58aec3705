// A chapter's rules and `outcomes` are two readings of the same manuals. Here they are held against each other on
// states and stimuli aimed at the boundaries where rules meet; over all values, the proof does the same.
//
// A chapter's consistency_test.cpp draws its situations and responses, and instantiates the suite with
//   struct Subject {
//       using Formal, Alternative, Draw;               // Draw derives from Drawing
//       static auto rules();                           // the chapter's rule_table()
//       static constexpr int draws_per_alternative;
//   };
//   Draw(seed), draw.situation() -> pair of Pre and Stimulus, inside `valid`
//   draw.response(pre, stim, outcomes) -> a Response near what is right
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <boost/hana/accessors.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/second.hpp>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <string_view>

#include "oracle/domain.hpp"

namespace faultline::oracle {

/// Draws values that are likely to meet.
class Drawing {
public:
    explicit Drawing(std::uint64_t seed) : engine_(seed) {}

    std::uint64_t bits() { return engine_(); }
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }
    bool chance(unsigned percent) { return below(100) < percent; }
    template <class... T>
    std::uint64_t of(T... options) {
        const std::uint64_t list[] = {static_cast<std::uint64_t>(options)...};
        return list[below(sizeof...(options))];
    }

private:
    std::mt19937_64 engine_;
};

/// The fields of a record that are not zero.
template <class Record>
std::string show(const Record& record) {
    namespace hana = boost::hana;
    std::ostringstream out;
    hana::for_each(hana::accessors<Record>(), [&](auto accessor) {
        const auto value = hana::second(accessor)(record);
        if (value)
            out << hana::to<const char*>(hana::first(accessor)) << '=' << std::hex << std::uint64_t{value} << ' ';
    });
    return out.str();
}

template <class Subject>
class ChapterConsistency : public testing::Test {
protected:
    using Formal = typename Subject::Formal;
    using Alternative = typename Subject::Alternative;
    using Draw = typename Subject::Draw;
    using P = typename Formal::template Pre<Judging>;
    using S = typename Formal::template Stimulus<Judging>;
    using R = typename Formal::template Response<Judging>;
    using Outcomes = typename Formal::template Outcomes<Judging>;
    static constexpr auto ids = Formal::alternatives;

    /// What judging runs on; `without` leaves one alternative out.
    static Outcomes right_of(const P& p, const S& s, Alternative without = Alternative::Count) {
        Outcomes right;
        outcomes(p, s, right, without);
        return right;
    }
    /// Whether every rule permits `r`, and it is normalised.
    static bool permitted(const P& p, const S& s, const R& r, std::string_view without = {}) {
        return Formal::template normalised<Judging>(s, r) &&
               std::ranges::none_of(Subject::rules(), [&](const auto& rule) {
                   return rule.constrains && !rule.permits(p, s, r, without);
               });
    }
    static std::string rejecting_rules(const P& p, const S& s, const R& r, std::string_view without) {
        std::string list;
        for (const auto& rule : Subject::rules())
            if (rule.constrains && !rule.permits(p, s, r, without)) list += std::string(rule.info.id) + ' ';
        if (!Formal::template normalised<Judging>(s, r)) list += "(not normalised)";
        return list;
    }
    static std::string show_all(const P& p, const S& s, const R& r) {
        return "\n pre  " + show(p) + "\n stim " + show(s) + "\n resp " + show(r);
    }

    /// Of one situation: something is right, and responses near it are among `outcomes` when the rules permit them.
    static testing::AssertionResult agree(Draw& draw, Alternative without) {
        const auto [p, s] = draw.situation();
        if (!Formal::template valid<Judging>(p, s))
            return testing::AssertionFailure() << "drawn outside `valid`: " << show(p) << "| " << show(s);
        const std::string_view id = without == Alternative::Count ? "" : ids[static_cast<std::size_t>(without)];
        const Outcomes all = right_of(p, s), right = right_of(p, s, without);
        if (right.size() == 0) return testing::AssertionFailure() << "no outcome: " << show(p) << "| " << show(s);
        for (int i = 0; i < 6; ++i) {
            const R r = draw.response(p, s, all);
            const bool by_rules = permitted(p, s, r, id);
            const bool by_outcomes = std::any_of(right.begin(), right.end(), [&](const auto& outcome) {
                return Formal::template matches<Judging>(outcome, r);
            });
            if (by_rules != by_outcomes)
                return testing::AssertionFailure()
                       << (by_rules ? "rules permit, outcomes lack" : "outcomes list, rules reject") << "\n without "
                       << id << show_all(p, s, r) << "\n rejected by " << rejecting_rules(p, s, r, id);
        }
        return testing::AssertionSuccess();
    }
};

TYPED_TEST_SUITE_P(ChapterConsistency);

TYPED_TEST_P(ChapterConsistency, RulesAndOutcomesAgree) {
    rc::detail::checkGTest([](std::uint64_t seed) {
        typename TestFixture::Draw draw(seed);
        for (int i = 0; i < 1000; ++i) {
            const auto result = TestFixture::agree(draw, TestFixture::Alternative::Count);
            if (!result) RC_FAIL(result.message());
        }
    });
}

TYPED_TEST_P(ChapterConsistency, RulesAndOutcomesAgreeWithoutAnyOneFreeRule) {
    typename TestFixture::Draw draw(7);
    for (std::size_t a = 0; a < this->ids.size(); ++a)
        for (int i = 0; i < TypeParam::draws_per_alternative; ++i)
            ASSERT_TRUE(this->agree(draw, static_cast<typename TestFixture::Alternative>(a)));
}

TYPED_TEST_P(ChapterConsistency, EachFreeRuleAddsAResponse) {
    for (const std::string_view id : this->ids) {
        typename TestFixture::Draw draw(11);
        bool shrinks = false;
        for (int i = 0; i < 400000 && !shrinks; ++i) {
            const auto [p, s] = draw.situation();
            const auto r = draw.response(p, s, this->right_of(p, s));
            shrinks = this->permitted(p, s, r) && !this->permitted(p, s, r, id);
        }
        EXPECT_TRUE(shrinks) << id;
    }
}

TYPED_TEST_P(ChapterConsistency, AlternativesAreExactlyTheFreeRules) {
    std::size_t free_rules = 0;
    for (const auto& rule : TypeParam::rules()) {
        if (rule.constrains) continue;
        ++free_rules;
        EXPECT_NE(std::find(this->ids.begin(), this->ids.end(), rule.info.id), this->ids.end()) << rule.info.id;
    }
    EXPECT_EQ(free_rules, this->ids.size());
}

TYPED_TEST_P(ChapterConsistency, EachConstrainingRuleRejectsSomethingThatAllOthersPermit) {
    std::map<std::string_view, bool> alone;
    for (const auto& rule : TypeParam::rules())
        if (rule.constrains && !rule.redundant) alone[rule.info.id] = false;
    typename TestFixture::Draw draw(13);
    std::size_t missing = alone.size();
    for (int i = 0; i < 3000000 && missing > 0; ++i) {
        const auto [p, s] = draw.situation();
        const auto r = draw.response(p, s, this->right_of(p, s));
        if (!TestFixture::Formal::template normalised<Judging>(s, r)) continue;
        std::string_view only;
        int rejecting = 0;
        for (const auto& rule : TypeParam::rules())
            if (rule.constrains && !rule.redundant && !rule.permits(p, s, r, {})) {
                only = rule.info.id;
                if (++rejecting > 1) break;
            }
        if (rejecting == 1 && !alone[only]) alone[only] = true, --missing;
    }
    for (const auto& [id, found] : alone) EXPECT_TRUE(found) << id;
}

TYPED_TEST_P(ChapterConsistency, TheInvariantsHoldOfEveryOutcome) {
    typename TestFixture::Draw draw(17);
    for (int i = 0; i < 100000; ++i) {
        const auto [p, s] = draw.situation();
        for (const auto& outcome : this->right_of(p, s))
            boost::hana::for_each(TestFixture::Formal::invariants, [&, &p = p, &s = s](auto type) {
                using Invariant = typename decltype(type)::type;
                EXPECT_TRUE(Invariant::template holds<Judging>(p, s, outcome.response))
                    << Invariant::info.id << this->show_all(p, s, outcome.response);
            });
    }
}

TYPED_TEST_P(ChapterConsistency, AtMostATenthOfTheRulesAreCorollaries) {
    const auto rules = TypeParam::rules();
    EXPECT_LE(
        static_cast<std::size_t>(std::ranges::count_if(rules, [](const auto& rule) { return rule.redundant; })) * 10,
        rules.size());
}

REGISTER_TYPED_TEST_SUITE_P(ChapterConsistency, RulesAndOutcomesAgree, RulesAndOutcomesAgreeWithoutAnyOneFreeRule,
                            EachFreeRuleAddsAResponse, AlternativesAreExactlyTheFreeRules,
                            EachConstrainingRuleRejectsSomethingThatAllOthersPermit, TheInvariantsHoldOfEveryOutcome,
                            AtMostATenthOfTheRulesAreCorollaries);

}  // namespace faultline::oracle
