// The chapter as a formal object: what proof/prover.hpp asks of a chapter. See oracle/README.md, "Proving".
#pragma once

#include <span>

#include "oracle/chapters/debug/invariants.hpp"
#include "oracle/chapters/debug/operational.hpp"
#include "oracle/chapters/debug/rules.hpp"
#include "oracle/formal.hpp"

namespace faultline::oracle::debug {

struct Formal : FormalOf<Pre, Stimulus, Response, OutcomeIn, OutcomesIn> {
    static constexpr std::string_view name = "debug";

    static constexpr auto rules = debug::rules;
    static constexpr auto invariants = debug::invariants;
    /// Ids of the FREE rules, as the operational form numbers them.
    static constexpr std::span<const std::string_view> alternatives = alternative_ids;

    /// Stimulus::kind is at most this in a valid stimulus; the proof takes one kind at a time.
    static constexpr std::uint64_t last_kind = kind::last;

    /// What the two readings say about ranges, in other words each: proved first, and then used, for a solver finds it
    /// hard to see through the arithmetic anew in every proof. Calls f(statement).
    template <class D, class F>
    static void lemmas(const Pre<D>& pre, const Stimulus<D>& stim, F&& f) {
        for (unsigned n = 0; n < 4; ++n) {
            using Bits = typename D::Bits;
            const Bits& address = address_of(pre, n);
            const Bits size = size_of(Bits(pre.dr7 >> (18 + 4 * n) & 3)), base = address & ~(size - 1);
            const auto same = [&](auto& at, auto& length, auto&) {
                f(in_range(pre, n, at, length) == (length != 0 && share_byte(at, length, base, size)));
                return typename D::Bool(false);
            };
            any_access(stim, same);
            same(stim.io_port, stim.io_width, stim.io);
            const Bits one = 1;
            for (const Bits* at : {&stim.rip, &stim.next})
                f((in_range(pre, n, *at, one) || in_unmasked_range(pre, n, *at, one)) ==
                  could_match(address, size, *at));
        }
    }
};

}  // namespace faultline::oracle::debug
