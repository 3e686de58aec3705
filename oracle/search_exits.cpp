// The search in world svm: what chapter svm says at each moment of a guest, what the tape must show of it, and how the
// hypervisor answers.
#include <algorithm>

#include "hypervisor/guest/stage/stage.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
namespace event = debug::event;
namespace source = exceptions::source;
using SvmStimulus = svm::Stimulus<Judging>;

constexpr std::uint64_t vector_db = 1, vector_nmi = 2, vector_bp = 3, vector_of = 4, vector_df = 8, vector_ts = 10,
                        vector_pf = 14, vector_mc = 18;

std::uint64_t taken_where(std::uint64_t value, std::uint64_t shown, std::uint64_t open) {
    return (value & ~open) | (shown & open);
}

/// The debug chapter's share of what MOV DR meets.
std::uint64_t raises_of(const Effect& e, const State& s) {
    if (e.kind != Kind::MovDr) return 0;
    namespace raises = svm::raises;
    const bool alias = e.dr_number == 4 || e.dr_number == 5;
    const bool upper = e.dr_write && e.dr_number >= 4 && e.dr_value >> 32;
    return (e.dr_number > 7 || (alias && s.cr4 & cr4_de) ? raises::undefined : 0) |
           (s.cpl != 0 ? raises::privilege : 0) | (upper ? raises::operand : 0) |
           (s.dr7 & dr::dr7_gd ? raises::general_detect : 0);
}

/// RF of the VMCB with which a hypervisor of ours gives an exception back: set for faults, as their frames have it.
bool rf_when_given_back(std::uint64_t vector, bool as_found) {
    if (vector == vector_db) return as_found;
    return vector != vector_bp && vector != vector_of && vector != vector_df && vector != vector_mc;
}

svm::Prior prior_of(const exceptions::Stimulus<Judging>& stim, bool one_byte) {
    svm::Prior prior;
    prior.vector = static_cast<std::uint8_t>(stim.vector);
    switch (stim.source) {
        case source::software: prior.source = one_byte ? svm::prior::one_byte : svm::prior::software; break;
        case source::icebp: prior.source = svm::prior::one_byte; break;
        case source::external: prior.source = stim.vector == vector_nmi ? svm::prior::nmi : svm::prior::external; break;
        default:
            prior.source = svm::prior::exception;
            if (pushes_error(stim.vector)) prior.error = static_cast<std::uint32_t>(stim.error);
    }
    return prior;
}

}  // namespace

/// What the chapter answers, and whether the tape goes on with an exit that is one of the answers.
Search::Answered Search::ask(const Candidate& c, SvmStimulus& stim, const Open& open) {
    if (exit_is_next(*tape_, c.guest.exits, c.record)) {
        const VmExit& shown = tape_->exits[c.guest.exits];
        stim.dr6 = taken_where(stim.dr6, shown.dr6, open.dr6);
        stim.error = taken_where(stim.error, shown.info_1, open.error);
        stim.prior_error = taken_where(stim.prior_error, shown.int_info >> 32, open.prior_error);
        if (shown.info_2 - stim.address <= open.address) stim.address = shown.info_2;
        if (open.rf) stim.rf = shown.rflags & rflags::rf;
        if (open.shadow) stim.shadow = shown.interrupt_shadow & 1;
        if (!c.guest.cr2_known) stim.cr2 = shown.cr2;
    }
    svm::outcomes(hypervisor_->pre(), stim, answers_);
    Answered answered;
    for (const svm::Outcome& answer : answers_) {
        if (!answer.response.exits) {
            answered.passes = true;
            continue;
        }
        answered.exits = true;
        if (forecasting_ && c.guest.exits == own_tape_.exit_count && own_tape_.exit_count < tape_capacity)
            own_tape_.exits[own_tape_.exit_count++] = exit_of(answer, c.state, c.record);
        if (!exit_is_next(*tape_, c.guest.exits, c.record)) continue;
        const VmExit& shown = tape_->exits[c.guest.exits];
        // Where VMRUN refuses, nothing of the guest has been there.
        const unsigned wrong = stim.kind == svm::kind::enter ? 0 : oracle::misfits(shown, c.state, c.record);
        answered.shown |=
            svm::matches(answer, svm::response_of(shown, stim.kind)) && (wrong == 0 || answer.registers_any);
    }
    return answered;
}

/// The candidate has been asked this, and took the exit or did not.
void Search::note(Candidate& c, const SvmStimulus& stim, const Open& open, bool exited, bool reflected) {
    if (keep_) {
        questions_.push_back({stim, open, c.state, c.guest.question, static_cast<std::uint32_t>(trail_.size()),
                              trail_.empty() ? std::uint16_t{0} : trail_.back().op, c.record, c.guest.exits, exited,
                              reflected});
        c.guest.question = static_cast<std::uint32_t>(questions_.size());
    }
    if (exited) ++c.guest.exits;
}

std::vector<Question> Search::questions(const Candidate& c) const {
    std::vector<Question> way;
    for (std::uint32_t i = c.guest.question; i != 0; i = questions_[i - 1].before) way.push_back(questions_[i - 1]);
    std::ranges::reverse(way);
    return way;
}

svm::Standing Search::standing(const Candidate& c, std::uint64_t rip) const {
    return {.rip = rip - c.state.cs_base(),
            .next_rip = 0,
            .rf = (c.state.rflags & rflags::rf) != 0,
            .shadow = c.guest.shadow,
            .cr2 = c.guest.cr2,
            .dr6 = c.state.dr6,
            .dr7 = c.state.dr7};
}

// --- Instructions -------------------------------------------------------------------------------------------

/// The intercept that the candidate's op checks. False: the op goes its way, `only_breakpoint_` or not. True: `next`.
bool Search::intercept(const Effect& effect, bool known, Advance& next) {
    only_breakpoint_ = false;
    Candidate& c = *current_;
    const State& s = c.state;
    const auto offset = s.rip - layout::code;
    if (offset >= walk_->image().code_size || !op_at_[offset]) return false;
    const unsigned number = op_at_[offset] - 1u;
    const Op& op = case_->ops[number];
    const std::uint64_t fallthrough = walk_->image().op_address(number + 1);
    svm::Standing here = standing(c, s.rip);
    here.next_rip = fallthrough - s.cs_base();
    const bool raises_known = known || effect.raises_nothing;
    const Effect plain = known ? Effect{} : no_effect(s, fallthrough);
    const Effect& what = known ? effect : plain;
    auto stim = svm::instruction_of(op, what, s, here, hypervisor_->control(), hypervisor_->intercepts());
    if (!stim || (!keep_ && !stim->intercepted && !stim->selective)) return false;
    stim->raises |= raises_of(what, s);

    const auto pre = debug::pre_of(s, c.carried, walk_->features());
    const auto moment = debug::stimulus_of(s, c.carried, what);
    debug::outcomes(pre, moment, outcomes_);
    const auto breakpoints = static_cast<std::size_t>(
        std::ranges::count_if(outcomes_, [](const debug::Outcome& o) { return o.response.event == event::code_db; }));
    if (breakpoints == outcomes_.size()) stim->raises |= svm::raises::code_breakpoint;

    Candidate& t = *trial_;
    t = c;
    Open open;
    open.shadow = c.guest.shadow_open;
    Answered answered = ask(t, *stim, open);
    if (!raises_known && answered.exits) {  // what it raises is not known either: only where that makes no difference
        SvmStimulus other = *stim;
        other.raises |= svm::raises::exceptions;
        const std::uint32_t exits = own_tape_.exit_count;
        const Answered with_all = ask(t, other, open);
        if (forecasting_) own_tape_.exit_count = exits;
        if (with_all.passes || answered.passes) return false;
    }
    if (!answered.exits) {
        if (known) note(c, *stim, open, false);
        return false;
    }
    // Behind the exit nothing is held back any more: the VMCB has no place for it. Whether its trap comes before the
    // exit (SVM-008), or not before the next instruction's end, no text says.
    if (c.carried.held && !answered.shown) {
        next = not_modelled("a breakpoint that is held back meets an exit");
        return true;
    }
    const std::size_t before = pending_.size();
    if (answered.shown || c.guest.exits == tape_capacity) {
        if (keep_) keep_step(pre, moment, what, {});
        note(t, *stim, open, answered.shown);
        const bool full = !answered.shown;
        t.exited = true;
        if (full || hypervisor_->stops_at_instructions()) {
            if (ends(full ? Outcome::TapeOverflow : Outcome::Stopped) == Trial::Ends) {
                if (keep_) trail_.back().exited = true;
                next = Advance::Fits;
                return true;
            }
        } else {
            walk_->skip(t);
            furthest_ = std::max(furthest_, t.record);
            if (!keep_for_later(0)) {
                next = Advance::NotModelled;
                return true;
            }
            pending_.back().exited = true;
        }
        if (keep_ && (answered.passes || breakpoints)) trail_.pop_back();
    } else if (!answered.passes && breakpoints == 0) {
        if (keep_) keep_step(pre, moment, what, {});
        note(t, *stim, open, false);
        fail(Misfit::Exit, t);
    }
    if (answered.passes) {
        note(c, *stim, open, false);
        return false;
    }
    if (breakpoints != 0) {
        only_breakpoint_ = true;
        return false;
    }
    next = pending_.size() > before ? take_pending() : Advance::Dead;
    return true;
}

// --- Exceptions ---------------------------------------------------------------------------------------------

/// One event of *trial_ that is about to be delivered. Matches: it goes on to its delivery, by itself or because the
/// hypervisor gives it back.
Search::Trial Search::meet(const svm::Event& event, const svm::Prior& prior, Passage& passage) {
    Candidate& c = *trial_;
    passage.exited = false;
    Open& open = passage.open;
    open.shadow = c.guest.shadow_open;
    SvmStimulus stim = svm::exception_of(event, prior, passage.standing, hypervisor_->intercepts());
    if (event.vector == vector_ts && passage.ts_let_go) stim.intercepted = false;
    if (!stim.intercepted && !keep_) return Trial::Matches;
    const Answered answered = ask(c, stim, open);
    if (!answered.exits || (answered.passes && !answered.shown)) {
        note(c, stim, open, false);
        return Trial::Matches;
    }
    if (c.guest.exits == tape_capacity) return ends(Outcome::TapeOverflow);
    if (!answered.shown) {
        note(c, stim, open, false);
        fail(Misfit::Exit, c);
        return Trial::Differs;
    }
    const VmExit& shown = tape_->exits[c.guest.exits];
    const bool shut_down = event.source == svm::source::shutdown;
    const bool stops = shut_down || hypervisor_->stops_at(event.vector, shown.rip);
    note(c, stim, open, true, !stops);
    passage.exited = true;
    furthest_ = std::max(furthest_, c.record);
    if (event.vector == vector_pf && !stops) c.guest.cr2 = shown.info_2, c.guest.cr2_known = true;
    if (stops) return ends(Outcome::Stopped);
    return Trial::Matches;
}

/// Every exit on an event's way to its handler. Matches: *trial_ has come there.
Search::Trial Search::meet_exits(const debug::Outcome& outcome, const Effect& effect, const exceptions::Outcome& raised,
                                 const Arrival& way) {
    Candidate& c = *trial_;
    const auto& r = outcome.response;
    const auto offset = current_->state.rip - layout::code;
    const Op* op = nullptr;
    std::uint64_t next = 0;
    if (injected_ == Injected::No && offset < walk_->image().code_size && op_at_[offset]) {
        op = &case_->ops[op_at_[offset] - 1u];
        next = walk_->image().op_address(op_at_[offset]) - c.state.cs_base();
    }
    const bool one_byte = injected_ == Injected::OneByte ||
                          (op && (std::holds_alternative<ops::Int3>(*op) || std::holds_alternative<ops::Into>(*op)));
    const bool by_interrupt_op = (op && one_byte) || (op && std::holds_alternative<ops::Bound>(*op));

    Passage passage;
    svm::Standing& here = passage.standing;
    here = standing(c, r.rip);
    here.next_rip = next;
    if (r.event == event::trap) here.rf = r.rf, passage.open.rf = outcome.rf_any;

    const auto write_cr2 = [&](const exceptions::Outcome& writer) {
        if (!writer.response.writes_cr2 || passage.exited) return;  // whoever gives #PF back has written it
        c.guest.cr2 = writer.cr2_low;
        c.guest.cr2_known = writer.cr2_low == writer.cr2_high;
    };
    const bool own_fault = r.event == event::fault;
    const bool left_open = own_fault && outcome_left_open(effect);
    if (injected_ == Injected::No) {
        svm::Event first;
        const auto& stim = way.attempts[0].stim;
        first.vector = static_cast<std::uint8_t>(r.vector);
        first.interrupt_op = by_interrupt_op;
        if (stim.source == source::exception) {
            first.source = r.event == event::trap ? svm::source::trap : svm::source::fault;
            if (pushes_error(r.vector)) first.error = static_cast<std::uint32_t>(r.error);
        } else if (stim.source == source::icebp) {
            first.source = svm::source::icebp;
        } else if (stim.source == source::external) {
            first.source = r.vector == vector_nmi ? svm::source::nmi : svm::source::external;
        } else if (one_byte) {
            here.rip = current_->state.rip - c.state.cs_base();
        } else {
            first.source = svm::source::software;
        }
        passage.open.dr6 = r.vector == vector_db ? outcome.dr6_any : 0;
        if (own_fault && raised.response.writes_cr2) {
            first.address = raised.cr2_low;
            passage.open.address = raised.cr2_high - raised.cr2_low;
        }
        passage.open.error = left_open ? 2 : 0;
        if (const Trial met = meet(first, {}, passage); met != Trial::Matches) return met;
        passage.ts_let_go = passage.exited && r.vector == vector_ts;
        if (passage.exited && !passage.ts_let_go)
            here.rf = rf_when_given_back(r.vector, here.rf), passage.open.rf = false;
        if (own_fault) write_cr2(raised);
    }

    for (std::size_t i = 0; i < way.count; ++i) {
        const auto& attempt = way.attempts[i];
        const auto& end = attempt.outcome.response;
        namespace result = exceptions::result;
        if (end.result != result::serial && end.result != result::double_fault && end.result != result::shutdown) break;
        const svm::Prior prior = prior_of(attempt.stim, one_byte);
        passage.open.prior_error = left_open && i == 0 ? 2 : 0;
        here.cr2 = c.guest.cr2;
        here.rip = attempt.stim.origin - c.state.cs_base();

        svm::Event second;
        const bool serial = end.result == result::serial;
        second.vector = static_cast<std::uint8_t>(serial ? end.vector : attempt.outcome.met_vector);
        second.interrupt_op = by_interrupt_op;
        const auto error = serial ? end.error : attempt.outcome.met_error;
        if (pushes_error(second.vector)) second.error = static_cast<std::uint32_t>(error);
        passage.open.dr6 = passage.open.error = passage.open.address = 0;
        if (end.writes_cr2) {
            second.address = attempt.outcome.cr2_low;
            passage.open.address = attempt.outcome.cr2_high - attempt.outcome.cr2_low;
        }
        if (const Trial met = meet(second, prior, passage); met != Trial::Matches) return met;
        write_cr2(attempt.outcome);
        // #TS is met again without its intercept; after every other exit the hypervisor combines the two.
        passage.ts_let_go |= passage.exited && second.vector == vector_ts;
        const bool combined_by_hand = passage.exited && second.vector != vector_ts;
        if (combined_by_hand) here.rf = rf_when_given_back(second.vector, here.rf);
        if (serial) continue;
        svm::Event last;
        if (end.result == result::shutdown) {
            if (combined_by_hand) break;
            last.source = svm::source::shutdown;
            return meet(last, prior, passage);
        }
        if (!combined_by_hand) {
            last.vector = vector_df;
            last.error = 0;
            here.cr2 = c.guest.cr2;
            passage.open.address = 0;
            if (const Trial met = meet(last, prior, passage); met != Trial::Matches) return met;
        }
        if (passage.exited || combined_by_hand) here.rf = false;
    }
    return Trial::Matches;
}

}  // namespace faultline::oracle
