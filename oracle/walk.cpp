#include "oracle/walk.hpp"

#include <algorithm>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/stage.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/guest/task.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
using Gpr = guest::Gpr;

constexpr std::uint64_t vector_db = 1, vector_bp = 3, vector_of = 4, vector_pf = 14, first_interrupt = 32;
/// A frame, an error code and what the stub pushes: never more below the aligned stack pointer.
constexpr std::uint64_t frame_bytes = 72;
/// What IRETQ at CPL 0 loads: Intel SDM vol 2, "IRET/IRETD/IRETQ".
constexpr std::uint64_t loadable = rflags::arithmetic | rflags::tf | rflags::if_ | rflags::df | rflags::iopl |
                                   rflags::nt | rflags::rf | rflags::ac | rflags::id;

std::uint64_t& reg(State& state, Gpr r) { return state.gpr[static_cast<std::size_t>(r)]; }
void know(State& state, Gpr r, std::uint64_t value) {
    reg(state, r) = value;
    state.gpr_known = static_cast<std::uint16_t>(state.gpr_known | 1u << static_cast<unsigned>(r));
}
std::uint64_t linear_sp(const State& state) {
    return state.ss_base() + (state.reg(Gpr::Rsp) & (state.mode == Mode::Real16 ? 0xFFFF : ~0ull));
}
/// Rounded down as 64-bit delivery does; other modes lose nothing by it.
std::uint64_t aligned_top(const State& state) { return linear_sp(state) & ~15ull; }

bool overlap(std::uint64_t a, std::uint64_t a_end, std::uint64_t b, std::uint64_t b_end) {
    return a < b_end && b < a_end;
}

/// An enabled data breakpoint of any reading touches [begin, end).
bool watched(const State& state, std::uint64_t begin, std::uint64_t end) {
    for (unsigned n = 0; n < 4; ++n) {
        const bool on = state.dr7 >> 2 * n & 3;
        const auto rw = state.dr7 >> (16 + 4 * n) & 3;
        const bool data = rw == 1 || rw == 3 || (rw == 2 && !(state.cr4 & cr4_de));
        if (on && data && overlap(state.dr[n] & ~7ull, (state.dr[n] | 7) + 1, begin, end)) return true;
    }
    return false;
}
bool code_breakpoint_in(const State& state, std::uint64_t begin, std::uint64_t end) {
    for (unsigned n = 0; n < 4; ++n)
        if ((state.dr7 >> 2 * n & 3) && (state.dr7 >> (16 + 4 * n) & 3) == 0 &&
            overlap(state.dr[n] & ~7ull, (state.dr[n] | 7) + 1, begin, end))
            return true;
    return false;
}
bool stage_watched(const State& state) {
    return state.dr7 & dr::dr7_enables && (watched(state, layout::page_tables, layout::stage_end) ||
                                           code_breakpoint_in(state, layout::page_tables, layout::stage_end));
}

}  // namespace

std::array<Expected::Field, Expected::field_count> Expected::fields() const {
    const auto if_compared = [&](bool compared) { return compared && !only_vector ? ~0ull : 0; };
    const auto all = if_compared(true);
    // The order in which a difference is named.
    return {{{"vector", &Record::vector, vector, ~0ull},
             {"error", &Record::error, error, ~error_any},
             {"complete", &Record::complete, 1, ~0ull},
             {"rip", &Record::rip, rip, if_compared(rip_known)},
             {"cs", &Record::cs, cs, all},
             {"rflags", &Record::rflags, rflags, all & ~rflags_any},
             {"ss", &Record::ss, ss, all},
             {"rsp", &Record::rsp, rsp, if_compared(rsp_known)},
             {"rcx", &Record::rcx, rcx, if_compared(rcx_known)},
             {"cr2", &Record::cr2, cr2, all, only_vector ? 0 : cr2_span},
             {"dr6", &Record::dr6, dr6, all & ~dr6_any},
             {"dr7", &Record::dr7, dr7, all},
             {"handler-flags", &Record::handler_flags, handler_flags, all & handler_flags_mask},
             {"handler-ss", &Record::handler_ss, handler_ss, all},
             {"frame", &Record::frame, frame, if_compared(rsp_known)}}};
}

bool fits(const Expected& e, const Record& r) {
    const auto fields = e.fields();
    return std::all_of(fields.begin(), fields.end(), [&](const Expected::Field& field) { return field.fits(r); });
}

std::uint64_t Walk::linear_rip(const Record& record) const { return guest::linear_rip(record, image_); }

Record fill_in(const Tape& tape, std::uint32_t index, const Expected& e) {
    Record r = tape.records[index];
    if (!tape.through_kernel) return r;
    const Unseen& unseen = tape.unseen[index];
    const auto take = [](std::uint64_t& field, std::uint64_t value, std::uint64_t bits) {
        field = (field & ~bits) | (value & bits);
    };
    take(r.error, e.error, unseen.error);
    take(r.rflags, e.rflags, unseen.rflags);
    take(r.dr6, e.dr6, unseen.dr6);
    take(r.dr7, e.dr7, unseen.dr7);
    r.handler_flags = e.handler_flags, r.handler_ss = e.handler_ss, r.frame = e.frame;
    return r;
}

bool Walk::in_program(std::uint64_t rip) const { return rip - layout::code < image_.code_size + 2u; }
bool Walk::in_stage_text(std::uint64_t rip) const {
    return rip >= image_.stage->symbols.text_begin && rip < image_.stage->symbols.text_end;
}

const char* Walk::start(Candidate& c, const Hypervisor* hypervisor) const {
    const Params& p = image_.params;
    State& s = c.state;
    s.mode = image_.mode;
    s.gpr = p.gpr;
    know(s, Gpr::Rsp, p.entry_frame.rsp);
    s.gpr_known = 0xFFFF;
    s.rip = layout::code;
    s.rflags = (p.entry_frame.rflags & loadable) | rflags::fixed1;
    s.rflags_known = ~0ull;
    s.cs = static_cast<std::uint16_t>(p.entry_frame.cs);
    s.ss = static_cast<std::uint16_t>(p.entry_frame.ss);
    s.cpl = s.cs & 3;
    s.dr = p.dr;
    s.debugctl = p.use_debugctl ? p.debugctl : 0;
    s.cr0 = p.cr0 ? p.cr0 : image_.stage->cr0;
    s.cr4 = p.cr4;
    s.tr = layout::tr;
    s.outer.reset();
    s.tasks_entered = 0;
    s.memory = {};
    c.carried = {};
    c.record = c.steps = 0;
    c.wakes = Candidate::Wakes::No;
    c.entered_task = false;
    c.guest = {};
    c.clobbered_count = 0;
    c.chosen = c.trail = 0;
    c.exited = false;
    if (hypervisor) {
        c.guest.entering = true;
        if (const char* why = hypervisor->unknown_machine()) return why;
        return hypervisor->unmodelled() ? nullptr : start_guest(c, hypervisor->control().vmcb());
    }
    if (image_.stage != stage_of(World::Bare, image_.mode)) return "only worlds bare and svm are judged so far";
    if (p.entry_frame.rflags & ~(loadable | rflags::fixed1)) return "initial RFLAGS has bits that IRET may ignore";
    if ((p.dr6 | p.dr7) >> 32) return "initial DR6 or DR7 has bits that the prologue cannot load";
    if (p.use_debugctl && !features_.btf) return "the case needs DEBUGCTL.BTF, which the subject does not have";
    if (const char* why = load_debug_registers(s, p.dr6, p.dr7)) return why;
    // Where IRET stays at CPL 0 and pops no stack pointer, the prologue's own frame lies below the program's stack.
    constexpr std::uint64_t entry_frame = 12;
    if (s.dr7 & dr::dr7_enables && !long_mode(s.mode) && s.cpl == 0 &&
        watched(s, linear_sp(s) - entry_frame, linear_sp(s)))
        return "a breakpoint watches the frame that the stage starts the program with";
    return nullptr;
}

/// As MOV DR does on a machine where nothing stops it: VMRUN, too, leaves bits as they are that cannot change (AMD APM
/// vol 2, "VMRUN Instruction").
const char* Walk::load_debug_registers(State& s, std::uint64_t dr6, std::uint64_t dr7) const {
    s.dr6 = dr::dr6_reset, s.dr7 = dr::dr7_reset;
    debug::Outcomes loaded;
    for (const auto& [number, value] : {std::pair{std::uint8_t{6}, dr6}, std::pair{std::uint8_t{7}, dr7}}) {
        Effect load;
        load.kind = Kind::MovDr;
        load.dr_number = number;
        load.dr_write = true;
        load.dr_value = value;
        State quiet = s;
        quiet.rflags = rflags::fixed1;
        quiet.cpl = 0;
        debug::outcomes(debug::pre_of(quiet, {}, features_), debug::stimulus_of(quiet, {}, load), loaded);
        s.dr6 = loaded[0].response.dr6;
        s.dr7 = loaded[0].response.dr7;
    }
    return stage_watched(s) ? "a breakpoint watches the stage" : nullptr;
}

/// World svm: what VMRUN loads stands in the VMCB.
const char* Walk::start_guest(Candidate& c, const guest::svm::Vmcb& vmcb) const {
    State& s = c.state;
    reg(s, Gpr::Rax) = vmcb.rax;
    reg(s, Gpr::Rsp) = vmcb.rsp;
    s.rip = vmcb.rip;
    s.rflags = vmcb.rflags | rflags::fixed1;
    c.guest.cr2 = vmcb.cr2;
    c.guest.shadow = vmcb.interrupt_shadow & 1;
    c.guest.injecting = vmcb.event_injection & guest::svm::event_info::valid;
    if (s.rflags & ~(loadable | rflags::fixed1)) return "initial RFLAGS has bits that VMRUN may ignore";
    if ((vmcb.dr6 | vmcb.dr7) >> 32) return nullptr;  // refused
    if (const char* why = load_debug_registers(s, vmcb.dr6, vmcb.dr7)) return why;
    // Whether what delays interrupts delays #DB, too, the VMCB does not say.
    if (c.guest.shadow && (s.rflags & rflags::tf || s.dr7 & dr::dr7_enables))
        return "VMRUN loads an interrupt shadow where a #DB may be due";
    return nullptr;
}

void Walk::skip(Candidate& c) const {
    State& s = c.state;
    s.rip += image_.skip[s.rip - layout::code];
    s.rflags &= ~rflags::rf;
    s.rflags_known |= rflags::rf;
    c.carried = {};
    c.guest.shadow = c.guest.shadow_open = false;
}

const char* Walk::complete_op(Candidate& c, const Effect& e, const debug::Response<Judging>& response) const {
    State& s = c.state;
    if (e.kind == Kind::TaskSwitch && e.tr != s.tr) {
        const std::uint64_t fallthrough = s.rip + image_.skip[s.rip - layout::code];
        s = after_task_switch(s, context(s, fallthrough), e);
        return nullptr;
    }
    // AMD APM vol 3, "STI": the instruction behind it is in its shadow where it has set IF, which it need not have.
    const bool enables = e.kind == Kind::Sti && e.rflags & rflags::if_;
    const bool enabled = s.rflags & s.rflags_known & rflags::if_;
    // Whether a REP instruction leaves it at its end or with its first iteration, no text says.
    const bool between = e.kind == Kind::Rep && !e.last_iteration;
    c.guest.shadow_open = (enables && (enabled || !(s.rflags_known & rflags::if_))) || (between && c.guest.shadow);
    c.guest.shadow = response.shadow || (enables && !enabled) || (between && c.guest.shadow);
    for (unsigned i = 0; i < e.register_count; ++i) {
        const auto& write = e.registers[i];
        reg(s, write.gpr) = write.value;
        const auto bit = static_cast<std::uint16_t>(1u << static_cast<unsigned>(write.gpr));
        s.gpr_known = static_cast<std::uint16_t>(write.known ? s.gpr_known | bit : s.gpr_known & ~bit);
    }
    for (unsigned i = 0; i < e.memory_count; ++i) {
        const auto& write = e.memory[i];
        if (!s.memory.write(write.address, write.value, write.length, write.known))
            return "the program writes more memory than the oracle follows";
    }
    s.rflags = e.rflags;
    s.rflags_known = e.rflags_known;
    s.cpl = e.cpl;
    s.cs = e.cs;
    s.ss = e.ss;
    s.cr0 = e.cr0;
    s.cr4 = e.cr4;
    s.tr = e.tr;
    s.debugctl = e.debugctl;
    s.rip = e.next;
    if (e.kind == Kind::MovDr) {
        if (!e.dr_write)
            know(s, e.dr_gpr, response.dr_value);
        else if (e.dr_number < 4)
            s.dr[e.dr_number] = response.dr_value;
    }
    return nullptr;
}

Expected Walk::expected(const Candidate& c, const debug::Outcome& outcome, const Arrival& arrival) const {
    const auto& event = outcome.response;
    const auto& end = arrival.end();
    const State& s = c.state;
    const bool real = s.mode == Mode::Real16;
    Expected x;
    x.vector = arrival.vector();
    x.error = end.pushes_error ? end.error : 0;
    x.rip = end.rip - s.cs_base();
    x.rip_known = !arrival.end_outcome().rip_any;
    x.cs = s.cs;
    x.ss = s.ss;
    x.rsp = s.reg(Gpr::Rsp) & (real ? 0xFFFF : ~0ull);
    x.rsp_known = s.known(Gpr::Rsp);
    x.rcx = s.reg(Gpr::Rcx);
    x.rcx_known = s.known(Gpr::Rcx);
    x.rflags = (s.rflags & ~(rflags::rf | rflags::tf)) | (end.rf ? rflags::rf : 0) | (event.tf ? rflags::tf : 0);
    x.rflags_any = ~(s.rflags_known | rflags::rf | rflags::tf);
    if ((arrival.direct() && outcome.rf_any) || arrival.end_outcome().rf_any) x.rflags_any |= rflags::rf;
    if (real) x.rflags_any |= ~0xFFFFull;  // the image is FLAGS
    x.cr2 = not_recorded;
    if (const auto* writer = arrival.writes_cr2(); writer && arrival.vector() == vector_pf) x.show_cr2(*writer);
    if (arrival.vector() == vector_db) {  // by #DB or by INT 1: the stub is the same
        x.dr6 = event.dr6;
        x.dr7 = event.dr7;
        x.dr6_any = outcome.dr6_any;
    }
    x.handler_flags =
        (end.if_ ? rflags::if_ : 0) | (end.tf ? rflags::tf : 0) | (end.nt ? rflags::nt : 0) | (end.ac ? rflags::ac : 0);
    x.handler_flags_mask = rflags::if_ | rflags::tf | rflags::nt | (real ? 0 : rflags::ac);
    x.handler_ss = end.ss;
    x.frame = end.frame;
    return x;
}

const char* Walk::cannot_deliver(const Candidate& c) const {
    const State& s = c.state;
    if (stage_watched(s)) return "a breakpoint watches the stage";
    if (s.cpl != 0) return nullptr;
    if (!s.known(Gpr::Rsp)) return "an event is delivered on an unknown stack";
    // Whether the frame's own pushes and pops meet data breakpoints, no manual says.
    const auto top = aligned_top(s), bottom = top - frame_bytes;
    if (s.dr7 & dr::dr7_enables && watched(s, bottom, linear_sp(s)))
        return "a data breakpoint watches an exception frame";
    return nullptr;
}

const char* Walk::cannot_follow(const Candidate& c, const Arrival& arrival) const {
    const auto& end = arrival.end();
    if (end.result != exceptions::result::delivered) return nullptr;
    if (arrival.attempts[arrival.count - 1].stim.target_out_of_range) return "a handler outside all memory is entered";
    if (end.cpl != 0) return "a handler runs at CPL 3, where the stage's text is not its own";
    const auto begin = end.frame + c.state.ss_base() - (frame_bytes - 40);
    const auto top = end.frame + c.state.ss_base() + 48;
    const auto within = [&](std::uint64_t first, std::uint64_t size) {
        return begin >= first && top <= first + size + 48 && begin < top;
    };
    if (within(layout::stack_bottom, 2 * layout::page) || within(layout::data, layout::data_size) ||
        within(layout::supervisor, layout::page) ||
        within(layout::rsp0_top - 2 * layout::page, layout::stage_end - layout::rsp0_top + 2 * layout::page))
        return nullptr;
    return "an event is delivered on a stack outside the program's pages";
}

const char* Walk::enter_task(Candidate& c, const Arrival& arrival) const {
    const auto& end = arrival.end();
    State& s = c.state;
    const auto selector = static_cast<std::uint16_t>(end.selector);
    if (const char* why = task_unmodelled(s, environment_.surroundings, selector)) return why;
    const auto saved_flags = (s.rflags & ~rflags::rf) | (end.rf ? rflags::rf : 0);
    s = guest::enter_task(s, image_, environment_.surroundings, selector, true, end.rip, saved_flags);
    c.carried = {};
    c.entered_task = true;
    if (!end.pushes_error) return nullptr;
    // "the error code is pushed onto the new stack": Intel SDM vol 3, "Error Code".
    constexpr unsigned slot = 4;
    const auto sp = s.reg(Gpr::Rsp) - slot;
    if (s.dr7 & dr::dr7_enables && watched(s, sp, sp + slot)) return "a data breakpoint watches an exception frame";
    know(s, Gpr::Rsp, sp);
    return s.memory.write(sp, end.error, slot, true) ? nullptr
                                                     : "the program writes more memory than the oracle follows";
}

Effect Walk::task_entry(const State& s) const {
    Effect e = no_effect(s, s.rip);
    e.kind = Kind::TaskSwitch;
    e.branch = true;
    e.rflags = s.rflags, e.rflags_known = s.rflags_known;  // RF, too, comes from the TSS
    e.task_trap = task_traps(environment_.surroundings, s.tr);
    return e;
}

State Walk::at_handler(const Candidate& c, const Arrival& arrival) const {
    const auto& end = arrival.end();
    State h = c.state;
    if (long_mode(h.mode)) h.mode = Mode::Long64;
    know(h, Gpr::Rsp, end.frame);
    h.rip = image_.stage->symbols.stubs + stub_stride * arrival.vector();
    const auto flag = [&](bool on, std::uint64_t bit) { h.rflags = (h.rflags & ~bit) | (on ? bit : 0); };
    flag(end.tf, rflags::tf), flag(end.if_, rflags::if_), flag(end.nt, rflags::nt), flag(end.rf_after, rflags::rf);
    flag(end.ac, rflags::ac), flag(false, rflags::vm);
    h.rflags_known |= rflags::tf | rflags::if_ | rflags::nt | rflags::rf | rflags::ac | rflags::vm;
    h.ss = static_cast<std::uint16_t>(end.ss);
    h.cs = h.mode == Mode::Real16 ? std::uint16_t{0} : layout::kernel_cs;
    h.cpl = static_cast<std::uint8_t>(end.cpl);
    return h;
}

bool Walk::react(Candidate& c, const Record& record) const {
    State& s = c.state;
    const Params& p = image_.params;
    s.rip = linear_rip(record);
    if (s.mode == Mode::Real16) {
        // Delivery cleared AC and RF, and the stub returns with an image of 32 bits whose upper half is its own.
        s.rflags = record.rflags & 0xFFFF;
    } else {
        s.rflags = record.rflags;
    }
    s.rflags_known = ~0ull;
    know(s, Gpr::Rcx, record.rcx);
    know(s, Gpr::Rsp, record.rsp);
    c.carried.shadow = false;
    c.carried.continues = false;
    c.guest.shadow = c.guest.shadow_open = false;

    const bool inside = in_program(s.rip);
    const auto skip = [&] { s.rip += image_.skip[s.rip - layout::code]; };
    if (record.vector == vector_db) {
        if (!inside && !in_stage_text(s.rip)) return false;
        if (inside) {
            if (p.db_skip) skip();
            s.rflags |= p.db_rf_set;
        }
        s.dr6 = p.db_clear_dr6 ? dr::dr6_reset : record.dr6;
        s.dr7 = record.dr7;
    } else if (record.vector == vector_bp || record.vector == vector_of || record.vector >= first_interrupt) {
        if (!inside) return false;
    } else {
        if (!inside) return false;
        skip();
        s.rflags &= p.fault_flags_and;
    }
    return true;
}

void Walk::clobber(Candidate& c) const {
    if (c.state.cpl != 0 || !c.state.known(Gpr::Rsp)) return;
    const auto top = aligned_top(c.state);
    const Candidate::Clobbered now = {top - frame_bytes, linear_sp(c.state), c.state.memory.size()};
    const auto begin = c.clobbered.begin(), end = begin + c.clobbered_count;
    const auto kept =
        std::remove_if(begin, end, [&](const auto& old) { return old.begin >= now.begin && old.end <= now.end; });
    c.clobbered_count = static_cast<std::uint32_t>(kept - begin);
    if (c.clobbered_count == c.clobbered.size()) {
        // Too many stacks: forget where the oldest ended rather than that it was overwritten.
        auto& oldest = c.clobbered[0];
        oldest = {std::min(oldest.begin, now.begin), std::max(oldest.end, now.end), now.since};
        return;
    }
    c.clobbered[c.clobbered_count++] = now;
}

bool Walk::reads_clobbered(const Candidate& c, const Effect& e) const {
    for (unsigned k = 0; k < c.clobbered_count; ++k) {
        const auto& range = c.clobbered[k];
        for (unsigned i = 0; i < e.access_count; ++i) {
            const auto& access = e.access[i];
            if (access.write) continue;
            for (std::uint64_t a = access.address; a < access.address + access.length; ++a)
                if (a >= range.begin && a < range.end && !c.state.memory.find(a, range.since)) return true;
        }
    }
    return false;
}

}  // namespace faultline::oracle
