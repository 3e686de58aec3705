// The prover must be able to fail: a toy chapter of two kinds of stimulus is proved, and then broken in every way that
// a chapter can be wrong.
#include "oracle/proof/prover.hpp"

#include <gtest/gtest.h>

#include <boost/hana/define_struct.hpp>
#include <boost/hana/tuple.hpp>

namespace faultline::oracle::proof {
inline namespace toy {

namespace hana = boost::hana;
constexpr std::uint64_t op = 0, icebp = 1;  // Stimulus::kind
constexpr std::uint64_t bs = 0x4000;

template <class D>
struct Pre {
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Pre, (Bool, tf));
};
template <class D>
struct Stimulus {
    using Bits = typename D::Bits;
    BOOST_HANA_DEFINE_STRUCT(Stimulus, (Bits, kind));
};
template <class D>
struct Response {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    BOOST_HANA_DEFINE_STRUCT(Response, (Bool, db), (Bits, dr6));
};
template <class D>
struct OutcomeIn {
    Response<D> response;
};

constexpr RuleInfo rule(std::string_view id, RuleKind kind = RuleKind::Arch) {
    return {id, "toy", "", RuleVendor::Both, kind, "", {}};
}

struct Steps : RuleBase {
    static constexpr RuleInfo info = rule("T-1");
    FAULTLINE_APPLIES { return stim.kind == op; }
    FAULTLINE_ALLOWS { return r.db == pre.tf; }
};
struct Icebp : RuleBase {
    static constexpr RuleInfo info = rule("T-2");
    FAULTLINE_APPLIES { return stim.kind == icebp; }
    FAULTLINE_ALLOWS { return r.db; }
};
struct ShowsBs : RuleBase {
    static constexpr RuleInfo info = rule("T-3");
    FAULTLINE_APPLIES { return pre.tf == pre.tf; }
    FAULTLINE_ALLOWS { return r.dr6 == ite(pre.tf && stim.kind == op, typename D::Bits(bs), typename D::Bits(0)); }
};
struct MayShowBs : RuleBase {
    static constexpr RuleInfo info = rule("T-4", RuleKind::Free);
    using excepts = Excepts<ShowsBs>;
    FAULTLINE_APPLIES { return stim.kind == icebp && pre.tf; }
    FAULTLINE_ALLOWS { return r.dr6 == bs; }
};

struct OnlyBs {
    static constexpr InvariantInfo info = {"T-I1", ""};
    FAULTLINE_HOLDS { return !has(r.dr6, ~bs) && implies(!r.db, r.dr6 == 0); }
};

/// The toy. Its variants derive from it and hide what they break.
struct Toy {
    static constexpr std::string_view name = "toy";
    template <class D>
    using Pre = proof::Pre<D>;
    template <class D>
    using Stimulus = proof::Stimulus<D>;
    template <class D>
    using Response = proof::Response<D>;
    template <class D>
    using Outcomes = OutcomeList<D, OutcomeIn<D>, 4>;

    static constexpr auto rules = hana::tuple_t<Steps, Icebp, ShowsBs, MayShowBs>;
    static constexpr auto invariants = hana::tuple_t<OnlyBs>;
    static constexpr std::array<std::string_view, 1> alternatives = {"T-4"};
    static constexpr std::uint64_t last_kind = icebp;

    template <class D>
    static typename D::Bool valid(const Pre<D>&, const Stimulus<D>& stim) {
        return ule(stim.kind, typename D::Bits(icebp));
    }
    template <class D>
    static typename D::Bool normalised(const Stimulus<D>&, const Response<D>&) {
        return true;
    }
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        if (out.pick(stim.kind, icebp) == icebp) {
            out.add({{true, 0}});
            out.when(pre.tf && without != 0, [&] { out.add({{true, bs}}); });
        } else if (out.decide(pre.tf)) {
            out.add({{true, bs}});
        } else {
            out.add({{false, 0}});
        }
    }
    template <class D>
    static typename D::Bool matches(const OutcomeIn<D>& outcome, const Response<D>& r) {
        return outcome.response.db == r.db && outcome.response.dr6 == r.dr6;
    }
};

template <class Formal>
Result prove() {
    return Prover<Formal>(Options{.jobs = 2}).prove();
}
/// Expects that the chapter fails in this way, and that some failure's line or case holds `words`.
template <class Formal>
void expect_failure(Claim claim, const std::string& words) {
    const Result result = prove<Formal>();
    EXPECT_FALSE(result.holds());
    EXPECT_FALSE(result.holds(claim));
    std::string all;
    for (const Failure& f : result.failures)
        if (f.claim == claim) all += f.what + "\n" + f.text;
    EXPECT_NE(all.find(words), std::string::npos) << all;
}

TEST(Prover, ProvesAChapterThatIsRight) {
    const Result result = prove<Toy>();
    EXPECT_TRUE(result.holds());
    for (const Failure& f : result.failures) ADD_FAILURE() << f.what << "\n" << f.text;
    EXPECT_EQ(result.rules, 4u);
    EXPECT_EQ(result.free, 1u);
    EXPECT_EQ(result.invariants, 1u);
    EXPECT_EQ(result.models.size(), 4u);
    EXPECT_EQ(result.valid, "stimulus.kind <= 1\n");
}

namespace a_rule_that_is_too_strict {
struct TooStrict : Icebp {
    static constexpr RuleInfo info = rule("T-2S");
    FAULTLINE_ALLOWS { return r.db && !pre.tf; }
};
struct Broken : Toy {
    static constexpr auto rules = hana::tuple_t<Steps, TooStrict, ShowsBs, MayShowBs>;
};
}  // namespace a_rule_that_is_too_strict

TEST(Prover, SeesARuleThatIsTooStrict) {
    expect_failure<a_rule_that_is_too_strict::Broken>(Claim::Consistent, "T-2S reject it");
}

namespace a_rule_that_is_too_weak {
struct TooWeak : Steps {
    FAULTLINE_ALLOWS { return implies(pre.tf, r.db); }
};
struct Broken : Toy {
    static constexpr auto rules = hana::tuple_t<TooWeak, Icebp, ShowsBs, MayShowBs>;
    static constexpr auto invariants = hana::tuple_t<>;
};
}  // namespace a_rule_that_is_too_weak

TEST(Prover, SeesARuleThatIsTooWeak) { expect_failure<a_rule_that_is_too_weak::Broken>(Claim::Complete, "permit it"); }

namespace a_rule_that_never_applies {
struct NeverApplies : RuleBase {
    static constexpr RuleInfo info = rule("T-9");
    FAULTLINE_APPLIES { return pre.tf && !pre.tf; }
    FAULTLINE_ALLOWS { return r.db; }
};
struct Broken : Toy {
    static constexpr auto rules = hana::tuple_t<Steps, Icebp, ShowsBs, NeverApplies, MayShowBs>;
};
}  // namespace a_rule_that_never_applies

TEST(Prover, SeesARuleThatNeverApplies) {
    expect_failure<a_rule_that_never_applies::Broken>(Claim::Alive, "T-9 is not alive");
    EXPECT_TRUE(prove<a_rule_that_never_applies::Broken>().holds(Claim::Complete));
}

namespace a_free_rule_that_adds_nothing {
struct AddsNothing : MayShowBs {
    FAULTLINE_ALLOWS { return r.dr6 == 0; }
};
struct Broken : Toy {
    static constexpr auto rules = hana::tuple_t<Steps, Icebp, ShowsBs, AddsNothing>;
};
}  // namespace a_free_rule_that_adds_nothing

TEST(Prover, SeesAFreeRuleThatAddsNothing) {
    expect_failure<a_free_rule_that_adds_nothing::Broken>(Claim::Alive, "T-4 is not alive");
}

namespace a_corollary_that_is_none {
struct NoCorollary : Icebp {
    static constexpr RuleInfo info = rule("T-2R");
    static constexpr bool redundant = true;
};
struct Broken : Toy {
    static constexpr auto rules = hana::tuple_t<Steps, NoCorollary, ShowsBs, MayShowBs>;
};
}  // namespace a_corollary_that_is_none

TEST(Prover, SeesACorollaryThatIsNone) {
    expect_failure<a_corollary_that_is_none::Broken>(Claim::Alive, "redundant is not implied");
    expect_failure<a_corollary_that_is_none::Broken>(Claim::Alive, "more than a tenth");
}

namespace an_outcome_that_is_missing {
struct Broken : Toy {
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        if (out.pick(stim.kind, icebp) == icebp) return out.add({{true, 0}});
        Toy::outcomes<D>(pre, stim, out, without);
    }
};
}  // namespace an_outcome_that_is_missing

TEST(Prover, SeesAnOutcomeThatIsMissing) {
    expect_failure<an_outcome_that_is_missing::Broken>(Claim::Complete, "1 listed, it is not");
}

namespace an_outcome_too_many {
struct Broken : Toy {
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        Toy::outcomes<D>(pre, stim, out, without);
        out.when(!pre.tf && stim.kind == op, [&] { out.add({{true, 0}}); });
    }
};
}  // namespace an_outcome_too_many

TEST(Prover, SeesAnOutcomeTooMany) { expect_failure<an_outcome_too_many::Broken>(Claim::Consistent, "T-1 reject it"); }

namespace an_alternative_that_does_not_switch_off {
struct Broken : Toy {
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out, const typename D::Bits&) {
        Toy::outcomes<D>(pre, stim, out, typename D::Bits(1));
    }
};
}  // namespace an_alternative_that_does_not_switch_off

TEST(Prover, SeesAnAlternativeThatDoesNotSwitchOff) {
    expect_failure<an_alternative_that_does_not_switch_off::Broken>(Claim::Consistent, "without   T-4");
}

namespace that_nothing_is_right {
struct Broken : Toy {
    template <class D>
    static void outcomes(const Pre<D>& pre, const Stimulus<D>& stim, Outcomes<D>& out,
                         const typename D::Bits& without) {
        if (out.decide(pre.tf)) Toy::outcomes<D>(pre, stim, out, without);
    }
};
}  // namespace that_nothing_is_right

TEST(Prover, SeesThatNothingIsRight) {
    expect_failure<that_nothing_is_right::Broken>(Claim::Consistent, "outcomes are empty");
}

namespace a_false_invariant {
struct False {
    static constexpr InvariantInfo info = {"T-I9", ""};
    FAULTLINE_HOLDS { return implies(r.db, pre.tf); }
};
struct Broken : Toy {
    static constexpr auto invariants = hana::tuple_t<OnlyBs, False>;
};
}  // namespace a_false_invariant

TEST(Prover, SeesAFalseInvariant) { expect_failure<a_false_invariant::Broken>(Claim::Invariant, "T-I9 does not hold"); }

namespace that_nothing_is_valid {
struct Broken : Toy {
    template <class D>
    static typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>&) {
        return pre.tf && !pre.tf;
    }
};
}  // namespace that_nothing_is_valid

TEST(Prover, SeesThatNothingIsValid) {
    expect_failure<that_nothing_is_valid::Broken>(Claim::Satisfiable, "admits nothing");
    EXPECT_FALSE(prove<that_nothing_is_valid::Broken>().holds(Claim::Consistent))
        << "what is proved about nothing is not proved";
}

namespace a_kind_that_was_forgotten {
struct Broken : Toy {
    template <class D>
    static typename D::Bool valid(const Pre<D>&, const Stimulus<D>& stim) {
        return ule(stim.kind, typename D::Bits(2));
    }
};
}  // namespace a_kind_that_was_forgotten

TEST(Prover, SeesAKindThatWasForgotten) {
    expect_failure<a_kind_that_was_forgotten::Broken>(Claim::Satisfiable, "beyond 1");
}

namespace a_false_lemma {
struct Broken : Toy {
    template <class D, class F>
    static void lemmas(const Pre<D>& pre, const Stimulus<D>&, F&& f) {
        f(pre.tf);
    }
};
}  // namespace a_false_lemma

TEST(Prover, SeesAFalseLemma) { expect_failure<a_false_lemma::Broken>(Claim::Lemma, "lemma 1"); }

TEST(Terms, OfConstantsAreConstants) {
    EXPECT_TRUE((Bits(6) & Bits(3)).is(2));
    EXPECT_TRUE((~Bits(0)).is(~0ull));
    EXPECT_TRUE((Bits(1) - Bits(2)).is(~0ull));
    EXPECT_TRUE((Bits(1) << 63).is(1ull << 63));
    EXPECT_TRUE((Bits(5) < Bits(5)).is(false));
    EXPECT_TRUE(ule(Bits(5), Bits(5)).is(true));
    EXPECT_TRUE(ite(Bool(false), Bits(1), Bits(2)).is(2));
    z3::context context;
    const Bool unknown(context.bool_const("x"));
    EXPECT_TRUE((unknown && false).is(false));
    EXPECT_TRUE((unknown || true).is(true));
    EXPECT_FALSE((unknown || false).constant());
    EXPECT_TRUE((Bits(context.bv_const("y", 64)) & 0).is(0));
}

}  // namespace toy
}  // namespace faultline::oracle::proof
