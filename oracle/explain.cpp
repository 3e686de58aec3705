#include "oracle/explain.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "hypervisor/guest/tape_text.hpp"
#include "oracle/builder.hpp"
#include "oracle/reading.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
namespace event = debug::event;
namespace kind = debug::kind;

// --- Building the divergence ----------------------------------------------------------------------------------

std::string allowed_text(const Step& step) {
    debug::Outcomes right;
    debug::outcomes(step.pre, step.stim, right);
    std::vector<std::string> texts;
    for (const auto& o : right) {
        auto text = describe(o);
        if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
    }
    constexpr std::size_t shown = 4;
    if (texts.size() > shown) {
        const auto more = texts.size() - shown;
        texts.resize(shown);
        texts.push_back(fmt::format("{} more", more));
    }
    return fmt::format("{}", fmt::join(texts, " | "));
}

void debug_fields(Builder& b, const Response& allowed, const Response& seen) {
    const auto compare = [&](const char* name, const std::string& right, const std::string& found) {
        if (right != found) b.field(name, right, found);
    };
    const auto exception = [](const Response& r) { return r.event == event::none ? "none" : exception_name(r.vector); };
    compare("exception", exception(allowed), exception(seen));
    if (seen.event == event::none || allowed.event == event::none) return;
    compare("error", hex(allowed.error), hex(seen.error));
    compare("rip", hex(allowed.rip), hex(seen.rip));
    compare("rf", allowed.rf ? "1" : "0", seen.rf ? "1" : "0");
    compare("tf", allowed.tf ? "1" : "0", seen.tf ? "1" : "0");
    compare("dr6", hex(allowed.dr6), hex(seen.dr6));
    compare("dr7", hex(allowed.dr7), hex(seen.dr7));
}

/// The last MOV to DR6 or DR7 in the first `count` steps that took effect: where bits that no event changes came from.
const Step* last_write(const std::vector<Step>& trail, std::size_t count, bool dr7) {
    for (std::size_t i = count; i-- > 0;) {
        const Step& step = trail[i];
        const auto n = step.stim.dr_number;
        if (step.stim.kind != kind::mov_dr || !step.stim.dr_write || (dr7 ? n != 5 && n != 7 : n != 4 && n != 6))
            continue;
        debug::Outcomes right;
        debug::outcomes(step.pre, step.stim, right);
        const auto what = right[step.chosen].response.event;
        if (what == event::none || what == event::trap) return &step;
    }
    return nullptr;
}

struct Blame {
    const Step* step = nullptr;
    Rules rules;
    Response allowed{}, seen{};
};
/// Bits of DR6 or DR7 that are wrong later on: the write that left them so, if that alone breaks a rule.
std::optional<Blame> blame_write(const std::vector<Step>& trail, std::size_t count, bool dr7, std::uint64_t wrong) {
    const Step* step = last_write(trail, count, dr7);
    if (!step) return std::nullopt;
    debug::Outcomes right;
    debug::outcomes(step->pre, step->stim, right);
    Blame blame{step, {}, right[step->chosen].response, right[step->chosen].response};
    (dr7 ? blame.seen.dr7 : blame.seen.dr6) ^= wrong;
    blame.rules = violated(*step, blame.seen);
    if (blame.rules.empty()) return std::nullopt;
    return blame;
}

void name_rules(Builder& b, const Rules& rules) {
    for (std::size_t i = 1; i < rules.size(); ++i) b.d.other_rules.emplace_back(rules[i]->id);
    std::sort(b.d.other_rules.begin(), b.d.other_rules.end());
}

/// A divergence about debug registers, laid at the door of the write that caused it where there is one.
Divergence register_divergence(Builder& b, const std::vector<Step>& trail, std::size_t count, bool dr7,
                               std::uint64_t allowed, std::uint64_t seen) {
    b.field(dr7 ? "dr7" : "dr6", hex(allowed), hex(seen));
    b.d.expected = fmt::format("{} {}", dr7 ? "DR7" : "DR6", hex(allowed));
    b.d.seen = fmt::format("{} {}", dr7 ? "DR7" : "DR6", hex(seen));
    if (const auto blame = blame_write(trail, count, dr7, allowed ^ seen)) {
        const auto id = blame->rules.front()->id;
        b.place(*blame->step, id, shape_of(*blame->step, blame->rules.front()->id, blame->allowed, blame->seen));
        name_rules(b, blame->rules);
        return b.done(blame->rules.front()->statement);
    }
    const std::string_view id = dr7 ? "EXE-022" : "EXE-021";
    b.place_end(trail.back(), id, dr7 ? "final.dr7" : "final.dr6");
    return b.done(statement_of(id));
}

/// A field of the record that no rule of the debug chapter speaks about.
Divergence explain_fields(Builder& b, const Step& step, const Misdelivery& found) {
    for (const auto& misfit : found.misfits) b.field(misfit.field, hex(misfit.allowed), hex(misfit.seen));
    const std::string_view field = found.misfits.empty() ? "other" : found.misfits.front().field;
    if (!found.rules.empty()) {
        b.place(step, found.rules.front()->id, fmt::format("delivery.{}", field));
        name_rules(b, found.rules);
        return b.done(found.rules.front()->statement);
    }
    if (field == "rflags")
        b.place_flags(
            step, flags_shape(found.misfits.front().allowed, found.misfits.front().seen, found.misfits.front().mask));
    else
        b.place(step, computes, field == "rcx" ? "register" : fmt::format("frame.{}", field));
    return b.done(statement_of(computes));
}

Divergence explain_reading(Builder& b, const Reader& reader, const Reading& reading, const Record* record) {
    const Step& step = reading.at();
    b.d.record_index = static_cast<std::uint16_t>(reading.failure->record);
    b.d.expected = allowed_text(step);
    b.d.seen = record ? describe(*record) : "no exception";
    if (reading.missing && record) b.d.seen = "no exception; the next record is " + b.d.seen;
    const Response allowed = nearest(step, reading.seen);
    debug_fields(b, allowed, reading.seen);

    if (reading.missing && reading.rules.empty()) {
        // HLT may wait instead of trapping, but not where its wake-up comes: the trap is before that.
        b.place(step, "DBG-090", "missing-db");
        return b.done(statement_of("DBG-090"));
    }
    if (record && (reading.rules.empty() || reading.misdelivered))
        return explain_fields(b, step, reader.misdelivery(step, reading.seen, *record));
    if (reading.rules.empty()) return explain_fields(b, step, {});
    // Bits that a #DB does not touch were wrong before it.
    const std::uint64_t wrong6 = (allowed.dr6 ^ reading.seen.dr6), wrong7 = (allowed.dr7 ^ reading.seen.dr7);
    const bool only_registers = reading.seen.event == allowed.event && reading.seen.rip == allowed.rip &&
                                reading.seen.rf == allowed.rf && (wrong6 || wrong7);
    if (only_registers && record && record->vector == 1) {
        const bool dr7 = wrong6 == 0;
        const auto blame = blame_write(reading.failure->trail, reading.step, dr7, dr7 ? wrong7 : wrong6);
        const std::uint64_t untouched = dr7 ? ~dr::dr7_gd : ~(dr::dr6_b | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt);
        if (blame && ((dr7 ? wrong7 : wrong6) & ~untouched) == 0) {
            b.place(*blame->step, blame->rules.front()->id,
                    shape_of(*blame->step, blame->rules.front()->id, blame->allowed, blame->seen));
            name_rules(b, blame->rules);
            return b.done(blame->rules.front()->statement);
        }
    }
    std::string shape = shape_of(step, reading.rules.front()->id, allowed, reading.seen);
    if (reading.late) shape = "late-db";
    b.place(step, reading.rules.front()->id, std::move(shape));
    name_rules(b, reading.rules);
    return b.done(reading.rules.front()->statement);
}

Divergence explain_outcome(Builder& b, const Failure& failure, const Tape& tape) {
    // The op the subject stopped at, as far as its own RIP tells; else the first that could not pass in silence.
    const Step* step = nullptr;
    for (std::size_t i = first_open(failure); i < failure.trail.size() && !step; ++i)
        if (failure.trail[i].stim.rip == tape.stop_rip) step = &failure.trail[i];
    for (std::size_t i = first_open(failure); i < failure.trail.size() && !step; ++i) {
        const Step& candidate = failure.trail[i];
        debug::Outcomes right;
        debug::outcomes(candidate.pre, candidate.stim, right);
        const bool silent =
            std::any_of(right.begin(), right.end(), [](const auto& o) { return o.response.event == event::none; });
        if (!silent) step = &candidate;
    }
    if (!step && !failure.trail.empty()) step = &failure.trail.back();
    b.d.record_index = static_cast<std::uint16_t>(tape.count);
    std::string shape = fmt::format("outcome={}", guest::to_text(tape.outcome));
    step ? b.place(*step, runs_to_its_end, std::move(shape)) : b.place_vmrun(runs_to_its_end, std::move(shape));
    b.d.expected = step && failure.misfit == Misfit::Exception ? allowed_text(*step)
                                                               : std::string(guest::to_text(failure.expected));
    b.d.seen = fmt::format("{} at RIP {:X}h{}{}", guest::to_text(tape.outcome), tape.stop_rip,
                           tape.detail.empty() ? "" : ": ", tape.detail);
    b.field("outcome", std::string(guest::to_text(failure.expected)), std::string(guest::to_text(tape.outcome)));
    return b.done(statement_of(runs_to_its_end));
}

Divergence explain_final(Builder& b, const Failure& failure, const Image& image, const Tape& tape) {
    const State& s = failure.end;
    const Final& f = tape.final;
    const auto& trail = failure.trail;
    b.d.record_index = static_cast<std::uint16_t>(tape.count);
    if (f.dr6 != s.dr6) return register_divergence(b, trail, trail.size(), false, s.dr6, f.dr6);
    if (f.dr7 != s.dr7) return register_divergence(b, trail, trail.size(), true, s.dr7, f.dr7);
    const auto differ = [&](std::string name, std::uint64_t allowed, std::uint64_t seen) {
        b.field(name, hex(allowed), hex(seen));
        if (b.d.shape.empty()) b.d.shape = "final." + name;
    };
    constexpr std::string_view names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const Step* culprit = &trail.back();
    const std::uint64_t rflags_right = s.rflags | rflags::rf;
    if ((f.rflags ^ rflags_right) & rflags::rf && s.mode != Mode::Real16) {  // the end's #UD is a fault like any other
        const Step& end = trail.back();
        b.field("rflags", hex(rflags_right), hex(f.rflags));
        b.d.expected = "RF 1 in the frame of the end's #UD";
        b.d.seen = "RF 0";
        b.place(end, "DBG-041", "rf=0");
        return b.done(statement_of("DBG-041"));
    }
    const std::uint64_t mask = s.mode == Mode::Long64 ? ~0ull : 0xFFFF'FFFF;
    for (unsigned i = 0; i < (s.mode == Mode::Long64 ? gpr_count : 8); ++i) {
        if (!(s.gpr_known >> i & 1) || ((f.gpr[i] ^ s.gpr[i]) & mask) == 0) continue;
        differ(std::string(names[i]), s.gpr[i], f.gpr[i]);
        for (std::size_t k = trail.size(); k-- > 0 && culprit == &trail.back();) {
            const Effect& e = trail[k].effect;
            if (e.kind == Kind::MovDr && !e.dr_write && static_cast<unsigned>(e.dr_gpr) == i) {
                // What was read is what an earlier write left, or what the read itself got wrong.
                const bool dr7 = e.dr_number == 5 || e.dr_number == 7;
                if (e.dr_number > 3)
                    if (blame_write(trail, k, dr7, s.gpr[i] ^ f.gpr[i]))
                        return register_divergence(b, trail, k, dr7, s.gpr[i], f.gpr[i]);
                debug::Outcomes right;
                debug::outcomes(trail[k].pre, trail[k].stim, right);
                Response seen = right[trail[k].chosen].response;
                const Response allowed = seen;
                seen.dr_value = f.gpr[i];
                const Rules rules = violated(trail[k], seen);
                if (!rules.empty() && (allowed.event == event::none || allowed.event == event::trap)) {
                    b.place(trail[k], rules.front()->id, "value");
                    name_rules(b, rules);
                    b.d.expected = hex(s.gpr[i]), b.d.seen = hex(f.gpr[i]);
                    return b.done(rules.front()->statement);
                }
            }
            for (unsigned w = 0; w < e.register_count; ++w)
                if (static_cast<unsigned>(e.registers[w].gpr) == i) culprit = &trail[k];
        }
        break;
    }
    const std::uint64_t flags = s.rflags_known & ~rflags::rf & (s.mode == Mode::Real16 ? 0xFFFF : ~0ull);
    if ((f.rflags ^ s.rflags) & flags) {
        differ("rflags", rflags_right, f.rflags);
        if (b.d.fields.size() == 1) {
            b.d.expected = hex(rflags_right), b.d.seen = hex(f.rflags);
            b.place_flags(*culprit, flags_shape(rflags_right, f.rflags, flags));
            return b.done(statement_of(computes));
        }
    }
    for (unsigned n = 0; n < 4; ++n) {
        if (f.dr[n] == s.dr[n]) continue;
        differ(fmt::format("dr{}", n), s.dr[n], f.dr[n]);
        const auto writer = std::find_if(trail.rbegin(), trail.rend(), [&](const Step& step) {
            return step.stim.kind == kind::mov_dr && step.stim.dr_write && step.stim.dr_number == n;
        });
        if (writer == trail.rend() || b.d.fields.size() > 1) continue;
        b.d.expected = hex(s.dr[n]), b.d.seen = hex(f.dr[n]);
        b.place(*writer, "EXE-027", "value");
        return b.done(statement_of("EXE-027"));
    }
    if (f.cs != s.cs) differ("cs", s.cs, f.cs);
    if (f.ss != s.ss) differ("ss", s.ss, f.ss);
    if (f.cr4 != s.cr4) differ("cr4", s.cr4, f.cr4);
    const auto debugctl = image.params.use_debugctl ? s.debugctl : not_recorded;
    if (f.debugctl != debugctl) differ("debugctl", debugctl, f.debugctl);
    b.d.expected = b.d.fields.empty() ? "" : b.d.fields.front().allowed;
    b.d.seen = b.d.fields.empty() ? "" : b.d.fields.front().seen;
    const std::string shape = b.d.shape.empty() ? "final.other" : b.d.shape;
    if (culprit != &trail.back())
        b.place(*culprit, computes, "register");
    else
        b.place_end(*culprit, shape == "final.debugctl" ? "EXE-043" : computes, shape);
    return b.done(statement_of(b.d.rule));
}

bool hard(Outcome outcome) {
    return outcome != Outcome::Completed && outcome != Outcome::WildRip && outcome != Outcome::DoubleFault &&
           outcome != Outcome::TapeOverflow;
}

/// The subject got past the op at which something was due before it gave up.
bool passed_over(const Failure& failure, const Image& image, const Tape& tape) {
    if (failure.misfit != Misfit::Exception) return false;
    for (std::size_t i = first_open(failure); i < failure.trail.size(); ++i)
        if (failure.trail[i].stim.rip == tape.stop_rip) return false;
    return tape.stop_rip > failure.trail.back().stim.rip && tape.stop_rip <= image.end_address();
}

}  // namespace

Divergence explain(const Case& subject_case, const Image& image, const Tape& tape,
                   const std::vector<Failure>& failures) {
    if (auto about_exits = explain_exit(subject_case, tape, failures)) return std::move(*about_exits);
    Builder b(subject_case);
    Reader reader(subject_case, image, tape);
    for (const Failure& failure : failures) {
        if (failure.trail.empty() || failure.misfit == Misfit::Outcome || failure.misfit == Misfit::Final) continue;
        if (failure.record < tape.count)
            reader.read_record(failure);
        else if (!hard(tape.outcome) || passed_over(failure, image, tape))
            reader.read_silence(failure);
    }
    const auto given_back = [](const Failure& failure) {
        return !failure.questions.empty() && failure.questions.back().reflected &&
               failure.questions.back().record == failure.record;
    };
    if (const Reading& best = reader.best(); best.failure) {
        b.given_back = given_back(*best.failure);
        if (best.failure->record >= tape.count) return explain_reading(b, reader, best, nullptr);
        const Record record = as_kept(tape, best.failure->record, best.failure->trail[best.step]);
        return explain_reading(b, reader, best, &record);
    }
    for (Failure failure : failures) {
        if (failure.misfit != Misfit::Final || failure.trail.empty()) continue;
        if (tape.through_kernel) failure.end.dr6 = tape.final.dr6, failure.end.dr7 = tape.final.dr7;
        return explain_final(b, failure, image, tape);
    }
    return explain_outcome(b, failures.front(), tape);
}

}  // namespace faultline::oracle
