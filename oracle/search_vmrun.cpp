// The search in world svm: VMRUN, and the event that it injects.
#include "oracle/search.hpp"

namespace faultline::oracle {

using namespace guest;
namespace event = debug::event;

namespace {

constexpr std::uint64_t vector_db = 1, vector_nmi = 2, vector_bp = 3, vector_of = 4;

}  // namespace

Search::Advance Search::enter() {
    Candidate& c = *trial_;
    c = *current_;
    c.guest.entering = false;
    const svm::Control& control = hypervisor_->control();
    svm::Stimulus<Judging> stim = svm::enter_of(control.vmcb());
    if (control.bad_page_directory_pointers()) stim.standing |= svm::standing::pdpte_reserved;
    const Answered answered = ask(c, stim, {});
    const bool refused = exit_is_next(*tape_, 0, 0) && tape_->exits[0].code == guest::svm::exit_code::invalid;
    note(c, stim, {}, answered.shown);
    if (answered.shown && (!answered.passes || !forecasting_))
        return ends(Outcome::Stopped) == Trial::Ends ? Advance::Fits : Advance::Dead;
    if (!answered.passes || refused) {
        fail(Misfit::Exit, c);
        return Advance::Dead;
    }
    if (forecasting_) own_tape_.exit_count = 0, c.guest.exits = 0;
    if (const char* why = hypervisor_->unmodelled()) return not_modelled(why);
    std::swap(current_, trial_);
    return Advance::On;
}

/// The event that VMRUN injects. It meets no intercept of its own. AMD APM vol 2, "Event Injection".
Search::Advance Search::inject() {
    using namespace guest::svm::event_info;
    Candidate& c = *current_;
    c.guest.injecting = false;
    const guest::svm::Vmcb& vmcb = hypervisor_->control().vmcb();
    const std::uint64_t info = vmcb.event_injection, type = info >> 8 & 7;
    const std::uint64_t vector = type == Nmi ? vector_nmi : info & 0xFF;
    const bool by_instruction = type == Software || (type == Exception && (vector == vector_bp || vector == vector_of));
    // GD is cleared "upon entering" the handler of a #DB that the processor has raised: of an injected one no text
    // speaks, and an interrupt with its vector leaves GD to stop the stage's own handler.
    if (vector == vector_db && c.state.dr7 & dr::dr7_gd)
        return not_modelled("vector 1 is injected under general detect");
    if (((info & guest::svm::event_info::has_error) != 0) != (type == Exception && pushes_error(vector)))
        return not_modelled("EVENTINJ's error code is not what the vector is known for");
    constexpr std::uint64_t vector_ud = 6;  // its handler ends the program
    if (type != Exception && (pushes_error(vector) || vector == vector_ud))
        return not_modelled("an interrupt is injected with a vector whose handler expects an exception");
    debug::Outcome outcome{};
    auto& r = outcome.response;
    r.event = type == Exception && !by_instruction ? event::fault : event::delivered;
    r.vector = vector;
    r.error = pushes_error(vector) ? info >> 32 : 0;
    // "behaves like a trap raised by INT3 and INTO", and a software interrupt, too, returns behind its instruction.
    r.rip = by_instruction ? vmcb.next_rip : c.state.rip;
    r.rf = c.state.rflags & rflags::rf;
    outcome.rf_any = type == Exception || type == Software;
    r.tf = c.state.rflags & rflags::tf;
    r.dr6 = c.state.dr6, r.dr7 = c.state.dr7, r.debugctl = c.state.debugctl;
    Effect effect;
    effect.kind = by_instruction ? Kind::IntN : Kind::Ordinary;
    effect.next = r.rip;
    outcomes_.clear();
    outcomes_.add(outcome);
    injected_ = type == Exception && by_instruction ? Injected::OneByte : Injected::Other;
    if (keep_)
        keep_step(debug::pre_of(c.state, c.carried, walk_->features()),
                  debug::stimulus_at_boundary(c.state, debug::kind::wake, static_cast<std::uint8_t>(vector)), effect,
                  {});
    const std::size_t before = pending_.size();
    const std::uint32_t explained_before = explained_;
    bool stuck = false;
    const Advance tried = try_events(effect, {}, false, stuck);
    injected_ = Injected::No;
    if (tried != Advance::On) return tried;
    return continue_with(before, explained_before, stuck);
}

}  // namespace faultline::oracle
