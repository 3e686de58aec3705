// One candidate's way through a program: what an exception must look like on the tape, and how the stage answers it.
// Knows the stage (stubs, syscall_entry, epilogue, reaction policy); knows of debugging only what the chapter says.
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/debug/outcomes.hpp"
#include "oracle/chapters/debug/stimulus.hpp"

namespace faultline::oracle {

/// A machine state that fits everything the tape has shown so far.
struct Candidate {
    guest::State state;
    debug::Carried carried;
    std::uint32_t record = 0;  ///< records of the tape accounted for
    std::uint32_t steps = 0;
    /// The case's wake-up event at this boundary: HLT waits for it; or, when HLT under TF was left by its step trap,
    /// it may or may not have been raised.
    enum class Wakes : std::uint8_t { No, Must, May } wakes = Wakes::No;
    /// Stack bytes that exception frames have overwritten, save by overlay writes from number `since` on.
    struct Clobbered {
        std::uint64_t begin, end;
        std::size_t since;
    };
    std::uint32_t clobbered_count = 0;
    std::array<Clobbered, 8> clobbered;
    /// Which outcome of the op before led here, and how many ops lie behind: for explanations only.
    std::uint32_t chosen = 0, trail = 0;
};

/// What a record must show. Fields of a candidate that are not known are not compared.
struct Expected {
    std::uint64_t vector = 0, error = 0, rip = 0, cs = 0, ss = 0, rsp = 0, rflags = 0, cr2 = 0, rcx = 0;
    std::uint64_t dr6 = guest::not_recorded, dr7 = guest::not_recorded;
    std::uint64_t error_any = 0, rflags_any = 0, dr6_any = 0;  ///< bits not compared
    std::uint64_t cr2_span = 0;                                ///< CR2 may be up to this many bytes higher
    bool rsp_known = true, rcx_known = true;
    bool only_vector = false;  ///< #DF: the frame is undefined
};
bool fits(const Expected& expected, const guest::Record& record);
/// The tape's record with what the subject does not show of it (guest::Unseen) taken from `expected`.
guest::Record fill_in(const guest::Tape& tape, std::uint32_t index, const Expected& expected);

/// Whether an event can be delivered in this state, and whether the oracle can speak about what follows.
enum class Delivery : std::uint8_t { Possible, DoubleFault, NotModelled };

class Walk {
public:
    Walk(const guest::Image& image, const guest::Features& features) : image_(image), features_(features) {}

    const guest::Image& image() const { return image_; }
    const guest::Features& features() const { return features_; }

    /// Why the case cannot be judged at all, or null.
    const char* start(Candidate& candidate) const;

    /// The op's effects on the state; `response` decides about debug registers. Null, or why not modelled.
    const char* complete_op(Candidate& candidate, const guest::Effect& effect,
                            const debug::Response<Judging>& response) const;

    /// The record of an event that interrupts `candidate` in its present state (an op that completes first has).
    Expected expected(const Candidate& candidate, const debug::Outcome& outcome, const guest::Effect& effect) const;

    /// See Delivery. A reason is written to `why` for NotModelled.
    Delivery delivery(const Candidate& candidate, const char*& why) const;

    /// State at the first instruction of the handler of `vector`; `has_error` as pushed.
    guest::State at_handler(const Candidate& candidate, std::uint64_t vector, bool has_error) const;

    /// The stub has written `record`, and returned. False: it ended the run instead (a RIP outside the program).
    bool react(Candidate& candidate, const guest::Record& record) const;

    /// Marks what an exception frame and the stub overwrite below RSP.
    void clobber(Candidate& candidate) const;
    /// Whether the op reads stack bytes that a frame has overwritten.
    bool reads_clobbered(const Candidate& candidate, const guest::Effect& effect) const;

    bool in_program(std::uint64_t rip) const;
    bool in_stage_text(std::uint64_t rip) const;

private:
    const guest::Image& image_;
    const guest::Features& features_;
};

/// Vectors that push an error code. Intel SDM vol 3, "Exceptions and Interrupts" (table of vectors).
constexpr bool pushes_error(std::uint64_t vector) { return vector < 32 && (0x6022'7D00u >> vector & 1); }

}  // namespace faultline::oracle
