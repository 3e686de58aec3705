// From an op's effect and the candidate state to the chapter's records. Addresses and values only: what they mean
// for debugging is the rules' affair.
#pragma once

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/debug/records.hpp"

namespace faultline::oracle::debug {

/// What a candidate state carries from op to op besides guest::State.
struct Carried {
    bool shadow = false;     ///< the op before loaded SS
    bool continues = false;  ///< the op before was an earlier iteration of this REP instruction
    std::uint64_t held = 0;  ///< causes not yet reported, as DR6 bits
};

Pre<Judging> pre_of(const guest::State& state, const Carried& carried, const guest::Features& features);
/// Of an op that faults, `vector` and `error` are left 0: which exception it raises, the exceptions chapter says.
Stimulus<Judging> stimulus_of(const guest::State& state, const Carried& carried, const guest::Effect& effect);
/// No instruction at the state's RIP: a held trap (kind::boundary), or an interrupt of `vector` (kind::wake).
Stimulus<Judging> stimulus_at_boundary(const guest::State& state, std::uint64_t kind, std::uint8_t vector = 0);

}  // namespace faultline::oracle::debug
