#include "oracle/explain.hpp"
#include "oracle/reading.hpp"

namespace faultline::oracle {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

namespace {

/// Bits of a step's answer that the tape does not show: nothing is decided by them.
Unseen unseen_of(const Step& step, const Response& r, const Tape& tape) {
    if (!tape.through_kernel) return {};
    if (r.event != event::none && step.record < tape.count) return tape.unseen[step.record];
    return {.dr6 = ~0ull, .dr7 = ~0ull};
}

}  // namespace

void count_use(const std::vector<Step>& trail, const Tape& tape, RuleUse& use) {
    const auto table = debug::rule_table();
    debug::Outcomes right;
    for (const Step& step : trail) {
        debug::outcomes(step.pre, step.stim, right);
        const Response r = right[step.chosen].response;
        const Unseen unseen = unseen_of(step, r, tape);
        std::size_t applying[max_rules], count = 0;
        for (std::size_t i = 0; i < table.size(); ++i) {
            if (!table[i].applies(step.pre, step.stim)) continue;
            ++use.applied[i];
            if (table[i].constrains && !table[i].redundant) applying[count++] = i;
        }
        std::array<bool, max_rules> decisive{};
        const auto try_change = [&](const Response& changed) {
            std::size_t rejecting = 0, which = 0;
            for (std::size_t k = 0; k < count && rejecting < 2; ++k)
                if (!table[applying[k]].permits(step.pre, step.stim, changed, {})) ++rejecting, which = applying[k];
            if (rejecting == 1) decisive[which] = true;
        };
        const auto change = [&](auto edit) {
            Response changed = r;
            edit(changed);
            try_change(changed);
        };
        // Another event altogether, with all that goes with it.
        try_change(uneventful(step));
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
            const std::uint64_t addresses[] = {step.pre.dr0, step.pre.dr1, step.pre.dr2, step.pre.dr3};
            c.dr6 = (step.pre.dr6 & ~dr::dr6_b) | dr::dr6_rtm;
            for (unsigned n = 0; n < 4; ++n)
                if (step.pre.dr7 >> 2 * n & 3 && (step.pre.dr7 >> (16 + 4 * n) & 0xF) == 0 &&
                    addresses[n] == step.stim.rip)
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
        // A FREE rule decides where the response is right only because of it.
        for (std::size_t i = 0; i < table.size(); ++i) {
            if (table[i].constrains || !table[i].permits(step.pre, step.stim, r, {})) continue;
            for (std::size_t k = 0; k < count && !decisive[i]; ++k)
                decisive[i] = !table[applying[k]].permits(step.pre, step.stim, r, table[i].info.id);
        }
        for (std::size_t i = 0; i < table.size(); ++i) use.decisive[i] += decisive[i];
    }
}

}  // namespace faultline::oracle
