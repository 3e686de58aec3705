// For every rule: the solver's proposals on each skeleton, made into a case and verified by a run; where none holds, a
// search among generated programs. What is found is shrunk while the rule still decides.
#include <set>

#include "harness/witness/skeletons.hpp"
#include "oracle/catalogue.hpp"
#include "oracle/explain.hpp"

namespace faultline::harness::witness {
namespace {

constexpr std::uint64_t seed = 1;
constexpr unsigned most_failures = 60;  ///< of a rule's proposals, before the search takes over
constexpr unsigned proposals = 3;       ///< of a rule on one skeleton
constexpr unsigned shrink_budget = 600;
constexpr std::size_t most_classes = 300, most_samples = 12;

template <class Formal>
class Hunt {
public:
    Hunt(const std::vector<std::string_view>& wanted, const Options& options)
        : options_(options), wanted_(wanted.begin(), wanted.end()) {}

    Found run() {
        sample();
        const auto skeletons = shortened<Formal>(bench_, first_);
        say(fmt::format("{} skeletons", skeletons.size()));
        std::size_t done = 0;
        for (const Skeleton& skeleton : skeletons) {
            vary(skeleton);
            if (++done % 50 == 0) say(fmt::format("{} skeletons varied", done));
        }
        search();
        return std::move(found_);
    }

private:
    void say(const std::string& what) const {
        if (options_.progress)
            options_.progress(fmt::format("{}: {}; {} witnesses, {} to go", Formal::name, what, found_.witnesses.size(),
                                          wanted_.size()));
    }

    /// Generated programs: the first of each class of moment, and for each rule a few in which it decides.
    void sample() {
        const Generator generator;
        guest::Case kase;
        for (std::uint64_t i = 0; i < options_.programs; ++i) {
            generator.draw(seed, i, kase);
            if (!bench_.run(kase)) continue;
            if (first_.size() < most_classes)
                for (const auto& m : bench_.moments.of<Formal>()) first_.try_emplace(class_of<Formal>(kase, m), kase);
            oracle::RuleUse use;
            oracle::count_use(kase, *bench_.image, *bench_.tape, bench_.observer.trail(), {}, use);
            const auto rules = oracle::catalogue();
            for (std::size_t r = 0; r < rules.size(); ++r) {
                if (use.applied[r] == 0 || !wanted_.contains(rules[r].id)) continue;
                keep_sample(use.decisive[r] ? decided_[rules[r].id] : applied_[rules[r].id], kase);
            }
        }
        say(fmt::format("{} programs drawn", options_.programs));
    }
    static void keep_sample(std::vector<guest::Case>& samples, const guest::Case& kase) {
        if (samples.size() < most_samples)
            samples.push_back(kase);
        else if (auto& worst = *std::ranges::max_element(samples, {}, [](const auto& c) { return c.ops.size(); });
                 kase.ops.size() < worst.ops.size())
            worst = kase;
    }

    void vary(const Skeleton& skeleton) {
        if (!bench_.run(skeleton.kase)) return;
        const auto& all = bench_.moments.of<Formal>();
        const auto here = std::ranges::find_if(
            all, [&](const auto& m) { return class_of<Formal>(skeleton.kase, m) == skeleton.key; });
        if (here == all.end()) return;
        const auto from = *here;
        const guest::Image image = *bench_.image;
        oracle::proof::Proposer<Formal> proposer(from, [&](auto& context, auto& pre, auto& stim) {
            return Freedom<Formal>::release(skeleton.kase, from, context, pre, stim);
        });
        for (auto rule = wanted_.begin(); rule != wanted_.end();) {
            bool verified = false;
            for (unsigned i = 0; i < proposals && !verified && failures_[*rule] < most_failures; ++i) {
                const auto to = proposer.propose(*rule);
                if (!to) break;
                const guest::Case kase = Freedom<Formal>::realise(skeleton.kase, image, from, *to);
                verified = settle(*rule, kase, Witness::Origin::Solver);
                failures_[*rule] += !verified;
            }
            rule = verified ? wanted_.erase(rule) : std::next(rule);
        }
    }

    void search() {
        for (auto rule = wanted_.begin(); rule != wanted_.end();) {
            bool verified = false;
            for (auto* samples : {&decided_[*rule], &applied_[*rule]}) {
                std::ranges::stable_sort(*samples, {}, [](const guest::Case& c) { return c.ops.size(); });
                for (const guest::Case& kase : *samples)
                    if (!verified) verified = settle(*rule, kase, Witness::Origin::Search);
            }
            rule = verified ? wanted_.erase(rule) : std::next(rule);
        }
        say("searched");
    }

    /// Takes the case as the rule's witness, made as small as it can be, if the rule decides there.
    bool settle(std::string_view rule, const guest::Case& kase, Witness::Origin origin) {
        if (!bench_.run(kase)) return false;
        const auto first = bench_.decide<Formal>(rule, true);
        if (!first) return false;
        Witness w{origin, {}, {}};
        w.kase = shrink(
            kase,
            [&](const guest::Case& c) {
                return bench_.run(c) && bench_.decide<Formal>(rule, true, first->change).has_value();
            },
            first->on_boundary ? shrink_budget : shrink_budget / 8);
        if (!bench_.run(w.kase)) return false;
        w.decision = *bench_.decide<Formal>(rule, true);
        found_.witnesses.emplace(std::string(rule), std::move(w));
        return true;
    }

    const Options& options_;
    Bench::Impl bench_;
    std::set<std::string_view> wanted_;
    std::map<std::string, guest::Case> first_;  ///< by class of moment
    std::map<std::string_view, std::vector<guest::Case>> decided_, applied_;
    std::map<std::string_view, unsigned> failures_;
    Found found_;
};

}  // namespace

Found find(std::string_view chapter, const std::vector<std::string_view>& wanted, const Options& options) {
    if (chapter == oracle::debug::Formal::name) return Hunt<oracle::debug::Formal>(wanted, options).run();
    return Hunt<oracle::exceptions::Formal>(wanted, options).run();
}

}  // namespace faultline::harness::witness
