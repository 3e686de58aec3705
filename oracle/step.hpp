// One op of one candidate's way, and the event that interrupted it there: what explaining, counting and mutating need
// of a search that has ended.
#pragma once

#include <cstdint>

#include "oracle/walk.hpp"

namespace faultline::oracle {

/// Kept when the way must be explained or counted.
struct Step {
    debug::Pre<Judging> pre;
    debug::Stimulus<Judging> stim;
    std::uint16_t op = 0;      ///< ops.size() is the end; a stage instruction belongs to the op before it
    std::uint32_t record = 0;  ///< records accounted for before it
    std::uint32_t chosen = 0;  ///< outcome taken, in the order of `outcomes`; for the last step of a failure, none
    std::uint8_t way = 0;      ///< if that is an event: the arrival taken, in the order of `deliver`
    guest::State state;        ///< before the op
    guest::Effect effect;
    exceptions::Outcome raised;  ///< what the exceptions chapter makes of `effect.fault`, if it faults
    bool exited = false;         ///< world svm: intercepted as an instruction; nothing else was asked
    bool injected = false;       ///< world svm: no op, the event that VMRUN injects
};

/// The outcome that the step took; not for the last step of a failure.
debug::Outcome taken(const Step& step);

/// An event of a step on its way: the state that it interrupts, and where it may arrive.
struct Interrupted {
    Candidate at;
    Arrivals ways;

    /// The arrival that the step took, or null.
    const Arrival* taken(const Step& step) const { return step.way < ways.size() ? &ways[step.way] : nullptr; }
};
/// False: `outcome` is no event, or what it interrupts cannot be stated.
bool interrupt(const Walk& walk, const Step& step, const debug::Outcome& outcome, Interrupted& out);

/// The outcome that the step took, with what it leaves open as the tape shows it.
debug::Outcome shown(const Walk& walk, const Step& step, const guest::Tape& tape);
/// The same of what the exceptions chapter leaves open about the event in `record`.
void settle(const Walk& walk, const guest::Record& record, exceptions::Outcome& outcome);

/// Every question that the step put to the chapters, with the answer that the tape shows: `of_debug` and
/// `of_exceptions` are called with (pre, stimulus, response).
template <class OfDebug, class OfExceptions>
void each_question(const Walk& walk, const Step& step, const guest::Tape& tape, Interrupted& here, OfDebug of_debug,
                   OfExceptions of_exceptions) {
    if (step.exited || step.injected) return;
    debug::Outcome outcome = shown(walk, step, tape);
    const Arrival* way = interrupt(walk, step, outcome, here) ? here.taken(step) : nullptr;
    if (way && !way->direct()) {  // the record is of another event
        outcome = taken(step);
        way = interrupt(walk, step, outcome, here) ? here.taken(step) : nullptr;
    }
    const bool recorded = way && way->end().result == exceptions::result::delivered && !outcome.response.held &&
                          !way->end().held && step.record < tape.count &&
                          tape.records[step.record].vector == way->vector();
    of_debug(step.pre, step.stim, outcome.response);
    if (step.effect.faults) {
        exceptions::Outcome raised = step.raised;
        if (recorded && way->direct()) settle(walk, tape.records[step.record], raised);
        of_exceptions(exceptions::pre_of(step.state, walk.features()), exceptions::raise_of(step.effect),
                      raised.response);
    }
    for (std::size_t i = 0; way && i < way->count; ++i) {
        exceptions::Outcome answer = way->attempts[i].outcome;
        if (recorded && i + 1 == way->count) settle(walk, tape.records[step.record], answer);
        of_exceptions(way->attempts[i].pre, way->attempts[i].stim, answer.response);
    }
}

/// The event that the outcome of an op, or of a boundary, hands to the IDT. `origin`: linear address of the op.
exceptions::Event event_of(const debug::Response<Judging>& response, std::uint64_t op_kind, std::uint64_t origin);
/// Takes `candidate` to the state that an event of `outcome` interrupts: behind the op where that completed. Null, or
/// why it cannot be stated.
const char* bring_to_event(const Walk& walk, const debug::Outcome& outcome, const guest::Effect& effect,
                           Candidate& candidate);

}  // namespace faultline::oracle
