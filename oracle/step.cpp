#include "oracle/step.hpp"

namespace faultline::oracle {

namespace event = debug::event;

debug::Outcome taken(const Step& step) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    return right[step.chosen];
}

debug::Outcome shown(const Walk& walk, const Step& step, const guest::Tape& tape) {
    debug::Outcome outcome = taken(step);
    auto& r = outcome.response;
    if (r.event == event::none || r.held || step.record >= tape.count) return outcome;
    const guest::Record& record = tape.records[step.record];
    if (record.vector != r.vector || walk.linear_rip(record) != r.rip) return outcome;
    const guest::Unseen unseen = tape.through_kernel ? tape.unseen[step.record] : guest::Unseen{};
    if (outcome.rf_any && !(unseen.rflags & guest::rflags::rf)) r.rf = record.rflags & guest::rflags::rf;
    if (r.event == event::delivered || r.vector != 1) return outcome;
    const auto open = outcome.dr6_any & ~unseen.dr6;
    r.dr6 = (r.dr6 & ~open) | (record.dr6 & open);
    return outcome;
}

void settle(const Walk& walk, const guest::Record& record, exceptions::Outcome& outcome) {
    auto& r = outcome.response;
    if (outcome.rf_any) r.rf = record.rflags & guest::rflags::rf;
    if (outcome.rip_any) r.rip = walk.linear_rip(record);
    if (r.writes_cr2 && record.vector == 14 && record.cr2 >= outcome.cr2_low && record.cr2 <= outcome.cr2_high)
        r.cr2 = record.cr2;
}

bool interrupt(const Walk& walk, const Step& step, const debug::Outcome& outcome, Interrupted& out) {
    if (outcome.response.event == event::none) return false;
    out.at = {};
    out.at.state = step.state;
    out.at.record = step.record;
    return !bring_to_event(walk, outcome, step.effect, out.at) &&
           walk.deliver(out.at.state, event_of(outcome.response, step.stim.kind, step.state.rip), out.ways);
}

exceptions::Event event_of(const debug::Response<Judging>& r, std::uint64_t op_kind, std::uint64_t origin) {
    exceptions::Event event;
    event.vector = static_cast<std::uint8_t>(r.vector);
    event.error = static_cast<std::uint32_t>(r.error);
    event.rip = r.rip;
    event.rf = r.rf;
    event.origin = r.event == event::trap ? r.rip : origin;
    if (r.event == event::icebp) event.source = exceptions::source::icebp;
    if (r.event == event::delivered)
        event.source = op_kind == debug::kind::wake ? exceptions::source::external : exceptions::source::software;
    return event;
}

const char* bring_to_event(const Walk& walk, const debug::Outcome& outcome, const guest::Effect& effect, Candidate& c) {
    const auto& r = outcome.response;
    if (r.event == event::trap)
        if (const char* why = walk.complete_op(c, effect, r)) return why;
    c.state.dr6 = r.dr6, c.state.dr7 = r.dr7, c.state.debugctl = (c.state.debugctl & ~3ull) | r.debugctl;
    c.carried = {};
    return nullptr;
}

}  // namespace faultline::oracle
