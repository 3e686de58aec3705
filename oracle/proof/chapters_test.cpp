// The real chapters. Their whole proof takes minutes and is `faultline prove`; here are the kinds of stimulus whose
// proof is quick, a chapter that is quick altogether, and that the form which is proved is the form that judges.
#include <gtest/gtest.h>

#include <random>

#include "oracle/chapters/debug/formal.hpp"
#include "oracle/proof/paths.hpp"
#include "oracle/proof/proof.hpp"
#include "oracle/proof/records.hpp"

namespace faultline::oracle::proof {
namespace {

using debug::Formal;

TEST(DebugProof, HoldsForWhatComesBetweenInstructions) {
    for (const Chapter& chapter : chapters()) {
        if (chapter.name != "debug") continue;
        for (const std::uint64_t kind : {debug::kind::boundary, debug::kind::wake}) {
            const Result result = chapter.prove({.jobs = 1, .kind = kind});
            for (const Failure& f : result.failures) ADD_FAILURE() << f.what << "\n" << f.text;
            EXPECT_GT(result.rules, 130u);
            EXPECT_LE(result.redundant * 10, result.rules);
        }
        return;
    }
    FAIL() << "there is no chapter debug";
}

TEST(SvmProof, HoldsAltogether) {
    for (const Chapter& chapter : chapters()) {
        if (chapter.name != "svm") continue;
        const Result result = chapter.prove({.jobs = 1});
        for (const Failure& f : result.failures) ADD_FAILURE() << f.what << "\n" << f.text;
        EXPECT_GT(result.rules, 160u);
        return;
    }
    FAIL() << "there is no chapter svm";
}

class Draw {
public:
    template <class Record>
    Record record() {
        Record drawn;
        each_field<Record>([&](const char*, auto index) {
            auto& value = field(drawn, index);
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>)
                value = engine_() & 1;
            else
                value = word();
        });
        return drawn;
    }
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }

private:
    std::uint64_t word() {
        switch (below(4)) {
            case 0: return below(9);
            case 1: return 0x40000 + below(8);
            case 2: return 0x400 | engine_() << 16 | (engine_() & 0xFF);
            default: return engine_();
        }
    }
    std::mt19937_64 engine_{5};
};

TEST(DebugProof, TheFormThatIsProvedIsTheFormThatJudges) {
    Draw draw;
    z3::context context;
    std::size_t listed = 0;
    for (int i = 0; i < 3000; ++i) {
        auto pre = draw.record<Formal::Pre<Judging>>();
        auto stim = draw.record<Formal::Stimulus<Judging>>();
        stim.kind = draw.below(Formal::last_kind + 1);
        const std::uint64_t without = draw.below(Formal::alternatives.size() + 1);
        Formal::Outcomes<Judging> judged;
        Formal::outcomes<Judging>(pre, stim, judged, without);
        if (judged.size() == judged.capacity) continue;

        const auto proved_pre = lifted<Formal::Pre<Proving>>(pre);
        const auto proved_stim = lifted<Formal::Stimulus<Proving>>(stim);
        Paths paths(context, true);
        Formal::Outcomes<Proving> proved(paths);
        Formal::outcomes<Proving>(proved_pre, proved_stim, proved, without);
        ASSERT_EQ(proved.items().size(), judged.size()) << text(pre) << " | " << text(stim);
        for (std::size_t n = 0; n < judged.size(); ++n) {
            const auto& [guard, outcome] = proved.items()[n];
            ASSERT_TRUE(guard.is(true));
            const auto response = lifted<Formal::Response<Proving>>(judged[n].response);
            ASSERT_TRUE(Formal::matches<Proving>(outcome, response).is(true)) << text(pre) << " | " << text(stim);
            ASSERT_TRUE(outcome.dr6_any.is(judged[n].dr6_any));
            ASSERT_TRUE(outcome.rf_any.is(judged[n].rf_any));
        }
        listed += judged.size();
    }
    EXPECT_GT(listed, 3000u);
}

}  // namespace
}  // namespace faultline::oracle::proof
