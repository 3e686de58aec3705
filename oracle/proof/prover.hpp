// The proof of one chapter: see oracle/README.md, "Proving". Generic over the chapter's Formal; proofs of different
// kinds of stimulus are independent of each other, and run side by side, each in a solver context of its own.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/hana/for_each.hpp>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "oracle/proof/forms.hpp"
#include "oracle/proof/paths.hpp"
#include "oracle/proof/proof.hpp"
#include "oracle/proof/records.hpp"
#include "oracle/proof/solve.hpp"

namespace faultline::oracle::proof {

/// A state, a stimulus and a response as plain values, and what each form says about them.
template <class Formal>
struct Instance {
    typename Formal::template Pre<Judging> pre;
    typename Formal::template Stimulus<Judging> stim;
    typename Formal::template Response<Judging> r;
    std::uint64_t without = Formal::alternatives.size();

    using F = Forms<Formal>;
    bool valid() const { return Formal::template valid<Judging>(pre, stim); }
    bool normalised() const { return Formal::template normalised<Judging>(stim, r); }
    bool permitted() const { return F::template permitted<Judging>(pre, stim, r, without); }
    bool listed(std::uint64_t left_out) const {
        typename Formal::template Outcomes<Judging> out;
        Formal::template outcomes<Judging>(pre, stim, out, left_out);
        for (const auto& o : out)
            if (Formal::template matches<Judging>(o, r)) return true;
        return false;
    }
    bool listed() const { return listed(without); }
    std::size_t outcomes() const {
        typename Formal::template Outcomes<Judging> out;
        Formal::template outcomes<Judging>(pre, stim, out, without);
        return out.size();
    }
    /// Ids of the constraining rules that do not permit the response.
    std::vector<std::string_view> rejecting(bool redundant_too) const {
        std::vector<std::string_view> ids;
        F::each_constraint([&](auto type) {
            using Rule = typename decltype(type)::type;
            if ((redundant_too || !Rule::redundant) && !F::template permits<Rule, Judging>(pre, stim, r, without))
                ids.push_back(Rule::info.id);
        });
        return ids;
    }
    std::vector<std::string_view> broken_invariants() const {
        std::vector<std::string_view> ids;
        F::each_invariant([&](auto type) {
            using Invariant = typename decltype(type)::type;
            if (!Invariant::template holds<Judging>(pre, stim, r)) ids.push_back(Invariant::info.id);
        });
        return ids;
    }
    /// Smaller values for which `still()` holds as well.
    template <class Still>
    void shrink(Still&& still) {
        const auto holds = [&] { return valid() && still(); };
        if (!holds()) return;
        const auto left_out = std::exchange(without, Formal::alternatives.size());
        if (!holds()) without = left_out;
        for (int round = 0; round < 2; ++round) {
            proof::shrink(stim, holds);
            proof::shrink(pre, holds);
            proof::shrink(r, holds);
        }
    }
    std::string text() const {
        std::string lines = "  state     " + proof::text(pre) + "\n  stimulus  " + proof::text(stim) +
                            "\n  response  " + proof::text(r) + "\n";
        if (without < Formal::alternatives.size())
            lines += "  without   " + std::string(Formal::alternatives[without]) + "\n";
        return lines;
    }
    /// The same, and what rules and outcomes say.
    std::string verdicts() const {
        std::string lines = text();
        lines += "  rules     ";
        const auto ids = rejecting(true);
        if (!normalised()) lines += "not normalised ";
        for (const std::string_view id : ids) lines += std::string(id) + " ";
        lines += ids.empty() ? (normalised() ? "permit it" : "") : "reject it";
        for (const std::string_view id : broken_invariants())
            lines += fmt::format("\n  invariant {} does not hold", id);
        lines += fmt::format("\n  outcomes  {} listed, {}\n", outcomes(), listed() ? "it is among them" : "it is not");
        return lines;
    }
};

template <class Formal>
class Prover {
public:
    using Case = Instance<Formal>;
    using F = Forms<Formal>;
    using Pre = typename Formal::template Pre<Proving>;
    using Stimulus = typename Formal::template Stimulus<Proving>;
    using Response = typename Formal::template Response<Proving>;

    explicit Prover(const Options& options) : options_(options) {}

    Result prove() {
        const auto start = std::chrono::steady_clock::now();
        result_.name = Formal::name;
        count();
        run_tasks();
        finish();
        result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return result_;
    }

private:
    /// All that is proved about one kind of stimulus.
    class Kind {
    public:
        Kind(Prover& prover, std::uint64_t kind) : prover_(prover), kind_(kind) {
            pre_ = symbolic<Pre>(context_, "state");
            stim_ = symbolic<Stimulus>(context_, "stimulus");
            r_ = symbolic<Response>(context_, "response");
            stim_.kind = kind;
            without_ = Bits(context_.bv_const("without", 64));
            valid_ = Formal::template valid<Proving>(pre_, stim_) && ule(without_, none());
        }

        void prove() {
            if (solve(context_, {valid_}).answer == z3::unsat)
                return prover_.progress(fmt::format("kind {} is never valid", kind_));
            prover_.satisfiable();
            permitted_ = F::template permitted<Proving>(pre_, stim_, r_, without_);
            prove_lemmas();
            prove_equal();
            prove_invariants();
            prove_redundant();
            prover_.progress(fmt::format("kind {} of {}", kind_, Formal::last_kind));
        }

    private:
        static std::uint64_t none() { return Formal::alternatives.size(); }

        Case read(const z3::model& model) const {
            Case c;
            c.pre = plain<decltype(c.pre)>(context_, model, pre_);
            c.stim = plain<decltype(c.stim)>(context_, model, stim_);
            c.r = plain<decltype(c.r)>(context_, model, r_);
            c.without = value_in(context_, model, without_);
            return c;
        }
        /// Shows that nothing valid is `wrong`; otherwise reports the case. `still(case)` is the same, judged.
        template <class Still>
        bool never(Claim claim, const std::string& what, const Bool& wrong, Still&& still) {
            const Solved solved = solve(context_, {valid_, lemmas_, wrong});
            if (solved.answer == z3::unsat) return true;
            if (solved.answer == z3::unknown) {
                prover_.fail(claim, what, "  the solver gave up: " + solved.reason + "\n");
                return false;
            }
            Case c = read(*solved.model);
            if (!c.valid() || !still(c))
                prover_.fail(Claim::Prover, what, "  the solver's case is none when it is judged:\n" + c.verdicts());
            else {
                c.shrink([&] { return still(c); });
                prover_.fail(claim, what, c.verdicts());
            }
            return false;
        }

        void prove_lemmas() {
            if constexpr (requires { Formal::template lemmas<Proving>(pre_, stim_, [](const Bool&) {}); }) {
                // They do not speak about the kind: the first to come proves them for all.
                bool mine = prover_.claim_lemmas();
                Stimulus any = stim_;
                if (mine) any.kind = Bits(context_.bv_const("stimulus.kind", 64));
                const Bool valid = Formal::template valid<Proving>(pre_, any);
                std::size_t number = 0;
                Formal::template lemmas<Proving>(pre_, stim_, [&](const Bool& lemma) {
                    ++number;
                    if (mine && solve(context_, {valid, !lemma}).answer != z3::unsat)
                        prover_.fail(Claim::Lemma, fmt::format("lemma {} does not hold", number), "");
                    lemmas_ = lemmas_ && lemma;
                });
            }
        }

        /// Rules and outcomes, with all alternatives and with each of them left out.
        void prove_equal() {
            Bool listed = false, nothing = false;
            Paths paths(context_, valid_);
            paths.each([&] {
                typename Formal::template Outcomes<Proving> out(paths);
                Formal::template outcomes<Proving>(pre_, stim_, out, without_);
                Bool matched = false, some = false;
                for (const auto& [guard, outcome] : out.items()) {
                    matched = matched || (guard && Formal::template matches<Proving>(outcome, r_));
                    some = some || guard;
                }
                const Bool here = paths.condition();
                listed = listed || (here && matched);
                nothing = nothing || (here && !some);
            });
            never(Claim::Consistent, "outcomes are empty", nothing, [](const Case& c) { return c.outcomes() == 0; });
            never(Claim::Consistent, "outcomes list a response that the rules reject", listed && !permitted_,
                  [](const Case& c) { return c.listed() && !c.permitted(); });
            never(Claim::Complete, "the rules permit a response that outcomes lack", permitted_ && !listed,
                  [](const Case& c) { return c.permitted() && !c.listed(); });
        }

        /// All at once: what is hard is common to them.
        void prove_invariants() {
            Bool all = true;
            F::each_invariant(
                [&](auto type) { all = all && decltype(type)::type::template holds<Proving>(pre_, stim_, r_); });
            never(Claim::Invariant, "an invariant does not hold", permitted_ && without_ == none() && !all,
                  [](const Case& c) { return c.permitted() && !c.broken_invariants().empty(); });
        }

        /// Every corollary follows from the rules that are none.
        void prove_redundant() {
            Bool others = Formal::template normalised<Proving>(stim_, r_), all = true;
            F::each_constraint([&](auto type) {
                using Rule = typename decltype(type)::type;
                const Bool one = F::template permits<Rule, Proving>(pre_, stim_, r_, none());
                (Rule::redundant ? all : others) = (Rule::redundant ? all : others) && one;
            });
            never(Claim::Alive, "a rule marked redundant is not implied by the others",
                  others && !all && without_ == none(),
                  [](const Case& c) { return c.normalised() && c.rejecting(false).empty() && !c.permitted(); });
        }

        Prover& prover_;
        std::uint64_t kind_;
        mutable z3::context context_;
        Pre pre_;
        Stimulus stim_;
        Response r_;
        Bits without_;  // an alternative to leave out, or none()
        Bool valid_, permitted_, lemmas_ = true;
    };

    /// For every rule that must be alive, a response that it alone rejects, or that a FREE rule alone makes right. The
    /// solver proposes it; that it is one is judged. Over all kinds at once, for most rules need a certain kind.
    void find_alive() {
        z3::context context;
        const auto pre = symbolic<Pre>(context, "state");
        const auto stim = symbolic<Stimulus>(context, "stimulus");
        const auto r = symbolic<Response>(context, "response");
        const std::uint64_t none = Formal::alternatives.size();
        Search search(context);
        search.add(Formal::template valid<Proving>(pre, stim) && Formal::template normalised<Proving>(stim, r));
        const auto look = [&](std::string_view id, z3::expr_vector& assumed, auto&& decides) {
            const auto model = search.find(assumed);
            if (!model) return;
            Case c{plain<decltype(c.pre)>(context, *model, pre), plain<decltype(c.stim)>(context, *model, stim),
                   plain<decltype(c.r)>(context, *model, r)};
            const auto still = [&] { return decides(c); };
            c.shrink(still);
            if (c.valid() && still()) alive(id, c.text());
        };

        std::vector<std::pair<std::string_view, z3::expr>> constraints;
        F::each_constraint([&](auto type) {
            using Rule = typename decltype(type)::type;
            if constexpr (!Rule::redundant)
                constraints.emplace_back(
                    Rule::info.id, search.name(Rule::info.id, F::template permits<Rule, Proving>(pre, stim, r, none)));
        });
        for (const auto& [id, permits] : constraints) {
            z3::expr_vector assumed(context);
            for (const auto& [other, its] : constraints) assumed.push_back(other == id ? !its : its);
            look(id, assumed, [rule = id](const Case& c) {
                const auto ids = c.rejecting(false);
                return c.normalised() && ids.size() == 1 && ids.front() == rule;
            });
            progress("alive");
        }
        F::each_rule([&](auto free) {
            using Free = typename decltype(free)::type;
            if constexpr (Free::info.kind == RuleKind::Free) {
                const std::uint64_t number = F::alternative(Free::info.id);
                const Bool without = F::template permitted_without<Free, Proving>(pre, stim, r);
                z3::expr_vector assumed(context);
                for (const auto& [id, permits] : constraints) assumed.push_back(permits);
                assumed.push_back(!search.name(Free::info.id, without));
                look(Free::info.id, assumed, [=](const Case& c) { return c.listed() && !c.listed(number); });
                progress("alive");
            }
        });
    }

    /// Task 0 looks for what is alive; task k + 1 proves kind k.
    void run_tasks() {
        std::atomic<std::uint64_t> next = 0;
        const auto some = [&] {
            for (std::uint64_t task; (task = next++) <= Formal::last_kind + 1;) {
                if (options_.kind && task != *options_.kind + 1) continue;
                try {
                    if (task == 0)
                        find_alive();
                    else
                        Kind(*this, task - 1).prove();
                } catch (const z3::exception& e) {
                    fail(Claim::Prover, "the solver failed", fmt::format("  {}\n", e.msg()));
                } catch (const std::exception& e) {
                    fail(Claim::Prover, "the prover failed", fmt::format("  {}\n", e.what()));
                }
            }
        };
        std::vector<std::jthread> threads;
        for (unsigned i = 1; i < options_.jobs; ++i) threads.emplace_back(some);
        some();
    }

    void count() {
        F::each_rule([&](auto type) {
            using Rule = typename decltype(type)::type;
            ++result_.rules;
            result_.free += Rule::info.kind == RuleKind::Free;
            result_.redundant += Rule::redundant;
            if (!Rule::redundant) needed_.push_back(Rule::info.id);
        });
        result_.invariants = boost::hana::size(Formal::invariants);
    }
    void finish() {
        {
            // What no kind may have is beyond last_kind.
            z3::context context;
            const auto pre = symbolic<Pre>(context, "state");
            const auto stim = symbolic<Stimulus>(context, "stimulus");
            const Bool valid = Formal::template valid<Proving>(pre, stim);
            if (solve(context, {valid, !ule(stim.kind, Bits(Formal::last_kind))}).answer != z3::unsat)
                fail(Claim::Satisfiable, fmt::format("`valid` admits kinds beyond {}", Formal::last_kind), "");
            result_.valid = readable(valid.term(context));
        }
        if (!satisfiable_) fail(Claim::Satisfiable, "`valid` admits nothing", "");
        if (options_.kind) return;
        for (const std::string_view id : needed_)
            if (!is_alive(id))
                fail(Claim::Alive,
                     fmt::format("{} is not alive: {}", id,
                                 F::alternative(id) < Formal::alternatives.size()
                                     ? "without it the same responses are right"
                                     : "it alone rejects nothing that the other rules permit"),
                     "");
        if (result_.redundant * 10 > result_.rules)
            fail(Claim::Alive,
                 fmt::format("{} of {} rules are redundant: more than a tenth", result_.redundant, result_.rules), "");
        std::sort(result_.models.begin(), result_.models.end());
    }

    // --- what the kinds report

    bool claim_lemmas() { return !lemmas_claimed_.exchange(true); }
    void satisfiable() { satisfiable_ = true; }
    void progress(const std::string& what) {
        const std::scoped_lock lock(mutex_);
        if (options_.progress)
            options_.progress(
                fmt::format("{}: {}; {} of {} rules alive", Formal::name, what, alive_.size(), needed_.size()));
    }
    void fail(Claim claim, std::string what, std::string text) {
        const std::scoped_lock lock(mutex_);
        if (options_.progress) options_.progress(fmt::format("{}: FAILED: {}", Formal::name, what));
        result_.failures.push_back({claim, std::move(what), std::move(text)});
    }
    bool is_alive(std::string_view id) {
        const std::scoped_lock lock(mutex_);
        return alive_.count(id) != 0;
    }
    void alive(std::string_view id, std::string text) {
        const std::scoped_lock lock(mutex_);
        if (alive_.insert(id).second) result_.models.push_back({std::string(id), std::move(text)});
    }

    Options options_;
    std::mutex mutex_;
    Result result_;
    std::vector<std::string_view> needed_;
    std::set<std::string_view> alive_;
    std::atomic<bool> satisfiable_ = false, lemmas_claimed_ = false;
};

}  // namespace faultline::oracle::proof
