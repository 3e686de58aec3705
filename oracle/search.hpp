// The search for a way through a program that fits a tape: every op multiplies the live candidates by the chapter's
// outcomes, every record prunes them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "oracle/exits.hpp"
#include "oracle/step.hpp"

namespace faultline::oracle {

/// Why a way ended without fitting.
enum class Misfit : std::uint8_t {
    Exception,  ///< at its last op the tape shows none of the outcomes
    Extra,      ///< everything is done, and the tape shows one more record
    Outcome,    ///< every record fits, the outcome does not
    Final,      ///< everything fits but the final state
    Exit,       ///< world svm: an exit must come that the tape does not show, or VMRUN does what it must not
};

struct Failure {
    Misfit misfit = Misfit::Exception;
    std::uint32_t record = 0, exits = 0;                  ///< of the tape accounted for
    guest::Outcome expected = guest::Outcome::Completed;  ///< Misfit::Outcome
    guest::State end;                                     ///< Misfit::Final: the state that was expected
    std::vector<Step> trail;
    std::vector<Question> questions;  ///< world svm: those of the way, then those of its last step's dead ends

    std::uint32_t progress() const { return record + exits; }
};

class Search {
public:
    Search();

    enum class Result : std::uint8_t { Fits, NotModelled, Misfits };
    /// With `keep`, `trail()` is the way that fits, or `failures()` those that got furthest.
    Result run(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape, bool keep);

    /// Follows `from` instead of the program's start: how many records are accounted for where it stops; one more
    /// than the tape has when the whole rest fits.
    std::uint32_t reach(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                        const Candidate& from);

    /// Follows the program along answers that are allowed, without a tape: null when the oracle can speak about every
    /// op on that way, else why it cannot.
    const char* forecast(const guest::Case& subject_case, const guest::Image& image, const guest::Features& features);

    const char* why_not() const { return why_; }
    const std::vector<Step>& trail() const { return trail_; }
    /// … and what chapter svm was asked on it.
    std::vector<Question> questions() const { return questions(*trial_); }
    const std::vector<Failure>& failures() const { return failures_; }
    /// After Fits with outcome Completed: the state at the end.
    const guest::State& end_state() const { return trial_->state; }

    static constexpr std::size_t max_candidates = 64, max_failures = 16;
    static constexpr std::uint32_t max_steps = 4096;

private:
    enum class Advance : std::uint8_t { On, Fits, Dead, NotModelled };
    enum class Trial : std::uint8_t { Matches, Ends, Differs, NotModelled };

    // World svm: search_exits.cpp.
    /// An event on its way to its handler.
    struct Passage {
        svm::Standing standing;
        Open open;
        bool ts_let_go = false;  ///< the hypervisor has let the guest meet its #TS once more
        bool exited = false;     ///< what was met last was intercepted
    };
    struct Answered {
        bool passes = false, exits = false;  ///< are right
        bool shown = false;                  ///< the tape goes on with an exit that is right
    };
    Answered ask(const Candidate& c, svm::Stimulus<Judging>& stim, const Open& open);
    void note(Candidate& c, const svm::Stimulus<Judging>& stim, const Open& open, bool exited, bool reflected = false);
    std::vector<Question> questions(const Candidate& c) const;
    svm::Standing standing(const Candidate& c, std::uint64_t rip) const;
    Advance enter();
    Advance inject();
    bool intercept(const guest::Effect& effect, bool known, Advance& next);
    Trial meet(const svm::Event& event, const svm::Prior& prior, Passage& passage);
    Trial meet_exits(const debug::Outcome& outcome, const guest::Effect& effect, const exceptions::Outcome& raised,
                     const Arrival& way);

    void use_hypervisor(const guest::Features& features);
    Result follow();
    Advance advance();
    Advance branch(const debug::Pre<Judging>& pre, debug::Stimulus<Judging> stim, const guest::Effect& effect,
                   bool at_end);
    Advance begin_task();
    Advance branch_fault(const debug::Pre<Judging>& pre, debug::Stimulus<Judging>& stim, const guest::Effect& effect,
                         bool at_end);
    Advance try_events(const guest::Effect& effect, const exceptions::Outcome& raised, bool at_end, bool& stuck);
    Advance continue_with(std::size_t before, std::uint32_t explained_before, bool stuck);
    Trial try_event(const debug::Outcome& outcome, const guest::Effect& effect, const exceptions::Outcome& raised,
                    bool at_end);
    Trial try_arrival(const debug::Outcome& outcome, const guest::Effect& effect, const exceptions::Outcome& raised,
                      const Arrival& way, bool at_end);
    bool expected_inside(const Candidate& inside, const debug::Outcome& right, std::uint64_t op_kind, Expected& out);
    Trial nested_trap(guest::State handler, std::uint64_t held);
    Trial finish(const Arrival& way);
    Trial ends(guest::Outcome outcome);
    Trial nmi_in_handler(const Arrival& way);
    Advance fits(std::size_t chosen);
    Advance wake();
    bool wakes(const guest::State& state) const;
    bool keep_for_later(std::size_t chosen, std::uint8_t way = 0);
    void keep_step(const debug::Pre<Judging>& pre, const debug::Stimulus<Judging>& stim, const guest::Effect& effect,
                   const exceptions::Outcome& raised);
    Advance take_pending();
    bool effect_at(const Candidate& candidate, guest::Effect& effect, bool& at_end);
    bool outcome_left_open(const guest::Effect& effect) const;
    bool shows_more(const Expected& expected);
    void fail(Misfit misfit, const Candidate& at, guest::Outcome expected = guest::Outcome::Completed);
    Advance not_modelled(const char* why) {
        why_ = why;
        return Advance::NotModelled;
    }

    const guest::Case* case_ = nullptr;
    const guest::Tape* tape_ = nullptr;
    const Walk* walk_ = nullptr;
    bool keep_ = false;
    bool forecasting_ = false;  ///< what is expected first is what tape_, own_tape_ then, is made to show
    guest::Tape own_tape_;
    const char* why_ = nullptr;
    const char* undecided_ = nullptr;  ///< why one of several answers to an event could not be followed

    Candidate buffers_[2];
    Candidate *current_ = &buffers_[0], *trial_ = &buffers_[1];
    std::vector<Candidate> pending_;
    debug::Outcomes outcomes_;
    // Used by one event at a time, and too large to be made anew for each.
    Arrivals ways_, inside_ways_;
    Candidate before_;
    std::array<std::uint8_t, guest::layout::code_limit> op_at_{};  ///< op number + 1 at each op's first byte
    std::uint32_t total_steps_ = 0, furthest_ = 0;                 ///< furthest: records
    std::uint32_t explained_ = 0;                                  ///< failures stated so far
    std::uint8_t way_ = 0;                                         ///< the arrival that try_event tried last

    std::vector<Step> trail_;
    std::vector<Failure> failures_;

    std::optional<Hypervisor> hypervisor_;  ///< of world svm
    svm::Outcomes answers_;
    std::vector<Question> questions_;  ///< all, in the order in which they were asked
    std::size_t asked_before_ = 0;     ///< … before the op in hand
    bool only_breakpoint_ = false;     ///< the op in hand exits unless an instruction breakpoint stops it
    enum class Injected : std::uint8_t { No, OneByte /* as by INT3, INTO */, Other } injected_ = Injected::No;
};

}  // namespace faultline::oracle
