// Exits that do not fit: which question of chapter svm the subject answered otherwise, or what #VMEXIT did not save.
#include <algorithm>
#include <bit>

#include "hypervisor/guest/vmm.hpp"
#include "oracle/builder.hpp"
#include "oracle/explain.hpp"
#include "oracle/hypervisor.hpp"
#include "oracle/reading.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
using SvmResponse = oracle::svm::Response<Judging>;
using SvmStimulus = oracle::svm::Stimulus<Judging>;
namespace moment = oracle::svm::kind;

constexpr std::uint64_t first_exception = 0x40, vectors = 32;

/// One reading of what does not fit: a question, and the answer that the subject gave.
struct Answer {
    const Failure* failure = nullptr;
    Question question;
    SvmResponse seen{};
    Rules rules;
    unsigned saved = 0;  ///< of what #VMEXIT saves: saved::
    std::size_t cost = ~std::size_t{0};
};

std::string code_name(std::uint64_t code) {
    const std::uint64_t vector = code - first_exception;
    return vector < vectors ? vector_name(vector) : exit_text(code);
}

std::string class_of(const SvmStimulus& stim) {
    if (stim.kind == moment::enter) return "vmrun";
    if (stim.kind == moment::instruction) return code_name(stim.intercept);
    const std::string name = stim.source == oracle::svm::source::shutdown ? "shutdown" : vector_name(stim.vector);
    return stim.prior_source == oracle::svm::prior::none ? name : name + "-in-delivery";
}

std::string describe(const SvmResponse& r) {
    if (!r.exits) return "no exit";
    std::string text = fmt::format("exit {}", exit_text(r.code));
    if (r.code == guest::svm::exit_code::invalid) return text;
    return text + fmt::format(
                      ", RIP {:X}h, nRIP {:X}h, RF {}, EXITINFO1 {:X}h, EXITINFO2 {:X}h, EXITINTINFO {:X}h, "
                      "shadow {}, CR2 {:X}h, DR6 {:X}h, DR7 {:X}h",
                      r.rip, r.next_rip, r.rf ? 1 : 0, r.info1, r.info2, r.int_info, r.shadow ? 1 : 0, r.cr2, r.dr6,
                      r.dr7);
}

/// Names what differs, the first of it as the shape.
std::string shape_of(Builder& b, const oracle::svm::Outcomes& right, const Answer& answer) {
    const SvmResponse& seen = answer.seen;
    const auto exits = [](const oracle::svm::Outcome& o) { return o.response.exits; };
    if (!seen.exits) return "missing-exit";
    const auto* allowed = std::ranges::find_if(right, exits);
    if (allowed == right.end()) return "extra-exit";
    const SvmResponse& r = allowed->response;
    std::string shape;
    const auto compare = [&](const char* name, std::uint64_t want, std::uint64_t got, std::uint64_t known = ~0ull) {
        if (((want ^ got) & known) == 0) return;
        b.field(name, hex(want & known), hex(got & known));
        if (shape.empty()) shape = std::string("exit.") + name;
    };
    const std::uint64_t all = ~0ull;
    compare("code", r.code, seen.code);
    compare("rip", r.rip, seen.rip, allowed->rip_any || seen.rip == allowed->other_rip ? 0 : all);
    compare("rf", r.rf, seen.rf, allowed->rf_any ? 0 : all);
    compare("shadow", r.shadow, seen.shadow, allowed->shadow_any ? 0 : all);
    compare("info1", r.info1, seen.info1, allowed->info1_known);
    compare("info2", r.info2, seen.info2, allowed->info2_known);
    compare("int-info", r.int_info, seen.int_info, allowed->int_info_known);
    compare("next-rip", r.next_rip, seen.next_rip,
            allowed->next_rip_any || seen.next_rip == allowed->other_next_rip ? 0 : all);
    const std::uint64_t registers = allowed->registers_any ? 0 : all;
    compare("cr2", r.cr2, seen.cr2, registers);
    compare("dr6", r.dr6, seen.dr6, registers);
    compare("dr7", r.dr7, seen.dr7, registers);
    return shape.empty() ? "extra-exit" : shape;
}

std::string saved_shape(Builder& b, unsigned wrong, const VmExit& exit, const State& s) {
    struct Saved {
        unsigned bit;
        const char* name;
        std::uint64_t want, got;
    };
    const Saved all[] = {{saved::order, "order", 0, exit.records},
                         {saved::rflags, "rflags", s.rflags, exit.rflags},
                         {saved::rsp, "rsp", s.reg(Gpr::Rsp), exit.rsp},
                         {saved::rax, "rax", s.reg(Gpr::Rax), exit.rax},
                         {saved::cs, "cs", s.cs | std::uint64_t{s.cpl} << 16, exit.cs},
                         {saved::injection, "event-injection", 0, exit.event_injection}};
    std::string shape;
    for (const auto& [bit, name, want, got] : all) {
        if (!(wrong & bit)) continue;
        b.field(name, hex(want), hex(got));
        if (shape.empty()) shape = std::string("exit.") + name;
    }
    return shape;
}

/// An exit that nothing on the way asked for: as if its own intercept had been looked at here.
Question unasked(const Failure& failure, const VmExit& exit) {
    Question q;
    q.record = failure.record, q.exit = failure.exits;
    if (!failure.trail.empty()) q.op = failure.trail.back().op, q.state = failure.trail.back().state;
    const std::uint64_t vector = exit.code - first_exception;
    q.stim.kind = vector < vectors ? moment::exception : moment::instruction;
    q.stim.vector = vector < vectors ? vector : 0;
    q.stim.intercept = vector < vectors ? 0 : exit.code;
    q.stim.rip = exit.rip;
    return q;
}

}  // namespace

std::optional<Divergence> explain_exit(const Case& subject_case, const Tape& tape,
                                       const std::vector<Failure>& failures) {
    const auto pre = pre_of(tape.features.svm);
    Answer best;
    for (const Failure& failure : failures) {
        const bool due = exit_is_next(tape, failure.exits, failure.record);
        if (!due && failure.misfit != Misfit::Exit) continue;
        constexpr std::size_t most_of_rules = 2, of_a_missing_exit = 3, of_another_code = 3, of_another_place = 8,
                              of_no_question = 20;
        const auto consider = [&](const Question& question, const SvmResponse& seen, unsigned saved, std::size_t cost) {
            Rules rules = violated(pre, question.stim, seen);
            if (rules.empty() && saved == 0) return;
            cost += std::min(rules.size(), most_of_rules) + static_cast<std::size_t>(std::popcount(saved));
            if (cost < best.cost) best = {&failure, question, seen, std::move(rules), saved, cost};
        };
        for (const Question& question : failure.questions) {
            if (question.record != failure.record || question.exit != failure.exits || question.exited) continue;
            const bool entering = question.stim.kind == moment::enter;
            if (due && (!entering || tape.exits[failure.exits].code == guest::svm::exit_code::invalid)) {
                const VmExit& exit = tape.exits[failure.exits];
                const bool exception = question.stim.kind == moment::exception;
                const auto code = exception ? first_exception + question.stim.vector : question.stim.intercept;
                const std::size_t elsewhere =
                    !exception && !entering && exit.rip != question.stim.rip ? of_another_place : 0;
                const std::size_t other = !entering && exit.code != code ? of_another_code : 0;
                consider(question, oracle::svm::response_of(exit, question.stim.kind),
                         entering ? 0 : misfits(exit, question.state, question.record), elsewhere + other);
            }
            consider(question, {}, 0, of_a_missing_exit);
        }
        if (due) {
            const VmExit& exit = tape.exits[failure.exits];
            const Question question = unasked(failure, exit);
            consider(question, oracle::svm::response_of(exit, question.stim.kind), 0, of_no_question);
        }
    }
    if (!best.failure) return std::nullopt;

    Builder b(subject_case);
    oracle::svm::Outcomes right;
    oracle::svm::outcomes(pre, best.question.stim, right);
    b.d.record_index = static_cast<std::uint16_t>(best.failure->record);
    b.d.op_index = best.question.op;
    b.cpl = best.question.state.cpl;
    b.d.stimulus_class = class_of(best.question.stim);
    b.d.seen = describe(best.seen);
    for (const auto& outcome : right) {
        if (!b.d.expected.empty()) b.d.expected += " | ";
        b.d.expected += describe(outcome.response);
    }
    if (best.rules.empty()) {
        b.d.rule = saves_the_guest;
        b.d.shape = saved_shape(b, best.saved, tape.exits[best.failure->exits], best.question.state);
        return b.done(statement_of(saves_the_guest));
    }
    b.d.rule = best.rules.front()->id;
    for (std::size_t i = 1; i < best.rules.size(); ++i) b.d.other_rules.emplace_back(best.rules[i]->id);
    b.d.shape = shape_of(b, right, best);
    return b.done(best.rules.front()->statement);
}

}  // namespace faultline::oracle
