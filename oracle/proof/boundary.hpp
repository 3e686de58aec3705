// Where a rule draws the line: at one moment of a program, and with plain values. `boundary` finds, one changed bit of
// the state or the stimulus away, an answer that is right there and that this rule alone rejects here; `twisted` says
// what the rules permit when one of them is turned into its opposite. Generic over the chapter's Formal.
#pragma once

#include <algorithm>
#include <boost/hana/for_each.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oracle/catalogue.hpp"
#include "oracle/proof/records.hpp"
#include "oracle/rule.hpp"

namespace faultline::oracle::proof {

/// What a chapter was asked about one op of a program, and what it was that the tape showed there.
template <class Formal>
struct Moment {
    typename Formal::template Pre<Judging> pre;
    typename Formal::template Stimulus<Judging> stim;
    typename Formal::template Response<Judging> seen;
    std::size_t op = 0;  ///< ops.size() is the end
};

/// One rule, for one register where it is about registers, made into something else.
struct Twist {
    enum class Into : std::uint8_t { Itself, Nothing /* FREE rules only */, Opposite };
    std::string_view rule = {};
    unsigned n = 0;
    Into into = Into::Itself;

    bool allows(std::string_view id, unsigned m, bool allowed) const {
        if (into == Into::Itself || m != n || id != rule) return allowed;
        return into == Into::Opposite && !allowed;
    }
};

template <class Formal>
class Line {
public:
    using Pre = typename Formal::template Pre<Judging>;
    using Stimulus = typename Formal::template Stimulus<Judging>;
    using Response = typename Formal::template Response<Judging>;

    /// Of a constraining rule an answer that it alone rejects; of a FREE rule one that is right only because of it.
    struct Boundary {
        unsigned n = 0;  ///< the register, where the rule is about one
        bool per_register = false;
        Response answer;
        std::string beside;  ///< the change that makes the answer right, or wrong; empty: none is known
        std::optional<unsigned> change = {};  ///< its number
    };

    explicit Line(std::string_view rule) {
        for (const Entry& entry : table())
            if (entry.info.id == rule) entries_.push_back(&entry);
    }
    /// False: the chapter has no such rule.
    explicit operator bool() const { return !entries_.empty(); }
    bool free() const { return entries_.front()->info.kind == RuleKind::Free; }
    bool applies(const Moment<Formal>& m) const {
        for (const Entry* entry : entries_)
            if (entry->applies(m.pre, m.stim)) return true;
        return false;
    }

    /// The boundary beside which the moment lies, if it does. `change`: only where it is that one.
    std::optional<Boundary> boundary(const Moment<Formal>& m, std::optional<unsigned> change = {}) const {
        if (!applies(m)) return {};
        const auto taken = free() ? alternatives(m) : std::vector<Boundary>{};
        if (free() && taken.empty()) return {};
        std::optional<Boundary> found;
        const auto look = [&](const Moment<Formal>& there) {
            found = free() ? lost_at(taken, there) : won_at(m, there);
            return found.has_value();
        };
        // A line between two vendors or two models of processor is the last that anyone asks for.
        for (const bool features : {false, true}) {
            Change which{change, {}};
            each_neighbour(m, features, which, look);
            if (!found) continue;
            found->beside = which.text;
            found->change = which.number;
            return found;
        }
        return {};
    }
    /// Of a FREE rule: the right answers that take the alternative, wherever the line lies.
    std::vector<Boundary> alternatives(const Moment<Formal>& m) const {
        std::vector<Boundary> taken;
        const auto look = [&](const Response& r) {
            if (auto found = decides(m, r)) taken.push_back(*std::move(found));
        };
        typename Formal::template Outcomes<Judging> right;
        Formal::template outcomes<Judging>(m.pre, m.stim, right, Formal::alternatives.size());
        look(m.seen);
        for (const auto& outcome : right) look(outcome.response);
        // Of what an outcome leaves open it is one answer; others are a bit away.
        for (std::size_t i = 0; i < right.size() && taken.empty(); ++i) each_flipped(right[i].response, look);
        return taken;
    }
    /// Whether `r` is such an answer; the boundary without its neighbour.
    std::optional<Boundary> decides(const Moment<Formal>& m, const Response& r) const {
        for (const Entry* entry : entries_) {
            if (!entry->applies(m.pre, m.stim)) continue;
            const Boundary here{entry->n, entries_.size() > 1, r, {}};
            if (free() ? only_by(*entry, m, r) : only(*entry, m, r)) return here;
        }
        return {};
    }

    /// Whether every rule permits `r`, one of them twisted. Corollaries are left out: they would only say it again.
    static bool permitted(const Moment<Formal>& m, const Response& r, const Twist& twist) {
        if (!Formal::template normalised<Judging>(m.stim, r)) return false;
        for (const Entry& entry : table())
            if (entry.constrains() && !entry.permits(m.pre, m.stim, r, twist)) return false;
        return true;
    }

private:
    /// A rule, for one register where it is about registers.
    struct Entry {
        RuleInfo info;
        unsigned n, instances;
        bool redundant;
        bool (*applies_)(const Pre&, const Stimulus&, unsigned n);
        bool (*allows_)(const Pre&, const Stimulus&, const Response&, unsigned n);
        std::vector<std::size_t> excepted_by =
            {};  ///< of a constraining rule: FREE entries that speak for the same register

        bool constrains() const { return info.kind != RuleKind::Free && !redundant; }
        bool applies(const Pre& pre, const Stimulus& stim) const { return applies_(pre, stim, n); }
        bool allows(const Pre& pre, const Stimulus& stim, const Response& r, const Twist& twist = {}) const {
            return twist.allows(info.id, n, allows_(pre, stim, r, n));
        }
        /// As permits.hpp says it, for this register.
        bool permits(const Pre& pre, const Stimulus& stim, const Response& r, const Twist& twist = {}) const {
            if (!applies(pre, stim) || allows(pre, stim, r, twist)) return true;
            return std::ranges::any_of(excepted_by, [&](std::size_t i) {
                return table()[i].applies(pre, stim) && table()[i].allows(pre, stim, r, twist);
            });
        }
    };

    static std::vector<Entry> make_table() {
        std::vector<Entry> list;
        boost::hana::for_each(Formal::rules, [&](auto type) {
            using Rule = typename decltype(type)::type;
            for (unsigned n = 0; n < Rule::instances; ++n)
                list.push_back({Rule::info, n, Rule::instances, Rule::redundant,
                                [](const Pre& p, const Stimulus& s, unsigned m) {
                                    return Rule::template applies<Judging>(p, s, m);
                                },
                                [](const Pre& p, const Stimulus& s, const Response& r, unsigned m) {
                                    return Rule::template allows<Judging>(p, s, r, m);
                                }});
        });
        for (Entry& entry : list) {
            if (!entry.constrains()) continue;
            const auto frees = excepted_with(entry.info.id);
            for (std::size_t i = 0; i < list.size(); ++i)
                if (std::ranges::find(frees, list[i].info.id) != frees.end() &&
                    (entry.instances == 1 || list[i].instances == 1 || list[i].n == entry.n))
                    entry.excepted_by.push_back(i);
        }
        return list;
    }
    static const std::vector<Entry>& table() {
        static const std::vector<Entry> all = make_table();
        return all;
    }

    /// It rejects `r`, and no other rule does (corollaries aside).
    static bool only(const Entry& one, const Moment<Formal>& m, const Response& r) {
        if (one.permits(m.pre, m.stim, r) || !Formal::template normalised<Judging>(m.stim, r)) return false;
        for (const Entry& other : table())
            if (&other != &one && other.constrains() && !other.permits(m.pre, m.stim, r)) return false;
        return true;
    }
    /// `r` is right, and would be wrong without it.
    static bool only_by(const Entry& one, const Moment<Formal>& m, const Response& r) {
        return one.allows(m.pre, m.stim, r) && permitted(m, r, {}) &&
               !permitted(m, r, {one.info.id, one.n, Twist::Into::Nothing});
    }
    /// An answer that is right there and that it alone rejects here.
    std::optional<Boundary> won_at(const Moment<Formal>& m, const Moment<Formal>& there) const {
        typename Formal::template Outcomes<Judging> right;
        Formal::template outcomes<Judging>(there.pre, there.stim, right, Formal::alternatives.size());
        for (const auto& outcome : right)
            if (auto found = decides(m, outcome.response)) return found;
        return {};
    }
    /// One of the answers that FREE rules made right, and that is wrong there, where the rule says nothing of it.
    std::optional<Boundary> lost_at(const std::vector<Boundary>& taken, const Moment<Formal>& there) const {
        for (const Boundary& b : taken) {
            const Entry& one = *entries_[b.n];
            if (!(one.applies(there.pre, there.stim) && one.allows(there.pre, there.stim, b.answer)) &&
                !permitted(there, b.answer, {}))
                return b;
        }
        return {};
    }

    template <class F>
    static void each_flipped(Response r, F&& f) {
        each_field<Response>([&](const char*, auto index) {
            auto& value = field(r, index);
            constexpr bool boolean = std::is_same_v<std::decay_t<decltype(value)>, bool>;
            const auto before = value;
            for (unsigned bit = 0; bit < (boolean ? 1 : 64); ++bit) {
                if constexpr (boolean)
                    value = !value;
                else
                    value ^= 1ull << bit;
                f(std::as_const(r));
                value = before;
            }
        });
    }

    struct Change {
        std::optional<unsigned> number;
        std::string text;
    };
    /// `f(moment)` for every valid moment that differs in one bit, or in the bit that `change` names, until it says so;
    /// `change` is then that one.
    template <class F>
    static void each_neighbour(const Moment<Formal>& m, bool features, Change& change, F&& f) {
        Moment<Formal> there = m;
        unsigned number = 0;
        const auto vary = [&](auto& record, std::string_view part) {
            each_field<std::decay_t<decltype(record)>>([&](const char* name, auto index) {
                const unsigned first = std::exchange(number, number + 64);
                if (!change.text.empty() || is_feature(name) != features) return;
                if (change.number && (*change.number < first || *change.number >= number)) return;
                auto& value = field(record, index);
                const auto before = value;
                for (unsigned bit = 0; bit < 64 && change.text.empty(); ++bit) {
                    if (change.number && *change.number != first + bit) continue;
                    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) {
                        if (bit > 0) return;
                        value = !value;
                    } else {
                        value ^= 1ull << bit;
                    }
                    if (Formal::template valid<Judging>(there.pre, there.stim) && f(there)) {
                        change.text = fmt::format("{}.{} = {:#x}, not {:#x},", part, name, std::uint64_t{value},
                                                  std::uint64_t{before});
                        change.number = first + bit;
                    }
                    value = before;
                }
            });
        };
        vary(there.pre, "state");
        vary(there.stim, "stimulus");
    }
    static bool is_feature(std::string_view field) {
        return field == "amd" || field == "intel" || field == "rtm" || field == "bus_lock" || field == "fetch_flag";
    }

    std::vector<const Entry*> entries_;  ///< by register
};

}  // namespace faultline::oracle::proof
