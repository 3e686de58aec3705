#include "oracle/reading.hpp"

#include <algorithm>

namespace faultline::oracle {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

namespace {

int distance(const debug::Outcome& o, const Response& seen) {
    const auto& r = o.response;
    return (r.event != seen.event) * 64 + (r.vector != seen.vector) * 32 + (r.rip != seen.rip) * 16 +
           (!o.rf_any && r.rf != seen.rf) * 8 + (((r.dr6 ^ seen.dr6) & ~o.dr6_any) != 0) * 4 + (r.dr7 != seen.dr7) * 2 +
           (r.error != seen.error) + (r.tf != seen.tf);
}

}  // namespace

Rules violated(const Step& step, const Response& seen) {
    Rules rules;
    for (const auto& rule : debug::rule_table())
        if (rule.constrains && !rule.permits(step.pre, step.stim, seen, {})) rules.push_back(&rule);
    std::stable_sort(rules.begin(), rules.end(), [](auto* a, auto* b) {
        return std::pair(a->redundant, a->aspect) < std::pair(b->redundant, b->aspect);
    });
    return rules;
}

Response nearest(const Step& step, const Response& seen) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    const auto* best = std::min_element(right.begin(), right.end(), [&](const auto& a, const auto& b) {
        return distance(a, seen) < distance(b, seen);
    });
    Response r = best->response;
    r.dr6 ^= (r.dr6 ^ seen.dr6) & best->dr6_any;
    if (best->rf_any) r.rf = seen.rf;
    return r;
}

Response uneventful(const Step& step) {
    Response r{};
    r.rip = step.stim.next, r.rf = step.stim.rf_after, r.tf = step.stim.tf_after;
    r.dr6 = step.pre.dr6, r.dr7 = step.pre.dr7, r.debugctl = step.stim.debugctl_after;
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    for (const auto& o : right)
        if (o.response.event == event::trap || o.response.event == event::none) {
            r.dr_value = o.response.dr_value;
            if (o.response.event == event::none) r.dr6 = o.response.dr6, r.dr7 = o.response.dr7;
        }
    return r;
}

std::size_t first_open(const Failure& failure) {
    std::size_t first = failure.trail.size();
    while (first > 0 && failure.trail[first - 1].record == failure.record) --first;
    return first;
}

namespace {

/// What nobody can see is taken from the nearest right response of the same event.
Response with_hidden(const Step& step, Response seen) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    const debug::Outcome* model = nullptr;
    for (const auto& o : right)
        if (o.response.event == seen.event && (!model || distance(o, seen) < distance(*model, seen))) model = &o;
    const bool done = seen.event == event::none || seen.event == event::trap;
    if (model) {
        seen.debugctl = model->response.debugctl, seen.held = model->response.held;
        seen.shadow = model->response.shadow, seen.dr_value = model->response.dr_value;
        return seen;
    }
    const bool db = seen.event != event::none && seen.event != event::fault && seen.event != event::delivered;
    seen.debugctl = db ? 0 : step.pre.debugctl;
    for (const auto& o : right)  // a completed MOV DR moved what it should
        if (done && (o.response.event == event::none || o.response.event == event::trap))
            seen.dr_value = o.response.dr_value;
    return seen;
}

/// The record as a response of kind `what` to the step.
Response as_response(const Step& step, const Record& record, std::uint64_t what) {
    Response r{};
    r.event = what;
    r.vector = record.vector;
    r.error = what == event::fault ? record.error : 0;
    r.rip = record.rip;
    r.rf = record.rflags & rflags::rf;
    r.tf = record.rflags & rflags::tf;
    r.dr6 = record.vector == 1 ? record.dr6 : step.pre.dr6;
    r.dr7 = record.vector == 1 ? record.dr7 : step.pre.dr7;
    return with_hidden(step, r);
}

// What a reading costs: the strangest thing it asks one to believe dominates.
constexpr std::size_t cost_event = 20;      ///< an event of a kind this op should not raise, or none where one is due
constexpr std::size_t cost_no_cause = 6;    ///< … for which there is not even a cause in sight
constexpr std::size_t cost_rip = 10;        ///< the right event with a RIP that it does not push
constexpr std::size_t cost_elsewhere = 15;  ///< … and no RIP of this op at all
constexpr std::size_t cost_early = 8;       ///< a trap that was to be held
constexpr std::size_t cost_bits = 2;        ///< a wrong field otherwise
constexpr std::size_t cost_lookahead = 15;  ///< what the next record shows speaks for the other reading

std::size_t cost_of(const Step& step, const Response& seen) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    std::size_t best = ~std::size_t{0};
    for (const auto& o : right) {
        const auto& r = o.response;
        std::size_t cost = r.event != seen.event ? cost_event : 0;
        // Delivered at once what was to be held: the cause is met here.
        if (r.event == event::none && seen.event == event::trap && r.held & seen.dr6 && seen.rip == step.stim.next)
            cost = cost_early;
        if (r.event == seen.event) {
            const bool here = seen.rip == step.stim.rip || seen.rip == step.stim.next;
            if (r.rip != seen.rip) cost += here ? cost_rip : cost_elsewhere;
            if (r.vector != seen.vector) cost += cost_rip;
            cost += cost_bits * ((((r.dr6 ^ seen.dr6) & ~o.dr6_any) != 0) + (r.dr7 != seen.dr7) + (r.tf != seen.tf) +
                                 (!o.rf_any && r.rf != seen.rf) + (r.error != seen.error));
        }
        best = std::min(best, cost);
    }
    return best;
}

/// A cause in sight for an event that is not due.
bool plausible(const Step& step, const Response& seen) {
    const std::uint64_t addresses[] = {step.pre.dr0, step.pre.dr1, step.pre.dr2, step.pre.dr3};
    if (seen.event == event::code_db) {
        for (unsigned n = 0; n < 4; ++n)
            if ((step.pre.dr7 >> (16 + 4 * n) & 3) == 0 && addresses[n] == step.stim.rip && seen.dr6 >> n & 1)
                return true;
        return false;
    }
    if (seen.event != event::trap) return true;
    for (unsigned n = 0; n < 4; ++n)  // the next op's instruction breakpoint rather
        if ((step.pre.dr7 >> (16 + 4 * n) & 3) == 0 && addresses[n] == step.stim.next && seen.dr6 >> n & 1)
            return false;
    return seen.rip == step.stim.next;
}

void consider(Reading& best, const Failure& failure, std::size_t step, const Response& seen, bool missing,
              std::size_t penalty) {
    const Step& at = failure.trail[step];
    Reading reading{&failure, step, seen, {}, missing, cost_of(at, seen) + penalty};
    if (!missing && !plausible(at, seen)) reading.cost += cost_no_cause;
    if (reading.cost >= best.cost) return;
    reading.rules = violated(at, seen);
    best = reading;
}

bool answers(const Step& step, const Record& record) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    return std::any_of(right.begin(), right.end(), [&](const auto& o) {
        return o.response.event != event::none && o.response.vector == record.vector && o.response.rip == record.rip &&
               (record.vector != 1 || ((o.response.dr6 ^ record.dr6) & ~o.dr6_any) == 0);
    });
}

}  // namespace

void read_record(Reading& best, const Failure& failure, const Image& image, const Tape& tape) {
    const Record& record = tape.records[failure.record];
    const std::size_t first = first_open(failure), last = failure.trail.size() - 1;
    const Step& due = failure.trail[last];
    // The next record answers the op that is due: this one is too many.
    const bool too_many = failure.misfit == Misfit::Exception && failure.record + 1 < tape.count &&
                          answers(due, tape.records[failure.record + 1]);
    constexpr std::uint64_t db_events[] = {event::trap, event::code_db, event::gd_db, event::icebp, event::delivered};
    constexpr std::uint64_t other_events[] = {event::fault, event::delivered};
    for (std::size_t i = first; i <= last; ++i) {
        const Step& step = failure.trail[i];
        const auto& stim = step.stim;
        if (record.rip != stim.rip && record.rip != stim.next && i != last) continue;
        const std::size_t penalty = too_many && i == last ? cost_lookahead : 0;
        const auto consider_as = [&](std::uint64_t what) {
            const bool software = stim.kind == kind::int_n || stim.kind == kind::int3 || stim.kind == kind::wake;
            if ((what == event::icebp) != (stim.kind == kind::icebp && record.vector == 1)) return;
            if (what == event::gd_db && stim.kind != kind::mov_dr) return;
            if (what == event::delivered && !software) return;
            consider(best, failure, i, as_response(step, record, what), false, penalty);
        };
        if (record.vector == 1)
            for (const auto what : db_events) consider_as(what);
        else
            for (const auto what : other_events) consider_as(what);
    }
    if (failure.misfit != Misfit::Exception) return;
    // Nothing was raised where something was due, and the record belongs to a later op.
    const bool later = record.rip != due.stim.rip && record.rip != due.stim.next && record.rip > due.stim.rip &&
                       record.rip <= image.end_address();
    consider(best, failure, last, uneventful(due), true, later ? 0 : 2 * cost_elsewhere);
}

void read_silence(Reading& best, const Failure& failure) {
    consider(best, failure, failure.trail.size() - 1, uneventful(failure.trail.back()), true, 0);
}

}  // namespace faultline::oracle
