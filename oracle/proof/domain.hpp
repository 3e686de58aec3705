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

/// A truth. Its operators stand in domain.cpp, copying and all: rules are thousands of them, and inlined they take
/// compilers minutes and gigabytes.
class Bool {
public:
    Bool(bool value = false);  // NOLINT: constants are written plainly
    explicit Bool(const z3::expr& term);
    Bool(const Bool&);
    Bool& operator=(const Bool&);
    ~Bool();

    bool constant() const { return !term_; }
    bool is(bool value) const { return !term_ && value_ == value; }
    z3::expr term(z3::context& solver) const;

    friend Bool operator!(const Bool& a);
    friend Bool operator&&(const Bool& a, const Bool& b);
    friend Bool operator||(const Bool& a, const Bool& b);
    friend Bool operator==(const Bool& a, const Bool& b);
    friend Bool operator!=(const Bool& a, const Bool& b);

private:
    friend Bits ite(const Bool&, const Bits&, const Bits&);
    bool value_ = false;
    std::optional<z3::expr> term_;
};

/// A 64-bit vector.
class Bits {
public:
    Bits(std::uint64_t value = 0);  // NOLINT: constants are written plainly
    explicit Bits(const z3::expr& term);
    Bits(const Bits&);
    Bits& operator=(const Bits&);
    ~Bits();

    bool constant() const { return !term_; }
    bool is(std::uint64_t value) const { return !term_ && value_ == value; }
    z3::expr term(z3::context& solver) const;

    friend Bits operator~(const Bits& a);
    friend Bits operator&(const Bits& a, const Bits& b);
    friend Bits operator|(const Bits& a, const Bits& b);
    friend Bits operator^(const Bits& a, const Bits& b);
    friend Bits operator+(const Bits& a, const Bits& b);
    friend Bits operator-(const Bits& a, const Bits& b);
    /// By less than 64.
    friend Bits operator<<(const Bits& a, unsigned by);
    friend Bits operator>>(const Bits& a, unsigned by);
    Bits& operator|=(const Bits& b);
    Bits& operator&=(const Bits& b);

    friend Bool operator==(const Bits& a, const Bits& b);
    friend Bool operator!=(const Bits& a, const Bits& b);
    friend Bool operator<(const Bits& a, const Bits& b);
    friend Bool ule(const Bits& a, const Bits& b);
    friend Bits ite(const Bool& condition, const Bits& yes, const Bits& no);

private:
    template <class F>
    static Bits combine(const Bits& a, const Bits& b, F f);

    std::uint64_t value_ = 0;
    std::optional<z3::expr> term_;
};

/// The domain.
struct Proving {
    using Bits = proof::Bits;
    using Bool = proof::Bool;
};

}  // namespace faultline::oracle::proof
