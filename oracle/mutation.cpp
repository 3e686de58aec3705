#include "oracle/mutation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "hypervisor/guest/tape_text.hpp"
#include "oracle/search.hpp"
#include "oracle/wording.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;
/// What the record had to show on the way that fits: which bits of each field the judge compares.
Expected compared(const Search& search, const Case& subject_case, const Image& image, const Tape& tape,
                  std::uint32_t index) {
    const Walk walk(subject_case, image, tape.features);
    // The step that raised it is the last one before which no more records were accounted for.
    const Step* step = nullptr;
    for (const Step& candidate : search.trail())
        if (candidate.record <= index) step = &candidate;
    if (!step) return {};
    const debug::Outcome outcome = taken(*step);
    Interrupted here;
    if (!interrupt(walk, *step, outcome, here) || !here.taken(*step)) return {};
    Expected e = walk.expected(here.at, outcome, *here.taken(*step));
    e.only_vector = tape.records[index].vector == 8;
    if (step->pre.bus_lock && !step->pre.amd) e.dr6_any |= dr::dr6_bld;
    if (step->raised.response.writes_cr2) {
        e.error_any |= 2;
        e.cr2_span = std::max<std::uint64_t>(e.cr2_span, step->raised.cr2_high - step->raised.cr2_low);
    }
    return e;
}

/// The question of chapter svm that this exit answered, and what of the exit the judge compares.
struct ComparedExit {
    const Question* question = nullptr;
    struct Field {
        const char* name;
        std::uint64_t VmExit::*member;
        std::uint64_t mask;
    };
    std::vector<Field> fields;
};
ComparedExit compared(const std::vector<Question>& questions, const Tape& tape, std::uint32_t index) {
    ComparedExit compared;
    for (const Question& q : questions)
        if (q.exited && q.exit == index) compared.question = &q;
    if (!compared.question) return compared;
    const Question& q = *compared.question;
    svm::Outcomes right;
    svm::outcomes(pre_of(tape.features.svm), q.stim, right);
    const svm::Outcome* taken = nullptr;
    for (const auto& outcome : right)
        if (svm::matches(outcome, svm::response_of(tape.exits[index], q.stim.kind))) taken = &outcome;
    compared.fields = {{"code", &VmExit::code, ~0ull}, {"records", &VmExit::records, ~0ull}};
    if (!taken || q.stim.kind == svm::kind::enter || taken->registers_any) return compared;
    const auto unless = [](bool any) { return any ? 0 : ~0ull; };
    const std::uint64_t width = q.state.mode == Mode::Long64 ? ~0ull : 0xFFFF'FFFF;
    const auto if_known = [&](Gpr gpr) { return q.state.known(gpr) ? width : 0; };
    const bool either_rf = taken->rf_any || q.open.rf;
    const bool any_shadow = taken->shadow_any || q.open.shadow;
    const auto more = {
        ComparedExit::Field{"info1", &VmExit::info_1, taken->info1_known & ~q.open.error},
        {"info2", &VmExit::info_2, q.open.address ? 0 : taken->info2_known},
        {"int-info", &VmExit::int_info, taken->int_info_known & ~(q.open.prior_error << 32)},
        {"next-rip", &VmExit::next_rip, unless(taken->next_rip_any)},
        {"rip", &VmExit::rip, unless(taken->rip_any)},
        {"rflags", &VmExit::rflags, (q.state.rflags_known & ~rflags::rf) | (either_rf ? 0 : rflags::rf)},
        {"rsp", &VmExit::rsp, if_known(Gpr::Rsp)},
        {"rax", &VmExit::rax, if_known(Gpr::Rax)},
        {"cs", &VmExit::cs, ~0ull},
        {"dr6", &VmExit::dr6, ~q.open.dr6},
        {"dr7", &VmExit::dr7, ~0ull},
        {"interrupt-shadow", &VmExit::interrupt_shadow, any_shadow ? 0 : 1ull},
        {"event-injection", &VmExit::event_injection, 1ull << 31},
    };
    compared.fields.insert(compared.fields.end(), more.begin(), more.end());
    return compared;
}

class Mutator {
public:
    Mutator(const Case& subject_case, const Image& image, const Tape& passing, const Search& search, std::uint64_t seed)
        : case_(subject_case), image_(image), search_(search), tape_(passing), engine_(seed) {}

    bool run() {
        const bool records = tape_.count > 0, completed = tape_.outcome == Outcome::Completed;
        if (tape_.exit_count > 0 && below(2)) return change_exits();
        switch (below(8)) {
            case 0:
            case 1:
            case 2: return records && flip_in_record();
            case 3: return records && drop();
            case 4: return records && double_one();
            case 5: return tape_.count > 1 && swap();
            case 6: return other_outcome();
            default: return completed && flip_in_final();
        }
    }
    const Tape& tape() const { return tape_; }
    const std::string& what() const { return what_; }

private:
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }

    /// Half of the flips fall where flags and causes are.
    unsigned bit() { return static_cast<unsigned>(below(2) ? below(20) : below(64)); }

    bool flip_in_record() {
        const auto index = static_cast<std::uint32_t>(below(tape_.count));
        const auto fields = compared(search_, case_, image_, tape_, index).fields();
        const Expected::Field& field = fields[below(fields.size())];
        const unsigned at = bit();
        if (!(field.mask >> at & 1) || (field.span && at < 3)) return false;
        tape_.records[index].*field.member ^= 1ull << at;
        what_ = fmt::format("record {}: bit {} of {} flipped", index, at, field.name);
        return true;
    }
    bool drop() {
        const auto index = static_cast<std::uint32_t>(below(tape_.count));
        for (std::uint32_t i = index; i + 1 < tape_.count; ++i) tape_.records[i] = tape_.records[i + 1];
        --tape_.count;
        what_ = fmt::format("record {} dropped", index);
        return true;
    }
    bool double_one() {
        if (tape_.count == tape_capacity) return false;
        const auto index = static_cast<std::uint32_t>(below(tape_.count));
        for (std::uint32_t i = tape_.count; i > index; --i) tape_.records[i] = tape_.records[i - 1];
        ++tape_.count;
        what_ = fmt::format("record {} doubled", index);
        return true;
    }
    bool swap() {
        const auto index = static_cast<std::uint32_t>(below(tape_.count - 1));
        if (tape_.records[index] == tape_.records[index + 1]) return false;
        std::swap(tape_.records[index], tape_.records[index + 1]);
        what_ = fmt::format("records {} and {} swapped", index, index + 1);
        return true;
    }
    bool change_exits() {
        const auto index = static_cast<std::uint32_t>(below(tape_.exit_count));
        auto& exits = tape_.exits;
        switch (below(6)) {
            case 0:
                std::move(exits.begin() + index + 1, exits.begin() + tape_.exit_count, exits.begin() + index);
                --tape_.exit_count;
                what_ = fmt::format("exit {} dropped", index);
                return true;
            case 1:
                if (tape_.exit_count == tape_capacity) return false;
                std::move_backward(exits.begin() + index, exits.begin() + tape_.exit_count,
                                   exits.begin() + tape_.exit_count + 1);
                ++tape_.exit_count;
                what_ = fmt::format("exit {} doubled", index);
                return true;
            default: break;
        }
        const auto questions = search_.questions();
        const ComparedExit compared_exit = compared(questions, tape_, index);
        if (!compared_exit.question) return false;
        const auto& field = compared_exit.fields[below(compared_exit.fields.size())];
        const unsigned at = bit();
        if (!(field.mask >> at & 1)) return false;
        exits[index].*field.member ^= 1ull << at;
        what_ = fmt::format("exit {}: bit {} of {} flipped", index, at, field.name);
        return true;
    }
    bool other_outcome() {
        constexpr unsigned outcomes = static_cast<unsigned>(Outcome::Crash) + 1;
        const auto to =
            static_cast<Outcome>((static_cast<unsigned>(tape_.outcome) + 1 + below(outcomes - 1)) % outcomes);
        tape_.outcome = to;
        what_ = fmt::format("outcome {}", guest::to_text(to));
        return true;
    }
    bool flip_in_final() {
        Final& f = tape_.final;
        const State& end = search_.end_state();
        const unsigned at = bit();
        const auto choice = static_cast<unsigned>(below(28));
        std::uint64_t* field = nullptr;
        std::uint64_t mask = ~0ull;
        std::string name;
        if (choice < gpr_count) {
            field = &f.gpr[choice];
            mask = end.mode == Mode::Long64 ? ~0ull : choice < 8 ? 0xFFFF'FFFF : 0;
            if (!(end.gpr_known >> choice & 1)) mask = 0;
            name = fmt::format("gpr {}", choice);
        } else {
            struct Other {
                const char* name;
                std::uint64_t* field;
            };
            const Other others[] = {{"rflags", &f.rflags},     {"cs", &f.cs},     {"ss", &f.ss},
                                    {"dr6", &f.dr6},           {"dr7", &f.dr7},   {"dr0", &f.dr[0]},
                                    {"dr1", &f.dr[1]},         {"dr2", &f.dr[2]}, {"dr3", &f.dr[3]},
                                    {"debugctl", &f.debugctl}, {"cr4", &f.cr4},   {"dr6", &f.dr6}};
            const Other& other = others[choice - gpr_count];
            field = other.field, name = other.name;
            if (field == &f.rflags)
                mask = (end.rflags_known | rflags::rf) & (end.mode == Mode::Real16 ? 0xFFFF : ~0ull);
        }
        if (!(mask >> at & 1)) return false;
        *field ^= 1ull << at;
        what_ = fmt::format("final {}: bit {} flipped", name, at);
        return true;
    }

    const Case& case_;
    const Image& image_;
    const Search& search_;
    Tape tape_;
    std::mt19937_64 engine_;
    std::string what_;
};

}  // namespace

std::optional<Tape> mutate(const Case& subject_case, const Image& image, const Tape& passing, std::uint64_t seed,
                           std::string* what) {
    Search search;
    if (search.run(subject_case, image, passing, true) != Search::Result::Fits) return std::nullopt;
    Mutator mutator(subject_case, image, passing, search, seed);
    if (!mutator.run()) return std::nullopt;
    if (what) *what = mutator.what();
    return mutator.tape();
}

}  // namespace faultline::oracle
