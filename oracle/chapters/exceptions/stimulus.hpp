// From an op's fault, and from an event that is to be delivered, to the chapter's records. Only facts are gathered
// here: what stands at each place where a check looks. What follows from them is the rules' affair.
#pragma once

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/exceptions/records.hpp"

namespace faultline::oracle::exceptions {

/// An event on its way through the IDT.
struct Event {
    std::uint8_t vector = 0;
    std::uint32_t error = 0;  ///< 0 where the event has none
    std::uint64_t source = source::exception;
    std::uint64_t rip = 0;     ///< linear: what its frame would show as RIP
    std::uint64_t origin = 0;  ///< linear: the instruction or boundary that it interrupts
    bool rf = false;           ///< RF of the image
};

Pre<Judging> pre_of(const guest::State& state, const guest::Features& features);
/// kind::raise. `effect.faults` is set.
Stimulus<Judging> raise_of(const guest::Effect& effect);
/// kind::deliver, with what `context` (its state, image, gates and surroundings) holds for this event.
Stimulus<Judging> deliver_of(const Event& event, const guest::EffectContext& context);

}  // namespace faultline::oracle::exceptions
