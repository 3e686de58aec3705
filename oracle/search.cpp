#include "oracle/search.hpp"

#include <algorithm>

#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

constexpr std::uint64_t vector_db = 1, vector_nmi = 2, vector_ud = 6, vector_df = 8, vector_pf = 14;

/// Stubs that cannot stand an INT n: they expect an error code (Intel SDM vol 3, "Error Code", names the vectors), or
/// take #UD at the end for the program's end. Without error codes, in real mode, only the latter.
bool stub_misreads(Mode mode, std::uint64_t vector) {
    return vector == vector_ud || (mode != Mode::Real16 && vector < 32 && 0x6022'7D00u >> vector & 1);
}

/// The event interrupts its handler's first instruction with what it left unreported.
bool leaves_trap_for_handler(const debug::Response<Judging>& r) {
    return r.held != 0 && r.event != event::none && r.event != event::trap;
}

/// The event that the outcome of an op, or of a boundary, hands to the IDT.
exceptions::Event event_of(const debug::Response<Judging>& r, std::uint64_t op_kind, std::uint64_t origin) {
    exceptions::Event event;
    event.vector = static_cast<std::uint8_t>(r.vector);
    event.error = static_cast<std::uint32_t>(r.error);
    event.rip = r.rip;
    event.rf = r.rf;
    event.origin = r.event == event::trap ? r.rip : origin;
    if (r.event == event::icebp) event.source = exceptions::source::icebp;
    if (r.event == event::delivered)
        event.source = op_kind == kind::wake ? exceptions::source::external : exceptions::source::software;
    return event;
}

/// The state that an event of `outcome` interrupts: behind the op where that completed. Null, or why it cannot be
/// stated.
const char* bring_to_event(const Walk& walk, const debug::Outcome& outcome, const Effect& effect, Candidate& c) {
    const auto& r = outcome.response;
    if (r.event == event::trap)
        if (const char* why = walk.complete_op(c, effect, r)) return why;
    c.state.dr6 = r.dr6, c.state.dr7 = r.dr7, c.state.debugctl = (c.state.debugctl & ~3ull) | r.debugctl;
    c.carried = {};
    return nullptr;
}

}  // namespace

const char* interrupt(const Walk& walk, const Step& step, const debug::Outcome& outcome, Interrupted& out) {
    out.at = {};
    out.at.state = step.state;
    out.at.record = step.record;
    out.event = event_of(outcome.response, step.stim.kind, step.state.rip);
    return bring_to_event(walk, outcome, step.effect, out.at);
}

Search::Search() { pending_.reserve(max_candidates); }

Search::Result Search::run(const Case& subject_case, const Image& image, const Tape& tape, bool keep) {
    const Walk walk(subject_case, image, tape.features);
    case_ = &subject_case;
    tape_ = &tape;
    walk_ = &walk;
    keep_ = keep;
    if (const char* why = walk.start(*current_)) {
        why_ = why;
        return Result::NotModelled;
    }
    return follow();
}

std::uint32_t Search::reach(const Case& subject_case, const Image& image, const Tape& tape, const Candidate& from) {
    const Walk walk(subject_case, image, tape.features);
    case_ = &subject_case;
    tape_ = &tape;
    walk_ = &walk;
    keep_ = false;
    *current_ = from;
    furthest_ = from.record;
    return follow() == Result::Fits ? tape.count + 1 : furthest_;
}

const char* Search::forecast(const Case& subject_case, const Image& image, const Features& features) {
    own_tape_.features = features;
    own_tape_.count = 0;
    forecasting_ = true;
    const Result result = run(subject_case, image, own_tape_, false);
    forecasting_ = false;
    return result == Result::NotModelled ? why_ : nullptr;
}

/// Whether the tape shows another record after those that *trial_ accounts for.
bool Search::shows_more(const Expected& e) {
    if (trial_->record < tape_->count) return true;
    if (!forecasting_) return false;
    own_tape_.records[own_tape_.count++] = {.vector = e.vector,
                                            .error = e.error,
                                            .rip = e.rip,
                                            .cs = e.cs,
                                            .rflags = e.rflags,
                                            .rsp = e.rsp,
                                            .ss = e.ss,
                                            .cr2 = e.cr2,
                                            .rcx = e.rcx,
                                            .dr6 = e.dr6,
                                            .dr7 = e.dr7,
                                            .handler_flags = e.handler_flags,
                                            .handler_ss = e.handler_ss,
                                            .frame = e.frame,
                                            .complete = 1};
    return true;
}

Search::Result Search::follow() {
    const Image& image = walk_->image();
    why_ = undecided_ = nullptr;
    total_steps_ = 0;
    pending_.clear();
    trail_.clear();
    failures_.clear();
    for (unsigned i = 0; i < image.op_count; ++i) op_at_[image.op_offset[i]] = static_cast<std::uint8_t>(i + 1);
    Result result = Result::Misfits;
    for (;;) {
        const Advance step = advance();
        if (step == Advance::On) continue;
        if (step == Advance::Fits) {
            result = Result::Fits;
            break;
        }
        // A way that cannot be followed leaves the case undecided, unless another one fits.
        if (step == Advance::NotModelled) result = Result::NotModelled;
        if (forecasting_ && result == Result::NotModelled) break;
        if (take_pending() == Advance::Dead) break;
    }
    for (unsigned i = 0; i < image.op_count; ++i) op_at_[image.op_offset[i]] = 0;
    walk_ = nullptr;
    if (result == Result::Misfits && undecided_) {
        result = Result::NotModelled;
        why_ = undecided_;
    }
    return result;
}

Search::Advance Search::take_pending() {
    if (pending_.empty()) return Advance::Dead;
    *current_ = pending_.back();
    pending_.pop_back();
    if (keep_) {
        trail_.resize(current_->trail);
        if (!trail_.empty()) trail_.back().chosen = current_->chosen, trail_.back().way = current_->way;
    }
    return Advance::On;
}

void Search::fail(Misfit misfit, std::uint32_t reached, Outcome expected) {
    ++explained_;
    if (!keep_) return;
    if (!failures_.empty() && failures_.front().record > reached) return;
    if (!failures_.empty() && failures_.front().record < reached) failures_.clear();
    if (failures_.size() < max_failures)
        failures_.push_back({misfit, reached, expected, misfit == Misfit::Final ? trial_->state : State{}, trail_});
}

/// What happens at the candidate's RIP when nothing about debugging interferes. False: nobody can say.
bool Search::effect_at(const Candidate& c, Effect& effect, bool& at_end) {
    const State& s = c.state;
    const Image& image = walk_->image();
    const auto offset = s.rip - layout::code;
    at_end = s.rip == image.end_address();
    if (offset < image.code_size && op_at_[offset]) {
        const unsigned op = op_at_[offset] - 1u;
        effect = effect_of(case_->ops[op], {s, image, image.op_address(op + 1), case_->environment.gates,
                                            &case_->environment.surroundings});
        if (effect.unmodelled) why_ = effect.why;
        return !effect.unmodelled;
    }
    effect = {};
    effect.next = s.rip;
    effect.rflags = s.rflags & ~rflags::rf;
    effect.rflags_known = s.rflags_known;
    effect.cpl = s.cpl, effect.cs = s.cs, effect.ss = s.ss;
    effect.debugctl = s.debugctl, effect.cr0 = s.cr0, effect.cr4 = s.cr4, effect.tr = s.tr;
    if (at_end) {  // UD2
        effect.faults = true;
        effect.fault.cause = Cause::InvalidOpcode;
        return true;
    }
    if (s.rip == image.stage->symbols.syscall_entry && s.cpl == 0 && long_mode(s.mode)) {  // jmp rcx
        if (!s.known(Gpr::Rcx)) {
            why_ = "SYSCALL's return address is unknown";
            return false;
        }
        effect.next = s.reg(Gpr::Rcx);
        effect.branch = true;
        return true;
    }
    const bool user = s.cpl == 3;
    const bool limited = s.mode == Mode::Compat32 || s.mode == Mode::Prot32;
    if (s.mode == Mode::Real16 ? s.rip - s.cs_base() <= 0xFFFF
                               : !(limited && s.rip > layout::segment_limit) && page_access(s.rip).present &&
                                     (!user || page_access(s.rip).user)) {
        why_ = "the program leaves its ops";
        return false;
    }
    effect.faults = true;
    Fault& fault = effect.fault;
    fault.cause = Cause::Fetch;
    fault.out_of_range = s.mode == Mode::Real16 || (limited && s.rip > layout::segment_limit);
    fault.page = !fault.out_of_range;
    fault.present = fault.page && page_access(s.rip).present;
    fault.user = user;
    fault.address = s.rip;
    return true;
}

Search::Advance Search::advance() {
    Candidate& c = *current_;
    if (++c.steps > max_steps || ++total_steps_ > 4 * max_steps) return not_modelled("the program runs for too long");
    if (c.wakes != Candidate::Wakes::No) return wake();
    Effect effect;
    bool at_end = false;
    if (!effect_at(c, effect, at_end)) return not_modelled(why_);
    if (effect.kind != Kind::Ordinary || effect.access_count != 0) {
        if (walk_->reads_clobbered(c, effect))
            return not_modelled("the program reads stack bytes that an exception frame has overwritten");
    }
    if (effect.kind == Kind::IntN && !effect.faults) {
        if (stub_misreads(c.state.mode, effect.vector))
            return not_modelled("INT n of a vector whose stub expects an exception");
        if (effect.vector == vector_db && c.state.dr7 & dr::dr7_gd)
            return not_modelled("INT 1 under general detect stops the stage's own handler");
    }
    return branch(effect, at_end);
}

Search::Advance Search::branch(const Effect& effect, bool at_end) {
    Candidate& c = *current_;
    const auto pre = debug::pre_of(c.state, c.carried, walk_->features());
    auto stim = debug::stimulus_of(c.state, c.carried, effect);
    if (effect.faults) return branch_fault(pre, stim, effect, at_end);
    debug::outcomes(pre, stim, outcomes_);
    if (keep_) keep_step(pre, stim, effect, {});

    // The usual op: it completes, nothing is open.
    if (outcomes_.size() == 1 && outcomes_[0].response.event == event::none && effect.kind != Kind::Hlt) {
        const auto& r = outcomes_[0].response;
        c.carried = {r.shadow, effect.kind == Kind::Rep && !effect.last_iteration, r.held};
        c.state.dr6 = r.dr6, c.state.dr7 = r.dr7;
        if (const char* why = walk_->complete_op(c, effect, r)) return not_modelled(why);
        return Advance::On;
    }

    const std::size_t before = pending_.size();
    const std::uint32_t explained_before = explained_;
    // Completions first, so that what the tape shows next is followed first.
    for (std::size_t i = 0; i < outcomes_.size(); ++i) {
        const auto& r = outcomes_[i].response;
        if (r.event != event::none) continue;
        *trial_ = c;
        trial_->carried = {r.shadow, effect.kind == Kind::Rep && !effect.last_iteration, r.held};
        trial_->state.dr6 = r.dr6, trial_->state.dr7 = r.dr7;
        if (const char* why = walk_->complete_op(*trial_, effect, r)) return not_modelled(why);
        if (effect.kind == Kind::Hlt) {
            if (!wakes(c.state)) {
                if (ends(Outcome::Halted) == Trial::Ends) return fits(i);
                continue;
            }
            // Under TF the step trap comes before the event: another outcome.
            if (std::any_of(outcomes_.begin(), outcomes_.end(),
                            [](const debug::Outcome& o) { return o.response.event == event::trap; }))
                continue;
            trial_->wakes = Candidate::Wakes::Must;
        }
        if (!keep_for_later(i)) return Advance::NotModelled;
    }
    bool stuck = false;
    const Advance tried = try_events(effect, {}, at_end, stuck);
    if (tried != Advance::On) return tried;
    return continue_with(before, explained_before, stuck);
}

/// The op cannot complete. What that is an exception of, the exceptions chapter says; more than one answer may be
/// right.
Search::Advance Search::branch_fault(const debug::Pre<Judging>& pre, debug::Stimulus<Judging>& stim,
                                     const Effect& effect, bool at_end) {
    const std::size_t before = pending_.size();
    const std::uint32_t explained_before = explained_;
    bool stuck = false;
    exceptions::Outcomes raised;
    exceptions::outcomes(exceptions::pre_of(current_->state, walk_->features()), exceptions::raise_of(effect), raised);
    for (const auto& outcome : raised) {
        stim.vector = outcome.response.vector;
        stim.error = outcome.response.error;
        debug::outcomes(pre, stim, outcomes_);
        if (keep_) keep_step(pre, stim, effect, outcome);
        const Advance tried = try_events(effect, outcome, at_end, stuck);
        if (tried != Advance::On) return tried;
        if (keep_ && &outcome != raised.end() - 1) trail_.pop_back();
    }
    return continue_with(before, explained_before, stuck);
}

/// Every outcome that is an event, against what the tape shows next. On: look at what was kept for later.
Search::Advance Search::try_events(const Effect& effect, const exceptions::Outcome& raised, bool at_end, bool& stuck) {
    std::uint64_t matched_event = ~0ull, matched_held = 0, matched_debugctl = 0;
    for (std::size_t i = 0; i < outcomes_.size(); ++i) {
        const auto& r = outcomes_[i].response;
        if (r.event == event::none) continue;
        // What tells two matching outcomes apart is on the record, but for this.
        if (r.event == matched_event && r.held == matched_held && r.debugctl == matched_debugctl) continue;
        const Trial trial = try_event(outcomes_[i], effect, raised, at_end);
        if (trial == Trial::Ends) return fits(i);
        if (trial == Trial::NotModelled) stuck = true;
        if (trial != Trial::Matches) continue;
        if (!keep_for_later(i, way_)) return Advance::NotModelled;
        matched_event = r.event, matched_held = r.held, matched_debugctl = r.debugctl;
    }
    return Advance::On;
}

Search::Advance Search::continue_with(std::size_t before, std::uint32_t explained_before, bool stuck) {
    if (pending_.size() > before) {
        if (stuck) undecided_ = why_;
        take_pending();
        return Advance::On;
    }
    if (stuck) return Advance::NotModelled;
    if (explained_ == explained_before) fail(Misfit::Exception, current_->record);
    return Advance::Dead;
}

Search::Advance Search::fits(std::size_t chosen) {
    if (keep_) trail_.back().chosen = static_cast<std::uint32_t>(chosen), trail_.back().way = way_;
    return Advance::Fits;
}

bool Search::keep_for_later(std::size_t chosen, std::uint8_t way) {
    if (pending_.size() == max_candidates) {
        why_ = "more than 64 states fit";
        return false;
    }
    pending_.push_back(*trial_);
    pending_.back().chosen = static_cast<std::uint32_t>(chosen);
    pending_.back().way = way;
    pending_.back().trail = static_cast<std::uint32_t>(trail_.size());
    return true;
}

void Search::keep_step(const debug::Pre<Judging>& pre, const debug::Stimulus<Judging>& stim, const Effect& effect,
                       const exceptions::Outcome& raised) {
    const auto& image = walk_->image();
    const auto rip = current_->state.rip, offset = rip - layout::code;
    auto op = trail_.empty() ? std::uint16_t{0} : trail_.back().op;
    if (rip == image.end_address())
        op = image.op_count;
    else if (offset < image.code_size && op_at_[offset])
        op = static_cast<std::uint16_t>(op_at_[offset] - 1);
    trail_.push_back({pre, stim, op, current_->record, 0, 0, current_->state, effect, raised});
}

/// The tape ends the way this candidate does.
Search::Trial Search::ends(Outcome outcome) {
    const Candidate& c = *trial_;
    if (forecasting_ || (c.record == tape_->count && tape_->outcome == outcome)) return Trial::Ends;
    fail(c.record < tape_->count ? Misfit::Extra : Misfit::Outcome, c.record, outcome);
    return Trial::Differs;
}

/// What the record of an event at a stage instruction must show; the stage's own IDT and stack let it through, or the
/// answer is none.
bool Search::expected_inside(const Candidate& inside, const debug::Outcome& right, std::uint64_t op_kind,
                             Expected& out) {
    Arrivals ways;
    if (!deliver(inside.state, walk_->image(), case_->environment, walk_->features(),
                 event_of(right.response, op_kind, inside.state.rip), ways))
        return false;
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
        next < tape_capacity && current_->state.mode != Mode::Real16) {
        const Record& record = tape_->records[next];
        const bool other = record.vector == vector_nmi || (record.vector >= vector_df && record.vector <= vector_pf);
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
    Arrivals ways;
    if (!deliver(c.state, walk_->image(), case_->environment, walk_->features(),
                 event_of(r, op_kind, current_->state.rip), ways)) {
        why_ = "an event's delivery may go too many ways";
        return Trial::NotModelled;
    }
    bool stuck = false;
    const Candidate before = ways.size() > 1 ? c : Candidate{};
    for (std::size_t i = 0; i < ways.size(); ++i) {
        if (i > 0) c = before;
        way_ = static_cast<std::uint8_t>(i);
        const Trial trial = try_arrival(outcome, effect, raised, ways[i], at_end);
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
    if (c.record == tape_capacity) return ends(Outcome::TapeOverflow);
    const auto held = (leaves_trap_for_handler(r) ? r.held : 0) | way.end().held;
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
        if (!shows_more(df)) return Trial::Differs;
        if (!oracle::fits(df, tape_->records[c.record])) return Trial::Differs;
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
    if (!shows_more(expected)) return Trial::Differs;
    const Record record = fill_in(*tape_, c.record, expected);
    if (!oracle::fits(expected, record)) return Trial::Differs;
    walk_->clobber(c);
    ++c.record;
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
            fail(tape_->outcome == Outcome::Completed ? Misfit::Final : Misfit::Outcome, c.record);
            return Trial::Differs;
        }
        if (keep_) trail_.push_back({pre, stim, walk_->image().op_count, c.record, 0, 0, inside.state, read, {}});
        const Record& record = tape_->records[c.record];
        if (!oracle::fits(expected, record)) {
            fail(Misfit::Exception, c.record);
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
    fail(Misfit::Final, c.record);
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

Search::Advance Search::wake() {
    Candidate& c = *current_;
    const auto vector = walk_->image().wake == Wake::Nmi ? vector_nmi : std::uint64_t{wake_vector};
    const std::size_t before = pending_.size();
    const bool may_miss = c.wakes == Candidate::Wakes::May;
    c.wakes = Candidate::Wakes::No;
    if (may_miss) {
        *trial_ = c;
        if (!keep_for_later(trail_.empty() ? 0 : trail_.back().chosen)) return Advance::NotModelled;
    }
    if (!may_miss || wakes(c.state)) {
        const auto pre = debug::pre_of(c.state, c.carried, walk_->features());
        const auto stim = debug::stimulus_at_boundary(c.state, kind::wake, static_cast<std::uint8_t>(vector));
        debug::outcomes(pre, stim, outcomes_);
        if (keep_) keep_step(pre, stim, {}, {});
        for (std::size_t i = 0; i < outcomes_.size(); ++i) {
            const Trial trial = try_event(outcomes_[i], {}, {}, false);
            if (trial == Trial::Ends) return fits(i);
            if (trial == Trial::NotModelled) return Advance::NotModelled;
            if (trial == Trial::Matches && !keep_for_later(i, way_)) return Advance::NotModelled;
        }
    }
    if (pending_.size() == before) {
        fail(Misfit::Exception, c.record);
        return Advance::Dead;
    }
    take_pending();
    return Advance::On;
}

}  // namespace faultline::oracle
