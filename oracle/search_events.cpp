// The search's events: what the tape must show of each, inside handlers and at the end too, and what follows it.
#include <algorithm>

#include "hypervisor/guest/stage/stage.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

constexpr std::uint64_t vector_db = 1, vector_nmi = 2, vector_df = 8, vector_pf = 14, vector_ac = 17;

/// The event interrupts its handler's first instruction with what it left unreported.
bool leaves_trap_for_handler(const debug::Response<Judging>& r) {
    return r.held != 0 && r.event != event::none && r.event != event::trap;
}

}  // namespace

/// Whether the tape shows another record after those that *trial_ accounts for.
bool Search::shows_more(const Expected& e) {
    if (trial_->record < tape_->count)
        return forecasting_ || !exit_is_next(*tape_, trial_->guest.exits, trial_->record);
    if (!forecasting_) return false;
    Record& record = own_tape_.records[own_tape_.count++];
    for (const Expected::Field& field : e.fields()) record.*field.member = field.value;
    return true;
}

/// The tape ends the way this candidate does.
Search::Trial Search::ends(Outcome outcome) {
    const Candidate& c = *trial_;
    const bool all = c.record == tape_->count && (!hypervisor_ || c.guest.exits == tape_->exit_count);
    if (forecasting_ || (all && tape_->outcome == outcome)) return Trial::Ends;
    fail(all ? Misfit::Outcome : Misfit::Extra, c, outcome);
    return Trial::Differs;
}

/// What the record of an event at a stage instruction must show; the stage's own IDT and stack let it through, or the
/// answer is none.
bool Search::expected_inside(const Candidate& inside, const debug::Outcome& right, std::uint64_t op_kind,
                             Expected& out) {
    auto& ways = inside_ways_;
    if (!walk_->deliver(inside.state, event_of(right.response, op_kind, inside.state.rip), ways)) return false;
    if (ways.size() != 1 || !ways[0].direct()) return false;
    out = walk_->expected(inside, right, ways[0]);
    return true;
}

/// #DB at `handler`'s first instruction for causes left over from the event's delivery.
Search::Trial Search::nested_trap(State handler, std::uint64_t held) {
    Candidate& c = *trial_;
    Candidate inside;
    inside.state = handler;
    inside.carried.held = held;
    debug::Outcomes right;
    debug::outcomes(debug::pre_of(handler, inside.carried, walk_->features()),
                    debug::stimulus_at_boundary(handler, kind::boundary), right);
    Expected expected;
    if (!expected_inside(inside, right[0], kind::boundary, expected)) {
        why_ = "a #DB is due in a handler, and its own delivery fails";
        return Trial::NotModelled;
    }
    if (tape_->through_kernel) {
        // What happens on the first instruction of that kernel's handler, it keeps to itself.
        c.state.dr6 = walk_->image().params.db_clear_dr6 ? dr::dr6_reset : expected.dr6;
        c.state.dr7 = expected.dr7;
        c.state.debugctl = right[0].response.debugctl;
        return Trial::Matches;
    }
    if (hypervisor_) {  // the stub has not told the hypervisor yet that it begins
        svm::Event event;
        event.source = svm::source::trap;
        event.vector = static_cast<std::uint8_t>(vector_db);
        const State guest_state = c.state;
        const bool shadow = c.guest.shadow;
        c.state = inside.state, c.guest.shadow = false;
        c.state.dr6 = right[0].response.dr6, c.state.dr7 = right[0].response.dr7;
        Passage passage;
        passage.standing = standing(c, handler.rip);
        passage.open.dr6 = right[0].dr6_any;
        const Trial met = meet(event, {}, passage);
        c.state = guest_state, c.guest.shadow = shadow;
        if (met != Trial::Matches) return met;
    }
    if (!shows_more(expected)) return Trial::Differs;
    const Record& record = tape_->records[c.record];
    if (!oracle::fits(expected, record)) return Trial::Differs;
    ++c.record;
    walk_->react(inside, record);
    c.state.dr6 = inside.state.dr6;
    c.state.dr7 = inside.state.dr7;
    c.state.debugctl = right[0].response.debugctl;
    return Trial::Matches;
}

/// Whether the tape shows this event next; then *trial_ is the candidate behind it.
Search::Trial Search::try_event(const debug::Outcome& outcome, const Effect& effect, const exceptions::Outcome& raised,
                                bool at_end) {
    const auto& r = outcome.response;
    const std::uint32_t next = current_->record;
    // Most outcomes are seen to differ without building the state behind them.
    if (!leaves_trap_for_handler(r) && !(at_end && r.event == event::fault) && next < tape_->count &&
        next < tape_capacity && !(hypervisor_ && exit_is_next(*tape_, current_->guest.exits, next)) &&
        current_->state.mode != Mode::Real16 && !case_->environment.surroundings.task) {
        const Record& record = tape_->records[next];
        const bool other = record.vector == vector_nmi || record.vector == vector_ac ||
                           (record.vector >= vector_df && record.vector <= vector_pf);
        if (record.vector == r.vector ? walk_->linear_rip(record) != r.rip : !other) return Trial::Differs;
    }
    Candidate& c = *trial_;
    c = *current_;
    const char* why = bring_to_event(*walk_, outcome, effect, c);
    if (!why) why = walk_->cannot_deliver(c);
    if (why) {
        why_ = why;
        return Trial::NotModelled;
    }
    const auto op_kind = effect.kind == Kind::Int3 || effect.kind == Kind::IntN ? kind::int_n : kind::wake;
    if (!walk_->deliver(c.state, event_of(r, op_kind, current_->state.rip), ways_)) {
        why_ = "an event's delivery may go too many ways";
        return Trial::NotModelled;
    }
    bool stuck = false;
    if (ways_.size() > 1) before_ = c;
    for (std::size_t i = 0; i < ways_.size(); ++i) {
        if (i > 0) c = before_;
        way_ = static_cast<std::uint8_t>(i);
        const Trial trial = try_arrival(outcome, effect, raised, ways_[i], at_end);
        if (trial == Trial::Matches || trial == Trial::Ends) return trial;
        stuck |= trial == Trial::NotModelled;
    }
    return stuck ? Trial::NotModelled : Trial::Differs;
}

Search::Trial Search::try_arrival(const debug::Outcome& outcome, const Effect& effect,
                                  const exceptions::Outcome& raised, const Arrival& way, bool at_end) {
    const auto& r = outcome.response;
    Candidate& c = *trial_;
    if (const char* why = walk_->cannot_follow(c, way)) {
        why_ = why;
        return Trial::NotModelled;
    }
    // GD and DEBUGCTL are cleared "upon entering" the handler (Intel SDM vol 3, "Debug Control Register (DR7)"): no
    // text says what a #DB leaves there that never gets so far.
    const bool sets_gd =
        effect.kind == Kind::MovDr && effect.dr_write && (effect.dr_number | 2) == 7 && effect.dr_value & dr::dr7_gd;
    if (r.vector == vector_db && r.event != event::delivered && !way.direct() &&
        (sets_gd || outcome.dr6_any || r.held || current_->carried.held || effect.kind == Kind::Rep ||
         effect.kind == Kind::TaskSwitch || current_->state.dr7 & dr::dr7_gd ||
         current_->state.debugctl & (debugctl::btf | debugctl::lbr))) {
        why_ = "a #DB that changes more than DR6, or leaves bits of DR6 open, cannot be delivered";
        return Trial::NotModelled;
    }
    const std::uint32_t exits_before = c.guest.exits;
    // Behind an exit that fits, what does not fit is further on the way.
    const auto differs = [&] {
        if (c.guest.exits != exits_before) fail(Misfit::Exception, c);
        return Trial::Differs;
    };
    if (hypervisor_) {
        const Trial met = meet_exits(outcome, effect, raised, way);
        if (met != Trial::Matches) return met;
    }
    if (effect.kind == Kind::Hlt && walk_->image().wake == Wake::Nmi && r.event == event::trap &&
        case_->environment.surroundings != Surroundings{}) {
        why_ = "an NMI is due in a handler, where its own delivery may fail";
        return Trial::NotModelled;
    }
    if (effect.kind == Kind::Hlt && walk_->image().wake == Wake::Interrupt && way.end().if_) {
        why_ = "an interrupt is pending where a trap gate's handler lets it in";
        return Trial::NotModelled;
    }
    if (way.end().result == exceptions::result::shutdown) return ends(Outcome::Shutdown);
    if (way.end().result == exceptions::result::task_switch) {
        const bool plain = !r.held && ways_.size() == 1 && effect.kind != Kind::Hlt;
        const char* why = plain ? walk_->enter_task(c, way) : "an event that leaves something open enters a task";
        if (!why) return Trial::Matches;
        why_ = why;
        return Trial::NotModelled;
    }
    if (c.record == tape_capacity) return ends(Outcome::TapeOverflow);
    // What is held back does not outlive an exit: the VMCB has no place for it.
    const bool lost = c.guest.exits != exits_before;
    const auto held = (leaves_trap_for_handler(r) && !lost ? r.held : 0) | way.end().held;
    if (held) {
        const Trial inner = nested_trap(walk_->at_handler(c, way), held);
        if (inner != Trial::Matches) return inner;
        if (c.record == tape_capacity) return ends(Outcome::TapeOverflow);
    }
    if (effect.kind == Kind::Hlt && walk_->image().wake == Wake::Nmi && c.record < tape_->count &&
        tape_->records[c.record].vector == vector_nmi)
        return nmi_in_handler(way);
    if (way.vector() == vector_df) {
        Expected df;
        df.vector = vector_df;
        df.only_vector = true;
        if (!shows_more(df)) return differs();
        if (!oracle::fits(df, tape_->records[c.record])) return differs();
        ++c.record;
        return ends(Outcome::DoubleFault);
    }
    if (at_end && r.event == event::fault && way.direct()) return finish(way);

    Expected expected = walk_->expected(c, outcome, way);
    if (held && expected.vector == vector_db)
        expected.dr6 = c.state.dr6, expected.dr7 = c.state.dr7, expected.dr6_any = 0;
    if (way.direct() && r.event == event::fault) {
        if (raised.response.writes_cr2) expected.show_cr2(raised);
        if (outcome_left_open(effect)) expected.error_any = 2;
    }
    if (hypervisor_ && way.vector() == vector_pf && c.guest.cr2_known)
        expected.cr2 = c.guest.cr2, expected.cr2_span = 0;
    if (!shows_more(expected)) return differs();
    const Record record = fill_in(*tape_, c.record, expected);
    if (!oracle::fits(expected, record)) return differs();
    walk_->clobber(c);
    ++c.record;
    if (record.vector == vector_pf) c.guest.cr2 = record.cr2, c.guest.cr2_known = true;
    furthest_ = std::max(furthest_, c.record);
    if (!walk_->react(c, record)) return ends(Outcome::WildRip);
    if (r.event == event::trap && c.state.rip == current_->state.rip) c.carried.held = r.held;
    // HLT that was left by its own step trap, before or after the event that wakes it was raised.
    if (effect.kind == Kind::Hlt && r.event == event::trap && wakes(current_->state)) c.wakes = Candidate::Wakes::May;
    return Trial::Matches;
}

/// Whether a read-modify-write without LOCK faults on its read: #PF may then report W = 0 or 1. Intel SDM vol 3,
/// "Page-Fault Exceptions", says "access causing the page fault".
bool Search::outcome_left_open(const Effect& effect) const {
    if (!effect.faults || !effect.fault.page) return false;
    const auto offset = current_->state.rip - layout::code;
    if (offset >= walk_->image().code_size || !op_at_[offset]) return false;
    const Op& op = case_->ops[op_at_[offset] - 1u];
    return std::holds_alternative<ops::AddMem>(op) || std::holds_alternative<ops::BtsMem>(op) ||
           std::holds_alternative<ops::Cmpxchg>(op);
}

/// The end's #UD is delivered: the epilogue runs. General detect stops its first read of DR7.
Search::Trial Search::finish(const Arrival& way) {
    Candidate& c = *trial_;
    if (c.state.dr7 & dr::dr7_gd) {
        if (c.record == tape_capacity) return ends(Outcome::TapeOverflow);
        Candidate inside;
        inside.state = walk_->at_handler(c, way);
        inside.state.rip = walk_->image().stage->symbols.epilogue_read_dr7;
        // The stub has just found the pushed RIP equal to the end.
        inside.state.rflags = (inside.state.rflags & ~rflags::arithmetic) | rflags::zf | rflags::pf;
        inside.state.rflags_known |= rflags::arithmetic;
        Effect read;
        read.kind = Kind::MovDr;
        read.dr_number = 7;
        read.rflags = inside.state.rflags;
        debug::Outcomes right;
        const auto pre = debug::pre_of(inside.state, {}, walk_->features());
        const auto stim = debug::stimulus_of(inside.state, {}, read);
        debug::outcomes(pre, stim, right);
        Expected expected;
        if (!expected_inside(inside, right[0], kind::mov_dr, expected)) {
            why_ = "general detect stops the epilogue, and the #DB cannot be delivered";
            return Trial::NotModelled;
        }
        if (!shows_more(expected)) {
            fail(tape_->outcome == Outcome::Completed ? Misfit::Final : Misfit::Outcome, c);
            return Trial::Differs;
        }
        if (keep_) trail_.push_back({pre, stim, walk_->image().op_count, c.record, 0, 0, inside.state, read, {}});
        const Record& record = tape_->records[c.record];
        if (!oracle::fits(expected, record)) {
            fail(Misfit::Exception, c);
            if (keep_) trail_.pop_back();
            return Trial::Differs;
        }
        ++c.record;
        walk_->react(inside, record);
        c.state.dr6 = inside.state.dr6;
        c.state.dr7 = inside.state.dr7;
        c.state.debugctl &= ~3ull;
    }
    if (ends(Outcome::Completed) != Trial::Ends) return Trial::Differs;
    if (forecasting_) return Trial::Ends;

    const State& s = c.state;
    const Final& f = tape_->final;
    const auto flags_shown = s.mode == Mode::Real16 ? 0xFFFF : ~0ull;  // the end's #UD pushed FLAGS
    bool same = f.cs == s.cs && f.ss == s.ss &&
                ((f.rflags ^ (s.rflags | rflags::rf)) & (s.rflags_known | rflags::rf) & flags_shown) == 0;
    if (!tape_->through_kernel)
        same = same && f.dr6 == s.dr6 && f.dr7 == s.dr7 && f.dr == s.dr && f.cr4 == s.cr4 &&
               f.debugctl == (walk_->image().params.use_debugctl ? s.debugctl : not_recorded);
    const auto mask = walk_->register_mask();
    const unsigned registers = s.mode == Mode::Long64 ? gpr_count : 8;
    for (unsigned i = 0; i < registers; ++i)
        same = same && (((f.gpr[i] ^ s.gpr[i]) & mask) == 0 || !(s.gpr_known >> i & 1));
    if (same) return Trial::Ends;
    fail(Misfit::Final, c);
    return Trial::Differs;
}

/// Whether the case's wake-up event ends HLT in this state. Backends raise it at once.
bool Search::wakes(const State& state) const {
    const Wake wake = walk_->image().wake;
    return wake == Wake::Nmi || (wake == Wake::Interrupt && state.rflags & rflags::if_);
}

/// The NMI that wakes HLT finds the step trap delivered: it is taken before the #DB handler's first instruction.
/// AMD APM vol 2, "Single Stepping", of external interrupts.
Search::Trial Search::nmi_in_handler(const Arrival& way) {
    Candidate& c = *trial_;
    Candidate inside;
    inside.state = walk_->at_handler(c, way);
    debug::Outcomes right;
    debug::outcomes(debug::pre_of(inside.state, {}, walk_->features()),
                    debug::stimulus_at_boundary(inside.state, kind::wake, vector_nmi), right);
    Expected expected;
    if (!expected_inside(inside, right[0], kind::wake, expected)) {
        why_ = "an NMI is due in a handler, and its delivery fails";
        return Trial::NotModelled;
    }
    if (!oracle::fits(expected, tape_->records[c.record])) return Trial::Differs;
    ++c.record;
    return ends(Outcome::WildRip);  // the NMI stub skips ops, and there are none in the stage
}

}  // namespace faultline::oracle
