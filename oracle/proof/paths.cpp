#include "oracle/proof/paths.hpp"

namespace faultline::oracle::proof {

Paths::Paths(z3::context& context, const Bool& assumption) : context_(context), solver_(context, "QF_FD") {
    solver_.add(assumption.term(context_));
}

bool Paths::possible(const Bool& condition) {
    solver_.push();
    solver_.add(condition.term(context_));
    const z3::check_result result = solver_.check();
    solver_.pop();
    return result != z3::unsat;  // where the solver gives up, the way is taken: at worst nothing goes there
}

void Paths::take(const Bool& answered) {
    solver_.push();
    solver_.add(answered.term(context_));
}

bool Paths::decide(const Bool& condition) {
    if (condition.constant()) return condition.is(true);
    if (next_ < decisions_.size()) return decisions_[next_++].answer;
    const bool yes = possible(condition), both = yes && possible(!condition);
    decisions_.push_back({yes ? condition : !condition, yes, both});
    ++next_;
    take(decisions_.back().answered);
    return yes;
}

Bool Paths::condition() const {
    Bool all = true;
    for (const Decision& d : decisions_) all = all && d.answered;
    return all;
}

bool Paths::turn() {
    while (!decisions_.empty() && !decisions_.back().other) {
        decisions_.pop_back();
        solver_.pop();
    }
    if (decisions_.empty()) return false;
    Decision& last = decisions_.back();
    solver_.pop();
    last = {!last.answered, !last.answer, false};
    take(last.answered);
    return true;
}

}  // namespace faultline::oracle::proof
