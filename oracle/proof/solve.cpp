#include "oracle/proof/solve.hpp"

#include <fmt/format.h>

#include <map>

namespace faultline::oracle::proof {

Solved solve(z3::context& context, std::initializer_list<Bool> all) {
    z3::tactic tactic(context, "simplify");
    for (const char* next : {"propagate-values", "solve-eqs", "elim-uncnstr", "simplify", "bit-blast", "sat"})
        tactic = tactic & z3::tactic(context, next);
    z3::solver solver = tactic.mk_solver();
    for (const Bool& one : all) solver.add(one.term(context));
    Solved solved{solver.check(), {}, {}};
    if (solved.answer == z3::sat) solved.model = solver.get_model();
    if (solved.answer == z3::unknown) solved.reason = solver.reason_unknown();
    return solved;
}

Search::Search(z3::context& context) : context_(context), solver_(context, "QF_FD") {}

void Search::add(const Bool& statement) { solver_.add(statement.term(context_)); }

z3::expr Search::name(std::string_view name, const Bool& statement) {
    const z3::expr constant = context_.bool_const(std::string(name).c_str());
    solver_.add(constant == statement.term(context_));
    return constant;
}

std::optional<z3::model> Search::find(z3::expr_vector& assumed) {
    if (solver_.check(assumed) != z3::sat) return {};
    return solver_.get_model();
}

namespace {

/// Infix, with as few brackets as precedence allows: an operand that is itself an operation gets them.
std::string infix(const z3::expr& e, bool nested) {
    if (e.is_bv() && e.is_numeral()) {
        const std::uint64_t value = e.get_numeral_uint64();
        return value < 10 ? fmt::format("{}", value) : fmt::format("{:#x}", value);
    }
    if (e.num_args() == 0) return e.decl().name().str();
    if (e.is_not() && e.arg(0).is_eq()) return infix(e.arg(0).arg(0), true) + " != " + infix(e.arg(0).arg(1), true);
    if (e.is_not()) return "!" + infix(e.arg(0), true);
    static const std::map<Z3_decl_kind, std::string> operators = {
        {Z3_OP_AND, " && "}, {Z3_OP_OR, " || "},  {Z3_OP_EQ, " == "},  {Z3_OP_BAND, " & "}, {Z3_OP_BOR, " | "},
        {Z3_OP_BXOR, " ^ "}, {Z3_OP_BADD, " + "}, {Z3_OP_BSUB, " - "}, {Z3_OP_ULEQ, " <= "}};
    const auto found = operators.find(e.decl().decl_kind());
    std::string text;
    for (unsigned i = 0; i < e.num_args(); ++i) {
        if (i > 0) text += found != operators.end() ? found->second : ", ";
        text += infix(e.arg(i), true);
    }
    if (found == operators.end()) return e.decl().name().str() + "(" + text + ")";
    return nested ? "(" + text + ")" : text;
}

void lines(const z3::expr& truth, std::string& text) {
    if (truth.is_and()) {
        for (unsigned i = 0; i < truth.num_args(); ++i) lines(truth.arg(i), text);
        return;
    }
    text += infix(truth, false) + "\n";
}

}  // namespace

std::string readable(const z3::expr& truth) {
    std::string text;
    lines(truth, text);
    return text;
}

}  // namespace faultline::oracle::proof
