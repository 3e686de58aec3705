#include "oracle/reading.hpp"

#include "oracle/chapters/debug/situation.hpp"

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

namespace {

template <class Table, class Pre, class Stimulus, class Seen>
Rules violated_of(const Table& table, const Pre& pre, const Stimulus& stim, const Seen& seen) {
    std::vector<decltype(&table[0])> entries;
    for (const auto& rule : table)
        if (rule.constrains && !rule.permits(pre, stim, seen, {})) entries.push_back(&rule);
    std::stable_sort(entries.begin(), entries.end(), [](auto* a, auto* b) {
        return std::pair(a->redundant, a->aspect) < std::pair(b->redundant, b->aspect);
    });
    Rules rules;
    for (const auto* entry : entries) rules.push_back(&entry->info);
    return rules;
}

}  // namespace

Rules violated(const Step& step, const Response& seen) {
    Rules rules;
    // Of a fault with the wrong vector or error code: which exception the fact becomes.
    if (seen.event == event::fault && step.effect.faults &&
        (seen.vector != step.stim.vector || seen.error != step.stim.error)) {
        exceptions::Response<Judging> raised{};
        raised.result = exceptions::result::raised;
        raised.vector = seen.vector;
        raised.error = seen.error;
        raised.writes_cr2 = seen.vector == 14;
        raised.cr2 = raised.writes_cr2 ? step.raised.response.cr2 : 0;
        guest::Features features;
        features.vendor = step.pre.amd ? Vendor::Amd : step.pre.intel ? Vendor::Intel : Vendor::Unknown;
        rules = violated(exceptions::pre_of(step.state, features), exceptions::raise_of(step.effect), raised);
    }
    const Rules own = violated_of(debug::rule_table(), step.pre, step.stim, seen);
    rules.insert(rules.end(), own.begin(), own.end());
    return rules;
}

Rules violated(const exceptions::Pre<Judging>& pre, const exceptions::Stimulus<Judging>& stim,
               const exceptions::Response<Judging>& seen) {
    return violated_of(exceptions::rule_table(), pre, stim, seen);
}

Rules violated(const svm::Pre<Judging>& pre, const svm::Stimulus<Judging>& stim, const svm::Response<Judging>& seen) {
    return violated_of(svm::rule_table(), pre, stim, seen);
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
Response as_response(const Step& step, const Record& record, std::uint64_t rip, std::uint64_t what) {
    Response r{};
    r.event = what;
    r.vector = record.vector;
    r.error = what == event::fault ? record.error : 0;
    r.rip = rip;
    // A frame of 16 bits doesn't show it.
    r.rf = step.state.mode == Mode::Real16 ? what == event::fault : record.rflags & rflags::rf;
    r.tf = record.rflags & rflags::tf;
    r.dr6 = record.vector == 1 ? record.dr6 : step.pre.dr6;
    r.dr7 = record.vector == 1 ? record.dr7 : step.pre.dr7;
    return with_hidden(step, r);
}

// What a reading costs: the strangest thing it asks one to believe dominates.
constexpr std::size_t cost_event = 20;      ///< an event of a kind this op should not raise, or none where one is due
constexpr std::size_t cost_no_cause = 6;    ///< … for which there is not even a cause in sight
constexpr std::size_t cost_in_sight = 5;    ///< … whose cause is met here, only that it should not be delivered
constexpr std::size_t cost_rip = 10;        ///< the right event with a RIP that it does not push
constexpr std::size_t cost_elsewhere = 24;  ///< a RIP that is none of this op's
constexpr std::size_t cost_later_op = 40;   ///< … but a later op's
constexpr std::size_t cost_missing = 7;     ///< nothing raised where something is due, and the tape goes on to fit
constexpr std::size_t cost_register = 14;   ///< RCX or RSP of another op, or of another iteration
constexpr std::size_t cost_bits = 2;        ///< a wrong field otherwise
constexpr std::size_t cost_stuck = 12;      ///< what follows on the tape does not fit behind it

/// The cause of an event that is not due is there all the same: a breakpoint that something suppresses, a trap that is
/// to be held or dropped.
bool in_sight(const Step& step, const debug::Outcome& due, const Response& seen) {
    switch (seen.event) {
        case event::code_db:
            if (seen.rip != step.stim.rip) return false;
            for (unsigned n = 0; n < 4; ++n)
                if (step.pre.dr7 >> 2 * n & 3 && (step.pre.dr7 >> (16 + 4 * n) & 3) == 0 &&
                    debug::address_of(step.pre, n) == step.stim.rip && seen.dr6 >> n & 1)
                    return true;
            return false;
        case event::gd_db: return step.pre.dr7 & dr::dr7_gd && seen.dr6 & dr::dr6_bd && seen.rip == step.stim.rip;
        case event::trap:
            if (seen.rip != step.stim.next || due.response.event != event::none) return false;
            return due.response.held & seen.dr6 || ((step.pre.tf || step.stim.tf_after) && seen.dr6 & dr::dr6_bs);
        default: return false;
    }
}

std::size_t mismatch(const debug::Outcome& o, const Step& step, const Response& seen) {
    const auto& r = o.response;
    const bool here = seen.rip == step.stim.rip || seen.rip == step.stim.next;
    std::size_t cost = 0;
    if (r.rip != seen.rip && here) cost += cost_rip;
    if (r.vector != seen.vector) cost += cost_rip;
    return cost + cost_bits * ((((r.dr6 ^ seen.dr6) & ~o.dr6_any) != 0) + (r.dr7 != seen.dr7) + (r.tf != seen.tf) +
                               (!o.rf_any && r.rf != seen.rf) + (r.error != seen.error));
}

/// A RIP that an event of this kind could push at this op.
bool natural_rip(const Step& step, const Response& seen) {
    const bool fault = seen.event == event::fault || seen.event == event::code_db || seen.event == event::gd_db;
    return seen.rip == (fault ? step.stim.rip : step.stim.next);
}

std::size_t cost_of(const Step& step, const Response& seen) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    std::size_t best = ~std::size_t{0};
    bool code_due = false;
    for (const auto& o : right) {
        const bool same = o.response.event == seen.event;
        code_due |= o.response.event == event::code_db;
        const std::size_t other = cost_event + (natural_rip(step, seen) ? 0 : cost_rip);
        best = std::min(best, same ? mismatch(o, step, seen) : in_sight(step, o, seen) ? cost_in_sight : other);
    }
    // Had there been no instruction breakpoint, this were right.
    if (code_due && !step.pre.rf) {
        auto pre = step.pre;
        pre.rf = true;
        debug::outcomes(pre, step.stim, right);
        for (const auto& o : right)
            if (o.response.event == seen.event) best = std::min(best, cost_in_sight + mismatch(o, step, seen));
    }
    return best;
}

/// A cause in sight for an event that is not due.
bool plausible(const Step& step, const Response& seen) {
    const auto shows_code_breakpoint = [&](std::uint64_t rip) {
        for (unsigned n = 0; n < 4; ++n)
            if ((step.pre.dr7 >> (16 + 4 * n) & 3) == 0 && debug::address_of(step.pre, n) == rip && seen.dr6 >> n & 1)
                return true;
        return false;
    };
    switch (seen.event) {
        case event::code_db: return shows_code_breakpoint(step.stim.rip);
        case event::gd_db: return seen.dr6 & dr::dr6_bd || !(seen.dr6 & dr::dr6_b);
        case event::trap: return !shows_code_breakpoint(step.stim.next);
        default: return true;
    }
}

/// The record is the trap that was due at the step, behind a later op.
bool reports_late(const Step& step, const Record& record, std::uint64_t rip) {
    if (record.vector != 1 || rip == step.stim.rip || rip == step.stim.next) return false;
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    return std::any_of(right.begin(), right.end(), [&](const auto& o) {
        return o.response.event == event::trap && o.response.dr6 & dr::dr6_b &&
               ((o.response.dr6 ^ record.dr6) & dr::dr6_b & ~o.dr6_any) == 0;
    });
}

/// What the record shows of the last attempt that it can be about.
struct SeenAttempt {
    const Attempt* attempt;
    exceptions::Response<Judging> response;
};
SeenAttempt seen_attempt(const Arrival& way, const Record& record, std::uint64_t rip) {
    namespace result = exceptions::result;
    std::size_t k = way.count;
    while (k-- > 0)
        if (way.attempts[k].stim.vector == record.vector) break;
    bool reached = k < way.count;
    if (!reached) k = 0;
    // What took an event's place came with the wrong error code or RIP: that is said by the attempt before.
    if (reached && k > 0 && (record.error != way.attempts[k].stim.error || rip != way.attempts[k].stim.rip))
        reached = false, --k;
    SeenAttempt seen{&way.attempts[k], {}};
    auto& r = seen.response;
    r = seen.attempt->outcome.response;
    const bool was_delivered = r.result == result::delivered;
    if (!was_delivered || !reached) {
        // The list of right answers has the frame that an orderly delivery would have made, if anything has.
        r = {};
        r.slot = seen.attempt->pre.mode == exceptions::mode::long_mode        ? 8
                 : seen.attempt->pre.mode == exceptions::mode::protected_mode ? 4
                                                                              : 2;
    }
    r.rip = rip, r.rf = record.rflags & rflags::rf;
    if (reached) {
        r.result = result::delivered;
        if (r.pushes_error) r.error = record.error;
        r.frame = record.frame;
        r.ss = record.handler_ss;
        r.if_ = record.handler_flags & rflags::if_, r.tf = record.handler_flags & rflags::tf;
        r.nt = record.handler_flags & rflags::nt, r.ac = record.handler_flags & rflags::ac;
        if (!was_delivered) r.pushes_stack = r.slot == 8;
    } else {
        r.result = record.vector == 8 ? result::double_fault : result::serial;
        r.vector = record.vector;
        r.error = record.vector == 8 ? 0 : record.error;
        r.slot = 0;
        r.writes_cr2 = record.vector == 14;
        r.cr2 = r.writes_cr2 ? record.cr2 : 0;
    }
    return seen;
}

}  // namespace

Misdelivery Reader::misdelivery(const Step& step, const Response& seen, const Record& record) const {
    Misdelivery best;
    Interrupted here;
    if (!interrupt(walk_, step, {seen, 0, false}, here)) return best;
    for (const Arrival& way : here.ways) {
        if (way.end().result != exceptions::result::delivered) continue;
        Expected expected = walk_.expected(here.at, {seen, 0, false}, way);
        expected.only_vector = expected.vector == 8;
        if (way.direct() && seen.event == event::fault && step.raised.response.writes_cr2)
            expected.show_cr2(step.raised);
        std::vector<FieldMisfit> misfits;
        const auto shown = [&](const Expected::Field& field) {
            const std::string_view name = field.name;
            return !tape_.through_kernel || (name != "handler-flags" && name != "handler-ss" && name != "frame");
        };
        for (const auto& field : expected.fields())
            if (shown(field) && !field.fits(record))
                misfits.push_back({field.name, field.value, record.*field.member, field.mask});
        if (best.found && misfits.size() >= best.misfits.size()) continue;
        best = {way, std::move(misfits), {}, true};
    }
    if (!best.found || best.misfits.empty()) return best;
    const auto attempt = seen_attempt(best.way, record, walk_.linear_rip(record));
    if (!tape_.through_kernel)  // nothing of the delivery is seen
        best.rules = violated(attempt.attempt->pre, attempt.attempt->stim, attempt.response);
    return best;
}

/// How many more records fit behind this reading.
std::uint32_t Reader::progress(const Failure& failure, const Step& step, const Response& seen, const Record* record) {
    Candidate c;
    c.state = step.state;
    c.record = failure.record;
    if (seen.event == event::none || seen.event == event::trap) {
        if (walk_.complete_op(c, step.effect, seen)) return 0;
        if (seen.event == event::none) {
            c.state.dr6 = seen.dr6, c.state.dr7 = seen.dr7;
            c.carried.continues = step.stim.kind == kind::rep && !step.stim.last;
            c.carried.shadow = step.stim.kind == kind::load_ss;
        }
    }
    if (record && seen.event != event::none) {
        ++c.record;
        if (!walk_.react(c, *record)) return c.record == tape_.count;
    }
    return search_.reach(case_, image_, tape_, c) - c.record;
}

bool Reader::is_op(std::uint64_t rip) const {
    for (unsigned i = 0; i <= image_.op_count; ++i)
        if (image_.op_address(i) == rip) return true;
    return false;
}

void Reader::consider(const Failure& failure, std::size_t index, const Response& seen, const Record* record) {
    const Step& step = failure.trail[index];
    const bool missing = seen.event == event::none;
    std::size_t cost = missing ? cost_missing : cost_of(step, seen);
    if (!missing) {
        if (cost > 0 && !plausible(step, seen)) cost += cost_no_cause;
        if (seen.rip != step.stim.rip && seen.rip != step.stim.next)
            cost += is_op(seen.rip) && seen.rip > step.stim.rip ? cost_later_op : cost_elsewhere;
        for (const auto& misfit : misdelivery(step, seen, *record).misfits) {
            const std::string_view field = misfit.field;
            const bool register_field = field == "rcx" || field == "rsp";
            // With RSP the frame's place is another, too.
            if (field != "frame") cost += register_field ? cost_register : cost_bits;
        }
    }
    if (cost >= best_.cost) return;
    const bool late = missing && record && reports_late(step, *record, walk_.linear_rip(*record));
    if (!late && progress(failure, step, seen, record) == 0) cost += missing ? cost_event : cost_stuck;
    if (cost >= best_.cost) return;
    best_ = {&failure, index, seen, violated(step, seen), missing, false, late, cost};
}

/// The event is one that was due; what the tape shows is how it was delivered.
void Reader::consider_delivery(const Failure& failure, std::size_t index, const Record& record) {
    const Step& step = failure.trail[index];
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    for (const auto& outcome : right) {
        const auto found = misdelivery(step, outcome.response, record);
        if (!found.found || found.misfits.empty()) continue;
        // A vector that neither the event nor any attempt at it has is a failure to deliver: those have few vectors.
        const bool of_way = std::any_of(found.way.attempts.begin(), found.way.attempts.begin() + found.way.count,
                                        [&](const Attempt& a) { return a.stim.vector == record.vector; });
        const bool of_delivery = record.vector == 8 || (record.vector >= 10 && record.vector <= 14);
        if ((found.way.direct() && record.vector == outcome.response.vector) || (!of_way && !of_delivery)) continue;
        // Where delivery should succeed, another event is the likelier story.
        std::size_t cost = found.way.direct() ? cost_event + cost_rip : cost_in_sight + (of_way ? 0 : cost_bits);
        for (const auto& misfit : found.misfits) cost += std::string_view(misfit.field) == "rcx" ? cost_register : 1;
        if (cost < best_.cost) best_ = {&failure, index, outcome.response, found.rules, false, true, false, cost};
    }
}

Record as_kept(const Tape& tape, std::uint32_t index, const Step& step) {
    Record record = tape.records[index];
    if (!tape.through_kernel) return record;
    const Unseen& unseen = tape.unseen[index];
    record.dr6 = (record.dr6 & ~unseen.dr6) | (step.pre.dr6 & unseen.dr6);
    record.dr7 = (record.dr7 & ~unseen.dr7) | (step.pre.dr7 & ~dr::dr7_gd & unseen.dr7);
    record.rflags &= ~unseen.rflags;
    return record;
}

void Reader::read_record(const Failure& failure) {
    const std::size_t last = failure.trail.size() - 1;
    constexpr std::uint64_t db_events[] = {event::trap, event::code_db, event::gd_db, event::icebp, event::delivered};
    constexpr std::uint64_t other_events[] = {event::fault, event::delivered};
    for (std::size_t i = first_open(failure); i <= last; ++i) {
        const Step& step = failure.trail[i];
        if (step.exited) continue;
        const auto& stim = step.stim;
        const Record record = as_kept(tape_, failure.record, step);
        const auto rip = walk_.linear_rip(record);
        if (rip != stim.rip && rip != stim.next && i != last) continue;
        const auto consider_as = [&](std::uint64_t what) {
            const bool software = stim.kind == kind::int_n || stim.kind == kind::int3 || stim.kind == kind::wake;
            if (what == event::icebp && stim.kind != kind::icebp) return;
            if (what == event::gd_db && stim.kind != kind::mov_dr) return;
            if (what == event::delivered && !software) return;
            consider(failure, i, as_response(step, record, rip, what), &record);
        };
        if (record.vector == 1)
            for (const auto what : db_events) consider_as(what);
        else
            for (const auto what : other_events) consider_as(what);
        consider_delivery(failure, i, record);
    }
    // Nothing was raised where something was due, and the record belongs to a later op.
    if (failure.misfit == Misfit::Exception && !failure.trail[last].exited) {
        const Record record = as_kept(tape_, failure.record, failure.trail[last]);
        consider(failure, last, uneventful(failure.trail[last]), &record);
    }
}

void Reader::read_silence(const Failure& failure) {
    consider(failure, failure.trail.size() - 1, uneventful(failure.trail.back()), nullptr);
}

}  // namespace faultline::oracle
