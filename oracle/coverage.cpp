#include "oracle/catalogue.hpp"
#include "oracle/chapters/debug/situation.hpp"
#include "oracle/explain.hpp"
#include "oracle/reading.hpp"

namespace faultline::oracle {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

namespace {

/// Counts the rules of one table at one moment. `for_each_change(f)` calls f with wrong answers that differ from `r` in
/// one respect: a rule is decisive that alone rejects one of them.
template <class Table, class Pre, class Stimulus, class Answer, class Changes>
void count(const Table& table, std::size_t first, const Pre& pre, const Stimulus& stim, const Answer& r,
           Changes for_each_change, RuleUse& use) {
    std::array<std::size_t, max_rules> applying;
    std::array<bool, max_rules> decisive{};
    std::size_t constraining = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (!table[i].applies(pre, stim)) continue;
        ++use.applied[first + i];
        if (table[i].constrains && !table[i].redundant) applying[constraining++] = i;
    }
    for_each_change([&](const Answer& changed) {
        std::size_t rejecting = 0, which = 0;
        for (std::size_t k = 0; k < constraining && rejecting < 2; ++k)
            if (!table[applying[k]].permits(pre, stim, changed, {})) ++rejecting, which = applying[k];
        if (rejecting == 1) decisive[which] = true;
    });
    // A FREE rule decides where the answer is right only because of it.
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (table[i].constrains || !table[i].permits(pre, stim, r, {})) continue;
        for (std::size_t k = 0; k < constraining && !decisive[i]; ++k)
            decisive[i] = !table[applying[k]].permits(pre, stim, r, table[i].info.id);
    }
    for (std::size_t i = 0; i < table.size(); ++i) use.decisive[first + i] += decisive[i];
}

/// Bits of a step's answer that the tape does not show: nothing is decided by them.
Unseen unseen_of(const Step& step, const Response& r, const Tape& tape) {
    if (!tape.through_kernel) return {};
    if (r.event != event::none && step.record < tape.count) return tape.unseen[step.record];
    return {.dr6 = ~0ull, .dr7 = ~0ull};
}

void count_debug(const Step& step, const Response& r, const Unseen& unseen, RuleUse& use) {
    const auto changes = [&](auto f) {
        const auto change = [&](auto edit) {
            Response changed = r;
            edit(changed);
            f(changed);
        };
        // Another event altogether, with all that goes with it.
        f(uneventful(step));
        change([&](Response& c) {
            c = uneventful(step);
            c.event = event::trap, c.vector = 1;
            c.dr6 |= dr::dr6_rtm, c.dr7 &= ~dr::dr7_gd, c.debugctl = 0;
            if (step.stim.kind == kind::rep && !step.stim.last) c.rf = true;
        });
        change([&](Response& c) {
            c = Response{};
            c.event = event::fault, c.vector = 13;
            c.rip = step.stim.rip, c.rf = true, c.tf = step.pre.tf;
            c.dr6 = step.pre.dr6, c.dr7 = step.pre.dr7, c.debugctl = step.pre.debugctl;
        });
        change([&](Response& c) {
            c = Response{};
            c.event = event::code_db, c.vector = 1;
            c.rip = step.stim.rip, c.tf = step.pre.tf;
            c.dr6 = (step.pre.dr6 & ~dr::dr6_b) | dr::dr6_rtm;
            for (unsigned n = 0; n < 4; ++n)
                if (step.pre.dr7 >> 2 * n & 3 && (step.pre.dr7 >> (16 + 4 * n) & 0xF) == 0 &&
                    debug::address_of(step.pre, n) == step.stim.rip)
                    c.dr6 |= 1ull << n;
            c.dr7 = step.pre.dr7 & ~dr::dr7_gd;
        });
        change([](Response& c) { ++c.vector; });
        if (!(unseen.error & 1)) change([](Response& c) { c.error ^= 1; });
        change([](Response& c) { c.rip ^= 1; });
        if (!(unseen.rflags & rflags::rf)) change([](Response& c) { c.rf = !c.rf; });
        change([](Response& c) { c.tf = !c.tf; });
        for (const unsigned bit : {0u, 1u, 2u, 3u, 4u, 11u, 12u, 13u, 14u, 15u, 16u})
            if (!(unseen.dr6 >> bit & 1)) change([&](Response& c) { c.dr6 ^= 1ull << bit; });
        for (const unsigned bit : {0u, 10u, 11u, 12u, 13u})
            if (!(unseen.dr7 >> bit & 1)) change([&](Response& c) { c.dr7 ^= 1ull << bit; });
        change([](Response& c) { c.debugctl ^= 2; });
        change([](Response& c) { c.dr_value ^= 1; });
        for (const unsigned bit : {0u, 1u, 2u, 3u, 14u}) change([&](Response& c) { c.held ^= 1ull << bit; });
        change([](Response& c) { c.shadow = !c.shadow; });
    };
    count(debug::rule_table(), 0, step.pre, step.stim, r, changes, use);
}

void count_exceptions(const exceptions::Pre<Judging>& pre, const exceptions::Stimulus<Judging>& stim,
                      const exceptions::Response<Judging>& r, RuleUse& use) {
    using Answer = exceptions::Response<Judging>;
    namespace result = exceptions::result;
    const auto changes = [&](auto f) {
        const auto change = [&](auto edit) {
            Answer changed = r;
            edit(changed);
            f(changed);
        };
        change([](Answer& c) { ++c.vector; });
        for (const unsigned bit : {0u, 1u, 2u, 3u, 4u, 5u}) change([&](Answer& c) { c.error ^= 1ull << bit; });
        change([](Answer& c) { c.writes_cr2 = !c.writes_cr2, c.cr2 = 0; });
        change([](Answer& c) { c.cr2 += 0x10; });
        change([](Answer& c) { c.rip ^= 1; });
        change([](Answer& c) { c.rf = !c.rf; });
        change([](Answer& c) { c.pushes_error = !c.pushes_error; });
        change([](Answer& c) { c.pushes_stack = !c.pushes_stack; });
        change([](Answer& c) { c.slot *= 2; });
        // The same with the frame as long as it then is.
        const auto slots = [](const Answer& c) { return (c.pushes_stack ? 5u : 3u) + c.pushes_error; };
        const auto reframed = [&](auto edit) {
            change([&](Answer& c) {
                const auto top = c.frame + slots(c) * c.slot;
                edit(c);
                c.frame = top - slots(c) * c.slot;
            });
        };
        reframed([](Answer& c) { c.pushes_error = !c.pushes_error, c.error = 0; });
        reframed([](Answer& c) { c.pushes_stack = !c.pushes_stack; });
        reframed([](Answer& c) { c.slot *= 2; });
        reframed([](Answer& c) { c.slot /= 2; });
        for (const unsigned bit : {3u, 4u, 12u}) change([&](Answer& c) { c.frame ^= 1ull << bit; });
        change([](Answer& c) { c.cpl ^= 3; });
        change([](Answer& c) { c.ss ^= 3; });
        change([](Answer& c) { c.ss = 0; });
        change([](Answer& c) { c.if_ = !c.if_; });
        change([](Answer& c) { c.tf = !c.tf; });
        change([](Answer& c) { c.nt = !c.nt; });
        change([](Answer& c) { c.rf_after = !c.rf_after; });
        change([](Answer& c) { c.ac = !c.ac; });
        change([](Answer& c) { c.selector ^= 8; });
        for (const unsigned bit : {0u, 1u, 2u, 3u}) change([&](Answer& c) { c.held ^= 1ull << bit; });
        // Another end altogether.
        const auto instead = [&](std::uint64_t what, std::uint64_t vector, std::uint64_t error) {
            Answer c{};
            c.result = what, c.vector = vector, c.error = error;
            c.rip = r.rip, c.rf = true;
            const bool replaced = r.result == result::serial || r.result == result::double_fault;
            if (replaced) c.rf = r.rf;
            if (replaced || r.result == result::shutdown) c.writes_cr2 = r.writes_cr2, c.cr2 = r.cr2;
            if (what != r.result || vector != r.vector || error != r.error) f(c);
        };
        if (stim.kind == exceptions::kind::raise) {
            for (const std::uint64_t vector : {6, 10, 11, 12, 13, 14, 17}) instead(result::raised, vector, r.error);
            return;
        }
        for (const std::uint64_t vector : {10, 11, 12, 13, 14})
            for (const std::uint64_t error : {r.error, stim.vector * 8 + 2, stim.vector * 8 + 3, std::uint64_t{0}})
                instead(result::serial, vector, error);
        instead(result::double_fault, 8, 0);
        instead(result::shutdown, 0, 0);
        if (r.result != result::delivered)
            change([&](Answer& c) {
                c = {};
                c.result = result::delivered, c.rip = stim.rip;
                c.rf = stim.rf, c.cpl = 0, c.ss = pre.ss, c.ac = pre.ac;
                c.slot = pre.mode == exceptions::mode::long_mode ? 8 : pre.mode == exceptions::mode::real_mode ? 2 : 4;
                c.pushes_stack = c.slot == 8 || pre.cpl != 0;
            });
    };
    static const auto first =
        static_cast<std::size_t>(find_rule(exceptions::rule_table()[0].info.id) - catalogue().data());
    count(exceptions::rule_table(), first, pre, stim, r, changes, use);
}

void count_svm(const svm::Pre<Judging>& pre, const svm::Stimulus<Judging>& stim, const svm::Response<Judging>& r,
               RuleUse& use) {
    using Answer = svm::Response<Judging>;
    const auto changes = [&](auto f) {
        const auto change = [&](auto edit) {
            Answer changed = r;
            edit(changed);
            f(changed);
        };
        // An exit where there was none, and none where there was.
        Answer other{};
        if (!r.exits) {
            other.exits = true;
            other.rip = stim.rip, other.next_rip = stim.next_rip, other.rf = stim.rf, other.shadow = stim.shadow;
            other.cr2 = stim.cr2, other.dr6 = stim.dr6, other.dr7 = stim.dr7;
            other.code = stim.kind == svm::kind::enter         ? ~0ull
                         : stim.kind == svm::kind::instruction ? stim.intercept
                                                               : 0x40 + stim.vector;
            if (stim.kind == svm::kind::enter) other.rip = other.next_rip = other.cr2 = other.dr6 = other.dr7 = 0;
            if (stim.kind == svm::kind::enter) other.rf = other.shadow = false;
        }
        f(other);
        if (!r.exits) return;
        change([](Answer& c) { c.code ^= 1; });
        if (stim.kind == svm::kind::enter) return;
        for (unsigned bit = 0; bit < 64; ++bit) change([&](Answer& c) { c.info1 ^= 1ull << bit; });
        change([](Answer& c) { c.info2 ^= 1; });
        for (const unsigned bit : {0u, 8u, 9u, 10u, 11u, 31u, 32u})
            change([&](Answer& c) { c.int_info ^= 1ull << bit; });
        change([](Answer& c) { c.next_rip ^= 1; });
        change([](Answer& c) { c.rip ^= 1; });
        change([](Answer& c) { c.rf = !c.rf; });
        change([](Answer& c) { c.shadow = !c.shadow; });
        change([](Answer& c) { c.cr2 ^= 1; });
        change([](Answer& c) { c.dr6 ^= 1; });
        change([](Answer& c) { c.dr7 ^= 1; });
    };
    static const auto first = static_cast<std::size_t>(find_rule(svm::rule_table()[0].info.id) - catalogue().data());
    count(svm::rule_table(), first, pre, stim, r, changes, use);
}

}  // namespace

void count_use(const Case& subject_case, const Image& image, const Tape& tape, const std::vector<Step>& trail,
               const std::vector<Question>& questions, RuleUse& use) {
    if (!questions.empty()) {
        const auto pre = pre_of(tape.features.svm);
        for (const Question& q : questions)
            count_svm(pre, q.stim,
                      q.exited ? svm::response_of(tape.exits[q.exit], q.stim.kind) : svm::Response<Judging>{}, use);
    }
    const Walk walk(subject_case, image, tape.features);
    Interrupted here;
    for (const Step& step : trail) {
        each_question(
            walk, step, tape, here,
            [&](const auto&, const auto&, const Response& r) { count_debug(step, r, unseen_of(step, r, tape), use); },
            [&](const auto& pre, const auto& stim, const auto& r) {
                // Of the exceptions chapter a kernel shows the vector, mostly, and nothing of the delivery.
                if (!tape.through_kernel) count_exceptions(pre, stim, r, use);
            });
    }
}

}  // namespace faultline::oracle
