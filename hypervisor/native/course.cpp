#include "hypervisor/native/course.hpp"

#include <fmt/format.h>
#include <signal.h>

#include "hypervisor/guest/stage/stage.hpp"
#include "hypervisor/native/subject.hpp"
#include "hypervisor/native/suitability.hpp"

namespace faultline::native {
namespace {

using guest::Outcome;
namespace layout = guest::layout;
namespace rflags = guest::rflags;
namespace dr = guest::dr;

constexpr std::uint64_t vector_de = 0, vector_db = 1, vector_bp = 3, vector_of = 4, vector_ud = 6, vector_gp = 13,
                        vector_pf = 14, vector_ac = 17, first_interrupt = 32;
constexpr std::uint64_t dr6_causes = dr::dr6_b | dr::dr6_bld | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt | dr::dr6_rtm;
constexpr std::uint64_t pf_present = 1, pf_fetch = 0x10, task_size_max = 0x7FFF'FFFF'F000;

constexpr unsigned long long user_regs_struct::*gpr_fields[guest::gpr_count] = {
    &user_regs_struct::rax, &user_regs_struct::rcx, &user_regs_struct::rdx, &user_regs_struct::rbx,
    &user_regs_struct::rsp, &user_regs_struct::rbp, &user_regs_struct::rsi, &user_regs_struct::rdi,
    &user_regs_struct::r8,  &user_regs_struct::r9,  &user_regs_struct::r10, &user_regs_struct::r11,
    &user_regs_struct::r12, &user_regs_struct::r13, &user_regs_struct::r14, &user_regs_struct::r15};

}  // namespace

Course::Course(const guest::Image& image, const Selectors& selectors, Child& child, guest::Tape& tape)
    : image_(image), selectors_(selectors), child_(child), tape_(tape) {
    const guest::Params& p = image.params;
    for (unsigned n = 0; n < 4; ++n)
        if (p.dr7 >> 2 * n & 3 && (p.dr7 >> (16 + 4 * n) & 3) == 0) code_breakpoints_ |= 1ull << n;
    other_if_ = ~p.entry_frame.rflags & rflags::if_;
    stale_dr6_ = (p.dr6 ^ dr::dr6_reset) & dr6_causes;
}

void Course::run(unsigned tick_limit) {
    tape_.count = 0;
    tape_.stop_rip = 0;
    if (!begin()) {
        tape_.outcome = Outcome::Crash;
        tape_.detail = "the traced process is gone";
        return;
    }
    unsigned ticks = 0;
    for (;;) {
        Stop stop = child_.resume();
        if (stop.dead) {
            tape_.outcome = Outcome::Crash;
            tape_.detail = fmt::format("the traced process ended with wait status {:#x}", stop.status);
            return;
        }
        left_id_ = stop.regs.eflags & rflags::id;
        Answer outcome;
        if (stop.signal != SIGVTALRM)
            outcome = answer(stop);
        else if (++ticks >= tick_limit)
            outcome = Outcome::Hang;
        if (!outcome) continue;
        tape_.outcome = *outcome;
        if (*outcome != Outcome::Completed) tape_.stop_rip = stop.regs.rip;
        return;
    }
}

bool Course::begin() {
    const guest::Params& p = image_.params;
    if (!child_.set_breakpoints(p.dr, enabled_breakpoints(p.dr7))) {
        tape_.unsuitable = "Linux refuses these breakpoints";
        return false;
    }
    user_regs_struct regs = child_.registers();
    for (std::size_t r = 0; r < guest::gpr_count; ++r) regs.*gpr_fields[r] = selectors_.to_linux(p.gpr[r]);
    regs.rip = p.entry_frame.rip;
    regs.rsp = p.entry_frame.rsp;
    regs.eflags = p.entry_frame.rflags ^ other_if_;
    regs.cs = image_.mode == guest::Mode::Long64 ? linux_cs : linux_cs32;
    regs.ss = selectors_.ss & 0xFFFF;
    regs.ds = regs.es = linux_ss;  // null in a 64-bit process, where only 64-bit mode permits it
    return child_.set_registers(regs);
}

/// Which exception is behind a signal: arch/x86/kernel/traps.c.
Course::Answer Course::answer(Stop& stop) {
    if (stop.code <= 0) return std::nullopt;  // somebody's kill(2), not an exception
    if (at_end(stop)) {
        finish(stop.regs);
        return Outcome::Completed;
    }
    switch (stop.signal) {
        case SIGTRAP: return exception(stop.code == SI_KERNEL ? vector_bp : vector_db, {}, stop.regs);
        case SIGILL: return exception(vector_ud, {}, stop.regs);
        case SIGFPE: return exception(vector_de, {}, stop.regs);
        case SIGSEGV:
        case SIGBUS: {
            Noted noted{};
            if (!child_.note(stop.signal, noted)) return Outcome::Crash;
            return exception(noted.vector, noted, stop.regs);
        }
        case SIGSYS: return unsuitable("a system call instruction enters Linux");
        default: return std::nullopt;
    }
}

/// #GP of the end's HLT: a fetch or a breakpoint there gives another signal or code.
bool Course::at_end(const Stop& stop) const {
    return stop.regs.rip == image_.end_address() && stop.signal == SIGSEGV && stop.code == SI_KERNEL;
}

Course::Answer Course::exception(std::uint64_t vector, const Noted& noted, const user_regs_struct& regs) {
    if (const auto why = stage_differs(vector, noted, regs); !why.empty()) return unsuitable(why);
    if (tape_.count == guest::tape_capacity) return Outcome::TapeOverflow;
    guest::Record& record = tape_.records[tape_.count];
    guest::Unseen& unseen = tape_.unseen[tape_.count];
    ++tape_.count;
    record = {.vector = vector,
              .error = noted.error,
              .rip = regs.rip,
              .cs = selectors_.loaded_to_stage(regs.cs),
              .rflags = regs.eflags ^ other_if_,
              .rsp = regs.rsp,
              .ss = selectors_.loaded_to_stage(regs.ss),
              .rcx = selectors_.to_stage(regs.rcx),
              .complete = 1};
    unseen = {};
    if (vector == vector_db) {
        show_db(record, unseen);
    } else {
        // A #DB on the first instruction of Linux's handler may have left bits that it consumed.
        if (!image_.params.db_clear_dr6) stale_dr6_ |= dr::dr6_b | dr::dr6_bs;
        if (vector == vector_pf) {
            record.cr2 = noted.cr2;
            show_pf(record, unseen);
        }
    }
    return react(vector, regs, unseen.rflags);
}

/// Linux shows BS and the breakpoints that it has armed, of this #DB alone: exc_debug_user (traps.c) and
/// hw_breakpoint_handler (hw_breakpoint.c).
void Course::show_db(guest::Record& record, guest::Unseen& unseen) {
    record.dr6 = child_.dr6();
    record.dr7 = (image_.params.dr7 | dr::dr7_reset) & ~dr::dr7_gd;
    unseen.dr6 = stale_dr6_;
    unseen.dr7 = ~0ull;
    // Beside BS an instruction breakpoint's bit is left out; without it, it makes Linux set RF.
    if (record.dr6 & dr::dr6_bs)
        unseen.dr6 |= code_breakpoints_;
    else if (record.dr6 & code_breakpoints_)
        unseen.rflags |= rflags::rf;
    stale_dr6_ = image_.params.db_clear_dr6 ? 0 : stale_dr6_ | ((record.dr6 ^ dr::dr6_reset) & dr6_causes);
}

void Course::show_pf(guest::Record& record, guest::Unseen& unseen) const {
    // EFER.NXE is set here and clear in the stage, where the bit is reserved.
    record.error &= ~pf_fetch;
    unseen.error = pf_fetch;
    // The stage's supervisor pages are absent here; of kernel addresses Linux always says present (fault.c,
    // set_signal_archinfo).
    const auto page = guest::page_access(record.cr2);
    if ((page.present && !page.user) || record.cr2 >= task_size_max) unseen.error |= pf_present;
}

/// Where the stage would have done something else: what its tables permit and Linux's don't, or the other way round.
std::string_view Course::stage_differs(std::uint64_t vector, const Noted& noted, const user_regs_struct& regs) const {
    const std::uint64_t offset = program_offset(regs.rip);
    const bool checks_alignment = image_.params.reload && image_.params.cr0 & guest::cr0_am;
    if (vector == vector_ac && !checks_alignment) return "CR0.AM is set here, so that EFLAGS.AC has a meaning";
    if ((vector == vector_bp || vector == vector_of) && !gates_dpl3(image_))
        return "Linux's gates for #BP and #OF have DPL 3";
    if (vector == vector_pf && five_level_paging() &&
        static_cast<std::int64_t>(noted.cr2 << 16) >> 16 != static_cast<std::int64_t>(noted.cr2))
        return "linear addresses have 57 bits here";
    // Also where an operand may reach over the limit that is not there.
    constexpr std::uint64_t longest_operand = 8;
    if (vector == vector_pf && image_.mode != guest::Mode::Long64 &&
        noted.cr2 > layout::segment_limit - longest_operand)
        return "segments have no limit here";
    if (image_.mode != guest::Mode::Long64 && regs.rip > layout::segment_limit) return "segments have no limit here";
    if ((vector != vector_gp && vector != vector_ud) || offset >= image_.code_size) return {};
    const Opcode op = opcode_at(image_, offset);
    const bool debug_register = op.code == 0x0F21 || op.code == 0x0F23;
    if (debug_register && image_.params.cr4 & guest::cr4_de && (op.next >> 3 & 6) == 4)
        return "CR4.DE is clear here, and DR4 and DR5 mean something else";
    if (vector != vector_gp) return {};
    if (op.code == 0xCD && gates_dpl3(image_) && layout::callable_from_cpl3(op.next))
        return "Linux's gate for this INT n has DPL 0";
    const bool loads_ss = op.code == 0x8E || op.code == 0xCF || op.code == 0x17;
    const auto refused = noted.error;
    if (loads_ss && (refused == (layout::user_ss & ~3u) || refused == (layout::user_cs & ~3u)))
        return "the program makes a selector of the stage's, and Linux's are others";
    if (stage_permits_port(offset, regs)) return "the stage permits a port that Linux does not";
    return {};
}

bool Course::stage_permits_port(std::uint64_t offset, const user_regs_struct& regs) const {
    const Opcode op = opcode_at(image_, offset);
    const bool immediate = op.code >= 0xE4 && op.code <= 0xE7, dx = op.code >= 0xEC && op.code <= 0xEF,
               string = op.code >= 0x6C && op.code <= 0x6F;
    if (!immediate && !dx && !string) return false;
    const std::uint64_t first = immediate ? op.next : regs.rdx & 0xFFFF, width = !(op.code & 1)    ? 1
                                                                                 : op.operand_size ? 2
                                                                                                   : 4;
    return first >= layout::first_port && first + width - 1 <= layout::last_allowed_port;
}

/// As the stage's stubs do, by the case's policy.
Course::Answer Course::react(std::uint64_t vector, user_regs_struct regs, std::uint64_t unseen_flags) {
    if (!inside(regs.rip)) return Outcome::WildRip;
    const guest::Params& p = image_.params;
    const auto skip = [&] { regs.rip += image_.skip[program_offset(regs.rip)]; };
    // The RF that Linux set is taken back: an instruction breakpoint pushes RF = 0. Intel SDM vol 3,
    // "Instruction-Breakpoint Exception Condition".
    regs.eflags &= ~unseen_flags;
    if (vector == vector_db) {
        if (p.db_skip) skip();
        regs.eflags |= p.db_rf_set;
    } else if (vector != vector_bp && vector != vector_of && vector < first_interrupt) {
        skip();
        regs.eflags &= p.fault_flags_and;
    }
    if (!child_.set_registers(regs)) return Outcome::Crash;
    return std::nullopt;
}

void Course::finish(const user_regs_struct& regs) {
    const guest::Params& p = image_.params;
    guest::Final& final = tape_.final;
    for (std::size_t r = 0; r < guest::gpr_count; ++r) final.gpr[r] = selectors_.to_stage(regs.*gpr_fields[r]);
    final.rflags = regs.eflags ^ other_if_;
    final.cs = selectors_.loaded_to_stage(regs.cs);
    final.ss = selectors_.loaded_to_stage(regs.ss);
    final.dr6 = dr::dr6_reset;
    final.dr7 = p.dr7;
    final.dr = p.dr;
    final.debugctl = guest::not_recorded;
    final.cr4 = p.cr4;
}

}  // namespace faultline::native
