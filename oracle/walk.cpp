#include "oracle/walk.hpp"

#include <algorithm>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
using Gpr = guest::Gpr;

constexpr std::uint64_t vector_db = 1, vector_bp = 3, vector_of = 4, vector_pf = 14, first_interrupt = 32;
/// A frame, an error code and what the stub pushes: never more below the aligned RSP.
constexpr std::uint64_t frame_bytes = 64, frame_slots = 40;

std::uint64_t& reg(State& state, Gpr r) { return state.gpr[static_cast<std::size_t>(r)]; }
void know(State& state, Gpr r, std::uint64_t value) {
    reg(state, r) = value;
    state.gpr_known = static_cast<std::uint16_t>(state.gpr_known | 1u << static_cast<unsigned>(r));
}
std::uint64_t aligned_rsp(const State& state) { return state.reg(Gpr::Rsp) & ~15ull; }

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

}  // namespace

bool fits(const Expected& e, const Record& r) {
    if (r.vector != e.vector || ((r.error ^ e.error) & ~e.error_any) || r.complete != 1) return false;
    if (e.only_vector) return true;
    return r.rip == e.rip && r.cs == e.cs && r.ss == e.ss && ((r.rflags ^ e.rflags) & ~e.rflags_any) == 0 &&
           (!e.rsp_known || r.rsp == e.rsp) && (!e.rcx_known || r.rcx == e.rcx) && r.dr7 == e.dr7 &&
           ((r.dr6 ^ e.dr6) & ~e.dr6_any) == 0 && r.cr2 - e.cr2 <= e.cr2_span;
}

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
    return r;
}

bool Walk::in_program(std::uint64_t rip) const { return rip - layout::code < image_.code_size + 2u; }
bool Walk::in_stage_text(std::uint64_t rip) const {
    return rip >= image_.stage->symbols.text_begin && rip < image_.stage->symbols.text_end;
}

const char* Walk::start(Candidate& c) const {
    const Params& p = image_.params;
    // What IRETQ at CPL 0 loads. Intel SDM vol 2, "IRET/IRETD/IRETQ".
    constexpr std::uint64_t loadable = rflags::arithmetic | rflags::tf | rflags::if_ | rflags::df | rflags::iopl |
                                       rflags::nt | rflags::rf | rflags::ac | rflags::id;
    State& s = c.state;
    s.gpr = p.gpr;
    know(s, Gpr::Rsp, p.entry_frame.rsp);
    s.gpr_known = 0xFFFF;
    s.rip = p.entry_frame.rip;
    s.rflags = (p.entry_frame.rflags & loadable) | rflags::fixed1;
    s.rflags_known = ~0ull;
    s.cs = static_cast<std::uint16_t>(p.entry_frame.cs);
    s.ss = static_cast<std::uint16_t>(p.entry_frame.ss);
    s.cpl = s.cs & 3;
    s.dr = p.dr;
    s.debugctl = p.use_debugctl ? p.debugctl : 0;
    s.cr4 = p.cr4;
    s.memory = {};
    c.carried = {};
    c.record = c.steps = 0;
    c.wakes = Candidate::Wakes::No;
    c.clobbered_count = 0;
    c.chosen = c.trail = 0;
    if (p.entry_frame.rflags & ~(loadable | rflags::fixed1)) return "initial RFLAGS has bits that IRET may ignore";
    if ((p.dr6 | p.dr7) >> 32) return "initial DR6 or DR7 has bits that the prologue cannot load";
    if (p.use_debugctl && !features_.btf) return "the case needs DEBUGCTL.BTF, which the subject does not have";

    // The prologue's MOV DR: ordinary rules, on a machine where nothing stops them.
    s.dr6 = dr::dr6_reset, s.dr7 = dr::dr7_reset;
    debug::Outcomes loaded;
    for (const auto& [number, value] : {std::pair{std::uint8_t{6}, p.dr6}, std::pair{std::uint8_t{7}, p.dr7}}) {
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
    if (s.dr7 & dr::dr7_enables &&
        (watched(s, layout::page_tables, layout::df_top) || code_breakpoint_in(s, layout::page_tables, layout::df_top)))
        return "a breakpoint watches the stage";
    return nullptr;
}

const char* Walk::complete_op(Candidate& c, const Effect& e, const debug::Response<Judging>& response) const {
    State& s = c.state;
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
    s.cr4 = e.cr4;
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

Expected Walk::expected(const Candidate& c, const debug::Outcome& outcome, const Effect& e) const {
    const auto& r = outcome.response;
    const State& s = c.state;
    Expected x;
    x.vector = r.vector;
    x.error = r.error;
    x.rip = r.rip;
    x.cs = s.cs;
    x.ss = s.ss;
    x.rsp = s.reg(Gpr::Rsp);
    x.rsp_known = s.known(Gpr::Rsp);
    x.rcx = s.reg(Gpr::Rcx);
    x.rcx_known = s.known(Gpr::Rcx);
    x.rflags = (s.rflags & ~(rflags::rf | rflags::tf)) | (r.rf ? rflags::rf : 0) | (r.tf ? rflags::tf : 0);
    x.rflags_any = ~(s.rflags_known | rflags::rf | rflags::tf) | (outcome.rf_any ? rflags::rf : 0);
    x.cr2 = not_recorded;
    if (r.event == debug::event::fault && r.vector == vector_pf) {
        x.cr2 = e.fault.cr2;
        // Of an access that crosses into an absent page, any byte in that page may be reported: Intel SDM vol 3,
        // "Page-Fault Exception (#PF)" speaks of the address that caused it.
        if (e.fault.cr2 % layout::page == 0) x.cr2_span = 7;
    }
    if (r.vector == vector_db) {  // by #DB or by INT 1: the stub is the same
        x.dr6 = r.dr6;
        x.dr7 = r.dr7;
        x.dr6_any = outcome.dr6_any;
    }
    return x;
}

Delivery Walk::delivery(const Candidate& c, const char*& why) const {
    const State& s = c.state;
    const auto undecided = [&](const char* reason) {
        why = reason;
        return Delivery::NotModelled;
    };
    if (s.dr7 & dr::dr7_enables) {
        if (watched(s, layout::page_tables, layout::df_top) ||
            code_breakpoint_in(s, layout::page_tables, layout::df_top))
            return undecided("a breakpoint watches the stage");
    }
    if (s.cpl != 0) return Delivery::Possible;
    if (!s.known(Gpr::Rsp)) return undecided("an event is delivered on an unknown stack");
    const auto top = aligned_rsp(s), bottom = top - frame_bytes;
    const auto writable = [](std::uint64_t address) {
        const auto page = page_access(address);
        return page.present && page.writable;
    };
    if (!writable(top - 8)) return Delivery::DoubleFault;
    const auto within = [&](std::uint64_t begin, std::uint64_t size) {
        return bottom >= begin && top <= begin + size && bottom < top;
    };
    if (!within(layout::stack_bottom, 2 * layout::page) && !within(layout::data, layout::data_size) &&
        !within(layout::supervisor, layout::page))
        return undecided("an event is delivered on a stack outside the program's pages");
    // Whether the frame's own pushes and pops meet data breakpoints, no manual says.
    if (s.dr7 & dr::dr7_enables && watched(s, bottom, s.reg(Gpr::Rsp)))
        return undecided("a data breakpoint watches an exception frame");
    return Delivery::Possible;
}

State Walk::at_handler(const Candidate& c, std::uint64_t vector, bool has_error) const {
    State h = c.state;
    const auto top = c.state.cpl != 0 ? layout::rsp0_top : aligned_rsp(c.state);
    know(h, Gpr::Rsp, top - frame_slots - (has_error ? 8 : 0));
    h.rip = image_.stage->symbols.stubs + stub_stride * vector;
    // Interrupt gates. Intel SDM vol 3, "Flag Usage By Exception- or Interrupt-Handler Procedure".
    h.rflags &= ~(rflags::tf | rflags::if_ | rflags::nt | rflags::rf | rflags::vm);
    h.rflags_known |= rflags::tf | rflags::if_ | rflags::nt | rflags::rf | rflags::vm;
    // A change of privilege in long mode loads SS with a null selector of the new CPL.
    if (c.state.cpl != 0) h.ss = 0;
    h.cs = layout::kernel_cs;
    h.cpl = 0;
    return h;
}

bool Walk::react(Candidate& c, const Record& record) const {
    State& s = c.state;
    const Params& p = image_.params;
    s.rip = record.rip;
    s.rflags = record.rflags;
    s.rflags_known = ~0ull;
    know(s, Gpr::Rcx, record.rcx);
    know(s, Gpr::Rsp, record.rsp);
    c.carried.shadow = false;
    c.carried.continues = false;

    const bool inside = in_program(record.rip);
    const auto skip = [&] { s.rip += image_.skip[record.rip - layout::code]; };
    if (record.vector == vector_db) {
        if (!inside && !in_stage_text(record.rip)) return false;
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
    const Candidate::Clobbered now = {aligned_rsp(c.state) - frame_bytes, c.state.reg(Gpr::Rsp), c.state.memory.size()};
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
