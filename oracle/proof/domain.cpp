#include "oracle/proof/domain.hpp"

namespace faultline::oracle::proof {

Bool::Bool(bool value) : value_(value) {}
Bool::Bool(const z3::expr& term) : term_(term) {
    if (term.is_true() || term.is_false()) *this = Bool(term.is_true());
}
Bool::Bool(const Bool&) = default;
Bool& Bool::operator=(const Bool&) = default;
Bool::~Bool() = default;

z3::expr Bool::term(z3::context& solver) const { return term_ ? *term_ : solver.bool_val(value_); }

Bool operator!(const Bool& a) { return a.term_ ? Bool(!*a.term_) : Bool(!a.value_); }
Bool operator&&(const Bool& a, const Bool& b) {
    if (a.constant()) return a.value_ ? b : a;
    if (b.constant()) return b.value_ ? a : b;
    return Bool(*a.term_ && *b.term_);
}
Bool operator||(const Bool& a, const Bool& b) { return !(!a && !b); }
Bool operator==(const Bool& a, const Bool& b) {
    if (a.constant()) return a.value_ ? b : !b;
    if (b.constant()) return b.value_ ? a : !a;
    return Bool(*a.term_ == *b.term_);
}
Bool operator!=(const Bool& a, const Bool& b) { return !(a == b); }

Bits::Bits(std::uint64_t value) : value_(value) {}
Bits::Bits(const z3::expr& term) : term_(term) {}
Bits::Bits(const Bits&) = default;
Bits& Bits::operator=(const Bits&) = default;
Bits::~Bits() = default;

z3::expr Bits::term(z3::context& solver) const { return term_ ? *term_ : solver.bv_val(value_, 64); }

template <class F>
Bits Bits::combine(const Bits& a, const Bits& b, F f) {
    if (a.constant() && b.constant()) return f(a.value_, b.value_);
    z3::context& solver = (a.term_ ? a : b).term_->ctx();
    return Bits(f(a.term(solver), b.term(solver)));
}

Bits operator~(const Bits& a) { return a.term_ ? Bits(~*a.term_) : Bits(~a.value_); }
Bits operator&(const Bits& a, const Bits& b) {
    if (a.is(0) || b.is(0)) return 0;
    if (a.is(~0ull)) return b;
    if (b.is(~0ull)) return a;
    return Bits::combine(a, b, [](auto x, auto y) { return x & y; });
}
Bits operator|(const Bits& a, const Bits& b) {
    if (a.is(0)) return b;
    if (b.is(0)) return a;
    return Bits::combine(a, b, [](auto x, auto y) { return x | y; });
}
Bits operator^(const Bits& a, const Bits& b) {
    return Bits::combine(a, b, [](auto x, auto y) { return x ^ y; });
}
Bits operator+(const Bits& a, const Bits& b) {
    return Bits::combine(a, b, [](auto x, auto y) { return x + y; });
}
Bits operator-(const Bits& a, const Bits& b) {
    return Bits::combine(a, b, [](auto x, auto y) { return x - y; });
}
Bits operator<<(const Bits& a, unsigned by) {
    return a.term_ ? Bits(z3::shl(*a.term_, static_cast<int>(by))) : Bits(a.value_ << by);
}
Bits operator>>(const Bits& a, unsigned by) {
    return a.term_ ? Bits(z3::lshr(*a.term_, static_cast<int>(by))) : Bits(a.value_ >> by);
}
Bits& Bits::operator|=(const Bits& b) { return *this = *this | b; }
Bits& Bits::operator&=(const Bits& b) { return *this = *this & b; }

Bool operator==(const Bits& a, const Bits& b) {
    if (a.constant() && b.constant()) return a.value_ == b.value_;
    z3::context& solver = (a.term_ ? a : b).term_->ctx();
    return Bool(a.term(solver) == b.term(solver));
}
Bool operator!=(const Bits& a, const Bits& b) { return !(a == b); }
Bool operator<(const Bits& a, const Bits& b) { return !ule(b, a); }
Bool ule(const Bits& a, const Bits& b) {
    if (a.constant() && b.constant()) return a.value_ <= b.value_;
    z3::context& solver = (a.term_ ? a : b).term_->ctx();
    return Bool(z3::ule(a.term(solver), b.term(solver)));
}
Bits ite(const Bool& condition, const Bits& yes, const Bits& no) {
    if (condition.constant()) return condition.value_ ? yes : no;
    z3::context& solver = condition.term_->ctx();
    return Bits(z3::ite(condition.term(solver), yes.term(solver), no.term(solver)));
}

}  // namespace faultline::oracle::proof
