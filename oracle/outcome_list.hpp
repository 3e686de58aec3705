// Where the operational form of a chapter puts what is right. The form is a function written once over a domain
// (domain.hpp): `outcomes<D>(pre, stimulus, list, without)`. It branches on values only through its list:
//
//   decide(c)               the way parts here: `if (list.decide(c)) … return`. Judging: c itself.
//   when(c, f)              f() where c holds. For what only adds outcomes or not: f assigns to nothing outside it.
//   pick(value, last)       a value in 0 … last as a plain integer, for `switch`.
//   each_subset(m, in, f)   f(s) for every subset s of m, ascending; m is a subset of the constant `in`.
//
// When judging, all of them are what they look like, and cost nothing. When proving (proof/paths.hpp), `decide` and
// `pick` are answered every possible way, one run of the form after the other, while `when` and `each_subset` put a
// guard on what is added: they keep the number of ways small.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>

#include "oracle/domain.hpp"

namespace faultline::oracle {

template <class D, class Outcome, std::size_t most>
class OutcomeList;

/// The judge's: without allocation. More than `most` outcomes cannot arise from a valid stimulus.
template <class Outcome, std::size_t most>
class OutcomeList<Judging, Outcome, most> {
public:
    static constexpr std::size_t capacity = most;

    void clear() { size_ = 0; }
    void add(const Outcome& outcome) {
        assert(size_ < capacity);
        if (size_ < capacity) items_[size_++] = outcome;
    }
    std::size_t size() const { return size_; }
    const Outcome& operator[](std::size_t i) const { return items_[i]; }
    const Outcome* begin() const { return items_.data(); }
    const Outcome* end() const { return items_.data() + size_; }

    static constexpr bool decide(bool condition) { return condition; }
    static constexpr std::uint64_t pick(std::uint64_t value, std::uint64_t) { return value; }
    template <class F>
    static constexpr void when(bool condition, F&& f) {
        if (condition) f();
    }
    template <class F>
    static constexpr void each_subset(std::uint64_t of, std::uint64_t, F&& f) {
        std::uint64_t subset = 0;
        do {
            f(subset);
            subset = (subset - of) & of;
        } while (subset != 0);
    }

private:
    std::size_t size_ = 0;
    std::array<Outcome, capacity> items_;
};

}  // namespace faultline::oracle
