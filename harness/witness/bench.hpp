// Runs programs on the engine and asks which rules decide there, and how.
#pragma once

#include <map>

#include "harness/witness/freedom.hpp"
#include "harness/witness/witness.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/proof/propose.hpp"

namespace faultline::harness::witness {

/// Of one rule at one moment.
template <class Formal>
Decision decision_at(const oracle::proof::Line<Formal>& line, std::string_view rule,
                     const oracle::proof::Moment<Formal>& m,
                     const typename oracle::proof::Line<Formal>::Boundary& boundary) {
    using oracle::proof::Twist;
    using Line = oracle::proof::Line<Formal>;
    const Twist opposite{rule, boundary.n, Twist::Into::Opposite};
    Decision d;
    d.op = m.op;
    d.on_boundary = !boundary.beside.empty();
    d.change = boundary.change;
    if (line.free())
        d.falls_when_inverted =
            Line::permitted(m, boundary.answer, {}) && !Line::permitted(m, boundary.answer, opposite);
    else
        d.falls_when_inverted = Line::permitted(m, m.seen, {}) && !Line::permitted(m, m.seen, opposite) &&
                                !Line::permitted(m, boundary.answer, {}) &&
                                Line::permitted(m, boundary.answer, opposite);
    std::string differs;
    oracle::proof::each_field<std::decay_t<decltype(m.seen)>>([&](const char* name, auto index) {
        const std::uint64_t here = oracle::proof::field(boundary.answer, index);
        const std::uint64_t seen = oracle::proof::field(m.seen, index);
        if (here != seen)
            differs += fmt::format("{}{} = {:#x}, not {:#x}", differs.empty() ? "" : ", ", name, here, seen);
    });
    const std::string which = boundary.per_register ? fmt::format(", for register {},", boundary.n) : "";
    if (line.free())
        d.text = fmt::format("At op{} this rule alone{} allows {}", m.op, which,
                             differs.empty() ? "what is seen" : "the answer " + differs);
    else
        d.text = fmt::format("At op{} this rule alone{} rejects the answer {}", m.op, which, differs);
    if (d.on_boundary)
        d.text += fmt::format("; with {} {}", boundary.beside,
                              line.free() ? "it would not, and that would be wrong" : "that would be right");
    return d;
}

struct Bench::Impl {
    Impl();
    /// Whether the case assembles, runs, and passes; `moments` holds what it came to then.
    bool run(const guest::Case& kase);

    template <class Formal>
    const oracle::proof::Line<Formal>& line(std::string_view rule) {
        auto& lines = std::get<std::map<std::string, oracle::proof::Line<Formal>, std::less<>>>(lines_);
        auto found = lines.find(rule);
        if (found == lines.end()) found = lines.emplace(std::string(rule), oracle::proof::Line<Formal>(rule)).first;
        return found->second;
    }
    /// After a run. `change`: only on a boundary that this change crosses.
    template <class Formal>
    std::optional<Decision> decide(std::string_view rule, bool thorough, std::optional<unsigned> change = {}) {
        const auto& line = this->line<Formal>(rule);
        if (!line) return {};
        const auto& all = moments.of<Formal>();
        for (const auto& m : all)
            if (const auto b = line.boundary(m, change))
                if (const Decision d = decision_at(line, rule, m, *b); d.falls_when_inverted) return d;
        if (change) return {};
        for (const auto& m : all) {
            if (!line.applies(m)) continue;
            std::optional<typename oracle::proof::Line<Formal>::Boundary> b;
            if (line.free()) {
                if (auto taken = line.alternatives(m); !taken.empty()) b = std::move(taken.front());
            } else if (thorough) {
                oracle::proof::Proposer<Formal> proposer(m,
                                                         [](auto&, auto&, auto&) { return oracle::proof::Bool(true); });
                if (const auto answer = proposer.propose(rule)) b = line.decides(m, answer->seen);
            }
            if (!b) continue;
            if (const Decision d = decision_at(line, rule, m, *b); d.falls_when_inverted) return d;
        }
        return {};
    }

    std::unique_ptr<guest::Backend> engine;
    guest::Assembler assembler;
    std::unique_ptr<guest::Image> image = std::make_unique<guest::Image>();
    std::unique_ptr<guest::Tape> tape = std::make_unique<guest::Tape>();
    oracle::proof::Observer observer;
    oracle::proof::Moments moments;

private:
    template <class Formal>
    using Lines = std::map<std::string, oracle::proof::Line<Formal>, std::less<>>;
    std::tuple<Lines<oracle::debug::Formal>, Lines<oracle::exceptions::Formal>> lines_;
};

}  // namespace faultline::harness::witness
