#include "oracle/search.hpp"

#include <algorithm>

#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

constexpr std::uint64_t vector_db = 1, vector_nmi = 2;

}  // namespace

Search::Search() { pending_.reserve(max_candidates); }

Search::Result Search::run(const Case& subject_case, const Image& image, const Tape& tape, bool keep) {
    const Walk walk(subject_case, image, tape.features);
    case_ = &subject_case;
    tape_ = &tape;
    walk_ = &walk;
    keep_ = keep;
    use_hypervisor(walk.features());
    if (const char* why = walk.start(*current_, hypervisor_ ? &*hypervisor_ : nullptr)) {
        why_ = why;
        return Result::NotModelled;
    }
    return follow();
}

void Search::use_hypervisor(const Features& features) {
    if (walk_->image().stage->vmcb != 0)
        hypervisor_.emplace(*case_, walk_->image(), features);
    else
        hypervisor_.reset();
}

std::uint32_t Search::reach(const Case& subject_case, const Image& image, const Tape& tape, const Candidate& from) {
    const Walk walk(subject_case, image, tape.features);
    case_ = &subject_case;
    tape_ = &tape;
    walk_ = &walk;
    keep_ = false;
    use_hypervisor(walk.features());
    *current_ = from;
    furthest_ = from.record;
    return follow() == Result::Fits ? tape.count + 1 : furthest_;
}

const char* Search::forecast(const Case& subject_case, const Image& image, const Features& features) {
    own_tape_.features = features;
    own_tape_.count = own_tape_.exit_count = 0;
    forecasting_ = true;
    const Result result = run(subject_case, image, own_tape_, false);
    forecasting_ = false;
    return result == Result::NotModelled ? why_ : nullptr;
}

Search::Result Search::follow() {
    const Image& image = walk_->image();
    why_ = undecided_ = nullptr;
    total_steps_ = 0;
    pending_.clear();
    trail_.clear();
    failures_.clear();
    questions_.clear();
    asked_before_ = 0;
    only_breakpoint_ = false;
    injected_ = Injected::No;
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
        if (!trail_.empty()) {
            Step& last = trail_.back();
            last.chosen = current_->chosen, last.way = current_->way, last.exited = current_->exited;
        }
    }
    return Advance::On;
}

void Search::fail(Misfit misfit, const Candidate& at, Outcome expected) {
    ++explained_;
    if (!keep_) return;
    const std::uint32_t reached = at.record + at.guest.exits;
    if (!failures_.empty() && failures_.front().progress() > reached) return;
    if (!failures_.empty() && failures_.front().progress() < reached) failures_.clear();
    if (failures_.size() == max_failures) return;
    const State end = misfit == Misfit::Final ? trial_->state : State{};
    failures_.push_back({misfit, at.record, at.guest.exits, expected, end, trail_, questions(*current_)});
    auto& asked = failures_.back().questions;
    asked.insert(asked.end(), questions_.begin() + static_cast<std::ptrdiff_t>(asked_before_), questions_.end());
}

namespace {

/// Whether the fetch at RIP is refused; then by what.
bool fetch_faults(const State& s, Fault& fault) {
    fault.cause = Cause::Fetch;
    fault.user = s.cpl == 3;
    fault.address = s.rip;
    if (s.mode == Mode::Real16) return fault.out_of_range = s.rip - s.cs_base() > 0xFFFF;
    const bool limited = s.mode == Mode::Compat32 || s.mode == Mode::Prot32;
    fault.out_of_range = limited ? s.rip > layout::segment_limit : !canonical(s.rip);  // VMRUN loads any RIP
    if (fault.out_of_range) return true;
    const auto access = page_access(s.rip);
    fault.present = access.present;
    return fault.page = !access.present || (fault.user && !access.user);
}

}  // namespace

/// What happens at the candidate's RIP when nothing about debugging interferes. False: nobody can say.
bool Search::effect_at(const Candidate& c, Effect& effect, bool& at_end) {
    const State& s = c.state;
    const Image& image = walk_->image();
    const auto offset = s.rip - layout::code;
    at_end = s.rip == image.end_address();
    if (offset < image.code_size && op_at_[offset]) {
        const unsigned op = op_at_[offset] - 1u;
        effect = effect_of(case_->ops[op], walk_->context(s, image.op_address(op + 1)));
        if (effect.unmodelled) why_ = effect.why;
        return !effect.unmodelled;
    }
    effect = no_effect(s, s.rip);
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
    effect.faults = fetch_faults(s, effect.fault);
    if (!effect.faults) why_ = "the program leaves its ops";
    return effect.faults;
}

Search::Advance Search::advance() {
    Candidate& c = *current_;
    if (++c.steps > max_steps || ++total_steps_ > 4 * max_steps) return not_modelled("the program runs for too long");
    if (c.wakes != Candidate::Wakes::No) return wake();
    if (c.entered_task) return begin_task();
    asked_before_ = questions_.size();
    if (c.guest.entering) return enter();
    if (c.guest.injecting) return inject();
    Effect effect;
    bool at_end = false;
    const bool known = effect_at(c, effect, at_end);
    if (hypervisor_) {
        // The gate of a software interrupt is checked after intercepts, as a part of the delivery: AMD APM vol 2,
        // "Instruction Intercepts", "Exception Intercepts".
        if (effect.faults && effect.fault.cause == Cause::GateDpl) effect.faults = false;
        Advance next = Advance::On;
        if (intercept(effect, known, next)) return next;
    }
    if (!known) return not_modelled(why_);
    if (effect.kind != Kind::Ordinary || effect.access_count != 0) {
        if (walk_->reads_clobbered(c, effect))
            return not_modelled("the program reads stack bytes that an exception frame has overwritten");
    }
    if (effect.kind == Kind::IntN && !effect.faults && effect.vector == vector_db && c.state.dr7 & dr::dr7_gd)
        return not_modelled("INT 1 under general detect stops the stage's own handler");
    return branch(debug::pre_of(c.state, c.carried, walk_->features()), debug::stimulus_of(c.state, c.carried, effect),
                  effect, at_end);
}

/// The debug chapter speaks of task switches by an op; of one by an event, what lies behind the switch is the same.
Search::Advance Search::begin_task() {
    Candidate& c = *current_;
    c.entered_task = false;
    const Effect effect = walk_->task_entry(c.state);
    auto pre = debug::pre_of(c.state, c.carried, walk_->features());
    // No instruction runs here that TF of the old task or a breakpoint on the new RIP could mean.
    pre.tf = false, pre.rf = true;
    return branch(pre, debug::stimulus_of(c.state, c.carried, effect), effect, false);
}

Search::Advance Search::branch(const debug::Pre<Judging>& pre, debug::Stimulus<Judging> stim, const Effect& effect,
                               bool at_end) {
    Candidate& c = *current_;
    if (effect.faults) return branch_fault(pre, stim, effect, at_end);
    debug::outcomes(pre, stim, outcomes_);
    if (keep_) keep_step(pre, stim, effect, {});

    // The usual op: it completes, nothing is open.
    if (outcomes_.size() == 1 && !only_breakpoint_ && outcomes_[0].response.event == event::none &&
        effect.kind != Kind::Hlt) {
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
        if (r.event != event::none || only_breakpoint_) continue;
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
        const std::size_t matched = pending_.size();
        const std::uint32_t stated = explained_;
        const Advance tried = try_events(effect, outcome, at_end, stuck);
        if (tried != Advance::On) return tried;
        // Each of several right exceptions may be the one that the record comes near to.
        if (pending_.size() == matched && explained_ == stated) fail(Misfit::Exception, *current_);
        if (keep_ && &outcome != raised.end() - 1) trail_.pop_back();
    }
    return continue_with(before, explained_before, stuck);
}

/// Every outcome that is an event, against what the tape shows next. On: look at what was kept for later.
Search::Advance Search::try_events(const Effect& effect, const exceptions::Outcome& raised, bool at_end, bool& stuck) {
    std::uint64_t matched_event = ~0ull, matched_held = 0, matched_debugctl = 0;
    for (std::size_t i = 0; i < outcomes_.size(); ++i) {
        const auto& r = outcomes_[i].response;
        if (r.event == event::none || (only_breakpoint_ && r.event != event::code_db)) continue;
        // What tells two matching outcomes apart is on the record, but for this.
        if (r.event == matched_event && r.held == matched_held && r.debugctl == matched_debugctl) continue;
        const Trial trial = try_event(outcomes_[i], effect, raised, at_end);
        if (trial == Trial::Ends) return fits(i);
        if (trial == Trial::NotModelled) stuck = true;
        if (trial != Trial::Matches) continue;
        if (!keep_for_later(i, way_)) return Advance::NotModelled;
        if (trial_->entered_task) continue;  // no record has told it from others
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
    if (explained_ == explained_before) fail(Misfit::Exception, *current_);
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
    pending_.back().exited = false;
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
    trail_.back().injected = injected_ != Injected::No;
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
        fail(Misfit::Exception, c);
        return Advance::Dead;
    }
    take_pending();
    return Advance::On;
}

}  // namespace faultline::oracle
