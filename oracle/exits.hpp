// #VMEXITs on a candidate's way: what chapter svm was asked, and what the tape must show of the answer.
#pragma once

#include <cstdint>

#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/svm/outcomes.hpp"

namespace faultline::oracle {

/// AMD APM vol 2 (24593), "Vectors", Error Code: 8, 10–14, 17, 21, 29, 30.
constexpr bool pushes_error(std::uint64_t vector) { return vector < 32 && 0x6022'7D00u >> vector & 1; }

/// What the other chapters leave open of an exit: bits, and how far an address may lie above what is stated.
struct Open {
    std::uint64_t dr6 = 0, error = 0, prior_error = 0, address = 0;
    bool rf = false, shadow = false;
};

/// One question put to chapter svm. Those of one way are linked, from the last to the first.
struct Question {
    svm::Stimulus<Judging> stim;  ///< what is open in it as the tape shows it
    Open open;
    guest::State state;        ///< of the guest, as an exit would find it
    std::uint32_t before = 0;  ///< the question before, by its number; 0: none
    std::uint32_t step = 0;    ///< steps of the trail before it, its own included
    std::uint16_t op = 0;      ///< as Step::op
    std::uint32_t record = 0;  ///< records accounted for before it
    std::uint32_t exit = 0;    ///< and exits
    bool exited = false;       ///< this way takes the exit that the tape shows next
    bool reflected = false;    ///< … and its exception is given back to the guest
};

/// What the guest was doing when its exit came, which #VMEXIT saves and no rule speaks of: one bit each.
namespace saved {
inline constexpr unsigned rflags = 1, rsp = 2, rax = 4, cs = 8, injection = 16, order = 32;
}
/// Those that `exit` does not have as `state` says. RF is the chapter's.
unsigned misfits(const guest::VmExit& exit, const guest::State& state, std::uint32_t records);

/// What the tape would show of `outcome` met in `state`.
guest::VmExit exit_of(const svm::Outcome& outcome, const guest::State& state, std::uint32_t records);

/// Whether the tape shows an exit next, after those and the records accounted for.
inline bool exit_is_next(const guest::Tape& tape, std::uint32_t exits, std::uint32_t records) {
    return exits < tape.exit_count && tape.exits[exits].records <= records;
}

}  // namespace faultline::oracle
