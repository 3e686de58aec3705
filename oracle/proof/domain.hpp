// The domain of the prover: terms of the solver, with the operators that rules and outcomes use (domain.hpp). A term
// made of a plain value is a constant and stays one under every operator, so it needs no solver context; what depends
// on constants alone is folded away before the solver sees it.
#pragma once

#include <z3++.h>

#include <cstdint>
#include <optional>

#include "oracle/domain.hpp"

namespace faultline::oracle::proof {

class Bits;

/// A truth.
class Bool {
public:
    Bool(bool value = false) : value_(value) {}  // NOLINT: constants are written plainly
    explicit Bool(const z3::expr& term) : term_(term) {
        if (term.is_true() || term.is_false()) *this = Bool(term.is_true());
    }

    bool constant() const { return !term_; }
    bool is(bool value) const { return !term_ && value_ == value; }
    z3::expr term(z3::context& solver) const { return term_ ? *term_ : solver.bool_val(value_); }

    friend Bool operator!(const Bool& a) { return a.term_ ? Bool(!*a.term_) : Bool(!a.value_); }
    friend Bool operator&&(const Bool& a, const Bool& b) {
        if (a.constant()) return a.value_ ? b : a;
        if (b.constant()) return b.value_ ? a : b;
        return Bool(*a.term_ && *b.term_);
    }
    friend Bool operator||(const Bool& a, const Bool& b) { return !(!a && !b); }
    friend Bool operator==(const Bool& a, const Bool& b) {
        if (a.constant()) return a.value_ ? b : !b;
        if (b.constant()) return b.value_ ? a : !a;
        return Bool(*a.term_ == *b.term_);
    }
    friend Bool operator!=(const Bool& a, const Bool& b) { return !(a == b); }

private:
    friend Bits ite(const Bool&, const Bits&, const Bits&);
    bool value_ = false;
    std::optional<z3::expr> term_;
};

/// A 64-bit vector.
class Bits {
public:
    Bits(std::uint64_t value = 0) : value_(value) {}  // NOLINT: constants are written plainly
    explicit Bits(const z3::expr& term) : term_(term) {}

    bool constant() const { return !term_; }
    bool is(std::uint64_t value) const { return !term_ && value_ == value; }
    z3::expr term(z3::context& solver) const { return term_ ? *term_ : solver.bv_val(value_, 64); }

    friend Bits operator~(const Bits& a) { return a.term_ ? Bits(~*a.term_) : Bits(~a.value_); }
    friend Bits operator&(const Bits& a, const Bits& b) {
        if (a.is(0) || b.is(0)) return 0;
        if (a.is(~0ull)) return b;
        if (b.is(~0ull)) return a;
        return combine(a, b, [](auto x, auto y) { return x & y; });
    }
    friend Bits operator|(const Bits& a, const Bits& b) {
        if (a.is(0)) return b;
        if (b.is(0)) return a;
        return combine(a, b, [](auto x, auto y) { return x | y; });
    }
    friend Bits operator^(const Bits& a, const Bits& b) {
        return combine(a, b, [](auto x, auto y) { return x ^ y; });
    }
    friend Bits operator+(const Bits& a, const Bits& b) {
        return combine(a, b, [](auto x, auto y) { return x + y; });
    }
    friend Bits operator-(const Bits& a, const Bits& b) {
        return combine(a, b, [](auto x, auto y) { return x - y; });
    }
    /// By less than 64.
    friend Bits operator<<(const Bits& a, unsigned by) {
        return a.term_ ? Bits(z3::shl(*a.term_, static_cast<int>(by))) : Bits(a.value_ << by);
    }
    friend Bits operator>>(const Bits& a, unsigned by) {
        return a.term_ ? Bits(z3::lshr(*a.term_, static_cast<int>(by))) : Bits(a.value_ >> by);
    }
    Bits& operator|=(const Bits& b) { return *this = *this | b; }
    Bits& operator&=(const Bits& b) { return *this = *this & b; }

    friend Bool operator==(const Bits& a, const Bits& b) {
        if (a.constant() && b.constant()) return a.value_ == b.value_;
        z3::context& solver = (a.term_ ? a : b).term_->ctx();
        return Bool(a.term(solver) == b.term(solver));
    }
    friend Bool operator!=(const Bits& a, const Bits& b) { return !(a == b); }
    friend Bool operator<(const Bits& a, const Bits& b) { return !ule(b, a); }
    friend Bool ule(const Bits& a, const Bits& b) {
        if (a.constant() && b.constant()) return a.value_ <= b.value_;
        z3::context& solver = (a.term_ ? a : b).term_->ctx();
        return Bool(z3::ule(a.term(solver), b.term(solver)));
    }
    friend Bits ite(const Bool& condition, const Bits& yes, const Bits& no) {
        if (condition.constant()) return condition.is(true) ? yes : no;
        z3::context& solver = condition.term_->ctx();
        return Bits(z3::ite(condition.term(solver), yes.term(solver), no.term(solver)));
    }

private:
    template <class F>
    static Bits combine(const Bits& a, const Bits& b, F f) {
        if (a.constant() && b.constant()) return f(a.value_, b.value_);
        z3::context& solver = (a.term_ ? a : b).term_->ctx();
        return Bits(f(a.term(solver), b.term(solver)));
    }

    std::uint64_t value_ = 0;
    std::optional<z3::expr> term_;
};

/// The domain.
struct Proving {
    using Bits = proof::Bits;
    using Bool = proof::Bool;
};

}  // namespace faultline::oracle::proof
